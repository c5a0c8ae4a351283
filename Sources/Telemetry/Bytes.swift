/// Safe reading of a payload, eight bytes at a time where that is faster.
extension Span<UInt8> {
    /// Eight bytes from `offset`, the first one lowest; bytes past the end read as zero.
    ///
    /// The two `extracting` calls leave the optimiser one comparison and one load: as fast as an
    /// unaligned load through a pointer, and it cannot read outside.
    @inline(__always)
    func word(at offset: Int) -> UInt64 {
        let window = extracting(droppingFirst: offset).extracting(first: 8)
        guard window.count == 8 else { return shortWord(window) }
        let low =
            UInt64(window[0]) | UInt64(window[1]) << 8 | UInt64(window[2]) << 16
            | UInt64(window[3]) << 24
        let high =
            UInt64(window[4]) << 32 | UInt64(window[5]) << 40 | UInt64(window[6]) << 48
            | UInt64(window[7]) << 56
        return low | high
    }

    @inline(never)
    private func shortWord(_ window: Span<UInt8>) -> UInt64 {
        var word: UInt64 = 0
        for index in window.indices { word |= UInt64(window[index]) << UInt64(index * 8) }
        return word
    }

    /// Mixes `range` into `seed`.
    ///
    /// Not a cryptographic hash: whoever looks something up by it compares the bytes as well.
    @inline(__always)
    func hash(_ range: Range<Int>, seed: UInt64) -> UInt64 {
        var first = seed ^ UInt64(truncatingIfNeeded: range.count)
        var second = seed &+ 0x9E37_79B9_7F4A_7C15
        var offset = range.lowerBound
        while offset &+ 16 <= range.upperBound {
            first = (first ^ word(at: offset)) &* 0xBF58_476D_1CE4_E5B9
            second = (second ^ word(at: offset &+ 8)) &* 0x94D0_49BB_1331_11EB
            first ^= first >> 29
            second ^= second >> 31
            offset &+= 16
        }
        if offset &+ 8 <= range.upperBound {
            first = (first ^ word(at: offset)) &* 0xBF58_476D_1CE4_E5B9
            first ^= first >> 29
            offset &+= 8
        }
        let rest = range.upperBound &- offset
        if rest > 0 {
            let tail = word(at: offset) & (~0 >> UInt64(64 &- rest &* 8))
            second = (second ^ tail) &* 0x94D0_49BB_1331_11EB
            second ^= second >> 31
        }
        let mixed = (first ^ (second << 1 | second >> 63)) &* 0x9E37_79B9_7F4A_7C15
        return mixed ^ (mixed >> 32)
    }

    /// Whether `range` holds the same bytes as `other` from `offset`.
    @inline(__always)
    func equals(_ range: Range<Int>, _ other: Span<UInt8>, at offset: Int) -> Bool {
        guard offset &+ range.count <= other.count else { return false }
        var here = range.lowerBound
        var there = offset
        while here &+ 8 <= range.upperBound {
            guard word(at: here) == other.word(at: there) else { return false }
            here &+= 8
            there &+= 8
        }
        let rest = range.upperBound &- here
        guard rest > 0 else { return true }
        return (word(at: here) ^ other.word(at: there)) << UInt64(64 &- rest &* 8) == 0
    }

    /// Whether `range` spells `text`, which is at most 16 ASCII bytes.
    @inline(__always)
    func spells(_ range: Range<Int>, _ text: Spelling) -> Bool {
        guard range.count == text.count else { return false }
        let rest = UInt64(range.count)
        guard rest > 8 else {
            return word(at: range.lowerBound) & (~0 >> (64 &- rest &* 8)) == text.low
        }
        return word(at: range.lowerBound) == text.low
            && word(at: range.lowerBound &+ 8) & (~0 >> (128 &- rest &* 8)) == text.high
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
