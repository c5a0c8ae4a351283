import Dispatch
import Escalation
import Fleet
import Incidents
import Ledger
import Notification
import Observability
import Rules
import Synchronization

/// What one run of the intake found: findings, and how far it has read, to be stored together.
struct IntakeStep: Sendable {
    var findings: [Finding] = []
    /// Ids of the devices of the hosts, racks and jobs around the findings.
    var members: [Entity: [String]] = [:]
    /// The next offset to read of each partition that moved.
    var positions: [Partition: Int64] = [:]
    /// Devices that are new, moved, or were seen again after a while.
    var devices: [Device] = []
    var removedDevices: [String] = []
    /// When something was last heard of each topic.
    var heard: [String: Instant] = [:]

    var isEmpty: Bool {
        findings.isEmpty && positions.isEmpty && devices.isEmpty && removedDevices.isEmpty
    }
}

/// What became of a command.
enum CommandAnswer: Sendable {
    /// Done, and on the disk.
    case stored(Outcome)
    /// Done, and lost if the process ends before the ledger takes it.
    case unstored(Outcome, because: String)
    case refused(Refusal)
}

/// Owns incidents, escalation and the ledger; confined to the engine's thread.
///
/// Every turn takes all that waits, lets the pure desk decide, stores the outcome in one
/// transaction, and only then lets pages leave and callers know: what was said is on the disk.
///
/// Where the ledger takes nothing for now (a full disk, a lock), pages leave all the same, answers
/// say so, and what was decided waits within bounds; then input waits too. An error that no waiting
/// mends ends the process, pages first.
final class Engine {
    enum Input: Sendable {
        case step(IntakeStep)
        case command(
            Command, by: String, via: String, reply: @Sendable (CommandAnswer) -> Void)
        /// The first byte of a delivery is about to leave; `stored` is called when the ledger knows,
        /// or takes nothing.
        case began(Delivery, stored: @Sendable () -> Void)
        case delivered(DeliveryResult)
        case reload(RuleFolder)
        case audit(AuditEntry)
        /// Answered when all that came before is stored, and its pages are with the dispatcher.
        case settled(@Sendable () -> Void)
        /// The intake has ended; store what is left and end too.
        case stop
    }

    private var desk: Desk
    private let ledger: Ledger
    private let dispatcher: Dispatcher
    private let mailbox: Mailbox<Input>
    private let clock: WallClock
    private let log: Log
    private let board: Board
    private let retention: Retention
    private let refresher: AlertRefresher
    private let watchdog: Watchdog
    private var prunedAt: Instant
    private let reports: Reports

    /// Whom the engine tells of what it did.
    struct Reports: Sendable {
        /// The positions that are durable now, after each commit.
        var stored: @Sendable ([Partition: Int64]) -> Void = { _ in }
        /// Why the engine cannot go on; it waits for the word to stop.
        var failed: @Sendable (StartFailure) -> Void = { _ in }
    }

    /// Decided and not yet stored: more than one turn's worth only while the disk refuses.
    private var pending: LedgerWrite
    /// Lines of the audit trail that a ledger out of order for hours did not get.
    private var auditDropped = 0
    /// Deliveries that wait for their transaction, and those that nobody needs any more.
    private var unsent: [Delivery] = []
    private var withdrawn: [String] = []
    private var replies: [(_ trouble: String?) -> Void] = []
    private var retryAt: Instant?
    private var trouble = ""
    private var refusals = Refusals()
    /// An error that no waiting mends.
    private var broken: StartFailure?
    private var stopping = false
    private var casesChanged = true

    /// Without a timer a turn comes at least this often: ticks, the watchdog, the published view.
    private static let turnMilliseconds = 250
    /// Rows that may wait for a disk that refuses; then the intake is made to wait too.
    static let pendingMax = 20_000
    /// Past this, audit lines are counted and dropped: deliveries go on without the intake.
    private static let auditMax = 100_000
    /// A disk that refuses is asked again this often.
    static let retryEvery = Duration.seconds(1)

    /// What came of putting back the past, `restored`, is stored with the first turn.
    init(
        desk: Desk, restored: Outcome, ledger: Ledger, dispatcher: Dispatcher,
        refresher: AlertRefresher, mailbox: Mailbox<Input>, board: Board, settings: Settings,
        clock: WallClock, log: Log, reports: Reports, watchdog: Watchdog = Watchdog()
    ) {
        self.reports = reports
        self.watchdog = watchdog
        self.refresher = refresher
        self.desk = desk
        self.ledger = ledger
        self.dispatcher = dispatcher
        self.mailbox = mailbox
        self.board = board
        self.clock = clock
        self.log = log
        let days = Int(settings.retention.seconds / 86_400)
        retention = Retention(closedCasesDays: days, deliveriesDays: days)
        pending = LedgerWrite(at: clock.now())
        prunedAt = clock.now()
        fold(restored)
        board.silences(desk.silences)
    }

    /// Works until told to stop and everything decided is stored.
    func run() {
        while !stopping || mailbox.count > 0 {
            // While the disk refuses, steps stay where they have a bound; answers and commands do
            // not wait behind them. Who stops takes all: it is the last chance to store it.
            let inputs = mailbox.take(
                waiting: waitMilliseconds(), urgentOnly: isFull && !stopping)
            turn(inputs)
        }
        // Once more: a lock may have gone meanwhile; a disk does not empty itself in a second.
        if !pending.isEmpty, broken == nil {
            store(at: clock.now(), force: true)
        }
        finish()
    }

    var isFull: Bool { pending.rowCount > Engine.pendingMax }

    private func finish() {
        guard pending.isEmpty, broken == nil else {
            let rows = pending.rowCount
            log.error("decisions were not stored and are lost", ["rows": rows, "why": trouble])
            reports.failed(
                broken
                    ?? StartFailure(
                        .temporary, "\(rows) rows of decisions could not be stored: \(trouble)"))
            return
        }
        do throws(LedgerError) {
            try ledger.stop(at: clock.now())
        } catch {
            log.error("the ledger was not closed in order", ["why": error.description])
        }
    }

    /// One turn: take, decide, store, release.
    func turn(_ inputs: [Input]) {
        let now = clock.now()
        if let step = clock.takeSetBack() {
            log.error(
                "the system clock was set back; our time goes on, a tenth slower, until it is past",
                ["by": step.short])
            // Waits by the wall clock would last as much longer.
            dispatcher.wake()
        }
        pending.at = now
        for input in inputs { fold(input, at: now) }
        fold(desk.tick(at: now))
        store(at: now, force: false)
        if casesChanged {
            casesChanged = false
            let cases = desk.cases
            board.publish(cases)
            refresher.keep(Set(cases.map(\.id)))
        }
        board.engineTurned(at: now)
        board.count(desk.counters)
        board.clockAhead.set(clock.ahead.seconds)
        refresher.refresh(at: now)
        prune(at: now)
        // Only a healthy whole feeds the watchdog: a stuck intake must end the process too.
        if board.isAlive(at: now) { watchdog.feed(at: now, status: board.statusLine) }
    }

    private func waitMilliseconds() -> Int {
        guard let deadline = desk.nextDeadline else { return Engine.turnMilliseconds }
        let left = (deadline - clock.now()).milliseconds
        return Int(min(max(left, 0), Int64(Engine.turnMilliseconds)))
    }

    private func fold(_ input: Input, at now: Instant) {
        switch input {
        case .step(let step):
            pending.positions.merge(step.positions) { $1 }
            pending.devices += step.devices
            pending.removedDevices += step.removedDevices
            pending.findings += step.findings
            pending.counters.merge(InputWatch.counters(step.heard)) { $1 }
            if !step.findings.isEmpty {
                fold(desk.take(step.findings, members: { step.members[$0] ?? [] }, at: now))
            }
        case .command(let command, let person, let via, let reply):
            do throws(Refusal) {
                let outcome = try desk.command(command, by: person, via: via, at: now)
                fold(outcome)
                replies.append { trouble in
                    reply(
                        trouble.map { .unstored(outcome, because: $0) } ?? .stored(outcome))
                }
            } catch {
                reply(.refused(error))
            }
        case .began(let delivery, let stored):
            pending.deliveries.append(delivery)
            replies.append { _ in stored() }
        case .delivered(let result):
            pending.deliveries.append(result.delivery)
            refresher.note(result.delivery)
            guard let outcome = result.outcome else { return }
            fold(desk.delivered(id: result.delivery.id, result: outcome, at: now))
        case .reload(let folder):
            fold(desk.replace(policy: folder.policy, prices: folder.prices, at: now))
        case .audit(let entry): pending.audit.append(entry)
        case .settled(let done): replies.append { _ in done() }
        case .stop: stopping = true
        }
    }

    private func fold(_ outcome: Outcome) {
        guard !outcome.isEmpty else { return }
        pending.cases += outcome.changed
        // A case that closed stays in the record; only one that nobody heard of is forgotten.
        let changed = Set(outcome.changed.map(\.id))
        // One that came back must not be taken away with its earlier self.
        if !pending.removedCases.isEmpty, !changed.isEmpty {
            pending.removedCases.removeAll { changed.contains($0) }
        }
        pending.removedCases += outcome.removed.filter { !changed.contains($0) }
        pending.deliveries += outcome.deliveries
        pending.cancelledDeliveries += outcome.cancelled
        pending.audit += outcome.audit
        if let silences = outcome.silences {
            pending.silences = silences
            board.silences(silences)
        }
        unsent += outcome.deliveries
        if !outcome.cancelled.isEmpty {
            // Decided and taken back in one turn: it must not leave after its own cancellation.
            let cancelled = Set(outcome.cancelled)
            unsent.removeAll { cancelled.contains($0.id) }
            withdrawn += outcome.cancelled
        }
        casesChanged = casesChanged || !outcome.changed.isEmpty || !outcome.removed.isEmpty
        board.count(outcome)
    }

    /// Stores what was decided; a disk that refuses delays positions, never pages or answers.
    private func store(at now: Instant, force: Bool) {
        guard !pending.isEmpty else { return release(nil) }
        let mayTry = retryAt.map { now >= $0 } ?? true
        guard broken == nil, force || mayTry else {
            bound()
            return release(trouble)
        }
        do throws(LedgerError) {
            if auditDropped > 0 {
                pending.audit.append(
                    AuditEntry(
                        at: now, actor: "engine", via: "ledger", type: "audit.dropped",
                        incident: "", detail: "\(auditDropped) lines, while \(trouble)"))
                auditDropped = 0
            }
            try ledger.commit(pending)
            if retryAt != nil {
                log.notice("the ledger takes writes again", refusals.end(at: now))
            }
            retryAt = nil
            board.stored(pending.positions, auditHead: ledger.auditHead)
            reports.stored(pending.positions)
            pending = LedgerWrite(at: now)
            release(nil)
        } catch {
            refused(error, at: now)
        }
    }

    private func refused(_ error: LedgerError, at now: Instant) {
        trouble = error.description
        retryAt = now + Engine.retryEvery
        board.ledgerFailed(trouble)
        if let count = refusals.note(trouble, at: now) {
            log.error(
                "the ledger refused a write; pages leave all the same",
                ["why": trouble, "refused": count])
        }
        bound()
        // A page twice is better than none: the ids are the same when it is stored later.
        release(trouble)
        guard !error.mayRetry, broken == nil else { return }
        let failure = StartFailure(error)
        // A ledger that was ours a moment ago may be again: only damage keeps a restart away.
        broken = StartFailure(
            failure.kind == .dataError ? .dataError : .temporary, failure.reason)
        log.error("the ledger is out of order; ending, so that a new process reads what it holds")
        reports.failed(broken ?? failure)
    }

    /// What waits for the ledger keeps its last state only, and a bound.
    private func bound() {
        pending.coalesce()
        let excess = pending.audit.count - Engine.auditMax
        guard excess > 0 else { return }
        auditDropped += excess
        pending.audit.removeLast(excess)
    }

    /// Lets go what waited for the commit, or goes on without it: then `trouble` says why.
    private func release(_ trouble: String?) {
        if !withdrawn.isEmpty { dispatcher.cancel(withdrawn) }
        withdrawn.removeAll()
        if !unsent.isEmpty { dispatcher.enqueue(unsent) }
        unsent.removeAll()
        for reply in replies { reply(trouble) }
        replies.removeAll()
    }

    /// Old rows go a little at a time, so that no turn waits for it.
    private func prune(at now: Instant) {
        guard now - prunedAt > .seconds(60), retryAt == nil, broken == nil else { return }
        prunedAt = now
        do throws(LedgerError) {
            let gone = try ledger.prune(retention, at: now)
            if gone > 0 { log.debug("old rows pruned", ["rows": gone]) }
        } catch {
            log.warning("old rows were not pruned", ["why": error.description])
        }
    }
}

/// What the log says of a ledger that refuses, once a second for as long as a disk is full.
private struct Refusals {
    private var why = ""
    private var began = Instant.distantPast
    private var toldAt = Instant.distantPast
    private var count = 0
    private var untold = 0

    /// A disk that stays full is mentioned this often.
    private static let tellEvery = Duration.seconds(60)

    /// - Returns: how many there were since the last that was told of; nil where this one is not told.
    mutating func note(_ why: String, at now: Instant) -> Int? {
        if count == 0 { began = now }
        count += 1
        untold += 1
        // Another reason is news, and so is the same one on a clock that was set.
        let isDue = now - toldAt >= Self.tellEvery || now < toldAt
        guard why != self.why || isDue else { return nil }
        defer { untold = 0 }
        (self.why, toldAt) = (why, now)
        return untold
    }

    /// What to say of them when the ledger takes writes again.
    mutating func end(at now: Instant) -> Fields {
        defer { self = Refusals() }
        let seconds = max(.zero, now - began).components.seconds
        return ["refused": count, "for": Duration.seconds(seconds).short]
    }
}

extension LedgerWrite {
    /// Rows that this write would touch.
    var rowCount: Int {
        cases.count + removedCases.count + deliveries.count + cancelledDeliveries.count
            + audit.count + devices.count + findings.count
    }

    /// Keeps of several rows for one thing the last, where the first stood.
    mutating func coalesce() {
        cases = Self.last(of: cases, by: \.id)
        deliveries = Self.last(of: deliveries, by: \.id)
        devices = Self.last(of: devices, by: \.id)
        findings = Self.last(of: findings, by: \.key)
        removedCases = Self.last(of: removedCases, by: \.self)
        cancelledDeliveries = Self.last(of: cancelledDeliveries, by: \.self)
    }

    private static func last<Row, Key: Hashable>(
        of rows: [Row], by key: KeyPath<Row, Key>
    ) -> [Row] {
        var places: [Key: Int] = [:]
        var kept: [Row] = []
        for row in rows {
            if let place = places[row[keyPath: key]] {
                kept[place] = row
            } else {
                places[row[keyPath: key]] = kept.count
                kept.append(row)
            }
        }
        return kept
    }
}

extension DeliveryResult {
    /// What it means for escalation; nil where it means nothing.
    fileprivate var outcome: DeliveryOutcome? {
        switch delivery.state {
        case .done: .delivered
        case .failed: .failed(delivery.lastError)
        case .queued, .inflight: .retrying(delivery.lastError)
        case .cancelled: nil
        }
    }
}
