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
    private var bytes: [UInt8] = []
    /// Open addressing, -1 is free; the size is a power of two, at least twice the entries.
    private var buckets: [Int32] = Array(repeating: -1, count: 64)
    private let hashMask: UInt64
    /// By hash of the first bytes of a run: the entry that was found last.
    private var recent = Array(repeating: Guess.none, count: 64)
    /// As what those are looked up.
    private var saltOfGuesses = UInt32.max
    /// Questions to it that are not worth asking, and how many of late were answered.
    private var wait: Int32 = 0
    private var trust: Int32 = 0

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
    /// An entry by the hash of its first bytes, small enough for very many to stay in the cache.
    struct Guess: Sendable {
        var tag: UInt32
        var offset: Int32
        /// 0 is no guess: no run is empty.
        var length: Int32
        var value: Int32

        static let none = Guess(tag: 0, offset: 0, length: 0, value: 0)

        @inline(__always)
        var isNone: Bool { length == 0 }
    }

    /// Which run may begin at `start`: the one that was found last of those with its first bytes.
    ///
    /// Saves the search for its end and the hash of all of it. Whoever takes it asks `isRight`
    /// later, when what is to be compared has come from memory.
    @inline(__always)
    mutating func guess(_ payload: Span<UInt8>, _ start: Int, salt: UInt32) -> Guess {
        guard wait == 0, salt == saltOfGuesses else {
            if wait > 0 { wait &-= 1 }
            return .none
        }
        let hash = payload.hashOfBlock(start) & hashMask
        let tag = UInt32(truncatingIfNeeded: hash &>> 32)
        let slot = Int(truncatingIfNeeded: hash) & (recent.count &- 1)
        var guess = recent[slot]
        if guess.tag != tag { guess = recent[slot ^ 1] }
        guard guess.tag == tag, guess.length > 0 else { return .none }
        bytes.span.ask(for: Int(guess.offset), Int(guess.length))
        return guess
    }

    /// Whether the run at `start` is the one that was guessed, byte for byte.
    @inline(__always)
    mutating func isRight(_ guess: Guess, _ payload: Span<UInt8>, _ start: Int) -> Bool {
        if payload.isSame(start, Int(guess.length), bytes.span, at: Int(guess.offset)) {
            if trust < 64 { trust &+= 1 }
            return true
        }
        return false
    }

    /// Notes that a guess was wrong, and lets it be for a while where that is usual.
    ///
    /// Where all runs begin alike it is never right.
    mutating func noteWrongGuess() {
        trust &-= 2
        if trust < -64 {
            trust = 0
            wait = 4_096
        }
    }

    /// Remembers the entry of a run that was found by the hash of all of it.
    @inline(never)
    mutating func note(_ payload: Span<UInt8>, _ run: Range<Int>, salt: UInt32, hash: UInt64) {
        guard wait == 0, payload.has(64, at: run.lowerBound),
            let number = number(payload, run, salt: salt, hash: hash)
        else { return }
        if salt != saltOfGuesses {
            for index in recent.indices { recent[index] = .none }
            saltOfGuesses = salt
        }
        let block = payload.hashOfBlock(run.lowerBound) & hashMask
        let tag = UInt32(truncatingIfNeeded: block &>> 32)
        let slot = Int(truncatingIfNeeded: block) & (recent.count - 1)
        // Of two that may stand here the one that came later is moved on.
        if recent[slot].tag != tag { recent[slot ^ 1] = recent[slot] }
        recent[slot] = Guess(
            tag: tag, offset: entries[number].offset, length: entries[number].length,
            value: entries[number].value)
    }
}
