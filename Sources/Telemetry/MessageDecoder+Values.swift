import Fleet

/// A value as it stands in a message.
enum Scalar {
    case number(Double)
    /// A word for "not available".
    case blank
    case unreadable
}

extension MessageDecoder {
    /// Reads what may stand where a number belongs.
    func scalar(_ bytes: Span<UInt8>, _ node: Node) -> Scalar {
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
    private func word(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Scalar {
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
        switch kept {
        case Words.yes, Words.true, Words.on, Words.enabled: return .number(1)
        case Words.no, Words.false, Words.off, Words.disabled: return .number(0)
        case Words.notAvailable, Words.none, Words.null: return .blank
        case Words.nan, Words.inf, Words.plusInf, Words.minusInf: return .number(.nan)
        default: return .unreadable
        }
    }

    private enum Words {
        static let yes = spelled("yes")
        static let no = spelled("no")
        static let `true` = spelled("true")
        static let `false` = spelled("false")
        static let on = spelled("on")
        static let off = spelled("off")
        static let enabled = spelled("enabled")
        static let disabled = spelled("disabled")
        static let notAvailable = spelled("n/a")
        static let none = spelled("none")
        static let null = spelled("null")
        static let nan = spelled("nan")
        static let inf = spelled("inf")
        static let plusInf = spelled("+inf")
        static let minusInf = spelled("-inf")

        private static func spelled(_ text: Spelling) -> UInt64 { text.low }
    }

    /// Takes one value under one name; every value ends in the batch or in one counter.
    ///
    /// `isNumeric` says whether the value counts as a point even if its name is unknown: a text or
    /// a flag under a strange name is no measurement. `isIncrement` says that it is to be added to
    /// what came before.
    mutating func take(
        _ name: Node, _ value: Scalar, measurement: Source, isNumeric: Bool,
        isIncrement: Bool = false, _ bytes: Span<UInt8>, _ batch: inout SampleBatch,
        _ directory: inout Directory, _ vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        let isOpaque = isNumeric && (record.isNative ? opaqueNative : opaqueOther)
        var place = resolver.find(
            bytes, name, tape, measurement: measurement, isOpaque: isOpaque, &vocabulary)
        var resolution = resolver.known[place]
        if !isNumeric, resolution.disposition == .unknown || resolution.disposition == .ignored {
            return
        }
        batch.tally.points &+= 1
        if resolution.disposition == .selected {
            let labels = known[try self.labels(resolution.source, .board, bytes, batch, &directory)]
            let number = labels.selectors[resolution.selector.rawValue]
            place =
                resolver.selection(place, number: number)
                ?? resolver.select(
                    place, name, bytes, tape, number: number,
                    value: selectorValues[Int(number)], vocabulary)
            resolution = resolver.known[place]
        }
        switch resolution.disposition {
        case .unknown: return batch.tally.unknownMetric &+= 1
        case .ignored, .selected: return batch.tally.ignored &+= 1
        case .known: break
        }
        guard case .number(let raw) = value else {
            if case .blank = value {
                batch.tally.sentinel &+= 1
            } else {
                batch.tally.notANumber &+= 1
            }
            return
        }
        guard raw.isFinite else { return batch.tally.notANumber &+= 1 }
        guard !isBlank(raw, resolution.source) else { return batch.tally.sentinel &+= 1 }
        guard !record.isFuture else { return batch.tally.future &+= 1 }

        let level = record.isNative ? .board : resolution.meaning.level
        let source = record.isNative ? .canonical : resolution.source
        let labels = known[try self.labels(source, level, bytes, batch, &directory)]
        guard labels.device != KnownLabels.nobody else { return batch.tally.noDevice &+= 1 }
        let isTaken = apply(
            raw, resolution.meaning, resolution.lane, labels, resolution, points: 1,
            isIncrement: isIncrement, &batch)
        if isTaken, let also = resolution.also {
            _ = apply(
                raw, also, resolution.alsoLane, labels, resolution, points: 0,
                isIncrement: isIncrement, &batch)
        }
    }

    /// DCGM's "blank, not found, not supported, not permitted", as 32, 64 and floating 64 bits.
    ///
    /// The 64-bit ones survive as 9.22e18 in any format. The others are looked for only where DCGM
    /// speaks, and only exactly: a byte counter may well pass 140 TB.
    private func isBlank(_ value: Double, _ source: Source) -> Bool {
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
    @inline(__always)
    private mutating func apply(
        _ raw: Double, _ meaning: Meaning, _ lane: Resolution.Lane, _ labels: KnownLabels,
        _ resolution: Resolution, points: UInt16, isIncrement: Bool, _ batch: inout SampleBatch
    ) -> Bool {
        var value = raw * meaning.scale + meaning.offset
        guard
            meaning.combine != .value || labels.isPartition || isIncrement
                || resolution.isContested || meaning.isFirstOnly
        else {
            guard lane.valid.contains(value) else {
                batch.tally.outOfRange &+= UInt64(points)
                return false
            }
            set(DeviceIndex(labels.device), meaning, lane, value, points, &batch)
            return true
        }
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
            let before = memory.scalar(device, meaning.metric, .peak)?.value ?? 0
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

    private func isBoardSensor(_ metric: Metric) -> Bool {
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
            record.pending.append(
                Record.Pending(
                    device: device, meaning: meaning, lane: lane, part: part, value: value,
                    points: points))
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

    /// Puts together what the fields of a finished record were parts of.
    mutating func finishRecord(_ batch: inout SampleBatch) {
        var first = 0
        while first < record.pending.count {
            let head = record.pending[first]
            first += 1
            guard !head.isTaken else { continue }
            var sum = Combined(head.meaning)
            var points: UInt16 = 0
            for index in first - 1..<record.pending.count {
                let part = record.pending[index]
                guard part.device == head.device, part.meaning.metric == head.meaning.metric
                else { continue }
                record.pending[index].isTaken = true
                // The same part twice is the same field twice: the later one counts.
                if sum.replace(part.part, part.value) {
                    batch.tally.duplicate &+= UInt64(part.points)
                } else {
                    points &+= part.points
                }
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

/// A value in the making.
private struct Combined {
    private let combine: Meaning.Combine
    private let metric: Metric
    private var parts: [(id: UInt16, value: Double)] = []

    init(_ meaning: Meaning) {
        combine = meaning.combine
        metric = meaning.metric
    }

    mutating func add(_ id: UInt16, _ value: Double) { parts.append((id, value)) }

    /// Adds a part, or replaces the one that is there; says which.
    mutating func replace(_ id: UInt16, _ value: Double) -> Bool {
        if let index = parts.firstIndex(where: { $0.id == id }) {
            parts[index].value = value
            return true
        }
        parts.append((id, value))
        return false
    }

    /// The whole, or nil while a part is missing without which it would be wrong.
    var value: Double? {
        guard !parts.isEmpty else { return nil }
        switch combine {
        case .ratio:
            guard let numerator = part(0), let denominator = part(1), denominator > 0
            else { return nil }
            return numerator / denominator
        case .flags:
            return Double(parts.reduce(0 as UInt16) { $0 | UInt16($1.value) })
        case .least:
            return parts.reduce(Double.infinity) { min($0, $1.value) }
        case .mean:
            return parts.reduce(0) { $0 + $1.value } / Double(parts.count)
        case .sum, .rate, .value, .peak, .stickyFault, .faultCount:
            // Used without free is not a total.
            if metric == .memTotal, part(0) == nil || part(1) == nil { return nil }
            return parts.reduce(0) { $0 + $1.value }
        }
    }

    private func part(_ number: UInt16) -> Double? {
        parts.first { $0.id / 64 == number }?.value
    }
}

extension MessageDecoder {
    /// Puts a value in its place in the batch.
    @inline(__always)
    private mutating func set(
        _ device: DeviceIndex, _ meaning: Meaning, _ lane: Resolution.Lane, _ value: Double,
        _ points: UInt16, _ batch: inout SampleBatch
    ) {
        let metric = meaning.metric
        let row = row(device, UInt16(metric.group), &batch)
        let number = metric.lane
        let rankPlace = Int(metric.rawValue)
        if lane.isCounter {
            if let old = batch.readings.lastIndex(
                where: {
                    Int($0.row) == row && Int($0.lane) == number
                }, from: row)
            {
                guard prevails(meaning, rankPlace, points, &batch) else { return }
                batch.readings[old] = SampleBatch.Reading(
                    row: Int32(row), lane: UInt8(number), value: value)
                return
            }
            batch.readings.append(
                SampleBatch.Reading(row: Int32(row), lane: UInt8(number), value: value))
        } else {
            if !batch.lanes[row][number].isNaN {
                guard prevails(meaning, rankPlace, points, &batch) else { return }
                batch.lanes[row][number] = Float(value)
                return
            }
            batch.lanes[row][number] = Float(value)
        }
        if rankPlace < record.ranks.count { record.ranks[rankPlace] = meaning.rank }
        batch.rows[row].points &+= points
    }

    /// Whether a second value for one lane replaces the first, which counts as the refused one.
    private mutating func prevails(
        _ meaning: Meaning, _ place: Int, _ points: UInt16, _ batch: inout SampleBatch
    ) -> Bool {
        guard place < record.ranks.count, record.ranks[place] != meaning.rank else {
            batch.tally.duplicate &+= UInt64(points)
            return true
        }
        batch.tally.ignored &+= UInt64(points)
        guard record.ranks[place] < meaning.rank else { return false }
        record.ranks[place] = meaning.rank
        return true
    }

    /// The row of this record for `device` and `group`, begun where it is missing.
    @inline(__always)
    private mutating func row(
        _ device: DeviceIndex, _ group: UInt16, _ batch: inout SampleBatch
    ) -> Int {
        for open in record.rows where open.group == group && open.device == device {
            return Int(open.row)
        }
        let row = batch.rows.count
        batch.rows.append(
            SampleBatch.Row(
                device: device, group: group, partition: record.origin.partition,
                time: record.time, offset: record.origin.offset, points: 0))
        batch.lanes.append(SIMD16(repeating: .nan))
        record.rows.append(
            Record.OpenRow(device: device, group: group, row: Int32(truncatingIfNeeded: row)))
        return row
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

    func emit(
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

extension [SampleBatch.Reading] {
    /// The last reading that fits among those of rows from `row` on, which stand at the end.
    fileprivate func lastIndex(where fits: (Element) -> Bool, from row: Int) -> Int? {
        var index = count - 1
        while index >= 0, Int(self[index].row) >= row {
            if fits(self[index]) { return index }
            index -= 1
        }
        return nil
    }
}
