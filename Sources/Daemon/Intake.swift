import Fleet
import Foundation
import Kafka
import Ledger
import Observability
import Rules
import Synchronization
import Telemetry

/// Reads Kafka and has judged what it reads; the one thread that touches the consumer.
///
/// Each turn is one poll: decode, dead letters, detect, judge, and a step for the engine. A poll that
/// came back full says that more is there: its batch is judged on a second thread during the next
/// polls, and what came of it is taken when it is known, two batches later at the latest. What the engine
/// has stored is committed to the group, which is for people's tools; the truth about positions is
/// the ledger.
///
/// A judge that never ends holds up the next turn, and so looks to all who watch as if the intake
/// were stuck, which it is.
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
            batchMax: Pipeline.batchMax, freesAside: true, log: { [log] line in log.kafka(line) },
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
            settle(&consumer, &reading, isBehind: false, at: clock.now())
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
            settle(&consumer, &reading, isBehind: false, at: now)
            reading.note(reading.pipeline.replace(book, at: now))
        }
        board.intakeTurned(at: now)
        reading.begin()
        // What is being judged meanwhile does not wait for records that may never come.
        let patience = reading.pipeline.inWork > 0 ? 0 : Self.pollMilliseconds
        let count = try consumer.poll(milliseconds: patience) { record, payload, coming in
            reading.read(record, payload, coming, at: now, deadLetters)
        }
        reading.counts.messages += UInt64(count)
        // Now and then nothing is in work, and the judge can be asked what it knows.
        let maintains = now - reading.maintainedAt >= Self.maintainEvery
        let isBehind = count >= Pipeline.batchMax
        let isDue = maintains || now - reading.sentAt >= Self.stepEvery
        settle(&consumer, &reading, isBehind: isBehind && !isDue, at: now)
        take(eventsOf: &consumer, &reading, deadLetters)
        reading.isSettled = deadLetters.flush()

        if count > 0 { reading.noteTopics(at: now) }
        tellSilence(&reading, at: now)
        if maintains { maintain(&reading, at: now) }
        judge(&consumer, &reading, isBehind: isBehind, at: now)
        if now - reading.committedAt >= Self.commitEvery {
            commit(&consumer, &reading)
            reading.committedAt = now
        }
    }

    /// Says which topics have fallen silent, or are heard again.
    private func tellSilence(_ reading: inout Reading, at now: Instant) {
        if reading.isHolding { reading.watch.excuse(at: now) }
        let silences = reading.watch.judge(at: now)
        reading.note(Judged(findings: silences))
        board.silentTopics.set(Double(reading.watch.silent))
        for finding in silences {
            log.error(
                "input", ["topic": finding.key.subject.name, "says": finding.summary])
        }
    }

    private func maintain(_ reading: inout Reading, at now: Instant) {
        reading.pipeline.maintain(board.silences, at: now)
        reading.maintainedAt = now
        board.seasonsRefused.raise(to: reading.pipeline.seasonsRefused)
        board.watchesRefused.raise(to: reading.pipeline.watchesRefused)
        board.devicesHeld.set(Double(reading.pipeline.devicesHeld))
    }

    /// Has judged what was read, which no step may have told the positions of yet.
    private func judge(
        _ consumer: inout Consumer, _ reading: inout Reading, isBehind: Bool, at now: Instant
    ) {
        let assignment = consumer.assignment
        let caughtUp = assignment.filter { index in
            consumer.isCaughtUp(index) && reading.isSilent(index, at: now)
        }
        let positions = assignment.compactMap { index in
            consumer.position(of: index).map { (partition: index, next: $0) }
        }
        let done = reading.judge(
            upTo: positions, caughtUp: caughtUp, isBehind: isBehind, at: now)
        if let done { board.add(done.counts, done.tally, done.devices) }
        sendIfDue(&consumer, &reading, at: now)
    }

    /// Takes what came of batches in work: all of it, or, where we are behind, what there is.
    private func settle(
        _ consumer: inout Consumer, _ reading: inout Reading, isBehind: Bool, at now: Instant
    ) {
        while let done = reading.take(isBehind: isBehind) {
            board.add(done.counts, done.tally, done.devices)
        }
        sendIfDue(&consumer, &reading, at: now)
    }

    private func sendIfDue(_ consumer: inout Consumer, _ reading: inout Reading, at now: Instant) {
        if reading.isUrgent || now - reading.sentAt >= Self.stepEvery {
            send(&consumer, &reading, at: now)
        }
    }

    /// What this turn read is not judged yet.
    private func take(
        eventsOf consumer: inout Consumer, _ reading: inout Reading, _ deadLetters: DeadLetters
    ) {
        while let event = consumer.nextEvent() {
            switch event {
            case .assigned(let indices):
                settle(&consumer, &reading, isBehind: false, at: clock.now())
                reading.know(consumer.partitions)
                for index in indices { reading.forget(index) }
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
                // They go with all that was read of them, or the next owner would read it again.
                settle(&consumer, &reading, isBehind: false, at: clock.now())
                reading.isSettled = deadLetters.flush()
                judge(&consumer, &reading, isBehind: false, at: clock.now())
                reading.begin()
                send(&consumer, &reading, at: clock.now())
                commit(&consumer, &reading)
                let kept = consumer.assignment.filter { !indices.contains($0) }
                board.assigned(kept.count)
                board.released(indices.compactMap { reading.partition($0) })
                reading.watch(kept, at: clock.now())
            case .lost(let indices):
                log.warning("partitions lost to another member", ["count": indices.count])
                settle(&consumer, &reading, isBehind: false, at: clock.now())
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
        board.recordsRepeated.raise(to: consumer.repeats)
        board.eventsDropped.raise(to: consumer.eventsDropped)
        board.batchesFreedHere.raise(to: consumer.batchesFreedHere)
    }

    /// Hands the step to the engine.
    ///
    /// Where the engine is full, the step waits and grows, and every partition is paused: the next
    /// turns go on polling, or the group would take the partitions away, but fetch nothing.
    private func send(_ consumer: inout Consumer, _ reading: inout Reading, at now: Instant) {
        for index in consumer.assignment where index < reading.partitions.count {
            guard let next = reading.judged(index) else { continue }
            if let high = consumer.watermarks(of: index)?.high {
                board.lag(of: reading.partitions[index], max(0, high - next))
            }
        }
        reading.offerPositions(of: consumer.assignment)
        // A step that waits for the engine does not grow by the same devices every minute; what is
        // due meanwhile is due then.
        if reading.step.devices.isEmpty, reading.pipeline.inWork == 0 {
            reading.noteDevices(at: now)
        }
        reading.sentAt = now
        reading.isUrgent = false
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
        settle(&consumer, &reading, isBehind: false, at: clock.now())
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
