import Fleet
import Foundation
import Kafka
import Ledger
import Observability
import Rules
import Synchronization
import Telemetry

/// Reads Kafka and judges what it reads; the one thread that touches the consumer.
///
/// Each turn is one poll: decode, detect, judge, dead letters, and a step for the engine. What the
/// engine has stored is committed to the group, which is for people's tools; the truth about
/// positions is the ledger.
final class Intake: Sendable {
    /// What the rest of the process may say to the intake, and hear of it.
    struct Controls: Sendable {
        var stopping = false
        var book: RuleBook?
        /// Positions that the ledger has; to be committed to the group.
        var stored: [Partition: Int64] = [:]
    }

    let controls = Mutex(Controls())
    private let settings: Settings
    private let properties: [String: String]
    private let positions: [Partition: Int64]
    /// When something was last heard of each topic, as the ledger has it.
    private let heard: [String: Instant]
    private let mailbox: Mailbox<Engine.Input>
    private let board: Board
    private let clock: WallClock
    private let log: Log

    /// One poll waits at most this long, so that time passes for absence too.
    private static let pollMilliseconds: Int32 = 100
    /// A step leaves at least this often while anything moved; each costs the engine one fsync.
    private static let stepEvery = Duration.milliseconds(250)
    private static let commitEvery = Duration.seconds(5)
    /// How soon a silence is known to cover a device; labels move as slowly.
    private static let maintainEvery = Duration.seconds(5)
    /// librdkafka gives a sign of life every ten seconds.
    private static let lifeMilliseconds: Int64 = 30_000
    /// For so long, of its own turns, the intake sees none before it gives up: a process that was
    /// stopped and goes on sees an old sign first, and a new one within ten seconds.
    private static let stuckMilliseconds: Int64 = 15_000

    init(
        settings: Settings, properties: [String: String], past: LedgerState,
        mailbox: Mailbox<Engine.Input>, board: Board, clock: WallClock, log: Log
    ) {
        self.settings = settings
        self.properties = properties
        positions = past.positions
        heard = InputWatch.heard(past.counters)
        self.mailbox = mailbox
        self.board = board
        self.clock = clock
        self.log = log
    }

    /// Works until told to stop; then everything read is with the engine.
    ///
    /// - Throws: what ends the consumer for good.
    func run(
        book: RuleBook, past: LedgerState, deadLetters: DeadLetters, seasonFile: Int32?
    ) throws(KafkaError) {
        let fallback: StartOffset.End = settings.kafka.startAt == .earliest ? .earliest : .latest
        var consumer = try Consumer.open(
            properties, topics: settings.kafka.topics.map(\.name),
            log: { [log] line in log.kafka(line) },
            start: { [self] name in
                let partition = Partition(topic: name.topic, number: name.number)
                let known = controls.withLock { $0.stored[partition] } ?? positions[partition]
                return known.map { .at($0) } ?? .committed(fallback: fallback)
            })
        var reading = Reading(
            pipeline: Pipeline(
                book: book,
                formats: Dictionary(
                    settings.kafka.topics.map { ($0.name, $0.format) }, uniquingKeysWith: { $1 }),
                decoding: settings.decoding, devicesMax: settings.telemetry.devicesMax,
                roster: past.devices,
                firing: past.firing.filter { $0.key.rule != InputWatch.rule },
                seasonFile: seasonFile),
            watch: InputWatch(
                silenceAfter: settings.telemetry.silenceAfter,
                heard: heard, firing: past.firing, at: clock.now()),
            started: clock.now())
        do throws(KafkaError) {
            while !controls.withLock({ $0.stopping }) {
                try turn(&consumer, &reading, deadLetters)
                if isStuck(consumer, &reading) { break }
            }
        } catch {
            log.error("reading cannot go on", ["why": error.description])
            board.intakeFailed("reading has ended: \(error.description)")
            _ = consumer.close(milliseconds: 2_000)
            throw error
        }
        finish(&consumer, &reading, deadLetters)
        if case .abandoned(let reason) = consumer.close(milliseconds: 3_000) {
            log.warning("the consumer was not closed in order", ["why": reason])
        }
        board.intakeEnded()
    }

    /// Whether librdkafka's own thread gives no sign of life: then only a new process helps.
    private func isStuck(_ consumer: borrowing Consumer, _ reading: inout Reading) -> Bool {
        let age = consumer.statisticsAgeMilliseconds
        let passed = min(max(0, age - reading.lifeAge), 1_000)
        reading.lifeAge = age
        reading.lifeless = age > Self.lifeMilliseconds ? reading.lifeless + passed : 0
        guard reading.lifeless > Self.stuckMilliseconds else { return false }
        let reason = "librdkafka gave no sign of life for \(age / 1_000) s"
        log.error("ending, so that a new process reads on", ["why": reason])
        board.intakeFailed(reason)
        return true
    }

    private func turn(
        _ consumer: inout Consumer, _ reading: inout Reading, _ deadLetters: DeadLetters
    ) throws(KafkaError) {
        let now = clock.now()
        if let book = controls.withLock({ $0.book.take() }) {
            reading.note(reading.pipeline.replace(book, at: now))
        }
        board.intakeTurned(at: now)
        var counts = MessageCounts()
        reading.pipeline.begin()
        counts.messages = UInt64(
            try consumer.poll(milliseconds: Self.pollMilliseconds) { record, key, payload in
                reading.read(record, key, payload, at: now, &counts, deadLetters)
            })
        take(eventsOf: &consumer, &reading)
        reading.isSettled = deadLetters.flush()

        if now - reading.maintainedAt >= Self.maintainEvery {
            reading.pipeline.maintain(board.silences, at: now)
            reading.maintainedAt = now
            board.seasonsRefused.raise(to: reading.pipeline.seasonsRefused)
            board.watchesRefused.raise(to: reading.pipeline.watchesRefused)
            board.devicesHeld.set(Double(reading.pipeline.devicesHeld))
        }
        let caughtUp = consumer.assignment.filter { index in
            consumer.isCaughtUp(index) && reading.isSilent(index, at: now)
        }
        let (findings, tally) = reading.pipeline.judge(
            caughtUp: caughtUp, upTo: reading.settledFrontier(at: now))
        board.add(counts, tally, reading.pipeline.directory.count)
        reading.note(findings)
        if counts.messages > 0 { reading.noteTopics(at: now) }
        if reading.isHolding { reading.watch.excuse(at: now) }
        let silences = reading.watch.judge(at: now)
        reading.note(silences)
        board.silentTopics.set(Double(reading.watch.silent))
        for finding in silences {
            log.error(
                "input", ["topic": finding.key.subject.name, "says": finding.summary])
        }
        if !findings.isEmpty || !silences.isEmpty || now - reading.sentAt >= Self.stepEvery {
            send(&consumer, &reading, at: now)
        }
        if now - reading.committedAt >= Self.commitEvery {
            commit(&consumer, &reading)
            reading.committedAt = now
        }
    }

    private func take(eventsOf consumer: inout Consumer, _ reading: inout Reading) {
        while let event = consumer.nextEvent() {
            switch event {
            case .assigned(let indices):
                reading.know(consumer.partitions)
                log.info("partitions assigned", ["count": indices.count])
                board.assigned(consumer.assignment.count)
                reading.watch(consumer.assignment, at: clock.now())
                // What is new was not paused with the others.
                if reading.isHolding {
                    reading.isHolding = false
                    hold(&consumer, &reading, true)
                }
            case .revoked(let indices):
                log.info("partitions revoked", ["count": indices.count])
                send(&consumer, &reading, at: clock.now())
                commit(&consumer, &reading)
                let kept = consumer.assignment.filter { !indices.contains($0) }
                board.assigned(kept.count)
                board.released(indices.compactMap { reading.partition($0) })
                reading.watch(kept, at: clock.now())
            case .lost(let indices):
                log.warning("partitions lost to another member", ["count": indices.count])
                for index in indices { reading.forget(index) }
                board.released(indices.compactMap { reading.partition($0) })
                board.assigned(consumer.assignment.count)
            case .outOfRange(let gap):
                let name = reading.name(of: gap.partition)
                log.error(
                    "records were gone before they were read",
                    [
                        "partition": name, "wanted": gap.from,
                        "log_start": gap.to.map(String.init) ?? "unknown",
                    ])
                board.lost(max(0, (gap.to ?? gap.from) - gap.from))
            case .caughtUp: continue
            case .commitFailed(let error):
                log.warning("the group did not take our positions", ["why": error.description])
            case .failed(let error, let partition, let offset):
                board.readFailures.add()
                let name = reading.name(of: partition ?? -1)
                log.error(
                    "a record or topic cannot be read",
                    [
                        "why": error.description,
                        "partition": name,
                        "offset": offset.map(String.init) ?? "-",
                    ])
            case .trouble(let error):
                reading.outage.note(at: clock.now())
                log.warning("trouble with the cluster", ["why": error.description])
            }
        }
        board.offsetGaps.raise(to: consumer.holes.offsets)
    }

    /// Hands the step to the engine.
    ///
    /// Where the engine is full, the step waits and grows, and every partition is paused: the next
    /// turns go on polling, or the group would take the partitions away, but fetch nothing.
    private func send(_ consumer: inout Consumer, _ reading: inout Reading, at now: Instant) {
        for index in consumer.assignment where index < reading.partitions.count {
            guard let next = consumer.position(of: index) else { continue }
            let partition = reading.partitions[index]
            if let high = consumer.watermarks(of: index)?.high {
                board.lag(of: partition, max(0, high - next))
            }
            // Dead letters are on their way: what they stand for is not read yet.
            guard reading.isSettled, reading.sent[partition] != next else { continue }
            reading.sent[partition] = next
            reading.step.positions[partition] = next
        }
        // A step that waits for the engine does not grow by the same devices every minute; what is
        // due meanwhile is due then.
        if reading.step.devices.isEmpty {
            reading.step.devices = reading.roster.due(reading.pipeline.directory, at: now)
        }
        reading.sentAt = now
        reading.step.heard = reading.watch.heard
        guard !reading.step.isEmpty else { return }
        if mailbox.offer(.step(reading.step)) {
            reading.step = IntakeStep()
            hold(&consumer, &reading, false)
        } else {
            board.intakeWaits.add()
            hold(&consumer, &reading, true)
        }
    }

    private func hold(_ consumer: inout Consumer, _ reading: inout Reading, _ wanted: Bool) {
        guard reading.isHolding != wanted else { return }
        do throws(KafkaError) {
            try wanted
                ? consumer.pause(consumer.assignment) : consumer.resume(consumer.assignment)
            reading.isHolding = wanted
        } catch {
            log.warning("the flow of records was not changed", ["why": error.description])
        }
    }

    /// The last step of all: waits for the engine, which is still at work, as long as it takes to
    /// drain what it has.
    private func finish(
        _ consumer: inout Consumer, _ reading: inout Reading, _ deadLetters: DeadLetters
    ) {
        reading.isSettled = deadLetters.flush(milliseconds: 2_000)
        send(&consumer, &reading, at: clock.now())
        for _ in 0..<100 where !reading.step.isEmpty {
            Thread.sleep(forTimeInterval: 0.05)
            send(&consumer, &reading, at: clock.now())
        }
        commit(&consumer, &reading)
    }

    private func commit(_ consumer: inout Consumer, _ reading: inout Reading) {
        let stored = controls.withLock { $0.stored }
        var moved: [Position] = []
        for index in consumer.assignment where index < reading.partitions.count {
            let partition = reading.partitions[index]
            guard let offset = stored[partition], reading.committed[partition] != offset else {
                continue
            }
            moved.append(Position(partition: index, offset: offset))
            reading.committed[partition] = offset
        }
        guard !moved.isEmpty else { return }
        do throws(KafkaError) {
            try consumer.commit(moved)
        } catch {
            log.warning("the group did not take our positions", ["why": error.description])
        }
    }
}

/// What the intake carries from turn to turn.
private struct Reading: ~Copyable {
    var pipeline: Pipeline
    var partitions: [Partition] = []
    var step = IntakeStep()
    /// Wall-clock time of the newest record of each partition, by the consumer's index.
    private var heard: [Instant] = []
    var sent: [Partition: Int64] = [:]
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
        roster = RosterKeeper(known: pipeline.directory.count)
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

    /// Another member owns it: what we read and did not store yet is theirs to read again.
    mutating func forget(_ index: Int) {
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
        guard let time = pipeline.frontier else { return nil }
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

    mutating func note(_ findings: [Finding]) {
        guard !findings.isEmpty else { return }
        step.findings += findings
        step.members.merge(pipeline.members(around: findings)) { $1 }
    }

    func name(of index: Int) -> String {
        partitions.indices.contains(index) ? partitions[index].description : "-"
    }

    mutating func read(
        _ record: borrowing Record, _ key: Span<UInt8>?, _ payload: Span<UInt8>?, at now: Instant,
        _ counts: inout MessageCounts, _ deadLetters: DeadLetters
    ) {
        heard[record.partition] = now
        // A compacted topic says "gone" with a tombstone; it carries no sample.
        guard let payload else {
            counts.tombstones += 1
            return
        }
        counts.bytes += UInt64(payload.count)
        let time = record.timestampMilliseconds.map { Instant(milliseconds: $0) } ?? now
        do throws(Undecodable) {
            try pipeline.read(
                payload, partition: record.partition, offset: record.offset, recordTime: time,
                now: now)
            counts.decoded += 1
        } catch {
            counts.dead += 1
            deadLetters.add(
                payload, key: key, from: partitions[record.partition], offset: record.offset,
                because: error)
        }
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
