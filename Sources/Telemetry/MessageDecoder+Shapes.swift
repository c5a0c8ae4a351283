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
            guard !shape.isLine || node.flag else { return false }
            time = read
        }
        guard time.milliseconds <= record.latest.milliseconds else { return false }
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
        if shape.isPlain, fillRows(shape, device, &batch) {
            if shape.hasWhole {
                memory.begin(canFail: false)
                takeWhole(shape, labels, &batch)
            }
            finishRecord(&batch)
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

    /// Opens the rows of a plain shape and fills their lanes at once.
    ///
    /// - Returns: false where a value is out of its range or not available; nothing was changed then.
    @inline(__always)
    private mutating func fillRows(
        _ shape: ShapeTree.Shape, _ device: DeviceIndex, _ batch: inout SampleBatch
    ) -> Bool {
        let readings = batch.readings.count
        let first = Int(shape.rows.lowerBound)
        let rowCount = Int(shape.rows.upperBound) &- first
        let counted = Self.fill(
            &record.values, rowCount, shapes.values, shape.values, shapes.steps,
            &batch.readings, firstRow: record.firstRow)
        guard counted.isFilled else {
            if batch.readings.count > readings { batch.readings.removeSubrange(readings...) }
            return false
        }
        for row in 0..<rowCount {
            let open = shapes.rows[first &+ row]
            record.rows[row] = Record.OpenRow(
                device: device, group: open.group, points: open.points)
        }
        record.rowCount = rowCount
        batch.tally.points &+= counted.points
        batch.tally.unknownMetric &+= counted.unknown
        batch.tally.ignored &+= counted.ignored
        return true
    }

    /// What became of the values of a shape that have no more to them than a lane.
    private struct Filled {
        var isFilled = true
        var points: UInt64 = 0
        var unknown: UInt64 = 0
        var ignored: UInt64 = 0
    }

    @inline(__always)
    private static func fill(
        _ open: inout [Float], _ rowCount: Int, _ all: [ShapeTree.Value], _ range: Range<Int32>,
        _ path: [ShapeTree.Step], _ readings: inout [SampleBatch.Reading], firstRow: Int
    ) -> Filled {
        var filled = Filled()
        var lanes = open.mutableSpan
        for lane in 0..<rowCount &* 16 { lanes[lane] = .nan }
        let values = all.span
        let steps = path.span
        var index = Int(range.lowerBound)
        let end = Int(range.upperBound)
        while index < end {
            let slot = values[index]
            index &+= 1
            let value = steps[Int(slot.step)].number * slot.scale
            if slot.way == .lane {
                guard value >= slot.low, value <= slot.high else {
                    filled.isFilled = false
                    return filled
                }
                lanes[Int(slot.lane)] = Float(value)
            } else if slot.way == .counter {
                guard value >= slot.low, value <= slot.high else {
                    filled.isFilled = false
                    return filled
                }
                readings.append(
                    SampleBatch.Reading(
                        row: Int32(truncatingIfNeeded: firstRow &+ Int(slot.lane >> 4)),
                        lane: UInt8(truncatingIfNeeded: slot.lane & 15), value: value))
            } else if slot.way == .ignored {
                filled.ignored &+= 1
            } else if slot.way == .unknown {
                filled.unknown &+= 1
            } else {
                continue
            }
            filled.points &+= 1
        }
        return filled
    }

    /// Takes the values that are parts of something, or remembered.
    @inline(never)
    private mutating func takeWhole(
        _ shape: ShapeTree.Shape, _ labels: KnownLabels, _ batch: inout SampleBatch
    ) {
        for index in Int(shape.values.lowerBound)..<Int(shape.values.upperBound)
        where shapes.values[index].way == .whole {
            let place = Int(shapes.values[index].place)
            batch.tally.points &+= 1
            let raw = shapes.steps[Int(shapes.values[index].step)].number
            if let number = usable(raw, resolver.known[place].source, &batch) {
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
            let value = shapes.values[index]
            let place = Int(value.place)
            let raw = shapes.steps[Int(value.step)].number
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
        let found = tape.isInflux ? line() : members(of: 0, bytes)
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
            isNative: record.isNative, isLine: tape.isInflux, salt: record.lastSalt,
            values: 0..<0, rows: 0..<0, isPlain: draft.isPlain, hasWhole: draft.hasWhole)
        shapes.learn(bytes, cuts, shape, draft.values, draft.rows)
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
    private(set) var hasWhole = false
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
    mutating func add(_ place: Int, _ resolver: Resolver, salt: UInt32) -> Bool {
        let resolution = resolver.known[place]
        let known = resolver.plain[place]
        // A little less than a vendor's "not available" would be: what is above is looked at closely.
        let blank = (known.hasBlanks ? 2_147_483_631 : 9.1e18) * known.scale
        var value = ShapeTree.Value(
            place: Int32(place), lane: 0, way: .whole, scale: known.scale,
            low: max(known.low, -blank), high: min(known.high, blank))
        switch resolution.disposition {
        case .selected: return false
        case .unknown: value.way = .unknown
        case .ignored: value.way = .ignored
        case .known:
            guard isNative || salt == known.telegrafSalt else { return false }
            if known.isPlain {
                isTwice = isTwice || !plain.insert(known.metric).inserted
                value.way = known.isCounter ? .counter : .lane
                value.lane = Int32(row(of: known.metric) << 4 | Int(known.metric & 15))
            } else {
                addLate(resolution)
            }
        }
        values.append(value)
        return rows.count <= Record.rowsMax
    }

    private mutating func addLate(_ resolution: Resolution) {
        hasWhole = true
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
