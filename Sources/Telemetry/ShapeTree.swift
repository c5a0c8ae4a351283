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
        /// Nothing: the message ends here.
        case end
    }

    /// Literal bytes, and what stands behind them.
    struct Step: Sendable {
        let slot: Slot
        let offset: Int32
        let length: Int32
        /// The first of the steps that may follow, and the next that may stand here instead; or -1.
        var child: Int32 = -1
        var sibling: Int32 = -1
        /// Of labels, the shortest and the longest seen; of an end, its shape in both.
        var low: Int32
        var high: Int32
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
        /// In the resolver.
        var place: Int32
        /// Row of the shape times 16, and the lane.
        var lane: Int32
        var isCounter: Bool
        var scale: Double
        var low: Double
        var high: Double
        /// A raw value this large is a vendor's "not available".
        var limit: Double
    }

    /// One group of metrics of a shape.
    struct Row: Sendable {
        var group: UInt16
        var points: UInt16
    }

    struct Shape: Sendable {
        var isNative: Bool
        /// As what its labels are read.
        var salt: UInt32
        var values: Range<Int32>
        var rows: Range<Int32>
        /// Whether every value goes to a lane of its own, with nothing remembered and nothing derived.
        var isPlain: Bool
    }

    private(set) var shapes: [Shape] = []
    private(set) var values: [Value] = []
    private(set) var rows: [Row] = []
    /// The numbers of the message that was read last, in the order of its shape's values.
    private(set) var numbers: [Double] = []
    /// How often it was full, or too wide, and started afresh.
    private(set) var clears: UInt64 = 0

    private var steps: [Step] = []
    private var literals: [UInt8] = []
    private var first: Int32 = -1
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
    var literalCount: Int { literals.count }

    mutating func removeAll() {
        shapes.removeAll(keepingCapacity: true)
        values.removeAll(keepingCapacity: true)
        rows.removeAll(keepingCapacity: true)
        steps.removeAll(keepingCapacity: true)
        literals.removeAll(keepingCapacity: true)
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
        Self.walk(steps, literals, first, payload, &numbers)
    }

    private static func walk(
        _ steps: [Step], _ literals: [UInt8], _ first: Int32, _ payload: Span<UInt8>,
        _ numbers: inout [Double]
    ) -> Reading {
        let steps = steps.span
        let literals = literals.span
        var numbers = numbers.mutableSpan
        var reading = Reading()
        var position = 0
        var count = 0
        var next = first
        while next >= 0 {
            let step = steps[Int(next)]
            let start = position &+ Int(step.length)
            guard start <= payload.count,
                payload.equals(position..<start, literals, at: Int(step.offset))
            else {
                next = step.sibling
                continue
            }
            switch step.slot {
            case .value, .time:
                guard let number = Number.parse(payload, at: start) else {
                    next = step.sibling
                    continue
                }
                position = number.end
                if step.slot == .value {
                    numbers[count] = number.value
                    count &+= 1
                } else {
                    reading.time = Node(
                        kind: .number, flag: number.isInteger,
                        start: Int32(truncatingIfNeeded: start),
                        end: Int32(truncatingIfNeeded: number.end), next: 0, value: number.value)
                }
            case .labels:
                guard let end = end(ofLabels: step, at: start, steps, literals, payload) else {
                    next = step.sibling
                    continue
                }
                reading.labels = start..<end
                position = end
            case .end:
                guard start == payload.count else {
                    next = step.sibling
                    continue
                }
                reading.shape = Int(step.low)
                return reading
            }
            next = step.child
        }
        return reading
    }

    /// Where the labels end: where what may follow them does, at a length that was seen.
    ///
    /// A wrong guess is harmless: labels are taken only if the same bytes were labels before.
    private static func end(
        ofLabels step: Step, at start: Int, _ steps: Span<Step>, _ literals: Span<UInt8>,
        _ payload: Span<UInt8>
    ) -> Int? {
        let last = min(start &+ Int(step.high), payload.count)
        var end = start &+ Int(step.low)
        while end <= last {
            var next = step.child
            while next >= 0 {
                let following = steps[Int(next)]
                let behind = end &+ Int(following.length)
                if behind <= payload.count,
                    payload.equals(end..<behind, literals, at: Int(following.offset))
                {
                    return end
                }
                next = following.sibling
            }
            end &+= 1
        }
        return nil
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
        if literals.count + payload.count > bytesMax
            || steps.count + cuts.count >= bytesMax / Self.bytesPerStepMin
        {
            return startAfresh()
        }
        var parent: Int32 = -1
        var position = 0
        for cut in cuts {
            guard let step = follow(parent, payload, position..<cut.range.lowerBound, cut.slot)
            else { return startAfresh() }
            if cut.slot == .labels {
                let length = Int32(clamping: cut.range.count)
                steps[Int(step)].low = min(steps[Int(step)].low, length)
                steps[Int(step)].high = max(steps[Int(step)].high, length)
            }
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
        values += madeValues
        rows += madeRows
        steps[Int(end)].low = Int32(shapes.count)
        steps[Int(end)].high = Int32(shapes.count)
        shapes.append(shape)
        while numbers.count < madeValues.count { numbers.append(0) }
    }

    /// The step with this literal and slot below `parent`, made now where it is missing.
    ///
    /// - Returns: nil where too many stand there already.
    private mutating func follow(
        _ parent: Int32, _ payload: Span<UInt8>, _ literal: Range<Int>, _ slot: Slot
    ) -> Int32? {
        var next = parent < 0 ? first : steps[Int(parent)].child
        var last: Int32 = -1
        var count = 0
        while next >= 0 {
            let step = steps[Int(next)]
            if step.slot == slot, Int(step.length) == literal.count,
                payload.equals(literal, literals.span, at: Int(step.offset))
            {
                return next
            }
            last = next
            next = step.sibling
            count += 1
        }
        guard count < Self.siblingsMax else { return nil }
        let made = Int32(steps.count)
        steps.append(
            Step(
                slot: slot, offset: Int32(literals.count), length: Int32(literal.count), low: .max,
                high: 0))
        for index in literal { literals.append(payload[index]) }
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
