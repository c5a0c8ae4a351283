import Fleet

/// JSON appended to a buffer that is used again and again: no Foundation, no String per value.
extension [UInt8] {
    mutating func append(_ number: Int64) {
        guard number >= 0 else {
            append(UInt8(ascii: "-"))
            return append(digits: number.magnitude)
        }
        append(digits: UInt64(number))
    }

    /// `value` rounded to `decimals` places, without trailing zeros.
    ///
    /// - Precondition: the value is finite; JSON has no other numbers.
    mutating func append(_ value: Double, decimals: Int) {
        let scale = [UInt8].powerOfTen(decimals)
        let scaled = (value * Double(scale)).rounded()
        guard scaled.magnitude < 9e15 else {
            // Beyond exact integers: the shortest text that reads back as the same number.
            return append(contentsOf: "\(value)".utf8)
        }
        let whole = UInt64(scaled.magnitude)
        if scaled < 0 { append(UInt8(ascii: "-")) }
        guard decimals > 0 else { return append(digits: whole) }
        var fraction = whole % scale
        append(digits: whole / scale)
        guard fraction > 0 else { return }
        var places = decimals
        while fraction % 10 == 0 {
            fraction /= 10
            places -= 1
        }
        append(UInt8(ascii: "."))
        append(padded: fraction, width: places)
    }

    /// Exactly `width` digits.
    mutating func append(padded number: UInt64, width: Int) {
        append(contentsOf: repeatElement(UInt8(ascii: "0"), count: width))
        var (rest, place) = (number, count - 1)
        for _ in 0..<width {
            self[place] &+= UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
            place -= 1
        }
    }

    mutating func append(digits number: UInt64) {
        var (width, bound) = (1, UInt64(10))
        while width < 19, number >= bound {
            width += 1
            bound *= 10
        }
        // 20 digits only from 10^19 on.
        append(padded: number, width: number >= 10_000_000_000_000_000_000 ? 20 : width)
    }

    /// A JSON string with its quotes.
    mutating func append(quoted text: String) {
        append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                append(UInt8(ascii: "\\"))
                append(byte)
            case 0..<0x20:
                append(contentsOf: "\\u00".utf8)
                append([UInt8].hexadecimal[Int(byte >> 4)])
                append([UInt8].hexadecimal[Int(byte & 15)])
            default:
                append(byte)
            }
        }
        append(UInt8(ascii: "\""))
    }

    /// `2026-11-21T08:00:00.123Z`, with the quotes.
    mutating func append(quoted instant: Instant) {
        let day = instant.milliseconds.quotientRoundedDown(by: 86_400_000)
        let rest = UInt64(instant.milliseconds - day * 86_400_000)
        let date = CivilDate(daysSinceEpoch: Int(day))
        append(UInt8(ascii: "\""))
        append(padded: UInt64(Swift.max(0, date.year)), width: 4)
        append(UInt8(ascii: "-"))
        append(padded: UInt64(date.month), width: 2)
        append(UInt8(ascii: "-"))
        append(padded: UInt64(date.day), width: 2)
        append(UInt8(ascii: "T"))
        append(padded: rest / 3_600_000, width: 2)
        append(UInt8(ascii: ":"))
        append(padded: rest / 60_000 % 60, width: 2)
        append(UInt8(ascii: ":"))
        append(padded: rest / 1_000 % 60, width: 2)
        append(UInt8(ascii: "."))
        append(padded: rest % 1_000, width: 3)
        append(UInt8(ascii: "Z"))
        append(UInt8(ascii: "\""))
    }

    private static func powerOfTen(_ exponent: Int) -> UInt64 {
        var power: UInt64 = 1
        for _ in 0..<exponent { power *= 10 }
        return power
    }

    private static let hexadecimal = Array("0123456789abcdef".utf8)
}

extension Int64 {
    fileprivate func quotientRoundedDown(by divisor: Int64) -> Int64 {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? quotient - 1 : quotient
    }
}
