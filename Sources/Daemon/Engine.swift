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

    var isEmpty: Bool {
        findings.isEmpty && positions.isEmpty && devices.isEmpty && removedDevices.isEmpty
    }
}

/// Owns incidents, escalation and the ledger; confined to the engine's thread.
///
/// Every turn takes all that waits, lets the pure desk decide, stores the outcome in one
/// transaction, and only then lets pages leave and callers know: what was said is on the disk.
final class Engine {
    enum Input: Sendable {
        case step(IntakeStep)
        case command(
            Command, by: String, via: String, reply: @Sendable (Result<Void, Refusal>) -> Void)
        /// A delivery is about to be sent; `stored` is called when the ledger says so too.
        case began(Delivery, stored: @Sendable () -> Void)
        case delivered(DeliveryResult)
        case reload(RuleFolder)
        case audit(AuditEntry)
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
    private let watchdog = Watchdog()
    private var prunedAt: Instant
    /// Called after a commit with the positions that are durable now.
    private let onStored: @Sendable ([Partition: Int64]) -> Void

    /// Decided and not yet stored: more than one turn's worth only while the disk refuses.
    private var pending: LedgerWrite
    private var replies: [() -> Void] = []
    private var retryAt: Instant?
    private var stopping = false

    /// Without a timer a turn comes at least this often: ticks, the watchdog, the published view.
    private static let turnMilliseconds = 250
    /// Decisions that may wait for a disk that refuses; then the intake is made to wait too.
    private static let pendingMax = 20_000
    /// A disk that refuses is asked again this often.
    private static let retryEvery = Duration.seconds(1)

    /// What came of putting back the past, `restored`, is stored with the first turn.
    init(
        desk: Desk, restored: Outcome, ledger: Ledger, dispatcher: Dispatcher,
        mailbox: Mailbox<Input>, board: Board, settings: Settings, clock: WallClock, log: Log,
        onStored: @escaping @Sendable ([Partition: Int64]) -> Void
    ) {
        self.onStored = onStored
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
    }

    /// Works until told to stop and everything decided is stored.
    func run() {
        while !stopping || mailbox.count > 0 {
            // While the disk refuses, what waits stays where it has a bound.
            let isFull = pending.findings.count + pending.cases.count > Engine.pendingMax
            turn(isFull ? [] : mailbox.take(waiting: waitMilliseconds()))
            if isFull { pause() }
        }
        for _ in 0..<5 where !pending.isEmpty { store(at: clock.now(), force: true) }
        do throws(LedgerError) {
            try ledger.stop(at: clock.now())
        } catch {
            log.error("the ledger was not closed in order", ["why": error.description])
        }
    }

    private func pause() {
        _ = DispatchSemaphore(value: 0).wait(timeout: .now() + .milliseconds(100))
    }

    /// One turn: take, decide, store, release.
    func turn(_ inputs: [Input]) {
        let now = clock.now()
        pending.at = now
        for input in inputs { fold(input, at: now) }
        fold(desk.tick(at: now))
        store(at: now, force: false)
        board.publish(desk.cases, at: now)
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
            if !step.findings.isEmpty {
                fold(desk.take(step.findings, members: { step.members[$0] ?? [] }, at: now))
            }
        case .command(let command, let person, let via, let reply):
            do throws(Refusal) {
                fold(try desk.command(command, by: person, via: via, at: now))
                replies.append { reply(.success(())) }
            } catch {
                reply(.failure(error))
            }
        case .began(let delivery, let stored):
            pending.deliveries.append(delivery)
            replies.append(stored)
        case .delivered(let result):
            pending.deliveries.append(result.delivery)
            guard let outcome = result.outcome else { return }
            fold(desk.delivered(id: result.delivery.id, result: outcome, at: now))
        case .reload(let folder):
            fold(desk.replace(policy: folder.policy, prices: folder.prices, at: now))
        case .audit(let entry): pending.audit.append(entry)
        case .stop: stopping = true
        }
    }

    private func fold(_ outcome: Outcome) {
        pending.cases += outcome.changed
        // A case that closed stays in the record; only one that nobody heard of is forgotten.
        let closed = Set(outcome.changed.map(\.id))
        pending.removedCases += outcome.removed.filter { !closed.contains($0) }
        pending.deliveries += outcome.deliveries
        pending.cancelledDeliveries += outcome.cancelled
        pending.audit += outcome.audit
        unsent += outcome.deliveries
        board.count(outcome)
    }

    /// Deliveries that wait for their transaction.
    private var unsent: [Delivery] = []

    /// Stores what was decided; a disk that refuses delays answers and positions, never pages.
    private func store(at now: Instant, force: Bool) {
        guard !pending.isEmpty else { return release() }
        if !force, let retryAt, now < retryAt { return }
        do throws(LedgerError) {
            try ledger.commit(pending)
            if retryAt != nil { log.info("the ledger takes writes again") }
            retryAt = nil
            board.stored(pending.positions, auditHead: ledger.auditHead)
            onStored(pending.positions)
            dispatcher.cancel(pending.cancelledDeliveries)
            pending = LedgerWrite(at: now)
            release()
        } catch {
            retryAt = now + Engine.retryEvery
            board.ledgerFailed(error.description)
            log.error(
                "the ledger refused a write; pages leave all the same", ["why": error.description])
            // A page twice is better than none: the ids are the same when it is stored later.
            send()
        }
    }

    private func send() {
        guard !unsent.isEmpty else { return }
        dispatcher.enqueue(unsent)
        unsent.removeAll()
    }

    /// Old rows go a little at a time, so that no turn waits for it.
    private func prune(at now: Instant) {
        guard now - prunedAt > .seconds(60), retryAt == nil else { return }
        prunedAt = now
        do throws(LedgerError) {
            let gone = try ledger.prune(retention, at: now)
            if gone > 0 { log.debug("old rows pruned", ["rows": gone]) }
        } catch {
            log.warning("old rows were not pruned", ["why": error.description])
        }
    }

    private func release() {
        send()
        for reply in replies { reply() }
        replies.removeAll()
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
