import Fleet
import Kafka
import Rules
import Telemetry

/// What the intake carries from turn to turn.
struct Reading: ~Copyable {
    var pipeline: Pipeline
    private(set) var partitions: [Partition] = []
    /// Of the batch that is read.
    var counts = MessageCounts()
    var step = IntakeStep()
    /// Something is to be said that does not wait for the next step.
    var isUrgent = false
    /// Wall-clock time of the newest record of each partition, by the consumer's index.
    private var heard: [Instant] = []
    /// What was read with each batch in work, and where it ended.
    private var flights: [Flight] = []
    /// How far event time had come with the last batch whose findings were taken.
    private var frontier: Instant?
    /// Where the last batch ended whose findings were taken, by the consumer's index.
    private var judged: [Int: Int64] = [:]
    private var sent: [Partition: Int64] = [:]
    var committed: [Partition: Int64] = [:]
    var sentAt: Instant
    var committedAt: Instant
    var maintainedAt = Instant.distantPast
    var roster: RosterKeeper
    /// The engine is full and every partition is paused.
    var isHolding = false
    var outage = Outage()
    /// Where event time stood, some times a second, for as long as `silentAfter`.
    private var frontiers: [(at: Instant, time: Instant)] = []

    /// A partition read to its end is called silent only after this long without a record.
    ///
    /// What was written a moment ago is still on its way. For the same reason such a partition goes
    /// no further than where the others were so long ago: after a gap they come back one by one.
    private static let silentAfter = Duration.seconds(5)

    /// Every dead letter so far is written, or counted as lost.
    var isSettled = true
    var watch: InputWatch
    /// Milliseconds since librdkafka's last sign of life as of the last turn, and how much of our
    /// own time passed beyond what is normal.
    var lifeAge: Int64 = 0
    var lifeless: Int64 = 0

    init(pipeline: consuming Pipeline, watch: InputWatch, started: Instant) {
        roster = RosterKeeper(known: pipeline.withDirectory { $0.count })
        self.pipeline = pipeline
        self.watch = watch
        sentAt = started
        committedAt = started
    }

    mutating func know(_ known: [TopicPartition]) {
        for name in known.dropFirst(partitions.count) {
            partitions.append(Partition(topic: name.topic, number: name.number))
            heard.append(.distantPast)
        }
        pipeline.know(partitions)
    }

    /// Another member owns it, or did: what we read and did not store yet is theirs to read again.
    ///
    /// What is in work is taken before.
    mutating func forget(_ index: Int) {
        judged[index] = nil
        guard index < partitions.count else { return }
        step.positions[partitions[index]] = nil
        sent[partitions[index]] = nil
    }

    /// Tells the watch of the topics that this turn brought records of: once a turn, not for each.
    mutating func noteTopics(at now: Instant) {
        var topics: Set<String> = []
        for (index, partition) in partitions.enumerated() where heard[index] == now {
            topics.insert(partition.topic)
        }
        for topic in topics { watch.heard(topic, at: now) }
    }

    func partition(_ index: Int) -> Partition? {
        partitions.indices.contains(index) ? partitions[index] : nil
    }

    /// The partitions of `indices`, and no others, are ours.
    mutating func watch(_ indices: [Int], at now: Instant) {
        watch.watch(Set(indices.compactMap { partition($0)?.topic }), at: now)
    }

    /// Whether nothing came from a partition although it could have come.
    func isSilent(_ index: Int, at now: Instant) -> Bool {
        let heard = heard.indices.contains(index) ? heard[index] : .distantPast
        return now - heard >= Self.silentAfter && !outage.excuses(heard: heard, at: now)
    }

    /// How far event time had come `silentAfter` ago; nil where nothing had come by then.
    mutating func settledFrontier(at now: Instant) -> Instant? {
        guard let time = frontier else { return nil }
        // A clock that was set back would hold it for as long.
        if let last = frontiers.last, now < last.at { frontiers.removeAll() }
        if frontiers.last.map({ time > $0.time && now - $0.at >= .milliseconds(250) }) ?? true {
            frontiers.append((at: now, time: time))
        }
        while frontiers.count > 1, now - frontiers[1].at >= Self.silentAfter {
            frontiers.removeFirst()
        }
        guard let first = frontiers.first, now - first.at >= Self.silentAfter else {
            return nil
        }
        return first.time
    }

    /// Puts into the step what there is to say.
    mutating func note(_ judged: Judged) {
        guard !judged.findings.isEmpty else { return }
        isUrgent = true
        step.findings += judged.findings
        step.members.merge(judged.members) { $1 }
    }

    func name(of index: Int) -> String {
        partitions.indices.contains(index) ? partitions[index].description : "-"
    }

    mutating func read(
        _ record: borrowing Record, _ payload: Span<UInt8>?, _ coming: Span<UInt8>?,
        at now: Instant, _ deadLetters: DeadLetters
    ) {
        heard[record.partition] = now
        // A compacted topic says "gone" with a tombstone; it carries no sample.
        guard let payload else {
            counts.tombstones += 1
            return
        }
        counts.bytes += UInt64(payload.count)
        if let coming { pipeline.expect(coming, partition: record.partition) }
        let time = record.timestampMilliseconds.map { Instant(milliseconds: $0) } ?? now
        do throws(Undecodable) {
            try pipeline.read(
                payload, partition: record.partition, offset: record.offset, recordTime: time,
                now: now)
            counts.decoded += 1
        } catch {
            counts.dead += 1
            record.withKey { key in
                deadLetters.add(
                    payload, key: key, from: partitions[record.partition], offset: record.offset,
                    because: error)
            }
        }
    }
}

// A batch on its way: its position is offered when its findings are in the step, never before.
extension Reading {
    /// What was read with a batch.
    private struct Flight {
        let counts: MessageCounts
        let positions: [(partition: Int, next: Int64)]
    }

    /// A batch that was judged, and whose findings are in the step.
    struct Done {
        let counts: MessageCounts
        let tally: Tally
        let devices: Int
    }

    /// Begins a batch.
    mutating func begin() {
        counts = MessageCounts()
        pipeline.begin()
    }

    /// Has judged what was read `upTo` these positions: the next offsets to read.
    ///
    /// - Returns: nil where it is judged aside; `take` has it then.
    mutating func judge(
        upTo positions: [(partition: Int, next: Int64)], caughtUp: [Int], isBehind: Bool,
        at now: Instant
    ) -> Done? {
        flights.append(Flight(counts: counts, positions: positions))
        let found = pipeline.judge(
            caughtUp: caughtUp, upTo: settledFrontier(at: now), isBehind: isBehind)
        return found.map { land($0) }
    }

    /// What came of the oldest batch in work, as `Pipeline.take` has it.
    mutating func take(isBehind: Bool) -> Done? {
        pipeline.take(isBehind: isBehind).map { land($0) }
    }

    /// Batches land in the order in which they left.
    private mutating func land(_ found: Judged) -> Done {
        let flight = flights.removeFirst()
        for position in flight.positions { judged[position.partition] = position.next }
        frontier = found.frontier
        note(found)
        return Done(counts: flight.counts, tally: found.tally, devices: found.devices)
    }

    /// Where the last batch ended whose findings were taken; nil where nothing was read.
    func judged(_ index: Int) -> Int64? { judged[index] }

    /// Puts into the step how far partitions are judged, where it does not know.
    mutating func offerPositions(of assignment: [Int]) {
        // Dead letters are on their way: what they stand for is not read yet.
        guard isSettled else { return }
        for index in assignment where index < partitions.count {
            let partition = partitions[index]
            guard let next = judged[index], sent[partition] != next else { continue }
            sent[partition] = next
            step.positions[partition] = next
        }
    }

    /// Puts into the step the devices that are due.
    mutating func noteDevices(at now: Instant) {
        var roster = roster
        step.devices = pipeline.withDirectory { roster.due($0, at: now) }
        self.roster = roster
    }
}

/// When the brokers were last hard to reach: what cannot be fetched is not silent.
struct Outage: Sendable, Equatable {
    private var began = Instant.distantPast
    private var last = Instant.distantPast

    /// Agents come back after the brokers do, within the longest of their usual back-offs.
    ///
    /// A broker that stays away says so again every thirty seconds.
    static let settling = Duration.seconds(60)
    /// From here on it is news that nothing is seen of these devices, whosever fault it is.
    static let longest = Duration.seconds(600)

    mutating func note(at now: Instant) {
        if now - last > Outage.settling || now < last { began = now }
        last = now
    }

    /// Whether the silence of a partition that was heard last at `heard` may be the outage's.
    func excuses(heard: Instant, at now: Instant) -> Bool {
        heard <= last && now - last < Outage.settling && now - began < Outage.longest
    }
}
