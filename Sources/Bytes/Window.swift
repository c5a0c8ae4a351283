import CLanes

/// 32 bytes as they are expected: a literal, and often a number in the form that it had before.
///
/// A producer writes one metric in nearly the same way each time. A number that fits needs no search
/// for its end, and the processor need not wait for it to go on behind: that wait is what reading a
/// message costs most. Text fits if no byte is less than the least, and none above it by more than it
/// may be.
struct Window: BitwiseCopyable, Sendable {
    enum Kind: UInt8, BitwiseCopyable, Sendable {
        /// Only the literal.
        case literal
        /// The literal and a number of so many digits.
        case number
        /// The literal, and behind it a number of any form.
        case open
        /// The literal and a time: as a number, or the digits in which a longer one differs from the
        /// one before; what all of its other digits are worth stands in place of the divisor.
        case time
    }

    // The order of these is what `lanes_fits` and `lanes_digits` ask for.
    private(set) var least = (SIMD16<UInt8>(), SIMD16<UInt8>())
    private var above = (SIMD16<UInt8>(repeating: 255), SIMD16<UInt8>(repeating: 255))
    /// Of the sixteen bytes before the number's end: its digits behind the dot, or all of them where
    /// it has none; and those before the dot.
    private var fraction = SIMD16<UInt8>()
    private var whole = SIMD16<UInt8>()
    private(set) var divisor = 1.0
    /// Bytes of the literal and of the number that is expected.
    private(set) var advance: Int32 = 0
    private(set) var kind = Kind.literal

    /// A number behind it finds room in most windows.
    static var literalMax: Int { 24 }
    /// Where the masks of the digits stand.
    static var masks: Int { 64 }

    init() {}

    init(literal: Span<UInt8>) {
        for index in literal.indices { set(index, literal[index], 0) }
        advance = Int32(literal.count)
    }

    private mutating func set(_ index: Int, _ byte: UInt8, _ more: UInt8) {
        if index < 16 {
            least.0[index] = byte
            above.0[index] = more
        } else {
            least.1[index - 16] = byte
            above.1[index - 16] = more
        }
    }

    /// Whether the first `length` bytes of `text` are those of the literal.
    @inline(__always)
    func holdsLiteral(_ text: UnsafeRawPointer, _ length: Int) -> Bool {
        let others = unsafe withUnsafeBytes(of: least) { least in
            unsafe least.baseAddress.map { unsafe ~lanes_same(text, $0) } ?? ~0
        }
        return length == 0 || others &<< UInt32(truncatingIfNeeded: 32 &- length) == 0
    }

    func isLiteral(_ literal: Span<UInt8>, _ length: UInt8) -> Bool {
        guard literal.count == Int(length) else { return false }
        return literal.indices.allSatisfy {
            literal[$0] == ($0 < 16 ? least.0[$0] : least.1[$0 - 16])
        }
    }

    /// Expects a number of any form behind the literal of `length` bytes.
    mutating func expectAny(literal length: Int) {
        var index = length
        while index < 32 {
            set(index, 0, 255)
            index += 1
        }
        advance = Int32(length)
        kind = .open
    }

    /// Expects a number like that of the first `width` bytes of `text`, and what stands behind it.
    mutating func expect(_ text: Span<UInt8>, _ width: Int, literal length: Int) {
        expectAny(literal: length)
        guard width < 16, length + width < 32, width < text.count else { return }
        let dot = min(text.first(0x2E, from: 0), width)
        fraction = SIMD16()
        whole = SIMD16()
        var index = 0
        while index < width {
            if index == dot {
                set(length + dot, 0x2E, 0)
            } else {
                // Of several digits before the dot the first is none.
                let isFirst = index == 0 && dot > 1
                set(length + index, isFirst ? 0x31 : 0x30, isFirst ? 8 : 9)
                if index < dot, dot < width {
                    whole[16 - width + index] = 0x0F
                } else {
                    fraction[16 - width + index] = 0x0F
                }
            }
            index += 1
        }
        // Else 0.5 would be seen where 0.5e3 stands.
        set(length + width, text[width], 0)
        divisor = dot < width ? Double(Digits.power(width - dot - 1)) : 1
        advance = Int32(length + width)
        kind = .number
    }

    /// Expects a time like that of the first `width` bytes of `text`, which are digits.
    ///
    /// Fifteen digits are exact in a Double: those before are expected as they stand, which the
    /// nanoseconds' are for eleven days.
    mutating func expectTime(_ text: Span<UInt8>, _ width: Int, literal length: Int) {
        let given = max(width - 15, 0)
        guard width <= 19, length + width < 32, width < text.count, text[0] != 0x30 else { return }
        expect(text.extracting(droppingFirst: given), width - given, literal: length + given)
        var base = 0.0
        var index = 0
        while index < given {
            set(length + index, text[index], 0)
            base = base * 10 + Double(text[index] &- 0x30)
            index += 1
        }
        // The first of the others may be a zero.
        if given > 0 { set(length + given, 0x30, 9) }
        divisor = base * 1e15
        kind = .time
    }
}
