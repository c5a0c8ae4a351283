package import Fleet

/// How far event time has come in one partition.
///
/// One host with a wrong clock must not make all others look late, so the watermark is not the
/// newest time but the time that several hosts have reached. A host that died would hold it back
/// for ever; it is let go when the others have moved on without it.
package struct PartitionClock: Sendable {
    package let partition: Partition
    /// Milliseconds that the hosts of this partition have reached; never goes back.
    package private(set) var watermark: Int64 = .min
    /// The watermark, or what the caller said in its place where that is later.
    package private(set) var effective: Int64 = .min
    /// Where the stream resumed after a gap of its own: nothing before it was anyone's absence.
    package private(set) var resumedAt: Int64 = .min
    /// Where it had been before that gap; what was silent by then is silent still.
    package private(set) var brokeOffAt: Int64 = .min

    private var hosts = InlineArray<4, Int32>(repeating: .min)
    private var times = InlineArray<4, Int64>(repeating: .max)
    /// The largest of them that ever was.
    private var leader = Int64.min
    private var used = 0
    private var wanted = 1
    private var leaderMoves = 0
    private var known: Set<Int32> = []

    /// A jump by more than this, and by more than three sample intervals, is a gap in the stream.
    static let gapMilliseconds: Int64 = 90_000

    init(partition: Partition) { self.partition = partition }

    /// Notes that `host` sends to this partition.
    ///
    /// One or two hosts cannot outvote a wrong clock; from three up two must agree, four from 32.
    mutating func note(host: Int32) {
        guard known.count < 100_000, known.insert(host).inserted else { return }
        wanted = known.count < 3 ? 1 : min(4, 2 + known.count / 16)
    }

    /// Feeds the time of one row.
    ///
    /// - Returns: whether `effective` moved.
    @inline(__always)
    mutating func observe(host: Int32, at time: Int64, interval: Float) -> Bool {
        // What lies behind is the usual case, where partitions are read side by side.
        time > watermark && advance(host, time, interval)
    }

    @inline(never)
    private mutating func advance(_ host: Int32, _ time: Int64, _ interval: Float) -> Bool {
        let before = smallest
        let leads = time > leader
        place(host, time)
        leader = max(leader, time)
        var reached = smallest
        if reached != before {
            leaderMoves = 0
        } else if leads {
            leaderMoves += 1
            // Four moves of each leader without the last one: it is gone, not slow.
            if used > 1 && leaderMoves >= 4 * (used - 1) {
                dropSmallest()
                reached = smallest
            }
        }
        guard reached > watermark else { return false }
        // The beginning is a gap too: what was before it this process did not see.
        if watermark == .min || isGap(reached - watermark, interval) {
            resumedAt = reached
            brokeOffAt = watermark
        }
        watermark = reached
        guard watermark > effective else { return false }
        effective = watermark
        return true
    }

    @inline(__always)
    private func isGap(_ milliseconds: Int64, _ interval: Float) -> Bool {
        milliseconds > PartitionClock.gapMilliseconds
            && milliseconds > 3 * Int64(interval * 1_000)
    }

    /// The caller knows better: the partition is read to its end while others went on.
    mutating func advance(to time: Int64) {
        // Unheard since the start: what was sent before is not read again, and is no silence. The
        // roster cannot say when that was, because it is older than the positions beside it.
        if watermark == .min, resumedAt == .min { resumedAt = time }
        effective = max(effective, time)
    }

    /// The least of the times in use; those that are not lie beyond all others.
    @inline(__always)
    private var smallest: Int64 {
        used == 0 ? .min : min(min(times[0], times[1]), min(times[2], times[3]))
    }

    /// Notes a time beyond the watermark, and so beyond the least of all.
    @inline(__always)
    private mutating func place(_ host: Int32, _ time: Int64) {
        // Chosen, not branched on: which host comes next cannot be foretold.
        var index = smallestIndex
        for place in 0..<4 { index = hosts[place] == host ? place : index }
        if used < wanted, hosts[index] != host {
            index = used
            times[index] = time
            used += 1
        }
        hosts[index] = host
        times[index] = max(times[index], time)
    }

    private mutating func dropSmallest() {
        let last = smallestIndex
        used -= 1
        hosts[last] = hosts[used]
        times[last] = times[used]
        hosts[used] = .min
        times[used] = .max
        leaderMoves = 0
    }

    @inline(__always)
    private var smallestIndex: Int {
        var (last, least) = (0, times[0])
        for index in 1..<4 {
            last = times[index] < least ? index : last
            least = min(least, times[index])
        }
        return last
    }
}
