import Console
import Escalation
import Fleet
import Incidents
import Ledger
import Observability
import Synchronization
import Telemetry

/// What one turn of the intake read.
struct MessageCounts: Sendable {
    var messages: UInt64 = 0
    var decoded: UInt64 = 0
    var dead: UInt64 = 0
    var tombstones: UInt64 = 0
    var bytes: UInt64 = 0
}

/// Where the threads pin up what others may see: counters, ages, the list of cases.
final class Board: Sendable {
    let metrics = Metrics()
    let state: Mutex<State>
    let startedAt: Instant

    struct State: Sendable {
        var cases: [CaseRecord] = []
        var silences: [Silence] = []
        /// Nil for a partition that was ours.
        var lag: [Partition: Int64?] = [:]
        var assigned = 0
        var devices = 0
        var engineAt: Instant
        var intakeAt: Instant
        var hasAssignment = false
        var ledgerTrouble = ""
        var reloadFailure = ""
        var positions: [Partition: Int64] = [:]
        var auditHead: AuditHead?
        var isStopping = false
        /// Why reading cannot go on, though the intake comes round.
        var intakeTrouble = ""
        var intakeHasEnded = false
    }

    private let decoded, dead, tombstones: Counter
    private let bytes: Counter
    private let points: Counter
    private let pointOutcomes: [Counter]
    private let deadReasons: [Undecodable.Reason: Counter]
    let readFailures, offsetGaps, recordsLost, deadLettersLost, intakeWaits: Counter
    let recordsRepeated, eventsDropped, batchesFreedHere: Counter
    let seasonsRefused, watchesRefused: Counter
    let devicesHeld: Gauge
    let faults: Counter
    let silentTopics, clockAhead: Gauge
    let beginningsUnstored: Counter
    private let coverageGaps, undelivered, backstops, suppressed, folded, merged: Counter
    let pages: [String: Counter]
    let reloadSucceeded: Gauge

    init(startedAt: Instant) {
        self.startedAt = startedAt
        state = Mutex(State(engineAt: startedAt, intakeAt: startedAt))
        let metrics = metrics
        func message(_ outcome: String) -> Counter {
            metrics.counter(
                "tocsin_messages_total", "Messages read, by what became of them.",
                [MetricLabel("outcome", outcome)])
        }
        decoded = message("decoded")
        dead = message("dead_letter")
        tombstones = message("tombstone")
        bytes = metrics.counter("tocsin_message_bytes_total", "Payload bytes read.")
        points = metrics.counter("tocsin_points_total", "Values in decoded messages.")
        pointOutcomes = Board.outcomes.map { name in
            metrics.counter(
                "tocsin_point_outcomes_total", "Values, by what became of them.",
                [MetricLabel("outcome", name)])
        }
        var reasons: [Undecodable.Reason: Counter] = [:]
        for reason in Undecodable.Reason.allCases {
            reasons[reason] = metrics.counter(
                "tocsin_dead_letters_total", "Messages that could not be decoded, by reason.",
                [MetricLabel("reason", reason.rawValue)])
        }
        deadReasons = reasons
        readFailures = metrics.counter(
            "tocsin_read_failures_total", "Errors of records and topics while reading.")
        offsetGaps = metrics.counter(
            "tocsin_offset_gaps_total", "Offsets skipped without a word by the broker.")
        recordsLost = metrics.counter(
            "tocsin_records_expired_total", "Records that retention removed before we read them.")
        recordsRepeated = metrics.counter(
            "tocsin_records_repeated_total",
            "Records that the broker gave once more; they were not read twice.")
        eventsDropped = metrics.counter(
            "tocsin_consumer_events_dropped_total",
            "What librdkafka reported and nobody was told, because too much of it waited.")
        batchesFreedHere = metrics.counter(
            "tocsin_batches_freed_by_reader_total",
            "Full batches whose memory the reader freed, because too much waited to be freed.")
        deadLettersLost = metrics.counter(
            "tocsin_dead_letters_lost_total", "Dead letters that could not be written.")
        intakeWaits = metrics.counter(
            "tocsin_intake_waits_total", "Waits of the intake for a full engine.")
        faults = metrics.counter("tocsin_faults_total", "Fault events read, such as XIDs.")
        seasonsRefused = metrics.counter(
            "tocsin_seasons_refused_total",
            "Values that found no season because too many series ask for one.")
        watchesRefused = metrics.counter(
            "tocsin_anomaly_series_refused_total",
            "Values that got no anomaly score because too many series ask for one.")
        devicesHeld = metrics.gauge(
            "tocsin_devices_held",
            "Devices from which nothing is learned: in an incident or a maintenance.")
        silentTopics = metrics.gauge(
            "tocsin_input_silent_topics", "Topics from which records stopped coming.")
        clockAhead = metrics.gauge(
            "tocsin_clock_ahead_seconds",
            "How far our time is ahead of a system clock that was set back.")
        beginningsUnstored = metrics.counter(
            "tocsin_deliveries_unmarked_total",
            "Deliveries sent before the ledger knew that they were on their way.")
        coverageGaps = metrics.counter(
            "tocsin_coverage_gaps_total", "Tiers that had nobody on call when they were needed.")
        undelivered = metrics.counter(
            "tocsin_pages_undelivered_total", "Pages that no channel of a tier took.")
        backstops = metrics.counter(
            "tocsin_backstop_pages_total", "Pages to the backstop: every tier was silent.")
        suppressed = metrics.counter(
            "tocsin_incidents_suppressed_total", "Incidents that ended before anybody was told.")
        folded = metrics.counter(
            "tocsin_findings_folded_total",
            "Findings that joined a gathering incident because a limit was reached.")
        merged = metrics.counter(
            "tocsin_incidents_merged_total", "Incidents that a larger one explained.")
        reloadSucceeded = metrics.gauge(
            "tocsin_config_last_reload_successful", "1 where the rules on disk are in force.")
        reloadSucceeded.set(1)
        var pages: [String: Counter] = [:]
        for tier in Tier.allCases {
            pages[tier.name] = metrics.counter(
                "tocsin_pages_total", "Pages, by tier.",
                [MetricLabel("tier", String(tier.rawValue))])
        }
        self.pages = pages
    }

    private static let outcomes = [
        "applied", "late", "duplicate", "sentinel", "out_of_range", "unknown_metric",
        "not_a_number", "future", "no_device", "ignored",
    ]

    func add(_ counts: MessageCounts, _ tally: Tally, _ devices: Int) {
        decoded.add(counts.decoded)
        dead.add(counts.dead)
        tombstones.add(counts.tombstones)
        bytes.add(counts.bytes)
        points.add(tally.points)
        faults.add(tally.faults)
        let amounts = [
            tally.applied, tally.late, tally.duplicate, tally.sentinel, tally.outOfRange,
            tally.unknownMetric, tally.notANumber, tally.future, tally.noDevice, tally.ignored,
        ]
        for (counter, amount) in zip(pointOutcomes, amounts) where amount > 0 {
            counter.add(amount)
        }
        state.withLock { $0.devices = devices }
    }

    func dead(_ reason: Undecodable.Reason) { deadReasons[reason]?.add() }
    func lost(_ records: Int64) { recordsLost.add(UInt64(max(0, records))) }

    func lag(of partition: Partition, _ records: Int64) {
        state.withLock { $0.lag[partition] = .some(records) }
    }

    /// Forgets the lag of partitions that are somebody else's now.
    func released(_ partitions: [Partition]) {
        state.withLock { state in
            for partition in partitions { state.lag[partition] = .some(nil) }
        }
    }

    func assigned(_ count: Int) {
        state.withLock {
            $0.assigned = count
            $0.hasAssignment = $0.hasAssignment || count > 0
        }
    }

    func intakeTurned(at now: Instant) { state.withLock { $0.intakeAt = now } }

    func count(_ outcome: Outcome) {
        for page in outcome.pages where page.kind == .page { pages[page.tier.name]?.add() }
    }

    func count(_ counters: Desk.Counters) {
        coverageGaps.raise(to: counters.coverageGaps)
        undelivered.raise(to: counters.undelivered)
        backstops.raise(to: counters.backstops)
        suppressed.raise(to: counters.suppressedShort)
        folded.raise(to: counters.folded)
        merged.raise(to: counters.merged)
    }
}

extension Board {
    /// An engine or an intake that did not come round for this long is stuck.
    private static let stuckAfter = Duration.seconds(30)

    func publish(_ cases: [CaseRecord]) { state.withLock { $0.cases = cases } }

    func silences(_ silences: [Silence]) { state.withLock { $0.silences = silences } }

    var silences: [Silence] { state.withLock { $0.silences } }

    func engineTurned(at now: Instant) { state.withLock { $0.engineAt = now } }

    /// Neither thread runs yet, and that is as it should be: a start may wait for its broker.
    func starting(at now: Instant) {
        state.withLock {
            $0.engineAt = now
            $0.intakeAt = now
        }
    }

    /// Says that reading cannot go on, or, where empty, that it can.
    func intakeFailed(_ reason: String) { state.withLock { $0.intakeTrouble = reason } }

    /// The intake ended as it should: nobody waits for its next turn.
    func intakeEnded() { state.withLock { $0.intakeHasEnded = true } }

    var isStopping: Bool { state.withLock { $0.isStopping } }

    func stored(_ positions: [Partition: Int64], auditHead: AuditHead) {
        state.withLock {
            $0.positions.merge(positions) { $1 }
            $0.auditHead = auditHead
            $0.ledgerTrouble = ""
        }
    }

    func ledgerFailed(_ reason: String) { state.withLock { $0.ledgerTrouble = reason } }

    func stop() { state.withLock { $0.isStopping = true } }

    /// Says what became of the last reload; an empty reason is success.
    func reloaded(_ failure: String) {
        reloadSucceeded.set(failure.isEmpty ? 1 : 0)
        state.withLock { $0.reloadFailure = failure }
    }

    var assignedPartitions: Int { state.withLock { $0.assigned } }

    /// Why the daemon should not be trusted yet, or any more; empty where it should.
    func notReady(at now: Instant) -> [String] {
        state.withLock { state in
            var reasons: [String] = []
            if state.isStopping { reasons.append("it is stopping") }
            if !state.hasAssignment { reasons.append("no partitions are assigned yet") }
            if !state.ledgerTrouble.isEmpty {
                reasons.append("the ledger takes no writes: \(state.ledgerTrouble)")
            }
            if !state.intakeTrouble.isEmpty { reasons.append(state.intakeTrouble) }
            if now - state.engineAt > Board.stuckAfter { reasons.append("the engine is stuck") }
            if now - state.intakeAt > Board.stuckAfter { reasons.append("the intake is stuck") }
            return reasons
        }
    }

    /// Whether both threads came round lately.
    func isAlive(at now: Instant) -> Bool {
        state.withLock {
            $0.intakeHasEnded
                || (now - $0.intakeAt <= Board.stuckAfter && $0.intakeTrouble.isEmpty)
        }
    }

    /// The line that `systemctl status` shows.
    var statusLine: String {
        state.withLock { state in
            let open = state.cases.count { $0.episode.phase == .open }
            let line =
                "\(state.devices) devices on \(state.assigned) partitions, \(open) open incidents"
            return [
                line, state.ledgerTrouble.isEmpty ? "" : "LEDGER: \(state.ledgerTrouble)",
                state.reloadFailure.isEmpty ? "" : "LAST RELOAD FAILED: \(state.reloadFailure)",
            ].filter { !$0.isEmpty }.joined(separator: "; ")
        }
    }

    func view(instance: String, at now: Instant) -> ConsoleView {
        let reasons = notReady(at: now)
        return state.withLock { state in
            var view = ConsoleView(
                version: Daemon.version, instance: instance, at: now, startedAt: startedAt,
                engineAliveAt: state.engineAt)
            view.notReady = reasons
            view.reloadFailure = state.reloadFailure
            view.partitions = state.positions.map { partition, offset in
                ConsoleView.PartitionView(
                    partition: partition, nextOffset: offset, lag: state.lag[partition] ?? nil,
                    watermark: nil)
            }
            view.deviceCount = state.devices
            view.cases = state.cases
            view.silences = state.silences
            view.auditHead = state.auditHead
            return view
        }
    }

    /// The exposition, with what is read only when somebody looks.
    func exposition(_ accept: String, at now: Instant) -> (contentType: String, text: String) {
        let (state, open) = state.withLock { state in
            (state, Dictionary(grouping: state.cases) { $0.episode.phase })
        }
        func gauge(_ name: String, _ help: String, _ labels: [MetricLabel] = []) -> Gauge {
            metrics.gauge(name, help, labels)
        }
        gauge("tocsin_engine_age_seconds", "Time since the engine came round.")
            .set((now - state.engineAt).seconds)
        gauge("tocsin_intake_age_seconds", "Time since the intake came round.")
            .set((now - state.intakeAt).seconds)
        gauge("tocsin_devices", "Devices in the directory.").set(Double(state.devices))
        gauge("tocsin_partitions", "Partitions that are ours.").set(Double(state.assigned))
        gauge("tocsin_ready", "1 where the daemon is ready.")
            .set(notReady(at: now).isEmpty ? 1 : 0)
        for phase in [Episode.Phase.held, .open, .resolved] {
            let cases = open[phase] ?? []
            for severity in Severity.allCases {
                gauge(
                    "tocsin_incidents", "Incidents that are not closed.",
                    [
                        MetricLabel("phase", phase.rawValue),
                        MetricLabel("severity", severity.name),
                    ]
                ).set(Double(cases.count { $0.incident.severity == severity }))
            }
        }
        for (partition, lag) in state.lag {
            gauge(
                "tocsin_partition_lag", "Records between us and the end of the partition.",
                [
                    MetricLabel("topic", partition.topic),
                    MetricLabel("partition", String(partition.number)),
                ]
            ).set(lag.map(Double.init) ?? .nan)
        }
        let (contentType, body) = metrics.exposition(accept: accept)
        return (contentType, String(decoding: body, as: UTF8.self))
    }
}
