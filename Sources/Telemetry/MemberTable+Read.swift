import Bytes
import Fleet

/// One pass over a native message, from its bytes to the lanes.
extension MemberTable {
    /// What one message said besides the values in its lanes.
    struct Reading: Sendable {
        var time: Node?
        /// The bytes that say who sent this.
        var labels = 0..<0
        var rowCount = 0
        var points: UInt64 = 0
        var unknown: UInt64 = 0
        var ignored: UInt64 = 0
    }

    /// Apart from its caller, whose variables would push those of this loop out of registers.
    @inline(never)
    static func pass(
        _ table: inout [Entry], _ places: [Int32], _ hashMask: UInt64, _ padded: [UInt8],
        _ count: Int, _ lanes: inout [Float], _ rows: inout [Record.OpenRow],
        _ readings: inout [SampleBatch.Reading], _ firstRow: Int, _ map: inout ByteMap,
        _ guess: inout ByteMap.Guess?, clock: Int32
    ) -> Reading? {
        let bytes = padded.span.extracting(droppingFirst: Scratch.front)
        // Beyond this check no load below needs to ask whether there are so many bytes at all.
        guard bytes.count >= 64, count <= bytes.count &- 64 else { return nil }
        var entries = table.mutableSpan
        let buckets = places.span
        guess = nil
        var reading = Reading()
        var position = 0
        var last = message
        // What stands before a key: a comma before all but the first.
        var first = Byte.openBrace
        var seen: UInt32 = 0
        while true {
            var entry = Int(entries[last].follower)
            // What a space follows is another literal, to which the space belongs.
            if !bytes.matches(entries[entry].key, at: position, first: first)
                || isSpace(bytes.byte(at: position &+ Int(entries[entry].key.length)))
            {
                if first == Byte.comma, bytes.byte(at: position) == Byte.closeBrace { break }
                guard
                    let found = find(
                        entries.span, buckets, bytes, at: position, first: first,
                        isMetric: false, hashMask: hashMask)
                else { return nil }
                entry = found
                entries[last].follower = Int32(truncatingIfNeeded: entry)
            }
            last = entry
            first = Byte.comma
            let start = position &+ Int(entries[entry].key.length)
            let way = entries[entry].way
            if way == .label {
                let begin = position &+ Int(entries[entry].quote)
                if reading.labels.isEmpty {
                    if let found = map.guess(bytes, begin) {
                        if map.isRight(found, bytes, begin) {
                            guess = found
                            position = begin &+ found.count
                            reading.labels = begin..<position
                            continue
                        }
                        map.mistake(found, bytes, begin)
                    }
                }
                guard
                    let end = end(ofLabel: bytes, at: start)
                else { return nil }
                if reading.labels.isEmpty {
                    reading.labels = begin..<end
                } else {
                    // Those that do not stand together are looked at one by one.
                    guard reading.labels.upperBound == position else { return nil }
                    reading.labels = reading.labels.lowerBound..<end
                    guess = nil
                }
                position = end
                continue
            }
            // A member that comes twice counts where it comes last.
            let bit = way.bit
            if way != .skipped {
                guard seen & bit == 0 else { return nil }
                seen |= bit
            }
            switch way {
            case .metrics:
                guard bytes.byte(at: start) == Byte.openBrace,
                    let end = metrics(
                        &entries, buckets, hashMask, bytes, start, &lanes, &rows, &readings,
                        firstRow, &reading, clock: clock)
                else { return nil }
                position = end
            case .time:
                guard let (node, end) = time(bytes, at: start) else { return nil }
                reading.time = node
                position = end
            case .version:
                guard bytes.byte(at: start) == UInt8(ascii: "1") else { return nil }
                position = start &+ 1
            case .events:
                guard bytes.byte(at: start) == Byte.openBracket,
                    bytes.byte(at: start &+ 1) == Byte.closeBracket
                else { return nil }
                position = start &+ 2
            case .skipped:
                guard let end = end(ofScalar: bytes, at: start) else { return nil }
                position = end
            case .lane, .counter, .unknown, .ignored, .label, .other: return nil
            }
        }
        position &+= 1
        while position < count, isSpace(bytes[position]) { position &+= 1 }
        let needed = Way.version.bit | Way.metrics.bit
        guard position == count, seen & needed == needed, !reading.labels.isEmpty else {
            return nil
        }
        return reading
    }

    /// The members of the object at `start`, each in its lane.
    ///
    /// - Returns: where the object ends, or nil.
    @inline(__always)
    private static func metrics(
        _ entries: inout MutableSpan<Entry>, _ buckets: Span<Int32>, _ hashMask: UInt64,
        _ bytes: Span<UInt8>, _ start: Int, _ values: inout [Float],
        _ open: inout [Record.OpenRow], _ readings: inout [SampleBatch.Reading], _ firstRow: Int,
        _ reading: inout Reading, clock: Int32
    ) -> Int? {
        guard bytes.count >= 64 else { return nil }
        var lanes = values.mutableSpan
        var rows = open.mutableSpan
        var position = start
        var last = metrics
        // What stands before a key: a comma before all but the first.
        var first = Byte.openBrace
        var group: Int32 = -1
        var base = 0
        var filled: UInt32 = 0
        while true {
            var entry = Int(entries[last].follower)
            var word = bytes.word(behind: entries[entry].key, at: position, first: first)
            if word.map({ isSpace(UInt8(truncatingIfNeeded: $0)) }) ?? true {
                if first == Byte.comma, bytes.byte(at: position) == Byte.closeBrace { break }
                guard
                    let found = find(
                        entries.span, buckets, bytes, at: position, first: first,
                        isMetric: true, hashMask: hashMask)
                else { return nil }
                entry = found
                entries[last].follower = Int32(truncatingIfNeeded: entry)
                word = bytes.word(behind: entries[entry].key, at: position, first: first)
            }
            guard let word else { return nil }
            last = entry
            first = Byte.comma
            let begin = position &+ Int(entries[entry].key.length)
            let number: Double
            if !entries[entry].isLong, let value = entries[entry].form.value(word) {
                number = value
                position = begin &+ Int(entries[entry].form.width)
            } else if let whole = Number.long(bytes, at: begin, word) {
                entries[entry].isLong = true
                number = whole.value
                position = whole.end
            } else if word & 0xFFFF_FFFF == Self.null {
                position = begin &+ 4
                continue
            } else {
                guard
                    let parsed = Self.number(
                        &entries[entry], bytes, at: begin, word, clock: clock)
                else { return nil }
                number = parsed.value
                position = parsed.end
            }
            if entries[entry].group != group {
                switch entries[entry].way {
                case .lane, .counter: break
                // A name that nobody knows, or one that nothing watches.
                case .unknown:
                    reading.unknown &+= 1
                    continue
                case .ignored:
                    reading.ignored &+= 1
                    continue
                default: return nil
                }
                close(base, filled, &rows)
                group = entries[entry].group
                base =
                    row(
                        UInt16(truncatingIfNeeded: group), &rows, &lanes, &reading.rowCount) &* 16
                guard base >= 0 else { return nil }
                filled = UInt32(rows[base &>> 4].points)
            }
            let value = number * entries[entry].scale
            guard value >= entries[entry].low, value <= entries[entry].high,
                // The same metric twice: which of the two counts is decided elsewhere.
                filled & entries[entry].bit == 0
            else { return nil }
            filled |= entries[entry].bit
            if entries[entry].way == .lane {
                lanes[base &+ Int(entries[entry].lane)] = Float(value)
            } else {
                readings.append(
                    SampleBatch.Reading(
                        row: Int32(truncatingIfNeeded: firstRow &+ base &>> 4),
                        lane: entries[entry].lane, value: value))
            }
        }
        close(base, filled, &rows)
        for row in 0..<reading.rowCount {
            let count = UInt16(truncatingIfNeeded: rows[row].points.nonzeroBitCount)
            rows[row].points = count
            reading.points &+= UInt64(count)
        }
        reading.points &+= reading.unknown &+ reading.ignored
        return position &+ 1
    }

    /// `null`: a value that is not there.
    private static var null: UInt64 { 0x6C6C_756E }

    /// Notes in the row at `base`, for as long as the message is read, which of its lanes are filled.
    @inline(__always)
    private static func close(
        _ base: Int, _ filled: UInt32, _ rows: inout MutableSpan<Record.OpenRow>
    ) {
        rows[base &>> 4].points = UInt16(truncatingIfNeeded: filled)
    }

    /// The open row of `group`, begun where it is missing; -1 where none is free.
    @inline(never)
    private static func row(
        _ group: UInt16, _ rows: inout MutableSpan<Record.OpenRow>,
        _ lanes: inout MutableSpan<Float>, _ count: inout Int
    ) -> Int {
        for row in 0..<count where rows[row].group == group { return row }
        guard count < Record.rowsMax else { return -1 }
        rows[count] = Record.OpenRow(group: group)
        for lane in count &* 16..<count &* 16 &+ 16 { lanes[lane] = .nan }
        count &+= 1
        return count &- 1
    }

    /// A number of any length, and in what form the next one is to be expected.
    @inline(never)
    private static func number(
        _ entry: inout Entry, _ bytes: Span<UInt8>, at start: Int, _ word: UInt64, clock: Int32
    ) -> Number.Parsed? {
        guard let parsed = Number.parse(bytes, at: start), parsed.value.isFinite else {
            return nil
        }
        entry.isLong = false
        if entry.form.isOpen {
            entry.form.hit(clock &- entry.missed)
            entry.missed = clock
            entry.form.learn(word, width: parsed.end &- start, isInteger: parsed.isInteger)
        }
        return parsed
    }

    /// The time at `start`, which is a number or a text without escapes.
    @inline(__always)
    private static func time(_ bytes: Span<UInt8>, at start: Int) -> (Node, end: Int)? {
        // Milliseconds have 13 digits.
        if let number = Number.long(bytes, at: start, bytes.word(at: start))
            ?? Number.parse(bytes, at: start)
        {
            let node = Node(
                kind: .number, flag: number.isInteger, start: Int32(truncatingIfNeeded: start),
                end: Int32(truncatingIfNeeded: number.end), next: 0, value: number.value)
            return (node, number.end)
        }
        guard bytes.byte(at: start) == Byte.quote,
            let end = end(ofString: bytes, at: start &+ 1)
        else { return nil }
        let node = Node(
            kind: .string, flag: false, start: Int32(truncatingIfNeeded: start &+ 1),
            end: Int32(truncatingIfNeeded: end), next: 0, value: 0)
        return (node, end &+ 1)
    }

    /// Where the text or number at `start` ends.
    @inline(never)
    private static func end(ofScalar bytes: Span<UInt8>, at start: Int) -> Int? {
        guard bytes.byte(at: start) == Byte.quote else {
            return Number.parse(bytes, at: start)?.end
        }
        return end(ofString: bytes, at: start &+ 1).map { $0 &+ 1 }
    }

    /// Where a member's value ends that says who sent this.
    ///
    /// A wrong guess is harmless: labels are taken only if the same bytes were labels before.
    @inline(__always)
    private static func end(
        ofLabel bytes: Span<UInt8>, at start: Int
    ) -> Int? {
        guard bytes.byte(at: start) == Byte.openBrace else {
            return end(ofScalar: bytes, at: start)
        }
        let end = bytes.first(Byte.closeBrace, from: start)
        return end < bytes.count ? end &+ 1 : nil
    }
}
