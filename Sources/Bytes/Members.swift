public import CLanes

/// Keys of objects, found again where they are expected, and what is searched for in a payload.
///
/// As in the other files of this folder, each function looks at its bounds once.
extension Span<UInt8> {
    /// Eight bytes from `offset`, the first one lowest, or zero where not all of them lie inside.
    @inlinable @inline(__always)
    package func wholeWord(at offset: Int) -> UInt64 { has(8, at: offset) ? load(offset) : 0 }

    /// The byte at `offset`, or zero outside.
    @inlinable @inline(__always)
    package func byte(at offset: Int) -> UInt8 {
        has(1, at: offset)
            ? unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt8.self) : 0
    }

    /// Only after a check that sixteen bytes from `offset` lie inside.
    @inlinable @inline(__always)
    func load16(_ offset: Int) -> SIMD2<UInt64> {
        unsafe bytes.unsafeLoadUnaligned(
            fromUncheckedByteOffset: offset, as: SIMD2<UInt64>.self)
    }

    /// Whether `key` stands at `offset`; behind it, as many bytes must lie inside as make 32.
    ///
    /// The first byte is one that differs by `opening` from the one in the key.
    @inlinable @inline(__always)
    package func matches(_ key: KeyLiteral, at offset: Int, opening: UInt64) -> Bool {
        guard has(KeyLiteral.lengthMax, at: offset) else { return false }
        let low = load16(offset) ^ key.low ^ SIMD2(opening, 0)
        let high = load16(offset &+ 16) ^ key.high
        let difference = low & key.lowMask | high & key.highMask
        return difference[0] | difference[1] == 0
    }

    /// The word behind `key`, or nil where another text than the key stands at `offset`.
    ///
    /// From `offset` on, 64 bytes must lie inside. The first byte is one that differs by `opening`
    /// from the one in the key.
    @inlinable @inline(__always)
    package func word(behind key: KeyLiteral, at offset: Int, opening: UInt64) -> UInt64? {
        guard has(64, at: offset) else { return nil }
        let low = load16(offset) ^ key.low ^ SIMD2(opening, 0)
        let high = load16(offset &+ 16) ^ key.high
        let difference = low & key.lowMask | high & key.highMask
        // The key is at most 32 bytes long, so that what is behind it lies inside as well.
        return difference[0] | difference[1] == 0 ? load(offset &+ Int(key.length)) : nil
    }

    /// Whether the `length` bytes from `start` are those of `other` from `offset`.
    ///
    /// 64 at a time, because how often a loop runs that is short is hard to predict; the last ones
    /// overlap those before them.
    @inlinable @inline(__always)
    package func isSame(_ start: Int, _ length: Int, _ other: Span<UInt8>, at offset: Int) -> Bool {
        guard length >= 64, has(length, at: start), other.has(length, at: offset) else {
            return equals(start, length, other, at: offset)
        }
        var place = 0
        let last = length &- 64
        while true {
            let first = load16(start &+ place) ^ other.load16(offset &+ place)
            let second = load16(start &+ place &+ 16) ^ other.load16(offset &+ place &+ 16)
            let third = load16(start &+ place &+ 32) ^ other.load16(offset &+ place &+ 32)
            let fourth = load16(start &+ place &+ 48) ^ other.load16(offset &+ place &+ 48)
            let difference = first | second | (third | fourth)
            guard difference[0] | difference[1] == 0 else { return false }
            guard place < last else { return true }
            place = Swift.min(place &+ 64, last)
        }
    }

    /// Mixes the 64 bytes from `start`, in four chains; zero where they do not all lie inside.
    @inlinable @inline(__always)
    package func hashOfBlock(_ start: Int) -> UInt64 {
        guard has(64, at: start) else { return 0 }
        let first = folded(
            load(start) ^ 0xBF58_476D_1CE4_E5B9, load(start &+ 8) ^ 0x9E37_79B9_7F4A_7C15)
        let second = folded(
            load(start &+ 16) ^ 0x94D0_49BB_1331_11EB, load(start &+ 24) ^ 0x2545_F491_4F6C_DD1D)
        let third = folded(
            load(start &+ 32) ^ 0x9E37_79B9_7F4A_7C15, load(start &+ 40) ^ 0xBF58_476D_1CE4_E5B9)
        let fourth = folded(
            load(start &+ 48) ^ 0x2545_F491_4F6C_DD1D, load(start &+ 56) ^ 0x94D0_49BB_1331_11EB)
        let mixed =
            first &+ (second &<< 1 | second &>> 63) ^ (third &+ (fourth &<< 1 | fourth &>> 63))
        return mixed ^ (mixed &>> 32)
    }

    /// The place of the first `byte` from `start` on, or the count where there is none.
    @inlinable @inline(__always)
    package func first(_ byte: UInt8, from start: Int) -> Int {
        var place = Swift.max(start, 0)
        let pattern = SIMD16<UInt8>(repeating: byte)
        while has(32, at: place) {
            let one = equal(place, pattern)
            let two = equal(place &+ 16, pattern)
            let both = one | two
            if both[0] | both[1] != 0 {
                if one[0] != 0 { return place &+ one[0].trailingZeroBitCount &>> 3 }
                if one[1] != 0 { return place &+ 8 &+ one[1].trailingZeroBitCount &>> 3 }
                if two[0] != 0 { return place &+ 16 &+ two[0].trailingZeroBitCount &>> 3 }
                return place &+ 24 &+ two[1].trailingZeroBitCount &>> 3
            }
            place &+= 32
        }
        while place < count, self[place] != byte { place &+= 1 }
        return Swift.min(place, count)
    }

    /// All ones where one of the sixteen bytes from `offset`, which lie inside, is that of `pattern`.
    @inlinable @inline(__always)
    func equal(_ offset: Int, _ pattern: SIMD16<UInt8>) -> SIMD2<UInt64> {
        let found = unsafe bytes.unsafeLoadUnaligned(
            fromUncheckedByteOffset: offset, as: SIMD16<UInt8>.self)
        return unsafe unsafeBitCast(found .== pattern, to: SIMD2<UInt64>.self)
    }
}

extension Span<UInt8> {
    /// Asks for `length` bytes from `start` to come nearer, while something else is done.
    ///
    /// Costs next to nothing where they are near already; what lies outside is not asked for.
    package func ask(for start: Int, _ length: Int) {
        guard length > 0, has(length, at: start) else { return }
        unsafe withUnsafeBufferPointer { bytes in
            guard let first = bytes.baseAddress else { return }
            unsafe lanes_ask(first + start, length)
        }
    }
}

extension Span {
    /// Asks for all of it to come nearer.
    @inlinable @inline(__always)
    package func ask() {
        unsafe withUnsafeBufferPointer { elements in
            guard let first = elements.baseAddress else { return }
            unsafe lanes_ask(first, elements.count &* MemoryLayout<Element>.stride)
        }
    }

    /// Asks for one element to come nearer; there need be none.
    @inlinable @inline(__always)
    package func ask(for index: Int) {
        guard index >= 0, index < count else { return }
        unsafe withUnsafeBufferPointer { elements in
            guard let first = elements.baseAddress else { return }
            unsafe lanes_ask(first + index, MemoryLayout<Element>.stride)
        }
    }
}

extension Span<UInt8> {
    /// Asks for what lies behind these bytes to come nearer, as much again: often the next message.
    ///
    /// The records of one fetch lie one behind the other. Nothing is read, so nothing need be there.
    package func askForNext() {
        unsafe withUnsafeBufferPointer { bytes in
            guard let first = bytes.baseAddress else { return }
            unsafe lanes_ask(first + bytes.count, Swift.min(bytes.count &+ 64, 4_096))
        }
    }
}

/// A key with what makes it one, from the comma or brace before it to where its value begins.
@usableFromInline
package struct KeyLiteral: Sendable {
    @inlinable package static var lengthMax: Int { 32 }

    @usableFromInline let low: SIMD2<UInt64>
    @usableFromInline let high: SIMD2<UInt64>
    /// All ones where a byte counts.
    @usableFromInline let lowMask: SIMD2<UInt64>
    @usableFromInline let highMask: SIMD2<UInt64>
    @usableFromInline package let length: Int32

    /// The bytes of `range`, which are at most 32, with `first` in place of the first one.
    package init(_ bytes: Span<UInt8>, _ range: Range<Int>, first: UInt8) {
        precondition(
            (1...KeyLiteral.lengthMax).contains(range.count), "a key has at most 32 bytes")
        func mask(_ index: Int) -> UInt64 {
            let bytes = min(max(range.count - index * 8, 0), 8)
            return bytes == 0 ? 0 : ~0 >> UInt64(64 - bytes * 8)
        }
        func word(_ index: Int) -> UInt64 {
            bytes.word(at: range.lowerBound + index * 8) & mask(index)
        }
        lowMask = SIMD2(mask(0), mask(1))
        highMask = SIMD2(mask(2), mask(3))
        low = SIMD2(word(0) & ~0xFF | UInt64(first), word(1))
        high = SIMD2(word(2), word(3))
        length = Int32(range.count)
    }

    /// A key that no text is.
    package init() {
        lowMask = SIMD2(~0, ~0)
        highMask = SIMD2(~0, ~0)
        low = SIMD2(~0, ~0)
        high = SIMD2(~0, ~0)
        length = 0
    }
}
