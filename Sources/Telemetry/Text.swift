/// Strings of a message as Swift strings: used where a label or name is seen for the first time.
enum Text {
    /// The string at `node`, escapes undone.
    ///
    /// - Returns: nil where the bytes are not UTF-8, or an escape names half a surrogate pair.
    static func read(_ bytes: Span<UInt8>, _ node: Node, isInflux: Bool) -> String? {
        guard node.flag, node.kind == .string else { return bytes.text(node.range) }
        return isInflux ? influx(bytes, node.range) : json(bytes, node.range)
    }

    private static func json(_ bytes: Span<UInt8>, _ range: Range<Int>) -> String? {
        var plain: [UInt8] = []
        plain.reserveCapacity(range.count)
        var place = range.lowerBound
        while place < range.upperBound {
            let byte = bytes[place]
            guard byte == Byte.backslash, place + 1 < range.upperBound else {
                plain.append(byte)
                place += 1
                continue
            }
            let kind = bytes[place + 1]
            place += 2
            switch kind {
            case UInt8(ascii: "b"): plain.append(0x08)
            case UInt8(ascii: "f"): plain.append(0x0C)
            case UInt8(ascii: "n"): plain.append(Byte.newline)
            case UInt8(ascii: "r"): plain.append(Byte.carriageReturn)
            case UInt8(ascii: "t"): plain.append(Byte.tab)
            case UInt8(ascii: "u"):
                guard let scalar = scalar(bytes, &place) else { return nil }
                plain.append(contentsOf: Character(scalar).utf8)
            default: plain.append(kind)
            }
        }
        return plain.span.text(0..<plain.count)
    }

    /// The scalar of `\uXXXX` or of a surrogate pair of two such; `place` stands behind the `u`.
    private static func scalar(_ bytes: Span<UInt8>, _ place: inout Int) -> Unicode.Scalar? {
        guard let high = hexadecimal(bytes, at: place) else { return nil }
        place += 4
        guard (0xD800..<0xDC00).contains(high) else { return Unicode.Scalar(high) }
        guard place + 1 < bytes.count, bytes[place] == Byte.backslash,
            bytes[place + 1] == UInt8(ascii: "u"), let low = hexadecimal(bytes, at: place + 2),
            (0xDC00..<0xE000).contains(low)
        else { return nil }
        place += 6
        return Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00))
    }

    /// Four hexadecimal digits at `place`.
    static func hexadecimal(_ bytes: Span<UInt8>, at place: Int) -> UInt32? {
        guard place + 4 <= bytes.count else { return nil }
        var value: UInt32 = 0
        for offset in place..<place + 4 {
            let byte = bytes[offset]
            if Byte.isDigit(byte) {
                value = value << 4 | UInt32(byte &- Byte.zero)
            } else if (byte | 0x20) &- 0x61 < 6 {
                value = value << 4 | UInt32((byte | 0x20) &- 0x61 &+ 10)
            } else {
                return nil
            }
        }
        return value
    }

    /// A backslash before a comma, equals sign, space, quote or backslash drops out.
    private static func influx(_ bytes: Span<UInt8>, _ range: Range<Int>) -> String? {
        var plain: [UInt8] = []
        plain.reserveCapacity(range.count)
        var place = range.lowerBound
        while place < range.upperBound {
            let byte = bytes[place]
            place += 1
            guard byte == Byte.backslash, place < range.upperBound else {
                plain.append(byte)
                continue
            }
            let escaped = bytes[place]
            if [Byte.comma, Byte.equals, Byte.space, Byte.quote, Byte.backslash].contains(escaped) {
                plain.append(escaped)
                place += 1
            } else {
                plain.append(byte)
            }
        }
        return plain.span.text(0..<plain.count)
    }
}
