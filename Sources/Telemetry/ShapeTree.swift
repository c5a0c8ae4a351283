import Bytes

/// How messages were laid out so far: a tree of literal bytes with slots for what changes.
///
/// A message that was read in full is cut at its numbers and its labels, and what stands between
/// becomes a path of this tree. A later message that follows a path to its end is equal to the
/// learned one in every byte but those of numbers, read by the same reader, and of its labels, which
/// must be known from a message that was read in full. So it has the same structure, and needs no
/// parser: about a fifth of the time. Whatever does not fit goes to the parser, and is learned.
struct ShapeTree: Sendable {
    enum Slot: UInt8, Sendable {
        case value, time, labels
        /// Nothing: more literal bytes follow.
        case more
        /// Nothing: the message ends here.
        case end
    }

    /// Literal bytes, and what stands behind them.
    struct Step: Sendable {
        let slot: Slot
        let literal: Literal
        /// The first of the steps that may follow, and the next that may stand here instead; or -1.
        var child: Int32 = -1
        var sibling: Int32 = -1
        /// Of labels, the shortest and the longest seen; of an end, its shape in both.
        var low: Int32 = .max
        var high: Int32 = 0
        /// Of labels, the length seen last.
        var last: Int32 = 0
        /// Of a value, the number of the message that was read last, and how it was written.
        var number = 0.0
        var form = Number.Form()
    }

    /// What one message had to say besides its literals.
    struct Reading: Sendable {
        var shape = -1
        var labels = 0..<0
        var time: Node?
    }

    /// A slot of a message that is about to be learned.
    struct Cut {
        var slot: Slot
        var range: Range<Int>
    }

    /// A number of a shape, and where it goes.
    struct Value: Sendable {
        /// Where the number stands after reading.
        var step: Int32 = 0
        /// In the resolver.
        var place: Int32
        /// Row of the shape times 16, and the lane.
        var lane: Int32
        var way: Way
        var scale: Double
        /// Within these the value is sound, whatever else might be asked of it.
        var low: Double
        var high: Double
    }

    /// What becomes of a number.
    enum Way: UInt8, Sendable {
        /// It is the value of its lane.
        case lane
        /// It is a counter's reading.
        case counter
        /// It is counted, as a name that nobody knows or one that nothing watches.
        case unknown, ignored
        /// It goes by all that its name means, after those that have a lane.
        case whole
    }

    /// One group of metrics of a shape.
    struct Row: Sendable {
        var group: UInt16
        var points: UInt16
    }

    struct Shape: Sendable {
        var isNative: Bool
        /// Of influx, where a time is an integer or the line is wrong.
        var isLine: Bool
        /// As what its labels are read.
        var salt: UInt32
        var values: Range<Int32>
        var rows: Range<Int32>
        /// Whether the values with lanes may be taken before those that go by their whole meaning.
        var isPlain: Bool
        /// Whether there are any of the latter.
        var hasWhole: Bool
    }

    private(set) var shapes: [Shape] = []
    private(set) var values: [Value] = []
    private(set) var rows: [Row] = []
    /// How often it was full, or too wide, and started afresh.
    private(set) var clears: UInt64 = 0

    private(set) var steps: [Step] = []
    private var first: Int32 = -1
    /// The message that is being read.
    private var scratch = Scratch()
    /// Messages that will not be learned, after there were too many kinds.
    private var wait: UInt64 = 0
    private let bytesMax: Int

    /// Steps that may stand at one place: trying one after the other must stay cheap.
    private static let siblingsMax = 12
    /// A tenth of what a literal takes; a message has one for every number.
    private static let bytesPerStepMin = 10
    private static let waitMin: UInt64 = 4_096
    private static let waitMax: UInt64 = 1 << 24

    /// - Parameter bytesMax: of all literals; 0 learns nothing.
    init(bytesMax: Int) { self.bytesMax = bytesMax }

    var isEmpty: Bool { first < 0 }
    private(set) var literalCount = 0

    mutating func removeAll() {
        shapes.removeAll(keepingCapacity: true)
        values.removeAll(keepingCapacity: true)
        rows.removeAll(keepingCapacity: true)
        steps.removeAll(keepingCapacity: true)
        literalCount = 0
        first = -1
    }

    /// Whether a message that fits no shape should be learned now.
    mutating func isReadyToLearn() -> Bool {
        guard wait == 0 else {
            wait &-= 1
            return false
        }
        return bytesMax > 0
    }

    /// Topics where every message is another kind would learn for ever: each time it waits longer.
    private mutating func startAfresh() {
        removeAll()
        clears &+= 1
        wait = min(Self.waitMin << min(clears, 20), Self.waitMax)
    }
}

extension ShapeTree {
    /// Follows `payload` through the tree; the reading's `shape` is -1 where it leaves it.
    @inline(__always)
    mutating func read(_ payload: Span<UInt8>) -> Reading {
        scratch.fill(payload)
        return Self.walk(&steps, first, scratch.bytes, payload.count)
    }

    /// Apart from its caller, whose variables would push those of this loop out of registers.
    @inline(never)
    private static func walk(
        _ path: inout [Step], _ first: Int32, _ padded: [UInt8], _ count: Int
    ) -> Reading {
        var steps = path.mutableSpan
        let payload = padded.span
        var reading = Reading()
        var position = 0
        var next = first
        while next >= 0 {
            let index = Int(next)
            let start = position &+ steps[index].literal.length
            guard payload.matches(steps[index].literal, at: position) else {
                next = steps[index].sibling
                continue
            }
            if steps[index].slot == .value {
                let word = payload.word(at: start)
                if let value = steps[index].form.value(word) {
                    steps[index].number = value
                    position = start &+ Int(steps[index].form.width)
                    steps[index].form.hit()
                    next = steps[index].child
                    continue
                }
                if let whole = Number.long(word, payload.word(at: start &+ 8)) {
                    steps[index].number = whole.value
                    position = start &+ whole.end
                    next = steps[index].child
                    continue
                }
            }
            guard let end = take(&steps, index, payload, start, count, &reading) else {
                next = steps[index].sibling
                continue
            }
            guard reading.shape < 0 else { return reading }
            position = end
            next = steps[index].child
        }
        return reading
    }

    /// Takes what stands in a slot, and says where it ends; nil where it is something else.
    @inline(never)
    private static func take(
        _ steps: inout MutableSpan<Step>, _ index: Int, _ payload: Span<UInt8>, _ start: Int,
        _ count: Int, _ reading: inout Reading
    ) -> Int? {
        switch steps[index].slot {
        case .more: return start
        case .value:
            guard let number = Number.parse(payload, at: start) else { return nil }
            steps[index].number = number.value
            if steps[index].form.isOpen {
                steps[index].form.learn(
                    payload.word(at: start), width: number.end &- start,
                    isInteger: number.isInteger)
            }
            return number.end
        case .time:
            guard let number = Number.parse(payload, at: start) else { return nil }
            reading.time = Node(
                kind: .number, flag: number.isInteger,
                start: Int32(truncatingIfNeeded: start),
                end: Int32(truncatingIfNeeded: number.end), next: 0, value: number.value)
            return number.end
        case .labels:
            let end = end(ofLabels: index, at: start, steps.span, payload, count)
            guard end >= 0 else { return nil }
            steps[index].last = Int32(truncatingIfNeeded: end &- start)
            reading.labels = start..<end
            return end
        case .end:
            guard start == count else { return nil }
            reading.shape = Int(steps[index].low)
            return start
        }
    }

    /// Where the labels end, or -1: where what may follow them does, at a length that was seen.
    ///
    /// A wrong guess is harmless: labels are taken only if the same bytes were labels before.
    @inline(__always)
    private static func end(
        ofLabels index: Int, at start: Int, _ steps: Span<Step>, _ payload: Span<UInt8>,
        _ count: Int
    ) -> Int {
        // Most producers' labels have one length for ever, and a topic's have few.
        let guess = start &+ Int(steps[index].last)
        let next = steps[index].child
        if next >= 0, payload.matches(steps[Int(next)].literal, at: guess) { return guess }
        return search(index, start, steps, payload, count)
    }

    @inline(never)
    private static func search(
        _ index: Int, _ start: Int, _ steps: Span<Step>, _ payload: Span<UInt8>, _ count: Int
    ) -> Int {
        let last = min(start &+ Int(steps[index].high), count)
        var end = start &+ Int(steps[index].low)
        while end <= last {
            var next = steps[index].child
            while next >= 0 {
                if payload.matches(steps[Int(next)].literal, at: end) { return end }
                next = steps[Int(next)].sibling
            }
            end &+= 1
        }
        return -1
    }
}

extension ShapeTree {
    /// Adds the path of a message that was read in full; `cuts` stand in the order of its bytes.
    mutating func learn(
        _ payload: Span<UInt8>, _ cuts: [Cut], _ made: Shape, _ madeValues: [Value],
        _ madeRows: [Row]
    ) {
        // A message that does not fit twice would only ever push the others out.
        guard payload.count <= bytesMax / 2 else { return }
        let stepsMore = cuts.count + 1 + payload.count / Literal.lengthMax
        if literalCount + payload.count > bytesMax
            || steps.count + stepsMore >= bytesMax / Self.bytesPerStepMin
        {
            return startAfresh()
        }
        var parent: Int32 = -1
        var position = 0
        var numbers: [Int32] = []
        for cut in cuts {
            guard let step = follow(parent, payload, position..<cut.range.lowerBound, cut.slot)
            else { return startAfresh() }
            if cut.slot == .labels {
                let length = Int32(clamping: cut.range.count)
                steps[Int(step)].low = min(steps[Int(step)].low, length)
                steps[Int(step)].high = max(steps[Int(step)].high, length)
            }
            if cut.slot == .value { numbers.append(step) }
            parent = step
            position = cut.range.upperBound
        }
        guard let end = follow(parent, payload, position..<payload.count, .end) else {
            return startAfresh()
        }
        // It may be there already, with labels of other lengths.
        guard steps[Int(end)].low == .max else { return }
        var shape = made
        shape.values = Int32(values.count)..<Int32(values.count + madeValues.count)
        shape.rows = Int32(rows.count)..<Int32(rows.count + madeRows.count)
        for (value, step) in zip(madeValues, numbers) {
            values.append(value)
            values[values.count - 1].step = step
        }
        rows += madeRows
        steps[Int(end)].low = Int32(shapes.count)
        steps[Int(end)].high = Int32(shapes.count)
        shapes.append(shape)
    }

    /// The step with this literal and slot below `parent`, made now where it is missing.
    ///
    /// - Returns: nil where too many stand there already.
    private mutating func follow(
        _ parent: Int32, _ payload: Span<UInt8>, _ literal: Range<Int>, _ slot: Slot
    ) -> Int32? {
        guard literal.count > Literal.lengthMax else {
            return follow(parent, Literal(payload, literal), slot)
        }
        let middle = literal.lowerBound + Literal.lengthMax
        let head = Literal(payload, literal.lowerBound..<middle)
        guard let more = follow(parent, head, .more) else { return nil }
        return follow(more, payload, middle..<literal.upperBound, slot)
    }

    private mutating func follow(_ parent: Int32, _ literal: Literal, _ slot: Slot) -> Int32? {
        var next = parent < 0 ? first : steps[Int(parent)].child
        var last: Int32 = -1
        var count = 0
        while next >= 0 {
            let step = steps[Int(next)]
            if step.slot == slot, step.literal == literal { return next }
            last = next
            next = step.sibling
            count += 1
        }
        guard count < Self.siblingsMax else { return nil }
        let made = Int32(steps.count)
        steps.append(Step(slot: slot, literal: literal))
        literalCount += literal.length
        if last >= 0 {
            steps[Int(last)].sibling = made
        } else if parent >= 0 {
            steps[Int(parent)].child = made
        } else {
            first = made
        }
        return made
    }
}
