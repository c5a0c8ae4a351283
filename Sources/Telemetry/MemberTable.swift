import Bytes

/// The keys of native messages as they were met, what their values are, and which came after which.
///
/// Producers keep the order of their keys. So the key that is expected is compared with what stands
/// there, in one step; only what is unexpected is searched for its end and looked up. What is found
/// says at once where the value goes.
struct MemberTable: Sendable {
    /// What becomes of a value.
    enum Way: UInt8, Sendable {
        /// Of a metric: it is the value of its lane, or a counter's reading, or only counted.
        case lane, counter, unknown, ignored
        /// Of a message.
        case version, time, metrics, events
        /// It is a part of what says who sent this.
        case label
        /// It says nothing to us.
        case skipped
        /// It needs a closer look.
        case other

        @inline(__always)
        var bit: UInt32 { UInt32(1) &<< UInt32(rawValue) }
    }

    struct Entry: Sendable {
        var key = KeyLiteral()
        /// The entry that came after it last time.
        var follower: Int32 = 0
        /// How far the opening quote stands behind the beginning of the literal.
        var quote: Int32 = 0
        var way = Way.other
        /// Of a metric with a lane: its lane, the bit of that, and its group; of no other group is -2.
        var lane: UInt8 = 0
        var bit: UInt32 = 0
        var group: Int32 = -2
        /// Whether it is the name of a metric and not a member of the message.
        var isMetric = false
        /// Of a metric, whether its last number was a long one.
        var isLong = false
        var scale = 1.0
        var low = 0.0
        var high = 0.0
        var form = Number.Form()
        /// The message in which the last number did not fit the form.
        var missed: Int32 = 0
        var hash: UInt64 = 0
    }

    /// The first two stand for the beginnings of a message and of its metrics, and are no keys.
    private(set) var entries = [Entry(), Entry()]
    /// Open addressing, -1 is free; the size is a power of two, at least twice the entries.
    private var buckets: [Int32] = Array(repeating: -1, count: 64)
    private let hashMask: UInt64
    /// Counts the messages.
    private var clock: Int32 = 0

    /// A site has hundreds of names; what does not fit is read as well, and slower.
    static let countMax = 2_048
    static let message = 0
    static let metrics = 1

    init(hashMask: UInt64) { self.hashMask = hashMask }

    var isEmpty: Bool { entries.count == 2 }

    mutating func removeAll() {
        entries.removeSubrange(2...)
        entries[0] = Entry()
        entries[1] = Entry()
        for index in buckets.indices { buckets[index] = -1 }
    }

    /// Reads the first `count` of `padded`, which has zeros behind them.
    ///
    /// - Returns: nil where there is anything that this does not know; nothing of it counts then.
    mutating func read(
        _ padded: [UInt8], _ count: Int, _ lanes: inout [Float],
        _ rows: inout [Record.OpenRow], _ readings: inout [SampleBatch.Reading], firstRow: Int,
        _ map: inout ByteMap, _ guess: inout ByteMap.Guess?
    ) -> Reading? {
        clock &+= 1
        return Self.pass(
            &entries, buckets, hashMask, padded, count, &lanes, &rows, &readings, firstRow, &map,
            &guess, clock: clock)
    }

    /// The bytes of the key whose literal begins at `start`, without its quotes; nil where none does.
    ///
    /// The literal ends where the value begins.
    @inline(__always)
    static func key(
        _ bytes: Span<UInt8>, at start: Int
    ) -> (name: Range<Int>, literal: Range<Int>)? {
        var place = start &+ 1
        while isSpace(bytes.byte(at: place)) { place &+= 1 }
        guard bytes.byte(at: place) == Byte.quote,
            let end = end(ofString: bytes, at: place &+ 1)
        else { return nil }
        let name = place &+ 1..<end
        place = end &+ 1
        while isSpace(bytes.byte(at: place)) { place &+= 1 }
        guard bytes.byte(at: place) == Byte.colon else { return nil }
        place &+= 1
        while isSpace(bytes.byte(at: place)) { place &+= 1 }
        return (name, start..<place)
    }

    @inline(__always)
    static func isSpace(_ byte: UInt8) -> Bool {
        byte == Byte.space || byte == Byte.newline || byte == Byte.carriageReturn
            || byte == Byte.tab
    }

    /// Where the quote stands that ends the string whose first byte is at `start`.
    ///
    /// - Returns: nil for a string with escapes, and for what is none.
    @inline(__always)
    static func end(ofString bytes: Span<UInt8>, at start: Int) -> Int? {
        var place = start
        while place < bytes.count {
            let word = bytes.word(at: place)
            let stop =
                bytesEqual(word, Byte.quote) | bytesEqual(word, Byte.backslash)
                | bytesBelowSpace(word)
            guard stop != 0 else {
                place &+= 8
                continue
            }
            place &+= stop.trailingZeroBitCount &>> 3
            return bytes.byte(at: place) == Byte.quote ? place : nil
        }
        return nil
    }

    /// The entry of the key whose literal begins at `start`, or nil where it is new.
    @inline(never)
    static func find(
        _ entries: Span<Entry>, _ buckets: Span<Int32>, _ bytes: Span<UInt8>, at start: Int,
        first: UInt8, isMetric: Bool, hashMask: UInt64
    ) -> Int? {
        guard let key = key(bytes, at: start) else { return nil }
        let hash = bytes.hash(key.name, seed: isMetric ? 1 : 0) & hashMask
        var bucket = Int(truncatingIfNeeded: hash) & (buckets.count &- 1)
        while buckets[bucket] >= 0 {
            let index = Int(buckets[bucket])
            if entries[index].hash == hash, entries[index].isMetric == isMetric,
                Int(entries[index].key.length) == key.literal.count,
                bytes.matches(entries[index].key, at: start, first: first)
            {
                return index
            }
            bucket = (bucket &+ 1) & (buckets.count &- 1)
        }
        return nil
    }
}

extension MemberTable {
    /// Notes the key whose literal begins at `start`, and that it came after the entry `last`.
    ///
    /// - Returns: its entry, or 0 where it is none to remember.
    mutating func learn(
        _ message: borrowing Scratch, at start: Int, isMetric: Bool, after last: Int,
        _ fill: (inout Entry) -> Void
    ) -> Int {
        let bytes = message.bytes.span.extracting(droppingFirst: Scratch.front)
        guard let key = Self.key(bytes, at: start), key.literal.count <= KeyLiteral.lengthMax
        else { return 0 }
        let first = bytes.byte(at: start)
        guard first == Byte.comma || first == Byte.openBrace else { return 0 }
        let found = Self.find(
            entries.span, buckets.span, bytes, at: start,
            first: first, isMetric: isMetric, hashMask: hashMask)
        guard let place = found ?? add(bytes, key.name, key.literal, isMetric) else { return 0 }
        fill(&entries[place])
        entries[last].follower = Int32(place)
        return place
    }

    private mutating func add(
        _ bytes: Span<UInt8>, _ name: Range<Int>, _ literal: Range<Int>, _ isMetric: Bool
    ) -> Int? {
        guard entries.count < Self.countMax else { return nil }
        var made = Entry()
        made.key = KeyLiteral(bytes, literal)
        made.quote = Int32(name.lowerBound - 1 - literal.lowerBound)
        made.isMetric = isMetric
        made.hash = bytes.hash(name, seed: isMetric ? 1 : 0) & hashMask
        entries.append(made)
        if entries.count * 2 > buckets.count {
            buckets = Array(repeating: -1, count: buckets.count * 2)
            for index in 2..<entries.count { place(index) }
        } else {
            place(entries.count - 1)
        }
        return entries.count - 1
    }

    private mutating func place(_ index: Int) {
        var bucket = Int(truncatingIfNeeded: entries[index].hash) & (buckets.count - 1)
        while buckets[bucket] >= 0 { bucket = (bucket + 1) & (buckets.count - 1) }
        buckets[bucket] = Int32(truncatingIfNeeded: index)
    }
}
