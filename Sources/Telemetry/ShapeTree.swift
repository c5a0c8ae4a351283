import Bytes

/// What the layouts of messages mean, which are a tree of literal bytes with slots for the rest.
///
/// A message that was read in full is cut at its numbers and its labels, and what stands between
/// becomes a path of the tree. A later message that follows a path to its end is equal to the
/// learned one in every byte but those of numbers, which read as the parser reads them, and of its
/// labels, which must be known from a message that was read in full. So it has the same structure,
/// and needs no parser: about a fifth of the time. Whatever does not fit goes to the parser, and is
/// learned.
struct ShapeTree: Sendable {
    /// A number of a shape, and where it goes.
    struct Value: Sendable {
        /// In the resolver.
        var place: Int32
        /// Row of the shape times 16, and the lane.
        var lane: Int32
        var metric: Metric
        var way: Way
        var scale: Double
        /// Within these the value is sound, whatever else might be asked of it.
        var low: Double
        var high: Double
        /// Where it stands among the numbers of the message, of which the time is one; or -1.
        var ordinal: Int32 = -1
        /// What a text says that is the same in all messages of the layout, and no number there.
        var constant: Scalar?

        var target: LayoutTree.Target {
            let lane = way == .lane ? lane : LayoutTree.noLane
            return LayoutTree.Target(lane: lane, scale: scale, low: low, high: high)
        }
    }

    /// What becomes of a number.
    enum Way: UInt8, Sendable {
        /// It is the value of its lane.
        case lane
        /// It is a counter's reading.
        case counter
        /// It is compared with the largest that the device has shown.
        case peak
        /// It is counted, as a name that nobody knows or one that nothing watches.
        case unknown, ignored
        /// It goes by all that its name means, after those that have a lane.
        case whole
    }

    /// A number of a shape that is more than its lane.
    struct Extra: Sendable {
        var ordinal: Int32
        var place: Int32
        var lane: Int32
        var metric: Metric
        var scale: Double
        var constant: Scalar?
    }

    /// One group of metrics of a shape.
    struct Row: Sendable {
        var group: UInt16
        var points: UInt16
    }

    /// What is the same in all messages of a shape.
    struct Shape: Sendable {
        var isNative: Bool
        /// Of influx, where a time is an integer or the line is wrong.
        var isLine: Bool
        /// Whether the values with lanes may be taken before those that go by their whole meaning.
        var isPlain: Bool
        /// Whether nothing of it goes by more than its lane.
        var isQuick: Bool
        /// As what its labels are read.
        var salt: UInt32
        /// Where its time stands among its numbers; or -1.
        var time: Int32
        var targets: LayoutTree.Targets
        var values: Range<Int32>
        var rows: Range<Int32>
        /// Of the extras, in this order.
        var counters: Range<Int32>
        var peaks: Range<Int32>
        var wholes: Range<Int32>
        /// All of its numbers but those that go by their whole meaning.
        var points: UInt64
        var unknown: UInt64
        var ignored: UInt64
    }

    /// A shape that is about to be learned.
    struct Draft {
        var isNative: Bool
        var isLine: Bool
        var isPlain: Bool
        var salt: UInt32
        var time: Int32
        var values: [Value]
        var rows: [Row]
    }

    private(set) var shapes: [Shape] = []
    private(set) var values: [Value] = []
    private(set) var rows: [Row] = []
    private(set) var extras: [Extra] = []
    /// How often it was full, or too wide, and started afresh.
    private(set) var clears: UInt64 = 0

    var tree = LayoutTree()
    /// Messages that will not be learned, after there were too many kinds.
    private var wait: UInt64 = 0
    private let bytesMax: Int

    /// A tenth of what a literal takes; a message has one for every number.
    private static let bytesPerStepMin = 10
    private static let waitMin: UInt64 = 4_096
    private static let waitMax: UInt64 = 1 << 24

    /// - Parameter bytesMax: of all literals; 0 learns nothing.
    init(bytesMax: Int) { self.bytesMax = bytesMax }

    var isEmpty: Bool { shapes.isEmpty }
    var literalCount: Int { tree.literalCount }

    mutating func removeAll() {
        shapes.removeAll(keepingCapacity: true)
        values.removeAll(keepingCapacity: true)
        rows.removeAll(keepingCapacity: true)
        extras.removeAll(keepingCapacity: true)
        tree.removeAll()
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
    /// Reads what is written in an unusual way as the parser does.
    @inline(never)
    mutating func readOn(_ message: borrowing Scratch, _ found: inout LayoutTree.Found) {
        let text = message.bytes.span.extracting(droppingFirst: Scratch.front)
            .extracting(first: message.count)
        let number = Number.parse(text, at: found.question)
        tree.answer(
            number?.value, isWhole: number?.isInteger ?? false, end: number?.end ?? 0, message,
            &found)
    }

    /// Adds the path of a message that was read in full; `cuts` stand in the order of its bytes, and
    /// as many of them are values as the draft has.
    mutating func learn(_ payload: Span<UInt8>, _ cuts: [LayoutTree.Cut], _ draft: Draft) {
        // A message that does not fit twice would only ever push the others out.
        guard payload.count <= bytesMax / 2 else { return }
        let stepsMore = cuts.count + 1 + payload.count / Literal.lengthMax
        if literalCount + payload.count > bytesMax
            || tree.count + stepsMore >= bytesMax / Self.bytesPerStepMin
        {
            return startAfresh()
        }
        switch tree.learn(payload, cuts, rows: draft.rows.count, shape: shapes.count) {
        case .tooWide: startAfresh()
        case .known: break
        case .new(let targets): add(draft, targets)
        }
    }

    private mutating func add(_ draft: Draft, _ targets: LayoutTree.Targets) {
        func count(_ way: Way) -> UInt64 { UInt64(draft.values.count { $0.way == way }) }
        let wholes = count(.whole)
        shapes.append(
            Shape(
                isNative: draft.isNative, isLine: draft.isLine, isPlain: draft.isPlain,
                isQuick: draft.isPlain && wholes == 0, salt: draft.salt, time: draft.time,
                targets: targets,
                values: Int32(values.count)..<Int32(values.count + draft.values.count),
                rows: Int32(rows.count)..<Int32(rows.count + draft.rows.count),
                counters: addExtras(.counter, draft), peaks: addExtras(.peak, draft),
                wholes: addExtras(.whole, draft), points: UInt64(draft.values.count) - wholes,
                unknown: count(.unknown), ignored: count(.ignored)))
        values += draft.values
        rows += draft.rows
    }

    private mutating func addExtras(_ way: Way, _ draft: Draft) -> Range<Int32> {
        let first = Int32(extras.count)
        for value in draft.values where value.way == way {
            extras.append(
                Extra(
                    ordinal: value.ordinal, place: value.place, lane: value.lane,
                    metric: value.metric, scale: value.scale, constant: value.constant))
        }
        return first..<Int32(extras.count)
    }
}
