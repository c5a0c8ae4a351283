import Bytes
package import Fleet

/// Bytes of one topic become columns of samples.
///
/// One decoder serves one topic and is owned by one thread; `directory` and `vocabulary` must be
/// the same ones for all of its life. After a producer has been seen once, a message costs one
/// comparison of its bytes and one hash of its labels: no strings and no allocation.
///
/// Its methods are mutating even where they change nothing: `self` then goes by reference, where a
/// method that only reads is given a copy of this large value, 50 ns at a time (measured).
package struct MessageDecoder: Sendable {
    package let format: WireFormat
    package let settings: DecoderSettings
    package var statistics: DecoderStatistics {
        var all = counted
        all.nameClears = resolver.clears
        all.shapeClears = shapes.clears
        all.memoryRefused = memory.refused
        return all
    }

    var counted = DecoderStatistics()
    var tape: Tape
    var resolver: Resolver
    var memory: DecoderMemory
    var known: [KnownLabels] = []
    var map: ByteMap
    var shapes: ShapeTree
    var members: MemberTable
    /// Messages since the last one that taught a layout.
    private var untaught: UInt64 = 0
    private static let untaughtMax: UInt64 = 8
    private static let untaughtStep: UInt64 = 64
    /// Messages that are not tried the direct way, and how many failed of late.
    var membersWait = 0
    var membersMissed = 0
    /// The message that is being read.
    var scratch = Scratch()
    private let futureSkew: Int64
    /// By device: what its labels were when they were last registered.
    var fingerprints: [UInt64] = []
    /// The values of selecting labels, by number; 0 is no such label.
    var selectorValues: [String] = [""]
    var record = Record()
    let keys = Keys()
    let opaqueNative: Bool
    let opaqueOther: Bool
    /// Whether native messages may come, and be read without a tape.
    private let readsDirectly: Bool
    private var devicesSeen = 0
    /// Of the messages that come next; see `expect`.
    private var coming = InlineArray<4, Coming>(repeating: Coming())
    /// How many were expected.
    private var expectations = 0
    /// Where the labels of the last message began; counted from its end, below zero, if that is nearer.
    private var labelsOffset = 0

    package init(format: WireFormat, settings: DecoderSettings) {
        self.format = format
        self.settings = settings
        tape = Tape(depthMax: settings.depthMax, hashMask: settings.hashMask)
        resolver = Resolver(settings)
        opaqueNative = settings.opaqueFormats.contains(.native)
        opaqueOther = format != .native && settings.opaqueFormats.contains(format)
        readsDirectly = settings.readsDirectly && (format == .native || format == .auto)
        memory = DecoderMemory(entriesMax: settings.rememberedMax)
        members = MemberTable(hashMask: settings.hashMask)
        map = ByteMap(hashMask: settings.hashMask)
        futureSkew = (Instant(milliseconds: 0) + settings.futureSkew).milliseconds
        shapes = ShapeTree(bytesMax: settings.shapeBytesMax)
    }

    /// What earlier messages taught, for a checkpoint; devices go by their index in the directory.
    package var remembered: [RememberedValue] {
        get { memory.values }
        set { memory.restore(newValue) }
    }

    /// What is known of a message that comes soon.
    private struct Coming {
        /// Where it lies: another may come in its place.
        var address: UInt = 0
        var hash: UInt64?
        var labels: ByteMap.Guess?
    }

    /// Asks for what a message will need that is decoded soon, as far as its labels tell.
    ///
    /// What is known of thousands of devices does not stay in the cache while megabytes of messages
    /// go through it, and one part of it leads to the next. Called for each message, in their order,
    /// three messages ahead, it changes no result.
    package mutating func expect(_ payload: Span<UInt8>, _ directory: borrowing Directory) {
        payload.askForNext()
        let last = expectations
        expectations &+= 1
        if let labels = coming[(last &- 1) & 3].labels, labels.value < known.count {
            let device = Int(known[Int(labels.value)].device)
            fingerprints.span.ask(for: device)
            directory.devices.span.ask(for: device)
            memory.expect(DeviceIndex(known[Int(labels.value)].device))
        }
        if let hash = coming[last & 3].hash, let labels = map.expect(hash) {
            coming[last & 3].labels = labels
            known.span.ask(for: Int(labels.value))
        }
        coming[expectations & 3] = Coming(
            address: payload.address, hash: map.expect(payload, labelsStart(of: payload.count)))
    }

    /// What was found out ahead of the labels of a message; nil where that is to be looked for.
    @inline(__always)
    mutating func expected(_ payload: Span<UInt8>) -> ByteMap.Guess? {
        let early = coming[(expectations &- 3) & 3]
        return early.address == payload.address ? early.labels : nil
    }

    /// Where labels begin in a message of so many bytes, if they stand where they stood last.
    ///
    /// Numbers before them have a digit more or less each time, and those behind them too.
    @inline(__always)
    mutating func labelsStart(of count: Int) -> Int {
        labelsOffset < 0 ? count &+ labelsOffset : labelsOffset
    }

    /// Notes where labels began in a message of so many bytes.
    @inline(__always)
    mutating func noteLabels(at start: Int, of count: Int) {
        labelsOffset = start > count / 2 ? start &- count : start
    }

    /// Adds what `payload` says to `batch`.
    ///
    /// Event times come from the payload, else from the record. A message whose time lies beyond
    /// `now` and the allowed skew gives no samples; its faults are kept, at the record's time,
    /// because a device with a broken clock breaks all the same.
    ///
    /// - Throws: `Undecodable`; `batch`, its tally included, is then as it was.
    package mutating func decode(
        _ payload: Span<UInt8>, from origin: MessageOrigin, now: Instant,
        into batch: inout SampleBatch, directory: inout Directory, vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        counted.messages &+= 1
        prepare(directory)
        record.begin(
            origin, clock: now, latest: Instant(milliseconds: now.milliseconds &+ futureSkew))
        let isSized = !payload.isEmpty && payload.count <= settings.messageBytesMax
        let isKnown = isSized && !shapes.isEmpty
        if isKnown, takeShaped(payload, &batch, &directory) { return }
        // Where a layout might be learned the message is read in full, unless that led to nothing. One
        // of a known layout teaches its labels alone, which the direct way does not read either.
        let mayLearn = !record.isLaidOut && shapes.isReadyToLearn()
        let isDirect =
            readsDirectly && !record.isLaidOut
            && (!mayLearn || untaught >= Self.untaughtMax && untaught % Self.untaughtStep != 0)
        if isSized, isDirect, takeMembers(payload, isCopied: isKnown, &batch, &directory) {
            untaught &+= 1
            return
        }
        let rows = batch.rows.count
        let readings = batch.readings.count
        let faults = batch.faults.count
        let tally = batch.tally
        do throws(Undecodable) {
            try interpret(payload, &batch, &directory, &vocabulary, isDirect, mayLearn)
        } catch {
            counted.undecodable &+= 1
            memory.rollBack()
            batch.rows.removeSubrange(rows...)
            batch.lanes.removeSubrange(rows...)
            batch.readings.removeSubrange(readings...)
            batch.faults.removeSubrange(faults...)
            batch.tally = tally
            throw error
        }
    }

    @inline(__always)
    private mutating func prepare(_ directory: borrowing Directory) {
        // The number of what it holds, and not its own, for which it would be copied.
        let devices = directory.devices.count
        if resolver.isFull || known.count >= settings.labelSetsMax
            || map.byteCount >= settings.labelBytesMax || devices < devicesSeen
        {
            forget(devices)
        }
        devicesSeen = devices
    }

    /// Clears what is full, and what is known of a directory that was another one.
    @inline(never)
    private mutating func forget(_ devices: Int) {
        // Shapes name places of the resolver.
        if resolver.clearIfFull() {
            shapes.removeAll()
            members.removeAll()
        }
        let isFull =
            known.count >= settings.labelSetsMax || map.byteCount >= settings.labelBytesMax
        // A directory with fewer devices is another one; nothing known of the old one holds.
        guard isFull || devices < devicesSeen else { return }
        if isFull { counted.labelClears &+= 1 }
        known.removeAll(keepingCapacity: true)
        map.removeAll()
        coming = InlineArray(repeating: Coming())
        fingerprints.removeAll(keepingCapacity: true)
    }

    private mutating func interpret(
        _ payload: Span<UInt8>, _ batch: inout SampleBatch, _ directory: inout Directory,
        _ vocabulary: inout Vocabulary, _ isDirect: Bool, _ mayLearn: Bool
    ) throws(Undecodable) {
        guard !payload.isEmpty else { throw Undecodable(.empty, at: 0) }
        guard payload.count <= settings.messageBytesMax else {
            throw Undecodable(.tooLarge, at: settings.messageBytesMax)
        }
        // What the message before has taught is not undone, should this one be no message at all.
        memory.begin(canFail: false)
        var isInflux = format == .influx
        if format == .auto { isInflux = try !startsAsJSON(payload) }
        if isInflux {
            try tape.read(influx: payload)
            memory.begin(canFail: true)
            var node = 0
            while node < tape.count {
                try takeLine(node, payload, &batch, &directory, &vocabulary)
                node = Int(tape[node].next)
            }
            if mayLearn { learnShape(payload) }
            return
        }
        try tape.read(json: payload)
        let root = tape[0]
        guard root.kind == .array else {
            memory.begin(canFail: false)
            try takeObject(0, payload, &batch, &directory, &vocabulary)
            if isDirect, membersWait == 0 { learnMembers(payload) }
            let layouts = (shapes.shapes.count, shapes.clears)
            if mayLearn { learnShape(payload) }
            untaught = layouts == (shapes.shapes.count, shapes.clears) ? untaught &+ 1 : 0
            return
        }
        memory.begin(canFail: true)
        var node = 1
        while node < Int(root.next) {
            try takeObject(node, payload, &batch, &directory, &vocabulary)
            node = Int(tape[node].next)
        }
    }

    /// Tells JSON from influx by the first byte that is not white space.
    private mutating func startsAsJSON(_ payload: Span<UInt8>) throws(Undecodable) -> Bool {
        for index in payload.indices {
            let byte = payload[index]
            switch byte {
            case Byte.space, Byte.newline, Byte.carriageReturn, Byte.tab: continue
            case Byte.openBrace, Byte.openBracket: return true
            case Byte.hash, Byte.underscore: return false
            case _ where Byte.isLetter(byte): return false
            default: throw Undecodable(.unknownFormat, at: index)
            }
        }
        throw Undecodable(.empty, at: payload.count)
    }
}
