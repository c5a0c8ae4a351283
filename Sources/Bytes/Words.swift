/// Payloads read eight bytes at a time.
///
/// The one place of the decoders that loads without the standard library's check of every byte: each
/// function here looks at its bounds once and answers whatever it is given. A load is an integer, so
/// any bytes are a valid value of it.
extension Span<UInt8> {
    /// Eight bytes from `offset`, the first one lowest; bytes outside read as zero.
    @inlinable @inline(__always)
    package func word(at offset: Int) -> UInt64 {
        has(8, at: offset) ? load(offset) : partialWord(at: offset)
    }

    /// Whether `length` bytes from `offset` lie inside; `length` is not negative.
    @inlinable @inline(__always)
    package func has(_ length: Int, at offset: Int) -> Bool {
        // Unsigned, so that one comparison does for both ends; the first is the same in a whole loop.
        count >= length
            && UInt(bitPattern: offset) <= UInt(bitPattern: count &- length)
    }

    /// Only after a check that eight bytes from `offset` lie inside.
    @inlinable @inline(__always)
    func load(_ offset: Int) -> UInt64 {
        unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt64.self)
    }

    /// A word of which a part lies outside: near the end, read from further ahead and shifted.
    @usableFromInline @inline(never)
    func partialWord(at offset: Int) -> UInt64 {
        if count >= 8, offset >= 0, offset < count {
            return load(count &- 8) &>> UInt64(truncatingIfNeeded: (offset &+ 8 &- count) &* 8)
        }
        var word: UInt64 = 0
        for index in 0..<8 where offset &+ index >= 0 && offset &+ index < count {
            word |= UInt64(self[offset &+ index]) &<< UInt64(index &* 8)
        }
        return word
    }

    /// Mixes the `length` bytes from `start` into `seed`: sixteen a multiplication, in two chains.
    ///
    /// Not a cryptographic hash: whoever looks something up by it compares the bytes as well.
    ///
    /// - Returns: the seed where they do not lie inside.
    @inlinable
    package func hash(_ start: Int, _ length: Int, seed: UInt64) -> UInt64 {
        guard length >= 0, has(length, at: start) else { return seed }
        var first = seed ^ UInt64(truncatingIfNeeded: length) &* 0x9E37_79B9_7F4A_7C15
        var second = first
        var offset = start
        let end = start &+ length
        while offset &+ 32 <= end {
            first = folded(load(offset) ^ 0xBF58_476D_1CE4_E5B9, load(offset &+ 8) ^ first)
            second = folded(
                load(offset &+ 16) ^ 0x94D0_49BB_1331_11EB, load(offset &+ 24) ^ second)
            offset &+= 32
        }
        first ^= second &<< 1 | second &>> 63
        while offset &+ 8 <= end {
            first = folded(load(offset) ^ 0xBF58_476D_1CE4_E5B9, first ^ 0x2545_F491_4F6C_DD1D)
            offset &+= 8
        }
        if offset < end {
            let unused = UInt64(truncatingIfNeeded: 64 &- (end &- offset) &* 8)
            let tail = word(at: offset) &<< unused
            first = folded(tail ^ 0x94D0_49BB_1331_11EB, first ^ 0x2545_F491_4F6C_DD1D)
        }
        return first ^ (first &>> 32)
    }

    /// Whether the `length` bytes from `start` are those of `other` from `offset`.
    ///
    /// The last eight overlap those before them.
    @inlinable @inline(__always)
    package func equals(_ start: Int, _ length: Int, _ other: Span<UInt8>, at offset: Int) -> Bool {
        guard length >= 0, has(length, at: start), other.has(length, at: offset) else {
            return false
        }
        guard length >= 8 else {
            guard length > 0 else { return true }
            let difference = word(at: start) ^ other.word(at: offset)
            return difference &<< UInt64(truncatingIfNeeded: 64 &- length &* 8) == 0
        }
        var place = 0
        while place &+ 32 <= length {
            let difference =
                (load(start &+ place) ^ other.load(offset &+ place))
                | (load(start &+ place &+ 8) ^ other.load(offset &+ place &+ 8))
                | (load(start &+ place &+ 16) ^ other.load(offset &+ place &+ 16))
                | (load(start &+ place &+ 24) ^ other.load(offset &+ place &+ 24))
            guard difference == 0 else { return false }
            place &+= 32
        }
        let last = length &- 8
        while place < last {
            guard load(start &+ place) == other.load(offset &+ place) else { return false }
            place &+= 8
        }
        return load(start &+ last) == other.load(offset &+ last)
    }

    /// Whether `literal` stands at `offset`; behind it, as many bytes must lie inside as make 24.
    @inlinable @inline(__always)
    package func matches(_ literal: Literal, at offset: Int) -> Bool {
        guard has(Literal.lengthMax, at: offset) else { return false }
        let difference =
            (load(offset) ^ literal.words.0) & literal.masks.0
            | (load(offset &+ 8) ^ literal.words.1) & literal.masks.1
            | (load(offset &+ 16) ^ literal.words.2) & literal.masks.2
        return difference == 0
    }
}

/// A payload in memory of our own, with zeros around it, so that its first and last bytes need no care.
package struct Scratch: Sendable {
    /// Zeros behind every payload: a literal and a word.
    package static var padding: Int { 64 }
    /// Zeros before it: the digits of a number are read up to its end, sixteen bytes.
    package static var front: Int { 32 }

    /// `front` zeros, the payload and its padding.
    package private(set) var bytes = [UInt8](repeating: 0, count: front + padding)
    /// Bytes of the payload.
    package private(set) var count = 0

    package init() {}

    /// Takes a copy of `payload`; the memory stays as large as the largest one.
    @inline(never)
    package mutating func fill(_ payload: Span<UInt8>) {
        let needed = Scratch.front &+ payload.count &+ Scratch.padding
        if bytes.count < needed {
            bytes.append(contentsOf: repeatElement(0, count: needed &* 2 &- bytes.count))
        }
        count = payload.count
        unsafe payload.withUnsafeBufferPointer { source in
            unsafe bytes.withUnsafeMutableBytes { target in
                guard let from = source.baseAddress, let to = target.baseAddress else { return }
                let text = unsafe to + Scratch.front
                unsafe text.copyMemory(from: from, byteCount: source.count)
                unsafe (text + source.count).storeBytes(
                    of: SIMD64<UInt8>(), as: SIMD64<UInt8>.self)
            }
        }
    }

    /// Lends the payload to `body`: 32 bytes before it and 64 behind it may be read as well.
    @inline(__always)
    func withText<Result>(_ body: (UnsafeRawPointer) -> Result) -> Result {
        unsafe bytes.withUnsafeBytes { bytes in
            guard let start = bytes.baseAddress else {
                preconditionFailure("a scratch has its padding at least")
            }
            return unsafe body(start + Scratch.front)
        }
    }
}

/// Up to 24 bytes to compare with, in words.
@usableFromInline
package struct Literal: Sendable {
    @inlinable package static var lengthMax: Int { 24 }

    @usableFromInline package let length: Int
    @usableFromInline let words: (UInt64, UInt64, UInt64)
    /// All ones where a byte counts.
    @usableFromInline let masks: (UInt64, UInt64, UInt64)

    /// The bytes of `range`, which are at most 24.
    package init(_ bytes: Span<UInt8>, _ range: Range<Int>) {
        precondition(range.count <= Literal.lengthMax, "a literal has at most 24 bytes")
        length = range.count
        func mask(_ index: Int) -> UInt64 {
            let bytes = min(max(range.count - index * 8, 0), 8)
            return bytes == 0 ? 0 : ~0 >> UInt64(64 - bytes * 8)
        }
        masks = (mask(0), mask(1), mask(2))
        words = (
            bytes.word(at: range.lowerBound) & masks.0,
            bytes.word(at: range.lowerBound + 8) & masks.1,
            bytes.word(at: range.lowerBound + 16) & masks.2
        )
    }
}

/// Both halves of the product, one upon the other: every bit of it depends on every bit of both.
@inlinable @inline(__always)
func folded(_ left: UInt64, _ right: UInt64) -> UInt64 {
    let product = left.multipliedFullWidth(by: right)
    return product.high ^ product.low
}
