package import Fleet

/// Bytes of one topic become columns of samples.
///
/// One decoder serves one topic and is owned by one thread; `directory` and `vocabulary` must be
/// the same ones for all of its life. After a producer has been seen once, a message costs one pass
/// over its bytes, one hash of its labels and one of each name: no strings and no allocation.
package struct MessageDecoder: Sendable {
    package let format: WireFormat
    package let settings: DecoderSettings
    package var statistics: DecoderStatistics {
        var all = counted
        all.nameClears = resolver.clears
        all.memoryRefused = memory.refused
        return all
    }

    var counted = DecoderStatistics()
    var tape: Tape
    var resolver: Resolver
    var memory: DecoderMemory
    var known: [KnownLabels] = []
    var map: ByteMap
    /// By device: what its labels were when they were last registered.
    var fingerprints: [UInt64] = []
    /// The values of selecting labels, by number; 0 is no such label.
    var selectorValues: [String] = [""]
    var record = Record()
    private var devicesSeen = 0

    package init(format: WireFormat, settings: DecoderSettings) {
        self.format = format
        self.settings = settings
        tape = Tape(depthMax: settings.depthMax)
        resolver = Resolver(settings)
        memory = DecoderMemory(entriesMax: settings.rememberedMax)
        map = ByteMap(hashMask: settings.hashMask)
    }

    /// What earlier messages taught, for a checkpoint; devices go by their index in the directory.
    package var remembered: [RememberedValue] {
        get { memory.values }
        set { memory.restore(newValue) }
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
        let rows = batch.rows.count
        let readings = batch.readings.count
        let faults = batch.faults.count
        let tally = batch.tally
        do throws(Undecodable) {
            try interpret(payload, origin, now, &batch, &directory, &vocabulary)
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

    private mutating func prepare(_ directory: borrowing Directory) {
        resolver.clearIfFull()
        let isFull =
            known.count >= settings.labelSetsMax || map.byteCount >= settings.labelBytesMax
        // A directory with fewer devices is another one; nothing known of the old one holds.
        guard isFull || directory.count < devicesSeen else { return devicesSeen = directory.count }
        if isFull { counted.labelClears &+= 1 }
        devicesSeen = directory.count
        known.removeAll(keepingCapacity: true)
        map.removeAll()
        fingerprints.removeAll(keepingCapacity: true)
    }

    private mutating func interpret(
        _ payload: Span<UInt8>, _ origin: MessageOrigin, _ now: Instant,
        _ batch: inout SampleBatch, _ directory: inout Directory, _ vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        guard !payload.isEmpty else { throw Undecodable(.empty, at: 0) }
        guard payload.count <= settings.messageBytesMax else {
            throw Undecodable(.tooLarge, at: settings.messageBytesMax)
        }
        record.begin(origin, clock: now, latest: now + settings.futureSkew)
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
            return
        }
        try tape.read(json: payload)
        let root = tape[0]
        guard root.kind == .array else {
            memory.begin(canFail: false)
            return try takeObject(0, payload, &batch, &directory, &vocabulary)
        }
        memory.begin(canFail: true)
        var node = 1
        while node < Int(root.next) {
            try takeObject(node, payload, &batch, &directory, &vocabulary)
            node = Int(tape[node].next)
        }
    }

    /// Tells JSON from influx by the first byte that is not white space.
    private func startsAsJSON(_ payload: Span<UInt8>) throws(Undecodable) -> Bool {
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

/// What is known of the record being read: one device's metrics at one time.
struct Record: Sendable {
    /// A row of the batch that this record filled.
    struct OpenRow: Sendable {
        var device: DeviceIndex
        var group: UInt16
        var row: Int32
    }

    /// A value that becomes a lane together with others of this record.
    struct Pending: Sendable {
        var device: DeviceIndex
        var meaning: Meaning
        var lane: Resolution.Lane
        var part: UInt16
        var value: Double
        var points: UInt16
        var isTaken = false
    }

    var origin = MessageOrigin(partition: 0, offset: 0, recordTime: Instant(milliseconds: 0))
    var clock = Instant(milliseconds: 0)
    var latest = Instant(milliseconds: 0)
    var time = Instant(milliseconds: 0)
    var isFuture = false
    /// One value per message: sums wait for later messages, not for later fields.
    var isPointwise = false
    var isNative = false
    var isTelegraf = false
    /// The bytes that say which device this is.
    var runs: [Range<Int32>] = []
    /// The object that holds the labels (of a native message, the message), or -1.
    var labels = -1
    var lastSalt = UInt32.max
    var lastKnown = -1
    var rows: [OpenRow] = []
    var pending: [Pending] = []
    /// By canonical metric: the rank of the name that filled its lane.
    var ranks = [UInt8](repeating: 0, count: 64)

    mutating func begin(_ origin: MessageOrigin, clock: Instant, latest: Instant) {
        self.origin = origin
        self.clock = clock
        self.latest = latest
    }

    /// Starts one of a message's records.
    mutating func start(at time: Instant, labels: Int) {
        self.time = time
        self.labels = labels
        isFuture = time > latest
        isPointwise = false
        isNative = false
        isTelegraf = false
        lastSalt = .max
        runs.removeAll(keepingCapacity: true)
        rows.removeAll(keepingCapacity: true)
        pending.removeAll(keepingCapacity: true)
    }

    /// Adds a run of bytes; one that follows the last, a comma apart, makes it longer.
    @inline(__always)
    mutating func add(_ start: Int32, _ end: Int32) {
        if let last = runs.last, last.upperBound &+ 1 == start {
            runs[runs.count &- 1] = last.lowerBound..<end
        } else {
            runs.append(start..<end)
        }
    }
}
