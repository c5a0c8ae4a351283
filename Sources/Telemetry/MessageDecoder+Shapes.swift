import Fleet

/// The short way: messages that are laid out as others before them.
extension MessageDecoder {
    /// Takes a message whose shape and labels are known.
    ///
    /// - Returns: false where there is anything unusual about it; nothing was changed then.
    mutating func takeShaped(
        _ bytes: Span<UInt8>, _ batch: inout SampleBatch, _ directory: inout Directory
    ) -> Bool {
        let reading = shapes.read(bytes)
        guard reading.shape >= 0 else { return false }
        let shape = shapes.shapes[reading.shape]
        var time = record.origin.recordTime
        if let node = reading.time {
            guard let read = Timestamp.read(bytes, node, unit: settings.timestampUnit) else {
                return false
            }
            time = read
        }
        guard time <= record.latest else { return false }
        let hash = map.hash(bytes, reading.labels, salt: shape.salt)
        guard
            let place = map.find(bytes, reading.labels, salt: shape.salt, hash: hash)
                .map(Int.init)
        else { return false }
        let labels = known[place]
        guard labels.device != KnownLabels.nobody, !labels.isPartition,
            fingerprints[Int(labels.device)] == labels.fingerprint
        else { return false }

        counted.shapeHits &+= 1
        record.start(at: time, labels: -1, row: batch.rows.count)
        record.isNative = shape.isNative
        record.isTelegraf = !shape.isNative
        record.lastSalt = shape.salt
        record.lastKnown = place
        let device = DeviceIndex(labels.device)
        if shape.isPlain, takePlain(shape, device, &batch) {
            heard(device, &batch, &directory)
        } else {
            memory.begin(canFail: false)
            if takeOneByOne(shape, labels, &batch) { heard(device, &batch, &directory) }
        }
        return true
    }

    @inline(__always)
    private mutating func heard(
        _ device: DeviceIndex, _ batch: inout SampleBatch, _ directory: inout Directory
    ) {
        counted.labelHits &+= 1
        touch(device, &batch, &directory)
    }

    /// Fills the rows of a plain shape at once.
    ///
    /// - Returns: false where a value is out of its range or not available; nothing was changed then.
    @inline(__always)
    private mutating func takePlain(
        _ shape: ShapeTree.Shape, _ device: DeviceIndex, _ batch: inout SampleBatch
    ) -> Bool {
        let readings = batch.readings.count
        let rowCount = shape.rows.count
        let span = Int(shape.values.lowerBound)..<Int(shape.values.upperBound)
        let isFilled = Self.fill(
            &record.values, rowCount, shapes.values, span, shapes.numbers, &batch.readings,
            firstRow: record.firstRow)
        guard isFilled else {
            batch.readings.removeSubrange(readings...)
            return false
        }
        for row in 0..<rowCount {
            let open = shapes.rows[Int(shape.rows.lowerBound) &+ row]
            batch.rows.append(
                SampleBatch.Row(
                    device: device, group: open.group, partition: record.origin.partition,
                    time: record.time, offset: record.origin.offset, points: open.points))
            batch.lanes.append(record.lanes(row))
        }
        batch.tally.points &+= UInt64(shape.values.count)
        return true
    }

    @inline(__always)
    private static func fill(
        _ open: inout [Float], _ rowCount: Int, _ all: [ShapeTree.Value], _ range: Range<Int>,
        _ numbers: [Double], _ readings: inout [SampleBatch.Reading], firstRow: Int
    ) -> Bool {
        var lanes = open.mutableSpan
        for lane in 0..<rowCount &* 16 { lanes[lane] = .nan }
        let values = all.span.extracting(range)
        let numbers = numbers.span
        for index in values.indices {
            let slot = values[index]
            let raw = numbers[index]
            let value = raw * slot.scale
            guard abs(raw) < slot.limit, value >= slot.low, value <= slot.high else {
                return false
            }
            if slot.isCounter {
                readings.append(
                    SampleBatch.Reading(
                        row: Int32(truncatingIfNeeded: firstRow &+ Int(slot.lane >> 4)),
                        lane: UInt8(truncatingIfNeeded: slot.lane & 15), value: value))
            } else {
                lanes[Int(slot.lane)] = Float(value)
            }
        }
        return true
    }

    /// Takes the values one after the other, as they would be out of the parser.
    ///
    /// - Returns: whether any of them said something: a device without a value was not heard of.
    @inline(never)
    private mutating func takeOneByOne(
        _ shape: ShapeTree.Shape, _ labels: KnownLabels, _ batch: inout SampleBatch
    ) -> Bool {
        var isHeard = false
        for index in 0..<shape.values.count {
            let place = Int(shapes.values[Int(shape.values.lowerBound) + index].place)
            let raw = shapes.numbers[index]
            if putPlain(raw, resolver.plain[place], labels, &batch) {
                isHeard = true
                continue
            }
            batch.tally.points &+= 1
            switch resolver.known[place].disposition {
            case .unknown: batch.tally.unknownMetric &+= 1
            case .ignored, .selected: batch.tally.ignored &+= 1
            case .known:
                guard let number = usable(raw, resolver.known[place].source, &batch) else {
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
            record.runs.count == 1, record.lastSalt != .max, shapes.isReadyToLearn()
        else { return }
        let found = members(of: 0, bytes)
        let fields = record.isNative ? found.metrics : found.fields
        // Faults are rare, and no message that has one should have a shape.
        if record.isNative, found.events >= 0, !isEmpty(found.events) { return }
        guard fields >= 0, tape[fields].kind == .object else { return }
        let measurement =
            record.isNative || found.name < 0 ? .unknown : source(of: tape[found.name], bytes)

        let run = record.runs[0]
        var cuts = [
            ShapeTree.Cut(slot: .labels, range: Int(run.lowerBound)..<Int(run.upperBound))
        ]
        if found.time >= 0, tape[found.time].kind != .null {
            guard tape[found.time].kind == .number else { return }
            cuts.append(ShapeTree.Cut(slot: .time, range: tape[found.time].range))
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
                // A text that says nothing is like any other literal.
                guard let place = place(name, measurement, isNumeric: false, bytes),
                    [.unknown, .ignored].contains(resolver.known[place].disposition)
                else { return }
            case .number:
                guard value.value.isFinite,
                    let place = place(name, measurement, isNumeric: true, bytes),
                    draft.add(place, resolver, salt: record.lastSalt)
                else { return }
                cuts.append(ShapeTree.Cut(slot: .value, range: value.range))
            }
        }
        cuts.sort { $0.range.lowerBound < $1.range.lowerBound }
        let shape = ShapeTree.Shape(
            isNative: record.isNative, salt: record.lastSalt, values: 0..<0, rows: 0..<0,
            isPlain: draft.isPlain)
        shapes.learn(bytes, cuts, shape, draft.values, draft.rows)
    }

    private mutating func isEmpty(_ node: Int) -> Bool {
        tape[node].kind == .null || Int(tape[node].next) == node + 1
    }

    private mutating func place(
        _ name: Node, _ measurement: Source, isNumeric: Bool, _ bytes: Span<UInt8>
    ) -> Int? {
        let isOpaque = isNumeric && (record.isNative ? opaqueNative : opaqueOther)
        return resolver.place(bytes, name.range, measurement, isOpaque: isOpaque)
    }
}

/// A shape in the making.
private struct ShapeDraft {
    let isNative: Bool
    private(set) var values: [ShapeTree.Value] = []
    private(set) var rows: [ShapeTree.Row] = []
    private(set) var isPlain = true
    private var metrics: Set<UInt16> = []

    init(isNative: Bool) { self.isNative = isNative }

    /// - Returns: false where the value needs more than its number and the labels as read already.
    mutating func add(_ place: Int, _ resolver: Resolver, salt: UInt32) -> Bool {
        let resolution = resolver.known[place]
        let plain = resolver.plain[place]
        var value = ShapeTree.Value(
            place: Int32(place), lane: 0, isCounter: plain.isCounter, scale: plain.scale,
            low: plain.low, high: plain.high,
            limit: plain.hasBlanks ? 2_147_483_632 : 9.2e18)
        switch resolution.disposition {
        case .selected: return false
        case .unknown, .ignored: isPlain = false
        case .known:
            guard isNative || salt == plain.telegrafSalt else { return false }
            let isFirst = metrics.insert(plain.metric).inserted
            isPlain = isPlain && plain.isPlain && isFirst
            value.lane = Int32(row(of: plain.metric) << 4 | Int(plain.metric & 15))
        }
        values.append(value)
        return rows.count <= Record.rowsMax
    }

    private mutating func row(of metric: UInt16) -> Int {
        let group = metric >> 4
        if let row = rows.firstIndex(where: { $0.group == group }) {
            rows[row].points &+= 1
            return row
        }
        rows.append(ShapeTree.Row(group: group, points: 1))
        return rows.count - 1
    }
}
