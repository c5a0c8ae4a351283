/// How one number was written: so many digits, a dot after so many, and what stood behind.
///
/// A producer writes one metric in nearly the same way each time. A number that fits needs no search
/// for its end, and the processor need not wait for it to go on behind: that wait is what reading a
/// message costs most.
struct NumberForm: Sendable {
    /// Of the eight bytes before the end, those that belong to the number.
    private var mask: UInt64 = 0
    /// `0` in the place of each digit, and the dot; what matches nothing where there is no form.
    private var pattern = Self.nothing
    /// Lifts what is no digit, or not the dot, to the highest bit.
    private var lift: UInt64 = 0
    /// One at the first digit where it must not be zero, because others follow before the dot.
    private var first: UInt64 = 0
    /// The digits before the dot.
    private var whole: UInt64 = 0
    private var divisor = 1.0
    /// Bytes of the number; at most eight, and eight where there is no form.
    private(set) var width = 8
    /// Rises with each number that does not fit; numbers of many forms are not worth a guess.
    private var misses: Int32 = 0
    /// The message in which it rose last.
    private var missed: UInt32 = 0
    /// What stood behind it.
    private(set) var behind: UInt8 = 0
    private(set) var kind = Kind.unknown
    /// Whether `kind` is `fixed`: one look where it is nearly always.
    private(set) var isFixed = false

    enum Kind: UInt8, Sendable {
        case unknown, fixed
        /// Integers of any width: of up to seven digits, of eight to fifteen.
        case short, long
        /// Anything else.
        case other
    }

    private static let nothing: UInt64 = 0x8080_8080_8080_8080

    struct Reading {
        var value: Double
        /// 0 where there is no number, or one that must be read elsewhere.
        var width: Int

        static let none = Reading(value: 0, width: 0)
    }

    /// The value of the number that ends at `end`, or nil where it does not fit.
    ///
    /// Before `end` eight bytes must be there to read, and one behind it.
    @inline(__always)
    func value(upTo end: UnsafeRawPointer) -> Double? {
        let digits = unsafe ((end - 8).loadUnaligned(as: UInt64.self) & mask) ^ pattern
        let strange = (digits &+ lift) | digits | (digits &- first)
        guard strange & 0x8080_8080_8080_8080 == 0,
            unsafe end.load(as: UInt8.self) == behind
        else { return nil }
        let before = digits & whole
        // The digits before the dot move up by one, to where it stood.
        let number = Digits.joined(digits &+ before &* 255)
        return Double(Int64(truncatingIfNeeded: number)) / divisor
    }

    /// An integer of up to seven digits, whatever its width.
    @inline(__always)
    func short(_ place: UnsafeRawPointer) -> Reading {
        let word = unsafe place.loadUnaligned(as: UInt64.self)
        let bits = UInt64(truncatingIfNeeded: Digits.others(word).trailingZeroBitCount) & 0x78
        guard bits != 0, bits < 64, (word &>> bits) & 0xFF == UInt64(behind),
            word & 0xFF != 0x30 || bits == 8
        else { return .none }
        let number = Digits.joined((word ^ 0x3030_3030_3030_3030) &<< (64 &- bits))
        return Reading(
            value: Double(Int64(truncatingIfNeeded: number)),
            width: Int(truncatingIfNeeded: bits &>> 3))
    }

    /// An integer of eight to fifteen digits, whatever its width.
    @inline(__always)
    static func long(_ place: UnsafeRawPointer) -> (value: UInt64, width: Int) {
        let word = unsafe place.loadUnaligned(as: UInt64.self)
        let next = unsafe (place + 8).loadUnaligned(as: UInt64.self)
        let others = Digits.others(next)
        guard Digits.others(word) == 0, others != 0, word & 0xFF != 0x30 else { return (0, 0) }
        let bits = UInt64(truncatingIfNeeded: others.trailingZeroBitCount) & 0x78
        let more = Int(truncatingIfNeeded: bits &>> 3)
        // The last eight digits, and those before them; in two steps, for there may be none.
        let last = unsafe (place + more).loadUnaligned(as: UInt64.self)
        let head = ((word ^ 0x3030_3030_3030_3030) &<< (56 &- bits)) &<< 8
        let value =
            Digits.joined(head) &* 100_000_000 &+ Digits.joined(last ^ 0x3030_3030_3030_3030)
        return (value, more &+ 8)
    }

    // At one miss in four and more a guess costs more than it saves.
    private static let missesMax: Int32 = 60

    /// Notes a number that did not fit; the second in a short time gives the form.
    ///
    /// `clock` counts messages: each that went by without a miss takes one off.
    @inline(never)
    mutating func miss(_ place: UnsafeRawPointer, _ read: Reading, reach: Int32, clock: UInt32) {
        misses = max(misses &- Int32(clamping: clock &- missed), 0) &+ 3
        missed = clock
        // Whatever reads the number, what stands behind it ends it.
        unsafe behind = (place + read.width).load(as: UInt8.self)
        let isInteger = unsafe Self.isInteger(place, read.width)
        if misses >= Self.missesMax {
            misses = 0
            let wasShort = kind == .short || kind == .fixed && isInteger && read.width < 8
            become(wasShort && kind == .fixed ? .short : .other)
        } else if isInteger, (8...15).contains(read.width) {
            become(.long)
        } else if kind != .fixed && kind != .short || misses > 4 && kind == .fixed {
            unsafe take(place, read.width, reach)
        }
    }

    private mutating func become(_ other: Kind) {
        kind = other
        isFixed = other == .fixed
        width = 8
        mask = 0
        pattern = Self.nothing
        lift = 0
        first = 0
    }

    private static func isInteger(_ place: UnsafeRawPointer, _ count: Int) -> Bool {
        for index in 0..<count where unsafe (place + index).load(as: UInt8.self) &- 0x30 > 9 {
            return false
        }
        return true
    }

    /// Takes on the form of the number of `count` bytes at `place`.
    private mutating func take(_ place: UnsafeRawPointer, _ count: Int, _ reach: Int32) {
        var dot = count
        for index in 0..<count {
            let byte = unsafe (place + index).load(as: UInt8.self)
            if byte == 0x2E { dot = index }
            // A sign is read the long way.
            if byte == 0x2D { return become(.unknown) }
        }
        guard count <= 8, reach >= 8 else { return become(.unknown) }
        become(.fixed)
        pattern = 0
        whole = 0
        for index in 0..<count {
            // The last byte of the number is the highest of the word.
            let shift = UInt64(truncatingIfNeeded: (8 &- count &+ index) &* 8)
            mask |= 0xFF &<< shift
            if index == dot {
                pattern |= 0x2E &<< shift
                lift |= 0x7F &<< shift
            } else {
                pattern |= 0x30 &<< shift
                lift |= 0x76 &<< shift
                if index == 0, dot > 1 { first |= 1 &<< shift }
                if index < dot, dot < count { whole |= 0xFF &<< shift }
            }
        }
        width = count
        divisor = dot == count ? 1 : Double(Digits.power(count &- 1 &- dot))
    }
}

extension NumberForm {
    /// Reads any number of up to fifteen digits without an exponent.
    ///
    /// Behind `place` forty bytes must be there to read. The value is the nearest Double: both sides
    /// of the division are exact, so that it rounds once.
    @inline(never)
    static func read(_ place: UnsafeRawPointer) -> Reading {
        let isNegative = unsafe place.load(as: UInt8.self) == 0x2D
        let start = unsafe place + (isNegative ? 1 : 0)
        let word = unsafe start.loadUnaligned(as: UInt64.self)
        var whole = Digits.leading(word)
        guard whole > 0, whole == 1 || word & 0xFF != 0x30 else { return .none }
        var mantissa = Digits.joined(word, whole)
        if whole == 8 {
            let next = unsafe (start + 8).loadUnaligned(as: UInt64.self)
            let more = Digits.leading(next)
            guard more < 8 else { return .none }
            mantissa = mantissa &* Digits.power(more) &+ (more == 0 ? 0 : Digits.joined(next, more))
            whole &+= more
        }
        var width = whole
        var behind = unsafe (start + whole).load(as: UInt8.self)
        var value: Double
        if behind == 0x2E {
            let part = unsafe (start + (whole &+ 1)).loadUnaligned(as: UInt64.self)
            let digits = Digits.leading(part)
            guard digits > 0 else { return .none }
            mantissa = mantissa &* Digits.power(digits) &+ Digits.joined(part, digits)
            var fraction = digits
            if digits == 8 {
                let next = unsafe (start + (whole &+ 9)).loadUnaligned(as: UInt64.self)
                let more = Digits.leading(next)
                guard more < 8 else { return .none }
                if more > 0 {
                    mantissa = mantissa &* Digits.power(more) &+ Digits.joined(next, more)
                }
                fraction &+= more
            }
            guard whole &+ fraction <= 15 else { return .none }
            width = whole &+ 1 &+ fraction
            unsafe behind = (start + width).load(as: UInt8.self)
            value =
                Double(Int64(truncatingIfNeeded: mantissa))
                / Double(Int64(truncatingIfNeeded: Digits.power(fraction)))
        } else {
            value = Double(Int64(truncatingIfNeeded: mantissa))
        }
        guard behind | 0x20 != 0x65 else { return .none }
        if isNegative {
            value = -value
            width &+= 1
        }
        return Reading(value: value, width: width)
    }
}
