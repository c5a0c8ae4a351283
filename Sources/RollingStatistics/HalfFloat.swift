/// Numbers in half precision, by integer arithmetic: the same bits on every processor, also on those
/// without an instruction for it.
enum HalfFloat {
    static let greatest: Float = 65_504

    /// The nearest that there is, ties to even; beyond the greatest it is the greatest.
    ///
    /// What is no number becomes zero.
    @inline(__always)
    static func bits(_ value: Float) -> UInt16 {
        guard value == value else { return 0 }
        let magnitude = min(abs(value), greatest)
        // 2⁻¹¹² moves the exponent to where that of half precision lies; what is too small for it
        // becomes subnormal in both.
        var bits = (magnitude * 0x1p-112).bitPattern
        bits &+= 0xFFF &+ ((bits >> 13) & 1)
        return UInt16(truncatingIfNeeded: bits >> 13) | (value.sign == .minus ? 0x8000 : 0)
    }

    @inline(__always)
    static func float(_ bits: UInt16) -> Float {
        let magnitude = Float(bitPattern: UInt32(bits & 0x7FFF) << 13) * 0x1p112
        return bits & 0x8000 == 0 ? magnitude : -magnitude
    }
}
