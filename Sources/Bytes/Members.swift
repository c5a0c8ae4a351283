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
    /// In place of the key's first byte stands `first`.
    @inlinable @inline(__always)
    package func matches(_ key: KeyLiteral, at offset: Int, first: UInt8) -> Bool {
        has(KeyLiteral.lengthMax, at: offset) && holds(key, offset, first)
    }

    /// The word behind `key`, or nil where another text than the key stands at `offset`.
    ///
    /// From `offset` on, 64 bytes must lie inside. In place of the key's first byte stands `first`.
    @inlinable @inline(__always)
    package func word(behind key: KeyLiteral, at offset: Int, first: UInt8) -> UInt64? {
        // The key is at most 32 bytes long, so that what is behind it lies inside as well.
        has(64, at: offset) && holds(key, offset, first) ? load(offset &+ Int(key.length)) : nil
    }

    /// Only after a check that 32 bytes from `offset` lie inside.
    @inlinable @inline(__always)
    func holds(_ key: KeyLiteral, _ offset: Int, _ first: UInt8) -> Bool {
        unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt8.self) == first
            && lanes_is_key(
                text(offset), text(offset &+ 16), key.low, key.high, key.lowMask, key.highMask) != 0
    }

    /// Only after a check that sixteen bytes from `offset` lie inside.
    @inlinable @inline(__always)
    func text(_ offset: Int) -> SIMD16<UInt8> {
        unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: SIMD16<UInt8>.self)
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
        unsafe unsafeBitCast(text(offset) .== pattern, to: SIMD2<UInt64>.self)
    }
}

extension Span<UInt8> {
    /// Where they lie, to tell them from others.
    @inlinable @inline(__always)
    package var address: UInt {
        unsafe withUnsafeBufferPointer { UInt(bitPattern: $0.baseAddress) }
    }

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

    /// 0 where a byte does not count; the first one does not.
    @usableFromInline let low: SIMD16<UInt8>
    @usableFromInline let high: SIMD16<UInt8>
    /// 255 where a byte counts.
    @usableFromInline let lowMask: SIMD16<UInt8>
    @usableFromInline let highMask: SIMD16<UInt8>
    @usableFromInline package let length: Int32

    /// The bytes of `range`, which are at most 32.
    package init(_ bytes: Span<UInt8>, _ range: Range<Int>) {
        precondition(
            (1...KeyLiteral.lengthMax).contains(range.count), "a key has at most 32 bytes")
        var (text, mask) = (SIMD32<UInt8>(), SIMD32<UInt8>())
        for index in 1..<range.count {
            text[index] = bytes.byte(at: range.lowerBound + index)
            mask[index] = 255
        }
        (low, high) = (text.lowHalf, text.highHalf)
        (lowMask, highMask) = (mask.lowHalf, mask.highHalf)
        length = Int32(range.count)
    }

    /// A key that no text is.
    package init() {
        low = SIMD16(repeating: 255)
        high = low
        lowMask = SIMD16()
        highMask = lowMask
        length = 0
    }
}
