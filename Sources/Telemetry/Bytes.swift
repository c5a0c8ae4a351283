import Bytes

/// What the decoders ask of a payload beyond its words.
extension Span<UInt8> {
    @inline(__always)
    func hash(_ range: Range<Int>, seed: UInt64) -> UInt64 {
        hash(range.lowerBound, range.upperBound &- range.lowerBound, seed: seed)
    }

    /// Whether `range` holds the same bytes as `other` from `offset`.
    @inline(__always)
    func equals(_ range: Range<Int>, _ other: Span<UInt8>, at offset: Int) -> Bool {
        equals(range.lowerBound, range.upperBound &- range.lowerBound, other, at: offset)
    }

    /// Whether `range` spells `text`, which is at most 16 ASCII bytes.
    @inline(__always)
    func spells(_ range: Range<Int>, _ text: Spelling) -> Bool {
        guard range.count == text.count else { return false }
        let rest = UInt64(range.count)
        guard rest > 8 else {
            return word(at: range.lowerBound) & (UInt64.max &>> (64 &- rest &* 8)) == text.low
        }
        return word(at: range.lowerBound) == text.low
            && word(at: range.lowerBound &+ 8) & (UInt64.max &>> (128 &- rest &* 8)) == text.high
    }

    /// The text of `range`, or nil where it is not UTF-8.
    func text(_ range: Range<Int>) -> String? {
        guard let valid = try? UTF8Span(validating: extracting(range)) else { return nil }
        return String(copying: valid)
    }
}

/// Which bytes of a word have a property, as the high bit of each; the lowest is exact.
@inline(__always)
func zeroBytes(_ word: UInt64) -> UInt64 {
    (word &- 0x0101_0101_0101_0101) & ~word & 0x8080_8080_8080_8080
}

@inline(__always)
func bytesEqual(_ word: UInt64, _ byte: UInt8) -> UInt64 {
    zeroBytes(word ^ (0x0101_0101_0101_0101 &* UInt64(byte)))
}

/// The bytes below 0x20: control characters.
@inline(__always)
func bytesBelowSpace(_ word: UInt64) -> UInt64 {
    (word &- 0x2020_2020_2020_2020) & ~word & 0x8080_8080_8080_8080
}

/// The bytes that text formats are made of.
enum Byte {
    static let tab: UInt8 = 0x09
    static let newline: UInt8 = 0x0A
    static let carriageReturn: UInt8 = 0x0D
    static let space: UInt8 = 0x20
    static let quote: UInt8 = 0x22
    static let hash: UInt8 = 0x23
    static let plus: UInt8 = 0x2B
    static let comma: UInt8 = 0x2C
    static let minus: UInt8 = 0x2D
    static let dot: UInt8 = 0x2E
    static let slash: UInt8 = 0x2F
    static let zero: UInt8 = 0x30
    static let colon: UInt8 = 0x3A
    static let equals: UInt8 = 0x3D
    static let openBracket: UInt8 = 0x5B
    static let backslash: UInt8 = 0x5C
    static let closeBracket: UInt8 = 0x5D
    static let underscore: UInt8 = 0x5F
    static let openBrace: UInt8 = 0x7B
    static let closeBrace: UInt8 = 0x7D

    @inline(__always)
    static func isDigit(_ byte: UInt8) -> Bool { byte &- zero < 10 }

    @inline(__always)
    static func isLetter(_ byte: UInt8) -> Bool { (byte | 0x20) &- 0x61 < 26 }
}
