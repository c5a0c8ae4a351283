import CLanes
package import KernelBaseline
import KernelV3
import KernelV4

/// How messages were laid out so far: a tree of literal bytes with slots for what changes.
///
/// A program rather than a description: every step holds all that is needed to compare its literal
/// and the number behind it at once, and to put the digits aside. The numbers of a message become
/// values together, when its end is reached, for that goes eight by eight. It lies here because it runs
/// over memory of its own and over a copy of the payload without a check a step.
package struct LayoutTree: Sendable {
    package enum Slot: UInt8, BitwiseCopyable, Sendable {
        // The first is known to what follows a layout; see `lanes_slot_value`.
        case value, time, labels
        /// Nothing: more literal bytes follow.
        case more
        /// Nothing: the message ends here.
        case end
    }

    /// What a number becomes, once it has been read.
    package struct Target: Equatable, Sendable {
        /// The row times 16, and the lane; or `noLane`.
        package var lane: Int32
        package var scale: Double
        /// Within these the value is sound, whatever else might be asked of it.
        package var low: Double
        package var high: Double

        package init(lane: Int32, scale: Double, low: Double, high: Double) {
            self.lane = lane
            self.scale = scale
            self.low = low
            self.high = high
        }

        /// Of a number that is not to be looked at.
        package static let none = Target(
            lane: LayoutTree.noLane, scale: 1, low: -.infinity, high: .infinity)
    }

    /// The lane of a number that has none.
    package static var noLane: Int32 { Int32(rowsMax * 16) }

    /// Rows that one message may fill.
    package static var rowsMax: Int { 24 }

    /// What is known of a step beside what is needed to follow it.
    struct Note: Sendable {
        /// How its number was written.
        var forms = Forms()
        /// Whether messages go on apart behind it, by the form of its number; whether they do so before
        /// it.
        var isFork = false
        var isBehindFork = false
        /// Of labels, the shortest and the longest seen, and the one before this.
        var shortest: Int = .max
        var longest = 0
        var last = 0
    }

    /// What a message says besides its numbers, or how far one came.
    package struct Found: Sendable {
        /// The number of the end that was reached, or -1.
        package internal(set) var shape = -1
        /// Where labels begin whose end must be found by somebody else; or -1.
        package internal(set) var labelsStart = -1
        package internal(set) var labels = 0..<0
        /// Where a time stands that is not among the numbers, and its value; -1 where it is not a
        /// plain integer of 64 bits.
        package internal(set) var time = 0..<0
        package internal(set) var timeInteger: Int64 = -1
        package internal(set) var timeValue = 0.0
        package internal(set) var isTimeWhole = false
        /// Where a number stands that must be read by somebody else; or -1.
        package internal(set) var question = -1
        /// Where the passage stands.
        var walk = lanes_walk()
        /// Whether that step needs a closer look.
        var isAtDetour = false

        /// Whether what stands behind the labels was not followed by a single step.
        package mutating func isLostBehindLabels() -> Bool {
            shape < 0 && !labels.isEmpty && walk.position == labels.upperBound
        }

        package init() {}
    }

    var steps: [Step] = []
    var notes: [Note] = []
    private var first = -1
    /// Steps that stand here twice, so that messages may go on apart.
    package internal(set) var copies = 0
    var trial: Trial?
    /// Numbers as they are met, as `Place` says; it lies at a multiple of sixteen bytes.
    private var room: [SIMD16<Float>]
    /// The numbers of the last message that was converted, in their order.
    package private(set) var numbers: [Double]
    /// By eight numbers: their scales, the lowest values and the highest.
    private var targets: [SIMD8<Double>] = []
    /// By number: its lane.
    private var lanes: [UInt16] = []
    /// Numbers that are no run of digits with a dot: where they stand among all, and their values.
    private var odd: [(ordinal: Int, value: Double)] = []
    /// Counts messages.
    private(set) var clock: UInt32 = 0
    /// Bytes of all literals.
    package private(set) var literalCount = 0

    /// Numbers that one message may have.
    package static var numbersMax: Int { 1_024 }

    /// Where things lie in `room`, in bytes.
    ///
    /// Apart in the lowest twelve bits of their addresses as well, for most messages: by those the
    /// processor tells what it reads from what it has just written, and waits where it cannot.
    private enum Place {
        /// The end of a message, and zeros behind it.
        static var tail: Int { 0 }
        /// By number: what it is to be divided by; eight are read at once.
        static var divisors: Int { 192 }
        /// By number: its digits, which are sixteen.
        static var digits: Int { 10_240 }
        static var end: Int { digits + (LayoutTree.numbersMax + 8) * 16 }
    }

    /// Steps that may stand at one place: trying one after the other must stay cheap.
    private static let siblingsMax = 12
    /// So many that a distance in bytes fits in 32 bits; settings ask for far fewer.
    private static let stepsMax = 1 << 20

    /// What follows and converts; never wider than the processor.
    private let instructionSet: InstructionSet

    package init(instructionSet: InstructionSet = .best) {
        self.instructionSet = min(instructionSet, .best)
        room = Array(repeating: SIMD16(repeating: 0), count: Place.end / 64)
        numbers = Array(repeating: 0, count: LayoutTree.numbersMax + 8)
    }

    package var isEmpty: Bool { first < 0 }
    package var count: Int { steps.count }

    package mutating func removeAll() {
        steps.removeAll(keepingCapacity: true)
        notes.removeAll(keepingCapacity: true)
        targets.removeAll(keepingCapacity: true)
        lanes.removeAll(keepingCapacity: true)
        literalCount = 0
        copies = 0
        trial = nil
        first = -1
    }
}

extension LayoutTree {
    /// Follows a message as far as it goes; `found`, which is a new one, has the shape -1 where it leaves
    /// the tree, and `copy` holds the message then.
    ///
    /// Where it has a `labelsStart` then, it goes on by `goOn(labels:)`, and where it has a
    /// `question`, by `answer`. It does not stop for `labels`, if these are what stands at `start`.
    package mutating func read(
        _ payload: Span<UInt8>, _ copy: inout Scratch, labels: Span<UInt8>, at start: Int,
        _ found: inout Found
    ) {
        clock &+= 1
        if let trial, trial.end == clock { endTrial() }
        found.walk.step = first
        if !odd.isEmpty { odd.removeAll(keepingCapacity: true) }
        let isInside = start >= 0 && labels.count <= payload.count &- start
        let labels = isInside ? labels : Span()
        found.walk.labels_start = start
        if canStayInPlace(payload.count) {
            // What was copied just now can be read again only when all of it has arrived, so that a
            // message is read where it lies.
            unsafe payload.withUnsafeBufferPointer { payload in
                guard let text = payload.baseAddress else { return }
                unsafe Self.walk(
                    steps, &room, instructionSet, text, payload.count, hasZeros: false, labels,
                    &found)
            }
            if found.walk.missed_width > 0 { noteMiss(payload, &found) }
        }
        if found.shape < 0 {
            copy.fill(payload)
            if first >= 0 { go(copy, labels, &found) }
        }
        if found.walk.has_labels != 0 { found.labels = start..<start &+ labels.count }
    }

    /// Whether no digits are looked for before a message of so many bytes.
    @inline(__always)
    private func canStayInPlace(_ count: Int) -> Bool {
        guard first >= 0, count >= Int(lanes_tail) else { return false }
        let step = steps[first / Step.size]
        // A value may have another form than is expected, and be shorter.
        let bytes = step.slot == Slot.value.rawValue ? Int(step.length) : Int(step.advance)
        return bytes >= 16 || step.slot == Slot.labels.rawValue
    }

    /// Goes on behind labels of so many bytes; nil says that their end is to be searched for.
    ///
    /// A wrong end is harmless: labels are taken only if the same bytes were labels before.
    @inline(__always)
    package mutating func goOn(
        labels length: Int?, _ message: borrowing Scratch, _ found: inout Found
    ) {
        let start = found.labelsStart
        let index = found.walk.step / Step.size
        guard start >= 0 else { return }
        found.labelsStart = -1
        guard let length = length ?? search(index, message, start), length >= 0,
            length <= message.count &- start
        else {
            // Perhaps these are no labels, and another layout begins as if they were.
            found.walk.step = Int(steps[index].sibling)
            if found.walk.step >= 0 { go(message, Span(), &found) }
            return
        }
        found.labels = start..<start &+ length
        found.walk.position = start &+ length
        found.walk.step = Int(steps[index].child)
        go(message, Span(), &found)
    }

    /// The length of the labels that begin at `start`: one that was seen, and is followed by what may
    /// follow them.
    @inline(never)
    private mutating func search(
        _ index: Int, _ message: borrowing Scratch, _ start: Int
    ) -> Int? {
        // Most producers' labels have one length for ever, and a topic's have few.
        let note = notes[index]
        if isFollowed(index, message, start &+ note.last) { return note.last }
        let longest = min(note.longest, message.count &- start)
        var length = note.shortest
        while length <= longest {
            if isFollowed(index, message, start &+ length) {
                notes[index].last = length
                return length
            }
            length &+= 1
        }
        return nil
    }

    @inline(__always)
    private func isFollowed(_ index: Int, _ message: borrowing Scratch, _ end: Int) -> Bool {
        guard end <= message.count else { return false }
        return unsafe message.withText { text in
            var next = Int(steps[index].child)
            while next >= 0 {
                let step = steps[next / Step.size]
                // What ends the message stands at its end: a brace within labels does not.
                let mayStand =
                    step.slot != Slot.end.rawValue || end &+ Int(step.length) == message.count
                if mayStand, unsafe step.holdsLiteral(text + end) { return true }
                next = Int(step.sibling)
            }
            return false
        }
    }

    /// Goes on behind a number that was read elsewhere; nil says that it is none.
    @inline(never)
    package mutating func answer(
        _ value: Double?, isWhole: Bool, end: Int, _ message: borrowing Scratch,
        _ found: inout Found
    ) {
        let index = found.walk.step / Step.size
        guard found.question >= 0, index >= 0, index < steps.count else { return }
        let start = found.question
        found.question = -1
        if let value, end > start, end <= message.count {
            if steps[index].slot == Slot.time.rawValue {
                found.time = start..<end
                found.timeInteger = -1
                found.timeValue = value
                found.isTimeWhole = isWhole
            }
            odd.append((found.walk.ordinal, value))
            leaveFree(&found)
            found.walk.position = end
            found.walk.step = Int(steps[index].child)
        } else {
            found.walk.step = Int(steps[index].sibling)
        }
        if found.walk.step >= 0 { go(message, Span(), &found) }
    }

    /// Goes on until the end, until labels, or until somebody else must read what stands there.
    private mutating func go(
        _ message: borrowing Scratch, _ labels: Span<UInt8>, _ found: inout Found
    ) {
        repeat {
            found.labelsStart = -1
            unsafe message.withText { text in
                unsafe Self.walk(
                    steps, &room, instructionSet, text, message.count, hasZeros: true, labels,
                    &found)
            }
            if found.walk.missed_width > 0 {
                noteMiss(message.bytes.span.extracting(droppingFirst: Scratch.front), &found)
            }
        } while found.isAtDetour && detour(message, &found)
    }

    /// Goes on in a text with zeros around it, or, where there are none, in a long one whose end is
    /// copied.
    @inline(__always)
    private static func walk(
        _ steps: [Step], _ room: inout [SIMD16<Float>], _ instructionSet: InstructionSet,
        _ text: UnsafeRawPointer, _ count: Int, hasZeros: Bool, _ labels: Span<UInt8>,
        _ found: inout Found
    ) {
        var answer: Int32 = 0
        var room = room.mutableSpan
        // 32 at least, for so many are compared at once.
        let isLikely = found.walk.has_labels == 0 && labels.count >= 32
        found.walk.labels_count = isLikely ? labels.count : 0
        unsafe labels.withUnsafeBufferPointer { labels in
            unsafe steps.span.withUnsafeBufferPointer { steps in
                unsafe room.withUnsafeMutableBytes { room in
                    guard let first = steps.baseAddress, let room = room.baseAddress else {
                        return
                    }
                    let digits = unsafe room + Place.digits
                    let divisors = unsafe (room + Place.divisors)
                        .assumingMemoryBound(to: Double.self)
                    let tail = unsafe hasZeros ? nil : room + Place.tail
                    let labels = unsafe UnsafeRawPointer(labels.baseAddress)
                    answer =
                        switch instructionSet {
                        case .baseline:
                            unsafe KernelBaseline.followLayout(
                                &found.walk, first, text, count, tail, digits, divisors, labels)
                        case .v3:
                            unsafe KernelV3.followLayout(
                                &found.walk, first, text, count, tail, digits, divisors, labels)
                        case .v4:
                            unsafe KernelV4.followLayout(
                                &found.walk, first, text, count, tail, digits, divisors, labels)
                        }
                }
            }
        }
        found.isAtDetour = false
        switch Int(answer) {
        case lanes_step_end: found.shape = found.walk.found
        case lanes_step_labels: found.labelsStart = found.walk.found
        default: found.isAtDetour = true
        }
    }

    /// Takes a step that is not a number of the form that is expected, or finds the one to try in its
    /// place.
    ///
    /// - Returns: whether there is any.
    @inline(never)
    private mutating func detour(
        _ message: borrowing Scratch, _ found: inout Found
    ) -> Bool {
        let index = found.walk.step / Step.size
        let step = steps[index]
        let start = found.walk.position &+ Int(step.length)
        let isThere = unsafe message.withText { text in
            unsafe step.holdsLiteral(text + found.walk.position)
        }
        // A literal that ends a message without its being over.
        guard isThere, step.slot != Slot.end.rawValue else {
            found.walk.step = Int(step.sibling)
            return found.walk.step >= 0
        }
        let width = step.isNumeric ? number(message, start, index, &found) : 0
        guard width > 0 else {
            found.question = start
            return false
        }
        found.walk.position = start &+ width
        found.walk.step = Int(steps[index].child)
        return true
    }

    /// The width of a number of any form, whose digits are put aside; 0 where somebody else must read
    /// it.
    private mutating func number(
        _ message: borrowing Scratch, _ start: Int, _ index: Int, _ found: inout Found
    ) -> Int {
        let ordinal = found.walk.ordinal
        let width = unsafe message.withText { text in
            unsafe room.withUnsafeMutableBytes { room in
                guard let room = room.baseAddress else { return 0 }
                return unsafe lanes_number(
                    text + start, room + (Place.digits &+ ordinal &* 16),
                    (room + (Place.divisors &+ ordinal &* 8)).assumingMemoryBound(to: Double.self))
            }
        }
        let text = message.bytes.span.extracting(droppingFirst: Scratch.front &+ start)
        if steps[index].slot == Slot.time.rawValue {
            // A time with a fraction is looked at closely, and has no form that is expected.
            guard width > 0, text.first(0x2E, from: 0) >= width else {
                return readTime(text, start, index, &found)
            }
            steps[index].expectTime(text, width)
            steps[index].settle(at: index)
        } else if width > 0 {
            missed(text, width, index)
        }
        if width > 0 { found.walk.ordinal &+= 1 }
        return width
    }

    /// Notes the first number of a passage that did not fit, if there is any.
    @inline(never)
    private mutating func noteMiss(_ text: Span<UInt8>, _ found: inout Found) {
        missed(
            text.extracting(droppingFirst: found.walk.missed_position), found.walk.missed_width,
            found.walk.missed / Step.size)
        found.walk.missed_width = 0
    }

    /// Reads a time of sixteen digits and more, nanoseconds, and says how wide it is; or 0.
    private mutating func readTime(
        _ text: Span<UInt8>, _ start: Int, _ index: Int, _ found: inout Found
    ) -> Int {
        var (value, width) = (0 as UInt64, 0)
        while width <= 19 {
            let word = text.word(at: width)
            let digits = Digits.leading(word)
            guard digits > 0 else { break }
            value = value &* Digits.power(digits) &+ Digits.joined(word, digits)
            width &+= digits
            guard digits == 8 else { break }
        }
        guard width > 0, width <= 19, text[0] != 0x30 || width == 1, text[width] != 0x2E,
            text[width] | 0x20 != 0x65
        else { return 0 }
        found.time = start..<start &+ width
        found.timeInteger = Int64(exactly: value) ?? -1
        found.timeValue = Double(value)
        found.isTimeWhole = true
        leaveFree(&found)
        if found.timeInteger >= 0 {
            steps[index].expectTime(text, width)
            steps[index].settle(at: index)
        }
        return width
    }

    /// Keeps the place free that a number would have among those that are runs of digits.
    private mutating func leaveFree(_ found: inout Found) {
        let ordinal = found.walk.ordinal
        unsafe room.withUnsafeMutableBytes { room in
            unsafe room.storeBytes(
                of: Double.nan, toByteOffset: Place.divisors &+ ordinal &* 8, as: Double.self)
        }
        found.walk.ordinal &+= 1
    }
}

extension LayoutTree {
    /// What becomes of the numbers of one end.
    package struct Targets: Sendable {
        var first = 0
        var count = 0
        var rows = 0
        /// Numbers before the first that has a target: a time.
        var skipped = 0

        package init() {}
    }

    /// Makes the numbers of a message that was read to its end into values, and adds its rows of lanes
    /// to `rows`.
    ///
    /// - Returns: whether every one lies within the range of its target.
    @inline(never)
    package mutating func convert(
        _ wanted: Targets, into rows: inout [SIMD16<Float>]
    ) -> Bool {
        let count = (wanted.count &+ 7) & ~7
        guard wanted.first >= 0, wanted.first &+ count <= lanes.count,
            (wanted.first &+ count) &* 3 <= targets.count &* 8
        else { return false }
        var isSound = Self.convert(
            wanted, count, targets, lanes, instructionSet, room, &numbers, &rows)
        if !odd.isEmpty { isSound = takeOdd(wanted, &rows) && isSound }
        return isSound
    }

    @inline(__always)
    private static func convert(
        _ wanted: Targets, _ count: Int, _ targets: [SIMD8<Double>], _ lanes: [UInt16],
        _ instructionSet: InstructionSet, _ room: [SIMD16<Float>], _ values: inout [Double],
        _ rows: inout [SIMD16<Float>]
    ) -> Bool {
        var isSound = false
        var values = values.mutableSpan
        unsafe values.withUnsafeMutableBufferPointer { values in
            unsafe room.span.withUnsafeBytes { room in
                unsafe targets.span.withUnsafeBufferPointer { targets in
                    unsafe lanes.span.withUnsafeBufferPointer { lanes in
                        guard let room = room.baseAddress, let values = values.baseAddress,
                            let targets = targets.baseAddress, let lanes = lanes.baseAddress
                        else { return }
                        let divisors = unsafe (room + Place.divisors)
                            .assumingMemoryBound(to: Double.self)
                        var numbers = unsafe lanes_conversion(
                            digits: room + (Place.digits &+ wanted.skipped &* 16),
                            divisors: divisors + wanted.skipped,
                            targets: targets + wanted.first / 8 &* 3, places: lanes + wanted.first,
                            count: count, values: values + wanted.skipped, rows: wanted.rows,
                            lanes: nil)
                        // One more, for the numbers that have no lane; it does not stay.
                        rows.append(addingCapacity: wanted.rows &+ 1) { added in
                            unsafe added.withUnsafeMutableBufferPointer { added, rowCount in
                                guard let first = added.baseAddress else { return }
                                rowCount = wanted.rows
                                unsafe numbers.lanes = UnsafeMutableRawPointer(first)
                                    .assumingMemoryBound(to: Float.self)
                                isSound =
                                    switch instructionSet {
                                    case .baseline: unsafe KernelBaseline.convertNumbers(numbers)
                                    case .v3: unsafe KernelV3.convertNumbers(numbers)
                                    case .v4: unsafe KernelV4.convertNumbers(numbers)
                                    }
                            }
                        }
                    }
                }
            }
        }
        return isSound
    }

    @inline(never)
    private mutating func takeOdd(
        _ wanted: Targets, _ rows: inout [SIMD16<Float>]
    ) -> Bool {
        var isSound = true
        for (ordinal, value) in odd {
            let index = ordinal - wanted.skipped
            guard index >= 0, index < wanted.count else { continue }
            let place = wanted.first + index
            let target = place / 8 * 3
            let scaled = value * targets[target][place & 7]
            isSound =
                isSound && scaled >= targets[target + 1][place & 7]
                && scaled <= targets[target + 2][place & 7]
            numbers[ordinal] = value
            let lane = Int(lanes[place])
            if lane < wanted.rows * 16 {
                rows[rows.count - wanted.rows + lane >> 4][lane & 15] = Float(scaled)
            }
        }
        return isSound
    }
}

extension LayoutTree {
    /// One of the numbers of a message, a time that is a run of digits and lies among them.
    ///
    /// Mutating, so that `self` goes by reference.
    package mutating func time(_ ordinal: Int, _ found: inout Found) -> Int64 {
        precondition(
            ordinal >= 0 && ordinal < Self.numbersMax, "a message has so many numbers at most")
        func digits(_ offset: Int) -> UInt64 {
            unsafe room.span.bytes.unsafeLoadUnaligned(
                fromUncheckedByteOffset: Place.digits &+ ordinal &* 16 &+ offset, as: UInt64.self)
                & 0x0F0F_0F0F_0F0F_0F0F
        }
        // Fifteen digits at most.
        let value = Digits.joined(digits(0)) &* 100_000_000 &+ Digits.joined(digits(8))
        return Int64(found.walk.base) &+ Int64(truncatingIfNeeded: value)
    }

    /// A place of the tree, and what stands there of a message that is being learned.
    package struct Cut: Sendable {
        package var slot: Slot
        package var range: Range<Int>
        /// Of a value or a time.
        package var target: Target

        package init(slot: Slot, range: Range<Int>, target: Target = .none) {
            self.slot = slot
            self.range = range
            self.target = target
        }
    }

    /// What came of learning a message.
    package enum Learned: Sendable {
        /// The tree is too wide at one place; it is empty now.
        case tooWide
        /// Nothing that can be used was added: the path was there, with labels of other lengths, or
        /// there are more numbers than one message may have.
        case known
        case new(Targets)
    }

    /// Adds the path of a message; `cuts` stand in the order of its bytes.
    package mutating func learn(
        _ payload: Span<UInt8>, _ cuts: [Cut], rows: Int, shape: Int
    ) -> Learned {
        let numbers = cuts.filter { $0.slot == .value || $0.slot == .time }
        // A walk stops at the zeros behind a message, so that none may stand in it.
        guard numbers.count < Self.numbersMax, rows <= Self.rowsMax,
            !(0..<payload.count).contains(where: { payload[$0] == 0 })
        else { return .known }
        // One, but where messages go on apart: those are to know it too.
        var parents = [-1]
        var position = 0
        for cut in cuts {
            guard let next = follow(parents, payload, position..<cut.range.lowerBound, cut.slot)
            else { return .tooWide }
            if cut.slot == .labels {
                for step in next {
                    notes[step].shortest = min(notes[step].shortest, cut.range.count)
                    notes[step].longest = max(notes[step].longest, cut.range.count)
                    notes[step].last = cut.range.count
                }
            }
            parents = next
            position = cut.range.upperBound
        }
        guard let ends = follow(parents, payload, position..<payload.count, .end) else {
            return .tooWide
        }
        guard steps[ends[0]].child < 0 else { return .known }
        for end in ends { steps[end].child = Int32(shape) }
        // A time is nothing to convert, and stands nearly always before all others or behind them.
        let isTimed = numbers.first?.slot == .time
        let wanted =
            (isTimed
                ? numbers.dropFirst()
                : numbers.last?.slot == .time ? numbers.dropLast() : numbers[...])
        var made = aim(wanted.map(\.target), rows)
        made.skipped = isTimed ? 1 : 0
        return .new(made)
    }

    private mutating func aim(_ wanted: [Target], _ rows: Int) -> Targets {
        var made = Targets()
        made.first = lanes.count
        made.count = wanted.count
        made.rows = rows
        for first in stride(from: 0, to: wanted.count, by: 8) {
            var scales = SIMD8<Double>(repeating: 1)
            var (low, high) = (scales, scales)
            for index in 0..<8 {
                let target = first + index < wanted.count ? wanted[first + index] : .none
                scales[index] = target.scale
                low[index] = target.low
                high[index] = target.high
                // What has no lane goes to the row behind the last.
                lanes.append(UInt16(clamping: min(max(Int(target.lane), 0), rows * 16)))
            }
            targets += [scales, low, high]
        }
        return made
    }

    /// The steps with this literal and slot below `parents`, made now where they are missing.
    ///
    /// - Returns: nil where too many stand there already; the tree is empty then.
    private mutating func follow(
        _ parents: [Int], _ payload: Span<UInt8>, _ literal: Range<Int>, _ slot: Slot
    ) -> [Int]? {
        guard literal.count > Step.literalMax else {
            return follow(parents, payload.extracting(literal), slot)
        }
        let middle = literal.lowerBound + Step.literalMax
        guard let more = follow(parents, payload.extracting(literal.lowerBound..<middle), .more)
        else { return nil }
        return follow(more, payload, middle..<literal.upperBound, slot)
    }

    private mutating func follow(
        _ parents: [Int], _ literal: Span<UInt8>, _ slot: Slot
    ) -> [Int]? {
        var found: [Int] = []
        for parent in parents {
            var next = parent < 0 ? first : Int(steps[parent].child)
            var last = -1
            var count = 0
            let known = found.count
            while next >= 0 {
                last = next / Step.size
                if steps[last].slot == slot.rawValue, steps[last].isLiteral(literal) {
                    found.append(last)
                }
                next = Int(steps[last].sibling)
                count += 1
            }
            guard found.count == known else { continue }
            guard count < Self.siblingsMax, steps.count < Self.stepsMax else {
                // A path that has no end must not be followed.
                removeAll()
                return nil
            }
            found.append(make(Step(slot: slot, literal: literal), below: parent, behind: last))
            literalCount += literal.count
        }
        return found
    }

    /// Adds a step, as the last of those that may follow `parent`.
    private mutating func make(_ step: Step, below parent: Int, behind last: Int) -> Int {
        let made = steps.count
        steps.append(step)
        notes.append(Note())
        if parent >= 0 {
            notes[made].isBehindFork = notes[parent].isFork || notes[parent].isBehindFork
        }
        if last >= 0 {
            steps[last].sibling = Int32(made * Step.size)
        } else if parent >= 0 {
            steps[parent].child = Int32(made * Step.size)
        } else {
            first = made * Step.size
        }
        return made
    }
}
