import Bytes
import Fleet

/// The short way: messages that are laid out as others before them.
extension MessageDecoder {
    /// Takes a message whose shape and labels are known.
    ///
    /// - Returns: false where there is anything unusual about it; nothing was changed then but `scratch`,
    ///   which holds the message.
    mutating func takeShaped(
        _ bytes: Span<UInt8>, _ batch: inout SampleBatch, _ directory: inout Directory
    ) -> Bool {
        var found = LayoutTree.Found()
        // Labels stand where they stood the last time, and nearly always they are known.
        let start = labelsStart(of: bytes.count)
        var guess = guess(bytes, start)
        Self.read(bytes, &scratch, &shapes.tree, map, guess.run, start, &found)
        if found.labels.isEmpty {
            guess = LabelGuess()
        } else if found.shape < 0, found.isLostBehindLabels(), let run = guess.run {
            map.mistake(run, bytes, start)
        }
        while found.labelsStart >= 0 || found.question >= 0 {
            if found.question >= 0 {
                shapes.readOn(scratch, &found)
            } else {
                guess = goOnBehindLabels(bytes, &found)
            }
        }
        guard found.shape >= 0 else { return false }
        record.isLaidOut = true
        noteLabels(at: found.labels.lowerBound, of: bytes.count)
        let number = found.shape
        let firstRow = batch.lanes.count
        let isSound = shapes.tree.convert(shapes.shapes[number].targets, into: &batch.lanes)
        guard let time = time(&found, number, bytes),
            time.milliseconds <= record.latest.milliseconds,
            let place = place(of: found.labels, guess.run, shapes.shapes[number].salt, bytes),
            let device = place == guess.run.map({ Int($0.value) })
                ? guess.device : Self.device(known[place], fingerprints)
        else {
            batch.lanes.removeSubrange(firstRow...)
            scratch.fill(bytes)
            return false
        }
        counted.shapeHits &+= 1
        if isSound, shapes.shapes[number].isQuick {
            takeRows(number, device, time, &batch)
            heard(device, time, &batch, &directory)
            return true
        }
        return takeSlowly(isSound, number, place, time, &batch, &directory)
    }

    /// Labels by a few words of them, and what they stood for the last time.
    private struct LabelGuess {
        /// Nil where all of them must be looked at; else it stands for their place in `known`.
        var run: ByteMap.Guess?
        /// The device that they still stand for.
        var device: DeviceIndex?
    }

    @inline(__always)
    private static func read(
        _ bytes: Span<UInt8>, _ copy: inout Scratch, _ tree: inout LayoutTree,
        _ map: borrowing ByteMap, _ labels: ByteMap.Guess?, _ start: Int,
        _ found: inout LayoutTree.Found
    ) {
        let labels = map.bytes.span.extracting(labels?.range ?? 0..<0)
        tree.read(bytes, &copy, labels: labels, at: start, &found)
    }

    /// What labels at `start` seem to be.
    ///
    /// Nothing waits for what this finds, for it is nearly always the same: each of these lies in
    /// another place of the memory, and they are on their way while the message is followed.
    @inline(__always)
    private mutating func guess(_ bytes: Span<UInt8>, _ start: Int) -> LabelGuess {
        guard let run = expected(bytes) ?? map.guess(bytes, start) else { return LabelGuess() }
        return guess(run)
    }

    @inline(__always)
    private func guess(_ run: ByteMap.Guess) -> LabelGuess {
        LabelGuess(run: run, device: Self.device(known[Int(run.value)], fingerprints))
    }

    /// Follows a message behind labels at which it stopped: short ones, those that stand elsewhere than
    /// in the message before, and those that are not what they seemed to be.
    @inline(never)
    private mutating func goOnBehindLabels(
        _ bytes: Span<UInt8>, _ found: inout LayoutTree.Found
    ) -> LabelGuess {
        let start = found.labelsStart
        guard let run = map.guess(bytes, start) else {
            shapes.tree.goOn(labels: nil, scratch, &found)
            return LabelGuess()
        }
        let isRight = map.isRight(run, bytes, start)
        shapes.tree.goOn(labels: isRight ? run.count : nil, scratch, &found)
        // The latter are labels that begin like others, and go on.
        if !isRight || found.isLostBehindLabels() { map.mistake(run, bytes, start) }
        return isRight ? guess(run) : LabelGuess()
    }

    /// The place in `known` of a message's labels, which are those that were guessed, if any were.
    @inline(__always)
    mutating func place(
        of labels: Range<Int>, _ guess: ByteMap.Guess?, _ salt: UInt32, _ bytes: Span<UInt8>
    ) -> Int? {
        guard let guess, UInt32(guess.salt) == salt else { return search(labels, salt, bytes) }
        return Int(guess.value)
    }

    /// The device that known labels name, if it has spoken with no others since.
    @inline(__always)
    static func device(
        _ labels: KnownLabels, _ fingerprints: [UInt64]
    ) -> DeviceIndex? {
        guard labels.device != KnownLabels.nobody, !labels.isPartition,
            fingerprints[Int(labels.device)] == labels.fingerprint
        else { return nil }
        return DeviceIndex(labels.device)
    }

    /// The same by all of their bytes; it is remembered for the next time.
    @inline(never)
    private mutating func search(
        _ labels: Range<Int>, _ salt: UInt32, _ bytes: Span<UInt8>
    ) -> Int? {
        let hash = map.hash(bytes, labels, salt: salt)
        guard let found = map.find(bytes, labels, salt: salt, hash: hash) else { return nil }
        map.note(bytes, labels, salt: salt, hash: hash)
        return Int(found)
    }

    /// The event time of a message whose layout is known, or nil where it names none; `found` is as it
    /// was, and large.
    @inline(__always)
    private mutating func time(
        _ found: inout LayoutTree.Found, _ number: Int, _ bytes: Span<UInt8>
    ) -> Instant? {
        let ordinal = Int(shapes.shapes[number].time)
        guard ordinal >= 0 else { return record.origin.recordTime }
        let integer =
            found.time.isEmpty
            ? shapes.tree.time(ordinal, &found) : found.timeInteger
        if integer >= 0 { return Timestamp.instant(integer, settings.timestampUnit) }
        guard !shapes.shapes[number].isLine || found.isTimeWhole else { return nil }
        let node = Node(
            kind: .number, flag: found.isTimeWhole,
            start: Int32(truncatingIfNeeded: found.time.lowerBound),
            end: Int32(truncatingIfNeeded: found.time.upperBound), next: 0, value: found.timeValue)
        return Timestamp.read(bytes, node, unit: settings.timestampUnit)
    }

    @inline(__always)
    private mutating func heard(
        _ device: DeviceIndex, _ time: Instant, _ batch: inout SampleBatch,
        _ directory: inout Directory
    ) {
        counted.labelHits &+= 1
        directory.touch(
            device, at: time, from: batch.partitions, Int(record.origin.partition))
    }

    /// Writes the rows of a message in which every number is sound and has its place; their lanes are
    /// those at the end of the batch.
    @inline(__always)
    private mutating func takeRows(
        _ number: Int, _ device: DeviceIndex, _ time: Instant, _ batch: inout SampleBatch
    ) {
        let firstRow = batch.rows.count
        if !shapes.shapes[number].peaks.isEmpty {
            takePeaks(number, device, time, &batch)
        }
        let open = shapes.shapes[number].rows
        Self.add(
            shapes.rows.span.extracting(Int(open.lowerBound)..<Int(open.upperBound)), device, time,
            record.origin, &batch.rows)
        if !shapes.shapes[number].counters.isEmpty {
            takeCounters(number, firstRow, &batch)
        }
        batch.tally.points &+= shapes.shapes[number].points
        batch.tally.unknownMetric &+= shapes.shapes[number].unknown
        batch.tally.ignored &+= shapes.shapes[number].ignored
    }

    @inline(__always)
    private static func add(
        _ open: Span<ShapeTree.Row>, _ device: DeviceIndex, _ time: Instant,
        _ origin: MessageOrigin, _ rows: inout [SampleBatch.Row]
    ) {
        rows.append(addingCapacity: open.count) { rows in
            for index in open.indices {
                rows.append(
                    SampleBatch.Row(
                        device: device, group: open[index].group, partition: origin.partition,
                        time: time, offset: origin.offset, points: open[index].points))
            }
        }
    }

    private mutating func takeCounters(
        _ number: Int, _ firstRow: Int, _ batch: inout SampleBatch
    ) {
        let shape = shapes.shapes[number]
        for index in Int(shape.counters.lowerBound)..<Int(shape.counters.upperBound) {
            let counter = shapes.extras[index]
            batch.readings.append(
                SampleBatch.Reading(
                    row: Int32(truncatingIfNeeded: firstRow &+ Int(counter.lane >> 4)),
                    lane: UInt8(truncatingIfNeeded: counter.lane & 15),
                    value: shapes.tree.numbers[Int(counter.ordinal)] * counter.scale))
        }
    }

    /// Puts shares of the largest number that the device has shown in the place of numbers.
    private mutating func takePeaks(
        _ number: Int, _ device: DeviceIndex, _ time: Instant, _ batch: inout SampleBatch
    ) {
        let shape = shapes.shapes[number]
        let firstRow =
            batch.lanes.count &- Int(shape.rows.upperBound) &+ Int(shape.rows.lowerBound)
        var lanes = batch.lanes.mutableSpan
        for index in Int(shape.peaks.lowerBound)..<Int(shape.peaks.upperBound) {
            let extra = shapes.extras[index]
            let value = shapes.tree.numbers[Int(extra.ordinal)] * extra.scale
            var peak = memory.peak(device, extra.metric)
            if value > peak {
                peak = value
                memory.begin(canFail: false)
                memory.remember(value, at: time, device, extra.metric, .peak)
            }
            lanes[firstRow &+ Int(extra.lane >> 4)][Int(extra.lane & 15)] = Float(value / peak)
        }
    }

    /// Takes a message of which something is out of its range, or goes by more than its lane.
    @inline(never)
    private mutating func takeSlowly(
        _ isSound: Bool, _ number: Int, _ place: Int, _ time: Instant,
        _ batch: inout SampleBatch, _ directory: inout Directory
    ) -> Bool {
        let shape = shapes.shapes[number]
        let labels = known[place]
        let device = DeviceIndex(labels.device)
        record.start(at: time, labels: -1, row: batch.rows.count)
        record.isNative = shape.isNative
        record.isTelegraf = !shape.isNative
        record.lastSalt = shape.salt
        record.lastKnown = place
        memory.begin(canFail: false)
        guard shape.isPlain, isSound else {
            batch.lanes.removeLast(shape.rows.count)
            if takeOneByOne(shape, labels, &batch) { heard(device, time, &batch, &directory) }
            return true
        }
        takePeaks(number, device, time, &batch)
        openRows(shape, device, &batch)
        takeCounters(number, record.firstRow, &batch)
        batch.tally.points &+= shape.points
        batch.tally.unknownMetric &+= shape.unknown
        batch.tally.ignored &+= shape.ignored
        takeWholes(shape, labels, &batch)
        finishRecord(&batch)
        heard(device, time, &batch, &directory)
        return true
    }

    /// Opens the rows of a shape with the lanes at the end of the batch, so that more can follow.
    private mutating func openRows(
        _ shape: ShapeTree.Shape, _ device: DeviceIndex, _ batch: inout SampleBatch
    ) {
        let first = Int(shape.rows.lowerBound)
        let rowCount = Int(shape.rows.upperBound) - first
        let firstLanes = batch.lanes.count - rowCount
        for row in 0..<rowCount {
            let open = shapes.rows[first + row]
            record.rows[row] = Record.OpenRow(
                device: device, group: open.group, points: open.points)
            let lanes = batch.lanes[firstLanes + row]
            for lane in 0..<16 { record.values[row * 16 + lane] = lanes[lane] }
        }
        record.rowCount = rowCount
        batch.lanes.removeLast(rowCount)
    }

    /// Takes the values that are parts of something, or remembered.
    private mutating func takeWholes(
        _ shape: ShapeTree.Shape, _ labels: KnownLabels, _ batch: inout SampleBatch
    ) {
        for index in Int(shape.wholes.lowerBound)..<Int(shape.wholes.upperBound) {
            let place = Int(shapes.extras[index].place)
            batch.tally.points &+= 1
            let value =
                shapes.extras[index].constant
                ?? .number(shapes.tree.numbers[Int(shapes.extras[index].ordinal)])
            if let number = usable(value, resolver.known[place].source, &batch) {
                take(number, as: place, labels, isIncrement: false, &batch)
            }
        }
    }

    /// Takes the values one after the other, as they would be out of the parser.
    ///
    /// - Returns: whether any of them said something: a device without a value was not heard of.
    @inline(never)
    private mutating func takeOneByOne(
        _ shape: ShapeTree.Shape, _ labels: KnownLabels, _ batch: inout SampleBatch
    ) -> Bool {
        var isHeard = false
        for index in Int(shape.values.lowerBound)..<Int(shape.values.upperBound) {
            let place = Int(shapes.values[index].place)
            let value =
                shapes.values[index].constant
                ?? .number(shapes.tree.numbers[Int(shapes.values[index].ordinal)])
            if case .number(let raw) = value, putPlain(raw, resolver.plain[place], labels, &batch) {
                isHeard = true
                continue
            }
            batch.tally.points &+= 1
            switch resolver.known[place].disposition {
            case .unknown: batch.tally.unknownMetric &+= 1
            case .ignored, .selected: batch.tally.ignored &+= 1
            case .known:
                guard let number = usable(value, resolver.known[place].source, &batch) else {
                    continue
                }
                isHeard = true
                take(number, as: place, labels, isIncrement: false, &batch)
            }
        }
        finishRecord(&batch)
        return isHeard
    }
}

extension MessageDecoder {
    /// Learns the shape of the message on the tape, which has just been taken as one record.
    mutating func learnShape(_ bytes: Span<UInt8>) {
        guard record.isNative || record.isTelegraf, !record.isPointwise, !record.isFuture,
            record.runs.count == 1, record.lastSalt != .max
        else { return }
        let found = tape.isInflux ? line() : members(of: 0, bytes)
        let fields = record.isNative ? found.metrics : found.fields
        // Faults are rare, and no message that has one should have a shape.
        if record.isNative, found.events >= 0, !isEmpty(found.events) { return }
        guard fields >= 0, tape[fields].kind == .object else { return }
        let measurement =
            record.isNative || found.name < 0 ? .unknown : source(of: tape[found.name], bytes)

        let run = record.runs[0]
        var cuts = [
            LayoutTree.Cut(slot: .labels, range: Int(run.lowerBound)..<Int(run.upperBound))
        ]
        if found.time >= 0, tape[found.time].kind != .null {
            guard tape[found.time].kind == .number else { return }
            cuts.append(LayoutTree.Cut(slot: .time, range: tape[found.time].range))
        }
        var draft = ShapeDraft(isNative: record.isNative)
        var node = fields + 1
        let end = Int(tape[fields].next)
        while node + 1 < end {
            let (name, value) = (tape[node], tape[node + 1])
            node = Int(value.next)
            switch value.kind {
            case .null, .object, .array, .line: continue
            case .string, .yes, .no:
                // A text is like any other literal; what it says, if anything, is the same each time.
                guard let place = place(name, measurement, isNumeric: false, bytes) else { return }
                if [.unknown, .ignored].contains(resolver.known[place].disposition) { continue }
                guard
                    draft.add(
                        place, resolver, salt: record.lastSalt, constant: scalar(bytes, value))
                else { return }
            case .number:
                guard value.value.isFinite,
                    let place = place(name, measurement, isNumeric: true, bytes),
                    draft.add(place, resolver, salt: record.lastSalt)
                else { return }
                cuts.append(
                    LayoutTree.Cut(
                        slot: .value, range: value.range, target: draft.values.last?.target ?? .none
                    ))
            }
        }
        var values = draft.values
        cuts.sort { $0.range.lowerBound < $1.range.lowerBound }
        // Where each stands among the numbers, of which the time is one; there may be none.
        let numbers = cuts.filter { $0.slot != .labels }
        let before = numbers.firstIndex { $0.slot == .time }
        var count = 0
        for index in values.indices where values[index].constant == nil {
            values[index].ordinal = Int32(count + (before.map { $0 <= count ? 1 : 0 } ?? 0))
            count += 1
        }
        let made = ShapeTree.Draft(
            isNative: record.isNative, isLine: tape.isInflux, isPlain: draft.isPlain,
            salt: record.lastSalt, time: Int32(before ?? -1), values: values, rows: draft.rows)
        shapes.learn(bytes, cuts, made)
    }

    /// The parts of the only line on the tape.
    private mutating func line() -> Members {
        var found = Members()
        guard Int(tape[0].next) == tape.count else { return found }
        found.name = 1
        found.tags = 2
        found.fields = Int(tape[2].next)
        found.time = Int(tape[found.fields].next)
        return found
    }

    private mutating func isEmpty(_ node: Int) -> Bool {
        tape[node].kind == .null || Int(tape[node].next) == node + 1
    }

    private mutating func place(
        _ name: Node, _ measurement: Source, isNumeric: Bool, _ bytes: Span<UInt8>
    ) -> Int? {
        let isOpaque = isNumeric && (record.isNative ? opaqueNative : opaqueOther)
        return resolver.place(bytes, name, measurement, isOpaque: isOpaque)
    }
}

/// A shape in the making.
private struct ShapeDraft {
    let isNative: Bool
    private(set) var values: [ShapeTree.Value] = []
    private(set) var rows: [ShapeTree.Row] = []
    /// Metrics that have a lane at once, and those that get theirs later.
    private var plain: Set<UInt16> = []
    private var late: Set<UInt16> = []
    private var isTwice = false
    /// The groups in the order in which the parser would open their rows.
    private var groups: [UInt16] = []

    init(isNative: Bool) { self.isNative = isNative }

    /// Whether lanes may be filled first without a difference: no metric both ways, rows in order.
    ///
    /// Where a late value is refused, its row may be missing; one that only late values open is
    /// behind all others here, so that the others keep their places.
    var isPlain: Bool {
        let open = rows.map(\.group)
        return !open.isEmpty && !isTwice && plain.isDisjoint(with: late)
            && groups.prefix(open.count).elementsEqual(open)
    }

    /// - Returns: false where the value needs more than its number and the labels as read already.
    mutating func add(
        _ place: Int, _ resolver: Resolver, salt: UInt32, constant: Scalar? = nil
    ) -> Bool {
        let resolution = resolver.known[place]
        let known = resolver.plain[place]
        // A little less than a vendor's "not available" would be: what is above is looked at closely.
        let blank = (known.hasBlanks ? 2_147_483_631 : 9.1e18) * known.scale
        var value = ShapeTree.Value(
            place: Int32(place), lane: 0, metric: resolution.meaning.metric, way: .whole,
            scale: known.scale, low: -.infinity, high: .infinity)
        value.constant = constant
        switch resolution.disposition {
        case .selected: return false
        case .unknown: value.way = .unknown
        case .ignored: value.way = .ignored
        case .known:
            guard isNative || salt == known.telegrafSalt else { return false }
            if let constant {
                if case .number = constant { addLate(resolution) }
            } else if known.isPlain {
                isTwice = isTwice || !plain.insert(known.metric).inserted
                value.way = known.isCounter ? .counter : .lane
                value.lane = Int32(row(of: known.metric) << 4 | Int(known.metric & 15))
                value.low = max(known.low, -blank)
                value.high = min(known.high, blank)
            } else if isPeak(resolution) {
                isTwice = isTwice || !plain.insert(known.metric).inserted
                value.way = .peak
                value.lane = Int32(row(of: known.metric) << 4 | Int(known.metric & 15))
                // Above nothing, and below what no link has.
                value.low = .leastNonzeroMagnitude
                value.high = min(1e9.nextDown, blank)
            } else {
                addLate(resolution)
            }
        }
        values.append(value)
        return rows.count <= Record.rowsMax
    }

    /// Whether a value has a lane at once, though not as it stands.
    private func isPeak(_ resolution: Resolution) -> Bool {
        resolution.meaning.combine == .peak && resolution.also == nil
            && !resolution.meaning.isFirstOnly && resolution.meaning.offset == 0
            && !resolution.lane.isCounter
    }

    private mutating func addLate(_ resolution: Resolution) {
        for (meaning, lane) in [
            (resolution.meaning, resolution.lane), (resolution.also, resolution.alsoLane),
        ] as [(Meaning?, Resolution.Lane)] {
            guard let meaning else { continue }
            late.insert(meaning.metric.rawValue)
            switch meaning.combine {
            case .sum, .flags, .ratio, .rate, .least, .mean, .faultCount: continue
            case .value, .peak, .stickyFault:
                // A reading would come before those that come before it.
                isTwice = isTwice || lane.isCounter
                touch(UInt16(meaning.metric.group))
            }
        }
    }

    private mutating func touch(_ group: UInt16) {
        if !groups.contains(group) { groups.append(group) }
    }

    private mutating func row(of metric: UInt16) -> Int {
        let group = metric >> 4
        touch(group)
        if let row = rows.firstIndex(where: { $0.group == group }) {
            rows[row].points &+= 1
            return row
        }
        rows.append(ShapeTree.Row(group: group, points: 1))
        return rows.count - 1
    }
}
