/// How messages were laid out so far: a tree of literal bytes with slots for what changes.
///
/// A program rather than a description: every step holds all that is needed to compare its literal,
/// to read its number and to put that number into a lane, so that a message is read in one passage.
/// It lies here because it runs over memory of its own and over the payload with one check a step.
package struct LayoutTree: Sendable {
    package enum Slot: UInt8, Sendable {
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
    }

    /// The lane of a number that has none.
    package static var noLane: Int32 { Int32(rowsMax * 16) }

    /// Rows that one message may fill.
    package static var rowsMax: Int { 24 }

    /// Literal bytes, and what stands behind them.
    struct Step: Sendable {
        let literal: Literal
        var form = NumberForm()
        var scale = 0.0
        var low = 0.0
        var high = 0.0
        /// The first of the steps that may follow, and the next that may stand here instead: their
        /// distance from the first of all in bytes; or -1.
        var child = -1
        var sibling = -1
        var lane = LayoutTree.noLane
        /// How many numbers stand before this one.
        var ordinal: Int32 = 0
        /// Of labels, the shortest and the longest seen, and the one before this; of an end, its
        /// number in the first.
        var shortest: Int32 = .max
        var longest: Int32 = 0
        var last: Int32 = 0
        /// Bytes that stand before the number in any message, as far as is known.
        var reach: Int32 = 0
        let slot: Slot
        var isAimed = false

        static var size: Int { MemoryLayout<Step>.stride }

        init(slot: Slot, literal: Literal) {
            self.slot = slot
            self.literal = literal
        }
    }

    /// What a message says besides its literals, or how far one came.
    package struct Found: Sendable {
        /// The number of the end that was reached, or -1.
        package internal(set) var shape = -1
        /// Whether every number lies within the range of its target.
        package internal(set) var isSound = true
        package internal(set) var labels = 0..<0
        /// Where the time stands, empty where there is none, and its value; -1 where it is not a
        /// plain integer of 64 bits.
        package internal(set) var time = 0..<0
        package internal(set) var timeInteger: Int64 = -1
        package internal(set) var timeValue = 0.0
        package internal(set) var isTimeWhole = false
        /// Where a number stands that must be read by somebody else; or -1.
        package internal(set) var question = -1
        /// The step that is next, and where the message stands.
        var step = -1
        var position = 0
        var clock: UInt32 = 0

        package init() {}
    }

    private(set) var steps: [Step] = []
    private var first = -1
    /// Lanes, the message's end in a copy, and its numbers; see `Place`.
    private var room = [UInt64](repeating: 0, count: Place.numbers)
    private var rowCount = 0
    /// Counts messages.
    private var clock: UInt32 = 0
    /// Bytes of all literals.
    package private(set) var literalCount = 0

    /// Where things lie in `room`, in words.
    private enum Place {
        /// A row more than a message may fill, for the numbers that have none.
        static let lanes = (LayoutTree.rowsMax + 1) * 8
        static let tail = lanes
        /// Bytes that are looked at before a place, of those at the end, and of zeros behind them.
        static let before = 16
        static let kept = 128
        static let behind = 128
        static let numbers = tail + (before + kept + behind) / 8
    }

    /// Widths that are none.
    private enum Stop {
        /// Something else stands there.
        static let elsewhere = -1
        /// The message is at its end.
        static let finished = -2
        /// Somebody else must read what stands there.
        static let asked = -3
    }

    /// A step reads so far behind its place: a literal, the longest number and what stands behind.
    private static let window = 64
    /// Labels of so many lengths are tried at once.
    private static let lengthsTried = 3
    /// Steps that may stand at one place: trying one after the other must stay cheap.
    private static let siblingsMax = 12

    package init() {}

    package var isEmpty: Bool { first < 0 }
    package var count: Int { steps.count }

    package mutating func removeAll() {
        steps.removeAll(keepingCapacity: true)
        literalCount = 0
        rowCount = 0
        first = -1
    }
}

extension LayoutTree {
    /// Follows `payload` as far as it goes; the answer's `shape` is -1 where it leaves the tree.
    @inline(__always)
    package mutating func read(_ payload: Span<UInt8>) -> Found {
        var found = Found()
        found.step = first
        clock &+= 1
        found.clock = clock
        go(payload, &found)
        return found
    }

    /// Goes on behind a number that was read elsewhere; nil says that it is none.
    @inline(never)
    package mutating func answer(
        _ value: Double?, isWhole: Bool, end: Int, _ payload: Span<UInt8>, _ found: inout Found
    ) {
        let index = found.step / Step.size
        guard found.question >= 0, index >= 0, index < steps.count else { return }
        let start = found.question
        found.question = -1
        guard let value, end > start, end <= payload.count else {
            found.step = steps[index].sibling
            return go(payload, &found)
        }
        found.position = end
        found.step = steps[index].child
        if steps[index].slot == .time {
            found.time = start..<end
            found.timeInteger = -1
            found.timeValue = value
            found.isTimeWhole = isWhole
        } else {
            let scaled = value * steps[index].scale
            found.isSound =
                found.isSound && scaled >= steps[index].low && scaled <= steps[index].high
            room[Place.numbers + Int(steps[index].ordinal)] = value.bitPattern
            put(Float(scaled), inLane: Int(steps[index].lane))
        }
        go(payload, &found)
    }

    /// The numbers of a message that was read to its end, in their order.
    @inline(__always)
    package func number(_ ordinal: Int) -> Double {
        Double(bitPattern: room[Self.numbersPlace &+ ordinal])
    }

    private static var numbersPlace: Int { Place.numbers }

    /// Puts another value in a lane of a message that was read to its end.
    @inline(__always)
    package mutating func put(_ value: Float, inLane lane: Int) {
        let (word, shift) = (lane &>> 1, UInt64(truncatingIfNeeded: lane & 1 &* 32))
        room[word] = room[word] & ~(0xFFFF_FFFF &<< shift) | UInt64(value.bitPattern) &<< shift
    }

    /// The lanes of a row of a message that was read to its end.
    @inline(__always)
    package func lanes(_ row: Int) -> SIMD16<Float> {
        precondition(row >= 0 && row < LayoutTree.rowsMax, "a message fills so many rows at most")
        return unsafe room.span.bytes.unsafeLoadUnaligned(
            fromUncheckedByteOffset: row &* 64, as: SIMD16<Float>.self)
    }

    private mutating func go(_ payload: Span<UInt8>, _ found: inout Found) {
        let rows = rowCount
        let isFirst = found.position == 0
        unsafe steps.withUnsafeMutableBufferPointer { steps in
            unsafe room.withUnsafeMutableBytes { room in
                unsafe payload.withUnsafeBytes { payload in
                    guard let path = steps.baseAddress, let room = room.baseAddress,
                        let start = payload.baseAddress
                    else { return }
                    if isFirst {
                        for row in 0..<rows {
                            unsafe room.storeBytes(
                                of: SIMD16<Float>(repeating: .nan), toByteOffset: row &* 64,
                                as: SIMD16<Float>.self)
                        }
                    }
                    unsafe Walk(
                        path: UnsafeMutableRawPointer(path), room: room, payload: start,
                        count: payload.count
                    )
                    .go(&found)
                }
            }
        }
    }

    /// One passage of one message; it lives no longer than the pointers it is given.
    @unsafe
    private struct Walk {
        let path: UnsafeMutableRawPointer
        let room: UnsafeMutableRawPointer
        let payload: UnsafeRawPointer
        let count: Int

        /// Where the message would begin, were it continued to the left from the copy of its end.
        @inline(__always)
        var tail: UnsafeRawPointer {
            let kept = unsafe UInt(bitPattern: room) &+ UInt(Place.tail * 8 + Place.before)
            let skipped = unsafe UInt(bitPattern: max(count &- Place.kept, 0))
            return unsafe UnsafeRawPointer(bitPattern: kept &- skipped) ?? payload
        }

        /// Copies the last bytes, between zeros: only these are read beyond the end.
        @inline(never)
        func copyTail() {
            let kept = unsafe min(count, Place.kept)
            let place = unsafe room + Place.tail * 8
            unsafe place.initializeMemory(as: UInt8.self, repeating: 0, count: Place.before)
            unsafe (place + Place.before).copyMemory(
                from: payload + (count &- kept), byteCount: kept)
            unsafe (place + Place.before + kept).initializeMemory(
                as: UInt8.self, repeating: 0, count: Place.behind)
        }

        @inline(__always)
        func step(_ distance: Int) -> UnsafeMutablePointer<Step> {
            unsafe (path + distance).assumingMemoryBound(to: Step.self)
        }

        @inline(never)
        func go(_ found: inout Found) {
            var base = unsafe payload
            var place = unsafe base + found.position
            var limit = unsafe base + (count &- LayoutTree.window)
            var next = found.step
            while next >= 0 {
                if unsafe place > limit {
                    guard unsafe base == payload, unsafe place - base <= count else { return }
                    unsafe copyTail()
                    let position = unsafe place - base
                    unsafe base = tail
                    unsafe place = base + position
                    unsafe limit = base + count
                }
                let step = unsafe step(next)
                let start = unsafe place + step.pointee.literal.length
                guard unsafe step.pointee.literal.stands(at: place) else {
                    unsafe next = step.pointee.sibling
                    continue
                }
                if unsafe step.pointee.form.isFixed {
                    let end = unsafe start + step.pointee.form.width
                    if let value = unsafe step.pointee.form.value(upTo: end) {
                        unsafe take(value, step, &found)
                        unsafe place = end
                        unsafe next = step.pointee.child
                        continue
                    }
                } else if unsafe step.pointee.form.kind == .long {
                    let long = unsafe NumberForm.long(start)
                    let end = unsafe start + long.width
                    if long.width > 0,
                        unsafe end.load(as: UInt8.self) == step.pointee.form.behind
                    {
                        unsafe take(
                            Double(Int64(truncatingIfNeeded: long.value)), step, &found)
                        unsafe place = end
                        unsafe next = step.pointee.child
                        continue
                    }
                } else if unsafe step.pointee.form.kind == .short {
                    let short = unsafe step.pointee.form.short(start)
                    if short.width > 0 {
                        unsafe take(short.value, step, &found)
                        unsafe place = start + short.width
                        unsafe next = step.pointee.child
                        continue
                    }
                }
                let other = unsafe fill(step, start, start - base, &found)
                if other.width >= 0 {
                    if unsafe step.pointee.slot == .value {
                        unsafe take(other.value, step, &found)
                    }
                    unsafe place = start + other.width
                    unsafe next = step.pointee.child
                    continue
                }
                guard other.width == Stop.elsewhere else {
                    found.step = next
                    unsafe found.position = place - base
                    return
                }
                unsafe next = step.pointee.sibling
            }
        }

        @inline(__always)
        private func take(
            _ value: Double, _ step: UnsafeMutablePointer<Step>, _ found: inout Found
        ) {
            unsafe (room + (Place.numbers &+ Int(step.pointee.ordinal)) &* 8).storeBytes(
                of: value, as: Double.self)
            let scaled = unsafe value * step.pointee.scale
            unsafe (room + Int(step.pointee.lane) &* 4).storeBytes(
                of: Float(scaled), as: Float.self)
            if unsafe !(scaled >= step.pointee.low && scaled <= step.pointee.high) {
                unsafe refuse(&found)
            }
        }

        /// Apart, because it is rare: a flag would be kept up to date with every number.
        @inline(never)
        private func refuse(_ found: inout Found) { found.isSound = false }

        /// Reads what stands in a slot and is not a number of the usual form.
        @inline(never)
        private func fill(
            _ step: UnsafeMutablePointer<Step>, _ start: UnsafeRawPointer, _ position: Int,
            _ found: inout Found
        ) -> NumberForm.Reading {
            var reading = NumberForm.Reading.none
            switch unsafe step.pointee.slot {
            case .value:
                reading = unsafe NumberForm.read(start)
                guard reading.width > 0 else {
                    found.question = position
                    reading.width = Stop.asked
                    break
                }
                if unsafe step.pointee.form.kind != .other {
                    unsafe step.pointee.form.miss(
                        start, reading, reach: step.pointee.reach, clock: found.clock)
                }
            case .time:
                reading.width = unsafe readTime(start, position, &found)
                if reading.width <= 0 {
                    found.question = position
                    reading.width = Stop.asked
                }
            case .labels:
                let end = unsafe endOfLabels(step, position)
                guard end >= 0 else {
                    reading.width = Stop.elsewhere
                    break
                }
                found.labels = position..<end
                reading.width = end &- position
            case .more: break
            case .end:
                guard unsafe position == count else {
                    reading.width = Stop.elsewhere
                    break
                }
                unsafe found.shape = Int(step.pointee.shortest)
                reading.width = Stop.finished
            }
            return reading
        }

        /// Where the labels end, or -1: where what may follow them does, at a length that was seen.
        ///
        /// A wrong guess is harmless: labels are taken only if the same bytes were labels before.
        @inline(__always)
        private func endOfLabels(_ step: UnsafeMutablePointer<Step>, _ start: Int) -> Int {
            let (shortest, longest) = unsafe (
                Int(step.pointee.shortest), Int(step.pointee.longest)
            )
            let child = unsafe step.pointee.child
            let last = start &+ longest
            if longest &- shortest <= LayoutTree.lengthsTried, child >= 0,
                unsafe last <= count &- LayoutTree.window
            {
                // All of them, for which one it is cannot be foreseen, and a wrong turn costs more.
                let literal = unsafe self.step(child)
                var end = -1
                var place = last
                while place >= start &+ shortest {
                    end = unsafe literal.pointee.literal.stands(at: payload + place) ? place : end
                    place &-= 1
                }
                if end >= 0 { return end }
            }
            return unsafe search(step, start)
        }

        @inline(never)
        private func search(_ step: UnsafeMutablePointer<Step>, _ start: Int) -> Int {
            // Most producers' labels have one length for ever, and a topic's have few.
            let last = unsafe Int(step.pointee.last)
            if unsafe isFollowed(step, start &+ last) { return start &+ last }
            var length = unsafe Int(step.pointee.shortest)
            let longest = unsafe min(Int(step.pointee.longest), count &- start)
            while length <= longest {
                if unsafe isFollowed(step, start &+ length) {
                    unsafe step.pointee.last = Int32(truncatingIfNeeded: length)
                    return start &+ length
                }
                length &+= 1
            }
            return -1
        }

        @inline(__always)
        private func isFollowed(_ step: UnsafeMutablePointer<Step>, _ end: Int) -> Bool {
            var base = unsafe payload
            if unsafe end > count &- LayoutTree.window {
                guard unsafe end <= count else { return false }
                unsafe copyTail()
                unsafe base = tail
            }
            var next = unsafe step.pointee.child
            while next >= 0 {
                let step = unsafe self.step(next)
                if unsafe step.pointee.literal.stands(at: base + end) { return true }
                unsafe next = step.pointee.sibling
            }
            return false
        }

        /// Reads a time that is a plain integer of 19 digits at most, and says how wide it is; or 0.
        @inline(__always)
        private func readTime(
            _ start: UnsafeRawPointer, _ position: Int, _ found: inout Found
        ) -> Int {
            var (value, width) = unsafe NumberForm.long(start)
            if width == 0 {
                while width <= 19 {
                    let word = unsafe (start + width).loadUnaligned(as: UInt64.self)
                    let digits = Digits.leading(word)
                    guard digits > 0 else { break }
                    value = value &* Digits.power(digits) &+ Digits.joined(word, digits)
                    width &+= digits
                    guard digits == 8 else { break }
                }
                let first = unsafe start.load(as: UInt8.self)
                guard width > 0, width <= 19, first != 0x30 || width == 1 else { return 0 }
            }
            let behind = unsafe (start + width).load(as: UInt8.self)
            guard behind != 0x2E, behind | 0x20 != 0x65 else { return 0 }
            found.time = position..<position &+ width
            found.timeInteger = Int64(exactly: value) ?? -1
            found.timeValue = Double(value)
            found.isTimeWhole = true
            return width
        }
    }
}

extension LayoutTree {
    /// A place of the tree, and what stands there of a message that is being learned.
    package struct Cut: Sendable {
        package var slot: Slot
        package var range: Range<Int>
        package var target: Target?

        package init(slot: Slot, range: Range<Int>, target: Target? = nil) {
            self.slot = slot
            self.range = range
            self.target = target
        }
    }

    /// What came of learning a message.
    package enum Learned: Equatable, Sendable {
        /// The tree is too wide at one place; nothing that can be used was added.
        case tooWide
        /// The path was there, with labels of other lengths.
        case known
        /// `isDirect` says whether its numbers have the targets that were asked for: a step that is
        /// shared with a path learned before keeps the one it has.
        case new(isDirect: Bool)
    }

    /// Adds the path of a message; `cuts` stand in the order of its bytes.
    package mutating func learn(
        _ payload: Span<UInt8>, _ cuts: [Cut], rows: Int, shape: Int
    ) -> Learned {
        var parent = -1
        var position = 0
        var isDirect = true
        for cut in cuts {
            guard let step = follow(parent, payload, position..<cut.range.lowerBound, cut.slot)
            else { return .tooWide }
            let place = step
            if cut.slot == .labels {
                let length = Int32(clamping: cut.range.count)
                steps[place].shortest = min(steps[place].shortest, length)
                steps[place].longest = max(steps[place].longest, length)
                steps[place].last = length
            }
            if let target = cut.target { isDirect = aim(place, target) && isDirect }
            parent = step
            position = cut.range.upperBound
        }
        guard let end = follow(parent, payload, position..<payload.count, .end) else {
            return .tooWide
        }
        guard steps[end].shortest == .max else { return .known }
        steps[end].shortest = Int32(clamping: shape)
        rowCount = min(max(rowCount, rows), Self.rowsMax)
        return .new(isDirect: isDirect)
    }

    /// Gives a step its target, and says whether it has that one.
    private mutating func aim(_ place: Int, _ wanted: Target) -> Bool {
        var target = wanted
        target.lane = min(max(wanted.lane, 0), Self.noLane)
        if !steps[place].isAimed {
            steps[place].isAimed = true
            steps[place].lane = target.lane
            steps[place].scale = target.scale
            steps[place].low = target.low
            steps[place].high = target.high
        }
        return target
            == Target(
                lane: steps[place].lane, scale: steps[place].scale, low: steps[place].low,
                high: steps[place].high)
    }

    /// The step with this literal and slot below `parent`, made now where it is missing.
    ///
    /// - Returns: nil where too many stand there already.
    private mutating func follow(
        _ parent: Int, _ payload: Span<UInt8>, _ literal: Range<Int>, _ slot: Slot
    ) -> Int? {
        guard literal.count > Literal.lengthMax else {
            return follow(parent, Literal(payload, literal), slot)
        }
        let middle = literal.lowerBound + Literal.lengthMax
        let head = Literal(payload, literal.lowerBound..<middle)
        guard let more = follow(parent, head, .more) else { return nil }
        return follow(more, payload, middle..<literal.upperBound, slot)
    }

    private mutating func follow(_ parent: Int, _ literal: Literal, _ slot: Slot) -> Int? {
        var next = parent < 0 ? first : steps[parent].child
        var last = -1
        var count = 0
        while next >= 0 {
            last = next / Step.size
            if steps[last].slot == slot, steps[last].literal == literal { return last }
            next = steps[last].sibling
            count += 1
        }
        guard count < Self.siblingsMax else { return nil }
        let made = steps.count
        var step = Step(slot: slot, literal: literal)
        step.reach = Int32(clamping: literal.length)
        if parent >= 0 {
            let before = steps[parent]
            step.ordinal = before.ordinal + (before.slot == .value ? 1 : 0)
            step.reach = Int32(clamping: Int(before.reach) + literal.length)
        }
        steps.append(step)
        literalCount += literal.length
        while room.count <= Self.numbersPlace + Int(step.ordinal) { room.append(0) }
        if last >= 0 {
            steps[last].sibling = made * Step.size
        } else if parent >= 0 {
            steps[parent].child = made * Step.size
        } else {
            first = made * Step.size
        }
        return made
    }
}
