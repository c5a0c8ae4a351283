import Bytes

/// Decimal numbers as JSON writes them, read to the nearest Double.
enum Number {
    /// A literal longer than this is nobody's measurement.
    static let bytesMax = 512

    struct Parsed {
        var value: Double
        /// One past the last byte of the literal.
        var end: Int
        /// Whether the literal is a plain run of digits with at most a sign.
        var isInteger: Bool
    }

    /// Reads the JSON number that starts at `start`.
    ///
    /// The result is the same as `Double(String)` gives; a literal beyond the range of Double reads
    /// as infinity, which callers refuse as a value.
    ///
    /// - Returns: nil where no JSON number starts.
    @inline(__always)
    static func parse(_ bytes: Span<UInt8>, at start: Int) -> Parsed? {
        var position = start
        let count = bytes.count
        guard position < count else { return nil }
        let isNegative = bytes[position] == Byte.minus
        if isNegative { position &+= 1 }
        let word = bytes.word(at: position)
        if let short = short(word) {
            return Parsed(
                value: isNegative ? -short.value : short.value, end: position &+ short.end,
                isInteger: short.isInteger)
        }
        if let long = long(bytes, at: position, word) {
            return Parsed(
                value: isNegative ? -long.value : long.value, end: long.end, isInteger: true)
        }
        return general(bytes, at: start, from: position, isNegative: isNegative)
    }

    /// Everything that a word or two do not hold.
    @inline(never)
    private static func general(
        _ bytes: Span<UInt8>, at start: Int, from first: Int, isNegative: Bool
    ) -> Parsed? {
        var position = first
        let count = bytes.count
        var mantissa: UInt64 = 0
        let whole = position
        digits(bytes, &position, &mantissa)
        let wholeDigits = position &- whole
        guard wholeDigits > 0 else { return nil }
        // JSON has no leading zeros: 007 is no number, 0.07 is.
        if wholeDigits > 1, bytes[whole] == Byte.zero { return nil }

        var exponent = 0
        var digitCount = wholeDigits
        var isInteger = true
        if position < count, bytes[position] == Byte.dot {
            position &+= 1
            let fraction = position
            digits(bytes, &position, &mantissa)
            exponent = fraction &- position
            guard exponent < 0 else { return nil }
            digitCount &-= exponent
            isInteger = false
        }
        if position < count, bytes[position] | 0x20 == 0x65 {
            guard let written = readExponent(bytes, &position) else { return nil }
            exponent &+= written
            isInteger = false
        }
        guard position &- start <= bytesMax else { return nil }

        // 19 digits always fit in 64 bits; leading zeros of a fraction are counted and do no harm.
        let value: Double
        if digitCount <= 19, let exact = scale(mantissa, exponent) {
            value = isNegative ? -exact : exact
        } else {
            guard let slow = slowly(bytes, start..<position) else { return nil }
            value = slow
        }
        return Parsed(value: value, end: position, isInteger: isInteger)
    }

    /// A number that ends within one word, as most do: one load and no loop.
    ///
    /// - Returns: nil for every other number, and for what is none.
    @inline(__always)
    private static func short(_ word: UInt64) -> Parsed? {
        let others = Digits.others(word)
        let whole = others.trailingZeroBitCount &>> 3
        guard whole < 8, whole == 1 || (whole > 1 && word & 0xFF != 0x30) else { return nil }
        let dot = UInt64(whole &* 8)
        guard (word &>> dot) & 0xFF == 0x2E else {
            guard (word &>> dot | 0x20) & 0xFF != 0x65 else { return nil }
            return Parsed(
                value: Double(Digits.joined(word, whole)), end: whole, isInteger: true)
        }
        // Twice, because a shift by 64 bits would be none.
        let rest = (word &>> dot) &>> 8
        let behind = (others &>> dot) &>> 8
        guard behind != 0 else { return nil }
        let digits = behind.trailingZeroBitCount &>> 3
        let last = UInt64(digits &* 8)
        guard digits > 0, (rest &>> last | 0x20) & 0xFF != 0x65 else { return nil }
        let joined = word & ((1 &<< dot) &- 1) | rest &<< dot
        return Parsed(
            value: Double(Digits.joined(joined, whole &+ digits)) / Double(Digits.power(digits)),
            end: whole &+ digits &+ 1, isInteger: false)
    }

    /// An integer of 8 to 15 digits, bytes of memory, bytes per second, milliseconds; `word` are its
    /// first eight.
    ///
    /// How many digits there are is hard to predict; here nothing depends on it but one load.
    ///
    /// - Returns: nil for every other number, and for what is none or stands at the very end.
    @inline(__always)
    static func long(_ bytes: Span<UInt8>, at start: Int, _ word: UInt64) -> Parsed? {
        guard bytes.has(16, at: start) else { return nil }
        let next = bytes.wholeWord(at: start &+ 8)
        let others = Digits.others(next)
        guard Digits.others(word) == 0, word & 0xFF != 0x30, others != 0 else { return nil }
        let bits = UInt64(truncatingIfNeeded: others.trailingZeroBitCount & 0x38)
        let behind = (next &>> bits) & 0xFF
        guard behind != 0x2E, behind | 0x20 != 0x65 else { return nil }
        let digits = Int(truncatingIfNeeded: bits &>> 3)
        // Those before the last eight; shifted in two steps, because a shift by 64 bits is none.
        let first = ((word ^ 0x3030_3030_3030_3030) &<< (56 &- bits)) &<< 8
        let last = bytes.wholeWord(at: start &+ digits) ^ 0x3030_3030_3030_3030
        let value = Digits.joined(first) &* 100_000_000 &+ Digits.joined(last)
        return Parsed(
            value: Double(Int64(truncatingIfNeeded: value)), end: start &+ 8 &+ digits,
            isInteger: true)
    }

    /// Takes a run of digits, eight at a time; wraps around beyond 19, which the caller notices.
    @inline(__always)
    static func digits(_ bytes: Span<UInt8>, _ position: inout Int, _ value: inout UInt64) {
        while true {
            let word = bytes.word(at: position)
            let count = Digits.leading(word)
            guard count > 0 else { return }
            value = value &* Digits.power(count) &+ Digits.joined(word, count)
            position &+= count
            guard count == 8 else { return }
        }
    }

    private static func readExponent(_ bytes: Span<UInt8>, _ position: inout Int) -> Int? {
        position += 1
        guard position < bytes.count else { return nil }
        let isNegative = bytes[position] == Byte.minus
        if isNegative || bytes[position] == Byte.plus { position += 1 }
        let first = position
        var value = 0
        while position < bytes.count, Byte.isDigit(bytes[position]) {
            // Beyond 99 999 every literal is zero or infinity already.
            value = min(value * 10 + Int(bytes[position] &- Byte.zero), 99_999)
            position += 1
        }
        guard position > first else { return nil }
        return isNegative ? -value : value
    }

    /// `mantissa · 10^exponent`, correctly rounded, or nil where that needs more than 64 bits.
    @inline(__always)
    private static func scale(_ mantissa: UInt64, _ exponent: Int) -> Double? {
        if exponent == 0 { return Double(mantissa) }
        guard exponent < 0, exponent >= -19 else {
            return mantissa == 0 ? 0 : (exponent > 0 ? raise(mantissa, exponent) : nil)
        }
        // Both sides are exact in a Double, so one division rounds once (Clinger).
        if mantissa <= 1 &<< 53 {
            return Double(mantissa) / exactPower(-exponent)
        }
        return divide(mantissa, integerPower(-exponent))
    }

    private static func raise(_ mantissa: UInt64, _ exponent: Int) -> Double? {
        guard exponent <= 22, mantissa <= 1 &<< 53 else { return nil }
        return Double(mantissa) * exactPower(exponent)
    }

    /// Powers up to 10^22 are exact in a Double.
    @inline(__always)
    private static func exactPower(_ exponent: Int) -> Double {
        exponent < 16
            ? Double(integerPower(exponent)) : 1e16 * Double(integerPower(exponent &- 16))
    }

    @inline(__always)
    private static func integerPower(_ exponent: Int) -> UInt64 {
        exponent < 16 ? Digits.power(exponent) : Digits.power(15) &* Digits.power(exponent &- 15)
    }

    /// `mantissa / divisor` by a 128-bit division whose remainder decides the rounding.
    ///
    /// The quotient has at least 62 bits; a remainder sets its lowest bit, far below the 53 that
    /// stay, so the conversion to Double rounds the true value and not the truncated one.
    private static func divide(_ mantissa: UInt64, _ divisor: UInt64) -> Double {
        let up = mantissa.leadingZeroBitCount
        let down = divisor.leadingZeroBitCount
        let aligned = mantissa &<< UInt64(up)
        let (quotient, remainder) = (divisor &<< UInt64(down)).dividingFullWidth(
            (aligned &>> 1, aligned &<< 63))
        let sticky = remainder == 0 ? quotient : quotient | 1
        let shift = down - up - 63
        return Double(sticky) * Double(bitPattern: UInt64(1_023 + shift) &<< 52)
    }

    /// The standard library's own conversion, for what 64 bits do not hold.
    @inline(never)
    private static func slowly(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Double? {
        guard range.count <= bytesMax, let text = bytes.text(range) else { return nil }
        return Double(text)
    }
}

extension Number {
    /// How one number was written: so many digits, a dot after so many, and what stood behind.
    ///
    /// A producer writes one metric in nearly the same way each time. A number that fits needs no
    /// search for its end, and the processor need not wait for it to go on behind: that wait is what
    /// reading a message costs most.
    struct Form: Sendable {
        /// Bytes of the number, at most 7; at 0 nothing fits, see `close`.
        private(set) var width: Int32 = 0
        /// Rises with each number that does not fit; numbers of many forms are not worth a guess.
        private var misses: Int32 = 0
        /// Moves the number's last byte to the highest.
        private var shift: UInt64 = 0
        /// The dot and the byte behind the number, and what they are.
        private var fixed: UInt64 = 0
        private var marks: UInt64 = 1
        /// The digits before the dot and after it, when the number has been moved up.
        private var whole: UInt64 = 0
        private var fraction: UInt64 = 0
        /// `0` in the place of each digit.
        private var zeros: UInt64 = 0
        /// The first digit where it must not be zero, because others follow before the dot.
        private var first: UInt64 = 0
        private var leastFirst: UInt64 = 0
        private var divisor = 1.0

        /// The value of the number that `word` begins with, or nil where it does not fit.
        @inline(__always)
        func value(_ word: UInt64) -> Double? {
            let number = word &<< shift
            let digits = ((number & whole) &<< 8 | number & fraction) ^ zeros
            let strange = (digits &+ 0x7676_7676_7676_7676 | digits) & 0x8080_8080_8080_8080
            guard strange | ((word & fixed) ^ marks) == 0, digits & first >= leastFirst else {
                return nil
            }
            return Double(Int64(truncatingIfNeeded: Digits.joined(digits))) / divisor
        }

        /// Whether it is still worth a try.
        @inline(__always)
        var isOpen: Bool { misses < Self.missesMax }

        // At one miss in three and more a guess costs more than it saves.
        private static let missesMax: Int32 = 60

        /// Notes a number that fitted.
        @inline(__always)
        mutating func hit() { if misses > 0 { misses &-= 1 } }

        /// The same for all that fitted since the last miss, at once.
        @inline(__always)
        mutating func hit(_ count: Int32) { misses = max(0, misses &- max(0, count)) }

        /// Takes on a form that nothing has: no bits of a word are ever 1 where none are asked for.
        private mutating func close() {
            width = 0
            fixed = 0
            marks = 1
        }

        /// Takes on the form of the number of `width` bytes that `word` begins with.
        @inline(never)
        mutating func learn(_ word: UInt64, width length: Int, isInteger: Bool) {
            misses &+= 3
            guard isOpen, (1...7).contains(length), word & 0xFF != 0x2D else { return close() }
            var dot = length
            if !isInteger {
                dot = bytesEqual(word, Byte.dot).trailingZeroBitCount &>> 3
                // An exponent is read the long way.
                let others = Digits.others(word ^ (0x1E &<< UInt64(min(dot, 7) * 8)))
                guard dot > 0, dot < length - 1, others.trailingZeroBitCount &>> 3 == length
                else { return close() }
            }
            let places = UInt64(8 - length)
            shift = places * 8
            let digits = UInt64.max &<< shift
            let behind: UInt64 = 0xFF &<< UInt64(length * 8)
            if isInteger {
                (whole, fraction) = (0, digits)
                fixed = behind
                zeros = digits & 0x3030_3030_3030_3030
            } else {
                let upToDot = digits &<< UInt64(dot * 8)
                whole = digits & ~upToDot
                fraction = upToDot &<< 8
                fixed = behind | (0xFF as UInt64) &<< UInt64(dot * 8)
                zeros = (digits &<< 8) & 0x3030_3030_3030_3030
            }
            marks = word & fixed
            let lead = isInteger ? shift : shift + 8
            first = dot > 1 ? 0x0F &<< lead : 0
            leastFirst = dot > 1 ? 1 &<< lead : 0
            divisor = isInteger ? 1 : Double(Digits.power(length - 1 - dot))
            width = Int32(length)
        }
    }
}
