/// Decimal digits eight at a time, in the bytes of a word; the first digit is the lowest byte.
package typealias Digits = UInt64

// Of a type of the standard library, because functions of our own types are not inlined in another
// module, whatever they say.
extension Digits {
    /// The bytes that are no ASCII digits, as the high bit of each; the lowest is exact.
    @inlinable @inline(__always)
    package static func others(_ word: UInt64) -> UInt64 {
        let shifted = word ^ 0x3030_3030_3030_3030
        return (shifted &+ 0x7676_7676_7676_7676 | shifted) & 0x8080_8080_8080_8080
    }

    /// How many of the lowest bytes are ASCII digits.
    @inlinable @inline(__always)
    package static func leading(_ word: UInt64) -> Int {
        let others = others(word)
        return others == 0 ? 8 : others.trailingZeroBitCount &>> 3
    }

    /// The value of the first `count` digits of a word, 1 to 8.
    @inlinable @inline(__always)
    package static func joined(_ word: UInt64, _ count: Int) -> UInt64 {
        joined((word ^ 0x3030_3030_3030_3030) &<< UInt64(truncatingIfNeeded: 64 &- count &* 8))
    }

    /// The value of eight digits, 0 to 9 in each byte, by three multiplications.
    @inlinable @inline(__always)
    package static func joined(_ digits: UInt64) -> UInt64 {
        let pairs = digits &* 10 &+ (digits &>> 8)
        let mask: UInt64 = 0x0000_00FF_0000_00FF
        return
            ((pairs & mask) &* 0x000F_4240_0000_0064
            &+ ((pairs &>> 16) & mask) &* 0x0000_2710_0000_0001) &>> 32
    }

    /// `10^count` for 0 to 15, by selection.
    ///
    /// How many digits a number has is hard to predict, and a jump gone wrong costs more than three
    /// multiplications.
    @inlinable @inline(__always)
    package static func power(_ count: Int) -> UInt64 {
        let ones: UInt64 = count & 1 == 0 ? 1 : 10
        let twos: UInt64 = count & 2 == 0 ? 1 : 100
        let fours: UInt64 = count & 4 == 0 ? 1 : 10_000
        let eights: UInt64 = count & 8 == 0 ? 1 : 100_000_000
        return ones &* twos &* (fours &* eights)
    }
}
