import Bytes

/// One value of a message, in the order of the bytes.
///
/// The children of an object are its keys and values in turn, each value with its own subtree.
struct Node: Sendable {
    enum Kind: UInt8, Sendable {
        case object, array, string, number, yes, no, null
        /// One line of influx protocol: measurement, tags, fields, timestamp or null.
        case line
    }

    var kind: Kind
    /// Of a string, whether it holds a backslash; of a number, whether it is a plain integer.
    var flag: Bool
    /// Of a key, its number in the table of keys, or 0.
    var key: UInt16 = 0
    /// Of a string, the first byte after the quote; of everything else, its first byte.
    var start: Int32
    /// One past the last byte; of a string, the place of the closing quote.
    var end: Int32
    /// The place on the tape behind this value and all of its children.
    var next: Int32
    /// The value of a number.
    var value: Double

    @inline(__always)
    var range: Range<Int> { Int(start)..<Int(end) }
}

/// A message taken apart once: every value in a flat list that is filled again and again.
///
/// Nothing of a message takes effect before all of it has been read, so the order of its keys does
/// not matter and a malformed tail leaves no trace. The memory grows to the largest message seen,
/// at most 12 bytes for each of its bytes.
struct Tape: Sendable {
    private(set) var nodes: [Node] = []
    private(set) var count = 0
    private var open: [Int32]
    private(set) var keys: KeyTable
    /// Backslashes follow the influx rules and not those of JSON.
    var isInflux = false

    init(depthMax: Int, hashMask: UInt64) {
        open = Array(repeating: 0, count: max(1, depthMax))
        keys = KeyTable(hashMask: hashMask)
    }

    /// What the key at `index` says of the value behind it.
    @inline(__always)
    mutating func role(_ index: Int, _ bytes: Span<UInt8>) -> KeyTable.Role {
        let key = nodes[index].key
        return key != 0 ? keys.entries[Int(key)].role : keys.role(bytes, nodes[index].range)
    }

    @inline(__always)
    subscript(index: Int) -> Node { nodes[index] }

    private static let blank = Node(
        kind: .null, flag: false, start: 0, end: 0, next: 0, value: 0)

    private mutating func reserve(_ bytes: Int) {
        // The shortest value with its separator takes two bytes; openings are bounded by depth.
        let needed = bytes / 2 + open.count + 8
        if nodes.count < needed {
            nodes.append(contentsOf: repeatElement(Tape.blank, count: needed - nodes.count))
        }
    }
}

extension Tape {
    /// Reads one JSON document; its root stands at index 0.
    mutating func read(json bytes: Span<UInt8>) throws(Undecodable) {
        isInflux = false
        reserve(bytes.count)
        count = try Tape.fill(&nodes, &open, &keys, bytes)
    }

    private enum State { case value, firstKey, key, firstElement, afterValue }

    private static func fill(
        _ tape: inout [Node], _ stack: inout [Int32], _ keys: inout KeyTable,
        _ bytes: Span<UInt8>
    ) throws(Undecodable) -> Int {
        var nodes = tape.mutableSpan
        var open = stack.mutableSpan
        var position = 0
        var count = 0
        var depth = 0
        var state = State.value
        var lastKey: UInt16 = 0
        let end = bytes.count
        while true {
            while position < end, bytes[position] <= Byte.space {
                guard isSpace(bytes[position]) else { throw Undecodable(.malformed, at: position) }
                position &+= 1
            }
            if state == .afterValue, depth == 0 {
                guard position == end else { throw Undecodable(.malformed, at: position) }
                return count
            }
            guard position < end else { throw Undecodable(.malformed, at: position) }
            let byte = bytes[position]

            if state == .afterValue {
                let parent = Int(open[depth &- 1])
                let isObject = nodes[parent].kind == .object
                if byte == Byte.comma {
                    state = isObject ? .key : .value
                    position &+= 1
                    continue
                }
                guard byte == (isObject ? Byte.closeBrace : Byte.closeBracket) else {
                    throw Undecodable(.malformed, at: position)
                }
                position &+= 1
                close(&nodes, parent, count, position)
                depth &-= 1
                continue
            }
            if state == .firstKey || state == .key {
                if byte == Byte.closeBrace, state == .firstKey {
                    position &+= 1
                    close(&nodes, Int(open[depth &- 1]), count, position)
                    depth &-= 1
                    state = .afterValue
                    continue
                }
                guard byte == Byte.quote else { throw Undecodable(.malformed, at: position) }
                state = try members(&nodes, &count, &keys, &lastKey, bytes, &position)
                continue
            }
            if state == .firstElement, byte == Byte.closeBracket {
                position &+= 1
                close(&nodes, Int(open[depth &- 1]), count, position)
                depth &-= 1
                state = .afterValue
                continue
            }

            if byte == Byte.openBrace || byte == Byte.openBracket {
                guard depth < open.count else { throw Undecodable(.tooDeep, at: position) }
                open[depth] = Int32(truncatingIfNeeded: count)
                depth &+= 1
                let isObject = byte == Byte.openBrace
                nodes[count] = node(isObject ? .object : .array, position, position, count)
                count &+= 1
                position &+= 1
                state = isObject ? .firstKey : .firstElement
            } else {
                try scalar(&nodes, &count, bytes, &position, byte)
                state = .afterValue
            }
        }
    }

    /// Takes members as long as they are plain and close together, which is the common case.
    ///
    /// - Returns: what is expected next: a value that opens something, or the end of a member.
    @inline(__always)
    private static func members(
        _ nodes: inout MutableSpan<Node>, _ count: inout Int, _ keys: inout KeyTable,
        _ lastKey: inout UInt16, _ bytes: Span<UInt8>, _ position: inout Int
    ) throws(Undecodable) -> State {
        while true {
            let guess = keys.entries[Int(lastKey)].follower
            let start = position &+ 1
            if guess != 0, bytes.matches(keys.entries[Int(guess)].literal, at: start) {
                position = start &+ keys.entries[Int(guess)].literal.length
                nodes[count] = node(.string, start, position &- 2, count)
                nodes[count].key = guess
                lastKey = guess
                count &+= 1
            } else {
                nodes[count] = try string(bytes, &position, count)
                if !nodes[count].flag {
                    let key = keys.learn(bytes, nodes[count].range, after: lastKey)
                    nodes[count].key = key
                    lastKey = key
                }
                count &+= 1
                while position < bytes.count, isSpace(bytes[position]) { position &+= 1 }
                guard position < bytes.count, bytes[position] == Byte.colon else {
                    throw Undecodable(.malformed, at: position)
                }
                position &+= 1
            }
            guard position < bytes.count else { throw Undecodable(.malformed, at: position) }
            let byte = bytes[position]
            if byte <= Byte.space || byte == Byte.openBrace || byte == Byte.openBracket {
                return .value
            }
            try scalar(&nodes, &count, bytes, &position, byte)
            guard position &+ 1 < bytes.count, bytes[position] == Byte.comma,
                bytes[position &+ 1] == Byte.quote
            else { return .afterValue }
            position &+= 1
        }
    }

    /// A string, a number, or one of the words.
    @inline(__always)
    private static func scalar(
        _ nodes: inout MutableSpan<Node>, _ count: inout Int, _ bytes: Span<UInt8>,
        _ position: inout Int, _ byte: UInt8
    ) throws(Undecodable) {
        if byte == Byte.quote {
            nodes[count] = try string(bytes, &position, count)
        } else if let number = Number.parse(bytes, at: position) {
            nodes[count] = Node(
                kind: .number, flag: number.isInteger,
                start: Int32(truncatingIfNeeded: position),
                end: Int32(truncatingIfNeeded: number.end),
                next: Int32(truncatingIfNeeded: count &+ 1), value: number.value)
            position = number.end
        } else {
            nodes[count] = try word(bytes, &position, count)
        }
        count &+= 1
    }

    @inline(__always)
    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == Byte.space || byte == Byte.newline || byte == Byte.carriageReturn
            || byte == Byte.tab
    }

    @inline(__always)
    private static func node(_ kind: Node.Kind, _ start: Int, _ end: Int, _ index: Int) -> Node {
        Node(
            kind: kind, flag: false, start: Int32(truncatingIfNeeded: start),
            end: Int32(truncatingIfNeeded: end), next: Int32(truncatingIfNeeded: index &+ 1),
            value: 0)
    }

    @inline(__always)
    private static func close(
        _ nodes: inout MutableSpan<Node>, _ index: Int, _ count: Int, _ position: Int
    ) {
        nodes[index].next = Int32(truncatingIfNeeded: count)
        nodes[index].end = Int32(truncatingIfNeeded: position)
    }

    /// A string: eight bytes at a time to the next quote, backslash or control character.
    @inline(__always)
    private static func string(
        _ bytes: Span<UInt8>, _ position: inout Int, _ index: Int
    ) throws(Undecodable) -> Node {
        let start = position &+ 1
        var place = start
        var hasBackslash = false
        while true {
            let word = bytes.word(at: place)
            let stop =
                bytesEqual(word, Byte.quote) | bytesEqual(word, Byte.backslash)
                | bytesBelowSpace(word)
            guard stop != 0 else {
                place &+= 8
                continue
            }
            place &+= stop.trailingZeroBitCount >> 3
            guard place < bytes.count else { throw Undecodable(.malformed, at: bytes.count) }
            let byte = bytes[place]
            if byte == Byte.quote { break }
            guard byte == Byte.backslash else { throw Undecodable(.malformed, at: place) }
            hasBackslash = true
            try escape(bytes, &place)
        }
        position = place &+ 1
        var made = node(.string, start, place, index)
        made.flag = hasBackslash
        return made
    }

    /// Steps over one escape, which must be one that JSON knows.
    private static func escape(
        _ bytes: Span<UInt8>, _ place: inout Int
    ) throws(Undecodable) {
        guard place + 1 < bytes.count else { throw Undecodable(.malformed, at: bytes.count) }
        switch bytes[place + 1] {
        case Byte.quote, Byte.backslash, Byte.slash, UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            place += 2
        case UInt8(ascii: "u"):
            guard Text.hexadecimal(bytes, at: place + 2) != nil else {
                throw Undecodable(.malformed, at: place)
            }
            place += 6
        default:
            throw Undecodable(.malformed, at: place)
        }
    }

    /// `true`, `false`, `null`, and the `NaN` and `Infinity` that Python's `json` writes.
    private static func word(
        _ bytes: Span<UInt8>, _ position: inout Int, _ index: Int
    ) throws(Undecodable) -> Node {
        for (text, kind, value) in words where position + text.count <= bytes.count {
            guard bytes.spells(position..<position + text.count, text) else { continue }
            var made = node(kind, position, position + text.count, index)
            made.value = value
            position += text.count
            return made
        }
        throw Undecodable(.malformed, at: position)
    }

    private static let words: [(text: Spelling, kind: Node.Kind, value: Double)] = [
        ("true", .yes, 1), ("false", .no, 0), ("null", .null, 0), ("NaN", .number, .nan),
        ("Infinity", .number, .infinity), ("-Infinity", .number, -.infinity),
    ]
}

/// Influx line protocol: `measurement,tag=v field=1i,other="s" 1763712000000000000`.
extension Tape {
    /// Reads any number of lines; the nodes of kind `line` stand one behind the other.
    mutating func read(influx bytes: Span<UInt8>) throws(Undecodable) {
        isInflux = true
        reserve(bytes.count * 2)
        count = 0
        var position = 0
        while position < bytes.count {
            let byte = bytes[position]
            if byte == Byte.newline || byte == Byte.carriageReturn || byte == Byte.space
                || byte == Byte.tab
            {
                position += 1
            } else if byte == Byte.hash {
                while position < bytes.count, bytes[position] != Byte.newline { position += 1 }
            } else {
                try line(bytes, &position)
            }
        }
        guard count > 0 else { throw Undecodable(.empty, at: bytes.count) }
    }

    private mutating func push(_ kind: Node.Kind, _ start: Int, _ end: Int) -> Int {
        if count == nodes.count { reserve(count * 4 + 64) }
        nodes[count] = Tape.node(kind, start, end, count)
        count += 1
        return count - 1
    }

    private mutating func line(
        _ bytes: Span<UInt8>, _ position: inout Int
    ) throws(Undecodable) {
        let line = push(.line, position, position)
        try take(bytes, &position, isKey: false)
        let tags = push(.object, position, position)
        while position < bytes.count, bytes[position] == Byte.comma {
            position += 1
            try take(bytes, &position, isKey: true)
            try expect(Byte.equals, bytes, &position)
            try take(bytes, &position, isKey: false)
        }
        finish(tags, position)
        try expect(Byte.space, bytes, &position)
        while position < bytes.count, bytes[position] == Byte.space { position += 1 }

        let fields = push(.object, position, position)
        while true {
            try take(bytes, &position, isKey: true)
            try expect(Byte.equals, bytes, &position)
            try value(bytes, &position)
            guard position < bytes.count, bytes[position] == Byte.comma else { break }
            position += 1
        }
        finish(fields, position)

        while position < bytes.count, bytes[position] == Byte.space { position += 1 }
        if position < bytes.count, !isLineEnd(bytes[position]) {
            guard let number = Number.parse(bytes, at: position), number.isInteger else {
                throw Undecodable(.badTimestamp, at: position)
            }
            let time = push(.number, position, number.end)
            nodes[time].flag = true
            nodes[time].value = number.value
            position = number.end
            while position < bytes.count, bytes[position] == Byte.space { position += 1 }
        } else {
            _ = push(.null, position, position)
        }
        if position < bytes.count, bytes[position] == Byte.carriageReturn { position += 1 }
        guard position == bytes.count || bytes[position] == Byte.newline else {
            throw Undecodable(.malformed, at: position)
        }
        finish(line, position)
    }

    private func isLineEnd(_ byte: UInt8) -> Bool {
        byte == Byte.newline || byte == Byte.carriageReturn
    }

    private mutating func finish(_ index: Int, _ position: Int) {
        nodes[index].next = Int32(truncatingIfNeeded: count)
        nodes[index].end = Int32(truncatingIfNeeded: position)
    }

    private func expect(
        _ byte: UInt8, _ bytes: Span<UInt8>, _ position: inout Int
    ) throws(Undecodable) {
        guard position < bytes.count, bytes[position] == byte else {
            throw Undecodable(.malformed, at: position)
        }
        position += 1
    }

    /// A measurement, key or tag value: up to an unescaped comma, space or (of a key) equals sign.
    private mutating func take(
        _ bytes: Span<UInt8>, _ position: inout Int, isKey: Bool
    ) throws(Undecodable) {
        let start = position
        var hasBackslash = false
        scan: while position < bytes.count {
            let word = bytes.word(at: position)
            let stop =
                bytesEqual(word, Byte.comma) | bytesEqual(word, Byte.equals)
                | bytesEqual(word, Byte.backslash) | bytesEqual(word, Byte.space)
                | bytesBelowSpace(word)
            guard stop != 0 else {
                position &+= 8
                continue
            }
            position &+= stop.trailingZeroBitCount >> 3
            guard position < bytes.count else { break }
            switch bytes[position] {
            case Byte.backslash:
                hasBackslash = true
                position += 2
            case Byte.comma, Byte.space, Byte.newline, Byte.carriageReturn:
                break scan
            case Byte.equals:
                if isKey { break scan }
                position += 1
            default:
                throw Undecodable(.malformed, at: position)
            }
        }
        position = min(position, bytes.count)
        guard position > start else { throw Undecodable(.malformed, at: position) }
        let index = push(.string, start, position)
        nodes[index].flag = hasBackslash
    }

    private mutating func value(
        _ bytes: Span<UInt8>, _ position: inout Int
    ) throws(Undecodable) {
        guard position < bytes.count else { throw Undecodable(.malformed, at: position) }
        if bytes[position] == Byte.quote {
            return try quoted(bytes, &position)
        }
        if let number = Number.parse(bytes, at: position) {
            let index = push(.number, position, number.end)
            nodes[index].flag = number.isInteger
            nodes[index].value = number.value
            position = number.end
            if position < bytes.count,
                bytes[position] == UInt8(ascii: "i")
                    || bytes[position] == UInt8(ascii: "u")
            {
                position += 1
            }
            return
        }
        let start = position
        while position < bytes.count, Byte.isLetter(bytes[position]) { position += 1 }
        switch bytes.text(start..<position)?.lowercased() {
        case "t", "true": _ = push(.yes, start, position)
        case "f", "false": _ = push(.no, start, position)
        default: throw Undecodable(.malformed, at: start)
        }
    }

    private mutating func quoted(
        _ bytes: Span<UInt8>, _ position: inout Int
    ) throws(Undecodable) {
        let start = position + 1
        position = start
        var hasBackslash = false
        while position < bytes.count, bytes[position] != Byte.quote {
            if bytes[position] == Byte.backslash {
                hasBackslash = true
                position += 1
            }
            position += 1
        }
        guard position < bytes.count else { throw Undecodable(.malformed, at: bytes.count) }
        let index = push(.string, start, position)
        nodes[index].flag = hasBackslash
        position += 1
    }
}
