import Bytes
import Fleet

/// A value as it stands in a message.
enum Scalar: Sendable {
    case number(Double)
    /// A word for "not available".
    case blank
    case unreadable
}

extension MessageDecoder {
    /// Reads what may stand where a number belongs.
    mutating func scalar(_ bytes: Span<UInt8>, _ node: Node) -> Scalar {
        switch node.kind {
        case .number: .number(node.value)
        case .yes: .number(1)
        case .no: .number(0)
        case .null: .blank
        case .string: word(bytes, node.range)
        case .object, .array, .line: .unreadable
        }
    }

    /// A number in quotes, a yes or no, or a vendor's "not available".
    private mutating func word(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Scalar {
        guard !range.isEmpty else { return .blank }
        let start = bytes[range.lowerBound] == Byte.plus ? range.lowerBound + 1 : range.lowerBound
        if let number = Number.parse(bytes, at: start), number.end == range.upperBound {
            return .number(number.value)
        }
        let first = bytes[range.lowerBound]
        // DCGM writes <<<NOT_SUPPORTED>>>, nvidia-smi [N/A] and [Not Supported].
        if first == UInt8(ascii: "<") || first == Byte.openBracket { return .blank }
        guard range.count <= 8 else { return .unreadable }
        let lower = bytes.word(at: range.lowerBound) | 0x2020_2020_2020_2020
        let kept = lower & (~0 >> UInt64(64 - range.count * 8))
        if keys.words.ones.contains(kept) { return .number(1) }
        if keys.words.zeros.contains(kept) { return .number(0) }
        if keys.words.blanks.contains(kept) { return .blank }
        return keys.words.infinities.contains(kept) ? .number(.nan) : .unreadable
    }

    /// Takes a number under a name: the short way where there is one, which is nearly always.
    @inline(__always)
    mutating func takeNumber(
        _ name: Node, _ raw: Double, measurement: Source, _ bytes: Span<UInt8>,
        _ batch: inout SampleBatch, _ directory: inout Directory, _ vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        let isOpaque = record.isNative ? opaqueNative : opaqueOther
        if let place = resolver.place(bytes, name, measurement, isOpaque: isOpaque) {
            let plain = resolver.plain[place]
            let salt = record.isTelegraf ? plain.telegrafSalt : plain.otherSalt
            if record.isNative || salt == record.lastSalt, record.lastKnown >= 0,
                !record.isFuture, record.lastSalt != .max,
                putPlain(raw, plain, known[record.lastKnown], &batch)
            {
                return
            }
        }
        try take(
            name, .number(raw), measurement: measurement, isNumeric: true, bytes, &batch,
            &directory, &vocabulary)
    }

    /// Puts a number in its lane where that is all there is to it.
    ///
    /// - Returns: false where there is more, or the value cannot be taken; nothing was changed then.
    @inline(__always)
    mutating func putPlain(
        _ raw: Double, _ plain: PlainMeaning, _ labels: KnownLabels, _ batch: inout SampleBatch
    ) -> Bool {
        let value = raw * plain.scale
        guard plain.isPlain, !(plain.isContested && record.isPointwise),
            abs(raw) < (plain.hasBlanks ? 2_147_483_632 : 9.2e18), value >= plain.low,
            value <= plain.high, labels.device != KnownLabels.nobody, !labels.isPartition
        else { return false }
        batch.tally.points &+= 1
        put(
            DeviceIndex(labels.device), Metric(rawValue: plain.metric),
            isCounter: plain.isCounter, rank: plain.rank, value, 1, &batch)
        return true
    }

    /// Takes one value under one name; every value ends in the batch or in one counter.
    ///
    /// `isNumeric` says whether the value counts as a point even if its name is unknown: a text or
    /// a flag under a strange name is no measurement. `isIncrement` says that it is to be added to
    /// what came before.
    @inline(never)
    mutating func take(
        _ name: Node, _ value: Scalar, measurement: Source, isNumeric: Bool,
        isIncrement: Bool = false, _ bytes: Span<UInt8>, _ batch: inout SampleBatch,
        _ directory: inout Directory, _ vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        let isOpaque = isNumeric && (record.isNative ? opaqueNative : opaqueOther)
        var place =
            resolver.place(bytes, name, measurement, isOpaque: isOpaque)
            ?? resolver.learn(
                bytes, name, isInflux: tape.isInflux, measurement, isOpaque: isOpaque,
                &vocabulary)
        var disposition = resolver.known[place].disposition
        if !isNumeric, disposition == .unknown || disposition == .ignored { return }
        batch.tally.points &+= 1
        if disposition == .selected {
            place = try select(place, name, bytes, &batch, &directory, vocabulary)
            disposition = resolver.known[place].disposition
        }
        switch disposition {
        case .unknown: return batch.tally.unknownMetric &+= 1
        case .ignored, .selected: return batch.tally.ignored &+= 1
        case .known: break
        }
        let resolution = resolver.known[place]
        guard let number = usable(value, resolution.source, &batch) else { return }
        guard !record.isFuture else { return batch.tally.future &+= 1 }

        let level = record.isNative ? .board : resolution.meaning.level
        let source = record.isNative ? .canonical : resolution.source
        let labels = known[try self.labels(source, level, bytes, &batch, &directory)]
        guard labels.device != KnownLabels.nobody else { return batch.tally.noDevice &+= 1 }
        take(number, as: place, labels, isIncrement: isIncrement, &batch)
    }

    /// The number that a value is, or nil where it has been counted as none.
    mutating func usable(
        _ value: Scalar, _ source: Source, _ batch: inout SampleBatch
    ) -> Double? {
        switch value {
        case .number(let raw): return usable(raw, source, &batch)
        case .blank: batch.tally.sentinel &+= 1
        case .unreadable: batch.tally.notANumber &+= 1
        }
        return nil
    }

    /// A number that measures something, or nil where it has been counted as none.
    mutating func usable(_ raw: Double, _ source: Source, _ batch: inout SampleBatch) -> Double? {
        guard raw.isFinite else {
            batch.tally.notANumber &+= 1
            return nil
        }
        guard !isBlank(raw, source) else {
            batch.tally.sentinel &+= 1
            return nil
        }
        return raw
    }

    /// Carries out everything that the name at `place` means for a number of a device.
    mutating func take(
        _ raw: Double, as place: Int, _ labels: KnownLabels, isIncrement: Bool,
        _ batch: inout SampleBatch
    ) {
        let resolution = resolver.known[place]
        let isTaken = apply(
            raw, resolution.meaning, resolution.lane, labels, resolution, points: 1,
            isIncrement: isIncrement, &batch)
        if isTaken, let also = resolution.also {
            _ = apply(
                raw, also, resolution.alsoLane, labels, resolution, points: 0,
                isIncrement: isIncrement, &batch)
        }
    }

    /// The meaning of a name that depends on a label.
    private mutating func select(
        _ place: Int, _ name: Node, _ bytes: Span<UInt8>, _ batch: inout SampleBatch,
        _ directory: inout Directory, _ vocabulary: Vocabulary
    ) throws(Undecodable) -> Int {
        let source = resolver.known[place].source
        let selector = resolver.known[place].selector.rawValue
        let labels = known[try self.labels(source, .board, bytes, &batch, &directory)]
        let number = labels.selectors[selector]
        return resolver.place(place, selected: number)
            ?? resolver.learn(
                place, selected: selectorValues[Int(number)], number: number, bytes, name,
                isInflux: tape.isInflux, vocabulary)
    }

    /// DCGM's "blank, not found, not supported, not permitted", as 32, 64 and floating 64 bits.
    ///
    /// The 64-bit ones survive as 9.22e18 in any format. The others are looked for only where DCGM
    /// speaks, and only exactly: a byte counter may well pass 140 TB.
    private mutating func isBlank(_ value: Double, _ source: Source) -> Bool {
        guard abs(value) < 9.2e18 else { return true }
        guard source.hasBlanks, value >= 2_147_483_632 else { return false }
        return value <= 2_147_483_647
            || (value >= 140_737_488_355_328 && value <= 140_737_488_355_343)
    }
}

extension MessageDecoder {
    /// Carries out what a name means for a value that is a number of a device.
    ///
    /// - Returns: whether the value was taken; if not, it has been counted.
    private mutating func apply(
        _ raw: Double, _ meaning: Meaning, _ lane: Resolution.Lane, _ labels: KnownLabels,
        _ resolution: Resolution, points: UInt16, isIncrement: Bool, _ batch: inout SampleBatch
    ) -> Bool {
        var value = raw * meaning.scale + meaning.offset
        let device = DeviceIndex(labels.device)
        if labels.isPartition, raw == 0, isBoardSensor(meaning.metric) {
            batch.tally.sentinel &+= UInt64(points)
            return false
        }
        if meaning.isFirstOnly, labels.link > 0 {
            batch.tally.ignored &+= UInt64(points)
            return false
        }
        let part = meaning.part &* 64 &+ UInt16(truncatingIfNeeded: labels.link &+ 1)
        if isIncrement {
            value += memory.scalar(device, meaning.metric, .increments, Int(part))?.value ?? 0
            memory.remember(
                value, at: record.time, device, meaning.metric, .increments, Int(part))
        }
        switch meaning.combine {
        case .value:
            guard lane.valid.contains(value) else { break }
            return setContested(device, meaning, lane, value, points, resolution, &batch)
        case .stickyFault:
            guard lane.valid.contains(value), value == value.rounded() else { break }
            sticky(device, Int32(value), resolution.source, &batch)
            set(device, meaning, lane, value, points, &batch)
            return true
        case .faultCount:
            guard value >= 0, labels.code >= 0 else { break }
            count(device, value, labels.code, resolution.source, &batch)
            batch.tally.applied &+= UInt64(points)
            return true
        case .peak:
            guard value > 0, value < 1e9 else { break }
            let before = memory.peak(device, meaning.metric)
            if value > before {
                memory.remember(value, at: record.time, device, meaning.metric, .peak)
            }
            set(device, meaning, lane, value / max(value, before), points, &batch)
            return true
        case .rate:
            guard value >= 0 else { break }
            return takeRate(device, meaning, lane, value, part, points, &batch)
        case .flags:
            return takePart(
                device, meaning, lane, value == 0 ? 0 : Double(meaning.flags), part, points,
                &batch)
        case .sum, .ratio:
            guard value >= 0 else { break }
            return takePart(device, meaning, lane, value, part, points, &batch)
        case .least, .mean:
            return takePart(device, meaning, lane, value, part, points, &batch)
        }
        batch.tally.outOfRange &+= UInt64(points)
        return false
    }

    private mutating func isBoardSensor(_ metric: Metric) -> Bool {
        [.powerDraw, .tempCore, .tempMem, .clockCore, .clockMem].contains(metric)
    }

    /// Of two names for one metric the better one is believed, for ten minutes after it was heard.
    private mutating func setContested(
        _ device: DeviceIndex, _ meaning: Meaning, _ lane: Resolution.Lane, _ value: Double,
        _ points: UInt16, _ resolution: Resolution, _ batch: inout SampleBatch
    ) -> Bool {
        guard record.isPointwise, resolution.isContested else {
            set(device, meaning, lane, value, points, &batch)
            return true
        }
        let rank = Double(meaning.rank)
        if let heard = memory.scalar(device, meaning.metric, .rank), heard.value > rank,
            record.time.milliseconds < heard.time &+ 600_000
        {
            batch.tally.ignored &+= UInt64(points)
            return false
        }
        memory.remember(rank, at: record.time, device, meaning.metric, .rank)
        set(device, meaning, lane, value, points, &batch)
        return true
    }

    private mutating func takeRate(
        _ device: DeviceIndex, _ meaning: Meaning, _ lane: Resolution.Lane, _ value: Double,
        _ part: UInt16, _ points: UInt16, _ batch: inout SampleBatch
    ) -> Bool {
        let before = memory.scalar(device, meaning.metric, .rate, Int(part))
        if let before, record.time.milliseconds <= before.time {
            batch.tally.duplicate &+= UInt64(points)
            return false
        }
        memory.remember(value, at: record.time, device, meaning.metric, .rate, Int(part))
        guard let before else {
            batch.tally.applied &+= UInt64(points)
            return true
        }
        // A counter that fell was reset: what it shows now came since then.
        let increase = value < before.value ? value : value - before.value
        let seconds = Double(record.time.milliseconds - before.time) / 1_000
        return takePart(device, meaning, lane, increase / seconds, part, points, &batch)
    }

    private mutating func takePart(
        _ device: DeviceIndex, _ meaning: Meaning, _ lane: Resolution.Lane, _ value: Double,
        _ part: UInt16, _ points: UInt16, _ batch: inout SampleBatch
    ) -> Bool {
        guard record.isPointwise else {
            hold(
                Record.Pending(
                    device: device, meaning: meaning, lane: lane, part: part, value: value,
                    points: points), &batch)
            return true
        }
        let parts = memory.arrive(part, value, at: record.time, device, meaning.metric)
        var sum = Combined(meaning)
        for part in parts { sum.add(part.id, part.value) }
        guard let whole = sum.value else {
            batch.tally.applied &+= UInt64(points)
            return true
        }
        guard lane.valid.contains(whole) else {
            batch.tally.outOfRange &+= UInt64(points)
            return false
        }
        set(device, meaning, lane, whole, points, &batch)
        return true
    }

    /// Keeps a part until its record is finished.
    ///
    /// The same part twice is the same field twice: the later one counts. So the list is never
    /// longer than the tables have parts, whatever a message repeats.
    private mutating func hold(_ part: Record.Pending, _ batch: inout SampleBatch) {
        for index in record.pending.indices
        where record.pending[index].part == part.part
            && record.pending[index].meaning.metric == part.meaning.metric
            && record.pending[index].device == part.device
        {
            batch.tally.duplicate &+= UInt64(part.points)
            record.pending[index].value = part.value
            return
        }
        record.pending.append(part)
    }

    /// Ends a record: puts together what its fields were parts of, and writes its rows.
    @inline(__always)
    mutating func finishRecord(_ batch: inout SampleBatch) {
        if !record.pending.isEmpty { combine(&batch) }
        writeRows(&batch)
    }

    @inline(__always)
    private mutating func writeRows(_ batch: inout SampleBatch) {
        for index in 0..<record.rowCount {
            let open = record.rows[index]
            batch.rows.append(
                SampleBatch.Row(
                    device: open.device, group: open.group, partition: record.origin.partition,
                    time: record.time, offset: record.origin.offset, points: open.points))
            batch.lanes.append(record.lanes(index))
        }
        record.firstRow = batch.rows.count
        record.rowCount = 0
    }

    @inline(never)
    private mutating func combine(_ batch: inout SampleBatch) {
        for first in record.pending.indices where !record.pending[first].isTaken {
            let head = record.pending[first]
            var sum = Combined(head.meaning)
            var points: UInt16 = 0
            for index in first..<record.pending.count
            where record.pending[index].meaning.metric == head.meaning.metric
                && record.pending[index].device == head.device
            {
                record.pending[index].isTaken = true
                sum.add(record.pending[index].part, record.pending[index].value)
                points &+= record.pending[index].points
            }
            guard let whole = sum.value else {
                batch.tally.applied &+= UInt64(points)
                continue
            }
            guard head.lane.valid.contains(whole) else {
                batch.tally.outOfRange &+= UInt64(points)
                continue
            }
            set(head.device, head.meaning, head.lane, whole, points, &batch)
        }
    }
}

/// A value in the making; it needs no list of its parts.
private struct Combined {
    private let combine: Meaning.Combine
    private let metric: Metric
    private var count = 0
    private var total = 0.0
    private var least = Double.infinity
    private var flags: UInt16 = 0
    private var first: Double?
    private var second: Double?

    init(_ meaning: Meaning) {
        combine = meaning.combine
        metric = meaning.metric
    }

    mutating func add(_ id: UInt16, _ value: Double) {
        count += 1
        total += value
        least = min(least, value)
        if combine == .flags { flags |= UInt16(value) }
        if id / 64 == 0 { first = value }
        if id / 64 == 1 { second = value }
    }

    /// The whole, or nil while a part is missing without which it would be wrong.
    var value: Double? {
        guard count > 0 else { return nil }
        switch combine {
        case .ratio:
            guard let first, let second, second > 0 else { return nil }
            return first / second
        case .flags: return Double(flags)
        case .least: return least
        case .mean: return total / Double(count)
        case .sum, .rate, .value, .peak, .stickyFault, .faultCount:
            // Used without free is not a total.
            if metric == .memTotal, first == nil || second == nil { return nil }
            return total
        }
    }
}

extension MessageDecoder {
    private mutating func set(
        _ device: DeviceIndex, _ meaning: Meaning, _ lane: Resolution.Lane, _ value: Double,
        _ points: UInt16, _ batch: inout SampleBatch
    ) {
        put(
            device, meaning.metric, isCounter: lane.isCounter, rank: meaning.rank, value, points,
            &batch)
    }

    /// Puts a value in its place.
    @inline(__always)
    private mutating func put(
        _ device: DeviceIndex, _ metric: Metric, isCounter: Bool, rank: UInt8, _ value: Double,
        _ points: UInt16, _ batch: inout SampleBatch
    ) {
        var row = record.row(device, UInt16(metric.group))
        if row < 0 {
            writeRows(&batch)
            row = record.row(device, UInt16(metric.group))
        }
        let place = row &* 16 &+ metric.lane
        if isCounter {
            if let old = reading(row, metric.lane, &batch) {
                guard prevails(metric, rank, points, &batch) else { return }
                batch.readings[old] = reading(row, metric.lane, value)
                return
            }
            batch.readings.append(reading(row, metric.lane, value))
        } else {
            let isFilled = !record.values[place].isNaN
            if isFilled, !prevails(metric, rank, points, &batch) { return }
            record.values[place] = Float(value)
            if isFilled { return }
        }
        if metric.rawValue < 64 { record.ranks[Int(metric.rawValue)] = rank }
        record.rows[row].points &+= points
    }

    @inline(__always)
    private mutating func reading(_ row: Int, _ lane: Int, _ value: Double) -> SampleBatch.Reading {
        SampleBatch.Reading(
            row: Int32(truncatingIfNeeded: record.firstRow &+ row),
            lane: UInt8(truncatingIfNeeded: lane), value: value)
    }

    /// A reading of this record in the same lane, which stands among the last of the batch.
    private mutating func reading(_ row: Int, _ lane: Int, _ batch: inout SampleBatch) -> Int? {
        var index = batch.readings.count - 1
        while index >= 0, Int(batch.readings[index].row) >= record.firstRow {
            let reading = batch.readings[index]
            if Int(reading.row) == record.firstRow + row, Int(reading.lane) == lane {
                return index
            }
            index -= 1
        }
        return nil
    }

    /// Whether a second value for one lane replaces the first, which counts as the refused one.
    @inline(never)
    private mutating func prevails(
        _ metric: Metric, _ rank: UInt8, _ points: UInt16, _ batch: inout SampleBatch
    ) -> Bool {
        let place = Int(metric.rawValue)
        guard place < 64, record.ranks[place] != rank else {
            batch.tally.duplicate &+= UInt64(points)
            return true
        }
        batch.tally.ignored &+= UInt64(points)
        guard record.ranks[place] < rank else { return false }
        record.ranks[place] = rank
        return true
    }

    /// A gauge that keeps the last code: the first one seen may be of any age and is no event.
    private mutating func sticky(
        _ device: DeviceIndex, _ code: Int32, _ source: Source, _ batch: inout SampleBatch
    ) {
        let before = memory.scalar(device, .faultCode, .sticky)
        if let before, record.time.milliseconds <= before.time { return }
        memory.remember(Double(code), at: record.time, device, .faultCode, .sticky)
        guard let before, Double(code) != before.value, code != 0 else { return }
        emit(device, code, "\(source == .dcgm ? "XID" : "AFID") \(code)", record.time, &batch)
    }

    /// A count over the last minutes: even the first one seen is fresh.
    private mutating func count(
        _ device: DeviceIndex, _ value: Double, _ code: Int32, _ source: Source,
        _ batch: inout SampleBatch
    ) {
        let before = memory.scalar(device, .faultCode, .faultCount, Int(code))
        if let before, record.time.milliseconds <= before.time { return }
        memory.remember(value, at: record.time, device, .faultCode, .faultCount, Int(code))
        guard value > before?.value ?? 0 else { return }
        emit(device, code, "XID \(code)", record.time, &batch)
    }

    mutating func emit(
        _ device: DeviceIndex, _ code: Int32, _ text: String, _ time: Instant,
        _ batch: inout SampleBatch
    ) {
        batch.faults.append(
            SampleBatch.Fault(
                device: device, partition: record.origin.partition, time: time,
                offset: record.origin.offset, code: code, text: text))
        batch.tally.faults &+= 1
    }
}
