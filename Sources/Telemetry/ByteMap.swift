import Bytes

/// What was learned about a run of bytes: a number for every distinct run, found again by hash.
///
/// The bytes themselves are kept and compared, so that two runs with one hash stay two runs. It
/// does not forget single entries: when it is full its owner clears it, counts that, and learns
/// again, which costs one slow look at each run and nothing else.
struct ByteMap: Sendable {
    private struct Entry: Sendable {
        var hash: UInt64
        var offset: Int32
        var length: Int32
        /// What the run was looked up as; the same bytes may mean different things.
        var salt: UInt32
        var value: Int32
    }

    private var entries: [Entry] = []
    private(set) var bytes: [UInt8] = []
    /// Open addressing, -1 is free; the size is a power of two, at least twice the entries.
    private var buckets: [Int32] = Array(repeating: -1, count: 64)
    private let hashMask: UInt64
    /// By hash of its telling words: the run that was found last.
    private var recent = Array(repeating: Recent.none, count: 64)
    private var telling = TellingWords()
    /// Guesses that were wrong, and questions that are not worth asking after too many.
    private var mistakes = 0
    private var wait = 0
    /// Each costs what learning a few runs again does.
    private static let mistakesMax = 64
    /// Places in which a run may stand; what is in none of them is read twice.
    private static var ways: Int { 4 }

    /// - Parameter hashMask: all ones, but for a test that wants every hash to be the same.
    init(hashMask: UInt64) { self.hashMask = hashMask }

    var count: Int { entries.count }
    var byteCount: Int { bytes.count }

    mutating func removeAll() {
        entries.removeAll(keepingCapacity: true)
        bytes.removeAll(keepingCapacity: true)
        for index in buckets.indices { buckets[index] = -1 }
        for index in recent.indices { recent[index] = .none }
    }

    /// The hash of several runs, taken one behind the other.
    @inline(__always)
    mutating func hash(_ payload: Span<UInt8>, _ runs: [Range<Int32>], salt: UInt32) -> UInt64 {
        var hash = UInt64(salt)
        for index in 0..<runs.count {
            let run = runs[index]
            hash = payload.hash(Int(run.lowerBound)..<Int(run.upperBound), seed: hash)
        }
        return hash & hashMask
    }

    @inline(__always)
    mutating func hash(_ payload: Span<UInt8>, _ run: Range<Int>, salt: UInt32) -> UInt64 {
        payload.hash(run, seed: UInt64(salt)) & hashMask
    }

    /// The value of `runs`, or nil where they were never added.
    @inline(__always)
    mutating func find(
        _ payload: Span<UInt8>, _ runs: [Range<Int32>], salt: UInt32, hash: UInt64
    ) -> Int32? {
        var bucket = Int(truncatingIfNeeded: hash) & (buckets.count &- 1)
        let stored = bytes.span
        while buckets[bucket] >= 0 {
            let entry = entries[Int(buckets[bucket])]
            if entry.hash == hash, entry.salt == salt {
                var offset = Int(entry.offset)
                let end = offset &+ Int(entry.length)
                var isSame = true
                for index in 0..<runs.count where isSame {
                    let run = runs[index]
                    let range = Int(run.lowerBound)..<Int(run.upperBound)
                    isSame =
                        offset &+ range.count <= end
                        && payload.equals(range, stored, at: offset)
                    offset &+= range.count
                }
                if isSame, offset == end { return entry.value }
            }
            bucket = (bucket &+ 1) & (buckets.count &- 1)
        }
        return nil
    }

    /// The value of one run, or nil where it was never added.
    @inline(__always)
    mutating func find(
        _ payload: Span<UInt8>, _ run: Range<Int>, salt: UInt32, hash: UInt64
    ) -> Int32? {
        number(payload, run, salt: salt, hash: hash).map { entries[$0].value }
    }

    /// The number of the entry of one run.
    @inline(__always)
    private mutating func number(
        _ payload: Span<UInt8>, _ run: Range<Int>, salt: UInt32, hash: UInt64
    ) -> Int? {
        var bucket = Int(truncatingIfNeeded: hash) & (buckets.count &- 1)
        while buckets[bucket] >= 0 {
            let number = Int(buckets[bucket])
            let entry = entries[number]
            if entry.hash == hash, entry.salt == salt, Int(entry.length) == run.count,
                payload.isSame(
                    run.lowerBound, run.count, bytes.span, at: Int(entry.offset))
            {
                return number
            }
            bucket = (bucket &+ 1) & (buckets.count &- 1)
        }
        return nil
    }

    mutating func add(
        _ payload: Span<UInt8>, _ runs: [Range<Int32>], salt: UInt32, hash: UInt64, value: Int32
    ) {
        let offset = bytes.count
        for run in runs {
            for index in Int(run.lowerBound)..<Int(run.upperBound) { bytes.append(payload[index]) }
        }
        insert(offset, salt, hash, value)
    }

    /// Whether `run` is the entry with this number, which saves the hash where one guesses well.
    @inline(__always)
    mutating func isEntry(
        _ number: Int, _ payload: Span<UInt8>, _ run: Range<Int>, salt: UInt32
    ) -> Bool {
        guard number < entries.count else { return false }
        let entry = entries[number]
        return entry.salt == salt && Int(entry.length) == run.count
            && payload.equals(run, bytes.span, at: Int(entry.offset))
    }

    mutating func add(
        _ payload: Span<UInt8>, _ run: Range<Int>, salt: UInt32, hash: UInt64, value: Int32
    ) {
        let offset = bytes.count
        for index in run { bytes.append(payload[index]) }
        insert(offset, salt, hash, value)
    }

    private mutating func insert(_ offset: Int, _ salt: UInt32, _ hash: UInt64, _ value: Int32) {
        entries.append(
            Entry(
                hash: hash, offset: Int32(clamping: offset),
                length: Int32(clamping: bytes.count - offset), salt: salt, value: value))
        if entries.count * 2 > buckets.count {
            buckets = Array(repeating: -1, count: buckets.count * 2)
            recent = Array(repeating: .none, count: buckets.count * 2)
            for index in entries.indices { place(index) }
        } else {
            place(entries.count - 1)
        }
    }

    private mutating func place(_ index: Int) {
        var bucket = Int(truncatingIfNeeded: entries[index].hash) & (buckets.count - 1)
        while buckets[bucket] >= 0 { bucket = (bucket + 1) & (buckets.count - 1) }
        buckets[bucket] = Int32(truncatingIfNeeded: index)
    }
}

/// Runs whose end is not known yet.
extension ByteMap {
    /// A run that a few words tell.
    struct Guess: Sendable {
        fileprivate var offset: Int32
        fileprivate var bytes: UInt16
        /// As what it was looked up.
        fileprivate(set) var salt: UInt16
        /// What it stands for.
        fileprivate(set) var value: Int32

        var count: Int { Int(bytes) }
        /// Where it lies in the map's `bytes`.
        var range: Range<Int> { Int(offset)..<Int(offset) &+ Int(bytes) }
    }

    /// An entry by a few words of it.
    private struct Recent: Sendable {
        /// One without bytes is none: no run is empty.
        var run: Guess
        var tag: UInt16

        static let none = Recent(run: Guess(offset: 0, bytes: 0, salt: 0, value: 0), tag: 0)
    }

    /// The run that begins at `start`, if it was found before and a few words of it tell; or nil.
    ///
    /// Saves the search for its end and the hash of all of it. Whoever takes it compares its bytes, which
    /// come from afar; the rest is known at once.
    @inline(__always)
    mutating func guess(_ payload: Span<UInt8>, _ start: Int) -> Guess? {
        guard wait == 0, payload.has(telling.reach, at: start) else {
            if wait > 0 { wait &-= 1 }
            return nil
        }
        return recent(telling.hash(payload, start) & hashMask)
    }

    /// The run that was found last of those with this hash of their telling words.
    @inline(__always)
    private func recent(_ hash: UInt64) -> Guess? {
        let tag = UInt16(truncatingIfNeeded: hash &>> 48)
        let slot = Int(truncatingIfNeeded: hash) & (recent.count &- 1)
        // Nearly always the first.
        for way in 0..<Self.ways {
            let found = recent[slot ^ way]
            if found.tag == tag, found.run.bytes > 0 { return found.run }
        }
        return nil
    }

    /// Asks for what `guess` will need of the run that begins at `start`.
    ///
    /// - Returns: its hash, for `expect`.
    @inline(__always)
    func expect(_ payload: Span<UInt8>, _ start: Int) -> UInt64? {
        guard wait == 0, payload.has(telling.reach, at: start) else { return nil }
        let hash = telling.hash(payload, start) & hashMask
        recent.span.ask(for: Int(truncatingIfNeeded: hash) & (recent.count &- 1))
        return hash
    }

    /// What `guess` says of a run with this hash, whose bytes are asked for.
    @inline(__always)
    func expect(_ hash: UInt64) -> Guess? {
        guard let found = recent(hash) else { return nil }
        bytes.span.ask(for: Int(found.offset), found.count)
        return found
    }

    /// Whether the run at `start` is the one that was guessed, byte for byte.
    @inline(__always)
    mutating func isRight(_ guess: Guess, _ payload: Span<UInt8>, _ start: Int) -> Bool {
        payload.isSame(start, guess.count, bytes.span, at: Int(guess.offset))
    }

    /// Learns from a run that was taken for another: by the first word in which they differ.
    ///
    /// Where that is of no use, guessing is let be for a while.
    @inline(never)
    mutating func mistake(_ guess: Guess, _ payload: Span<UInt8>, _ start: Int) {
        mistakes &+= 1
        guard mistakes < Self.mistakesMax else {
            mistakes = 0
            wait = 1 << 16
            return
        }
        var place = 0
        while place < guess.count, start &+ place < payload.count,
            payload[start &+ place] == bytes[Int(guess.offset) &+ place]
        {
            place &+= 1
        }
        telling.add(place)
        for index in recent.indices { recent[index] = .none }
    }

    /// Remembers the entry of a run that was found by the hash of all of it.
    @inline(never)
    mutating func note(_ payload: Span<UInt8>, _ run: Range<Int>, salt: UInt32, hash: UInt64) {
        guard wait == 0, payload.has(telling.reach, at: run.lowerBound),
            let length = UInt16(exactly: run.count), let shortSalt = UInt16(exactly: salt),
            let number = number(payload, run, salt: salt, hash: hash)
        else { return }
        let words = telling.hash(payload, run.lowerBound) & hashMask
        let tag = UInt16(truncatingIfNeeded: words &>> 48)
        let slot = Int(truncatingIfNeeded: words) & (recent.count - 1)
        // What stands here already is moved on to where nothing does, or in place of something else.
        if recent[slot].run.bytes > 0, recent[slot].tag != tag {
            var way = 1
            while way < Self.ways - 1, recent[slot ^ way].run.bytes > 0 { way += 1 }
            recent[slot ^ way] = recent[slot]
        }
        let entry = entries[number]
        recent[slot] = Recent(
            run: Guess(
                offset: entry.offset, bytes: length, salt: shortSalt, value: entry.value),
            tag: tag)
    }

    /// Words by which runs are told apart: those in which runs differed that had been confused.
    struct TellingWords: Sendable {
        private var places = (0, 8, 16, 24)
        /// Bytes that must be there to read.
        private(set) var reach = 32

        @inline(__always)
        func hash(_ bytes: Span<UInt8>, _ start: Int) -> UInt64 {
            let one = bytes.wholeWord(at: start &+ places.0)
            let two = bytes.wholeWord(at: start &+ places.1)
            let three = bytes.wholeWord(at: start &+ places.2)
            let four = bytes.wholeWord(at: start &+ places.3)
            let left = (one ^ 0xBF58_476D_1CE4_E5B9).multipliedFullWidth(
                by: two ^ 0x9E37_79B9_7F4A_7C15)
            let right = (three ^ 0x94D0_49BB_1331_11EB).multipliedFullWidth(
                by: four ^ 0x2545_F491_4F6C_DD1D)
            // Names that differ in a digit or two would crowd without the last product.
            let mixed = (left.high ^ left.low) &+ (right.high &<< 1 ^ right.low)
            let spread = mixed &* 0x9E37_79B9_7F4A_7C15
            return spread ^ (spread &>> 32)
        }

        /// Takes the word at `place` instead of the one that has been there longest.
        mutating func add(_ place: Int) {
            places = (places.1, places.2, places.3, place)
            reach = max(places.0, places.1, places.2, places.3) + 8
        }
    }
}
