import Configuration
import Escalation
import Fleet
import Foundation
import Incidents
import Ledger
import Notification
import Observability
import Rules
import Synchronization
import Testing

@testable import Daemon

/// A state directory of its own that is gone when the test is over.
final class Scratch: Sendable {
    let path: String

    init() throws {
        path =
            FileManager.default.temporaryDirectory
            .appending(path: "tocsin-daemon-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// A clock that a test moves: the one on the wall, and the one that only counts.
final class Hands: Sendable {
    private let wall = Mutex(Instant(milliseconds: 1_795_248_000_000))
    private let count = Mutex<Int64>(0)

    var clock: WallClock {
        WallClock({ self.wall.withLock { $0 } }, monotonic: { self.count.withLock { $0 } })
    }

    func pass(_ time: Duration) {
        wall.withLock { $0 += time }
        count.withLock { $0 += time.milliseconds }
    }

    func set(back: Duration) { wall.withLock { $0 = $0 - back } }
}

/// A channel that delivers everything, and remembers it.
final class Taker: Channel {
    private let taken = Mutex<[Delivery]>([])

    func send(_ delivery: Delivery, at now: Instant) -> Attempt {
        taken.withLock { $0.append(delivery) }
        return .delivered(code: 200)
    }

    var all: [Delivery] { taken.withLock { $0 } }
}

/// The engine on a ledger of its own, turned by hand.
final class Bench {
    let scratch: Scratch
    let hands = Hands()
    let clock: WallClock
    let board: Board
    let mailbox = Mailbox<Engine.Input>(bound: 4)
    let dispatcher: Dispatcher
    let taker = Taker()
    let ledger: Ledger
    let engine: Engine

    static let policy = """
        version: 1
        people:
          ana: {zone: UTC, channels: [hook]}
          bo: {zone: UTC, channels: [hook]}
        teams: {all: {leads: [bo]}}
        schedules:
          first: {zone: UTC, handoff: "00:00", since: 2026-01-01, people: [ana]}
          hub: {zone: UTC, handoff: "00:00", since: 2026-01-01, people: [bo]}
        policies:
          only:
            tier1: {page: [schedule: first], timeout: 5m}
            tier2: {page: [team_leads: all], timeout: 5m}
            tier3: {page: [schedule: hub]}
            backstop: {page: [user: bo]}
            inform_leads: false
        routes: [{default: true, policy: only}]
        timings: {group_wait: 1s}
        """

    static func desk() throws -> Desk {
        let problems = Problems()
        let policy = EscalationPolicy.load(
            policy, file: "escalation.yaml", zones: ZoneFiles.database, into: problems)
        let prices = PriceBook.load(
            """
            version: 1
            book: "test"
            unknown: {price: 1, source: assumption}
            prices:
              h100: {match: ["h100.*"], low: 2, price: 6.88, high: 12.29, source: list}
            """, file: "prices.yaml", into: problems)
        #expect(problems.isEmpty, "\(problems.report)")
        return Desk(policy: try #require(policy), prices: try #require(prices))
    }

    init(
        bytesMax: Int64 = 1 << 30, startsDispatcher: Bool = false,
        refreshes: [String: AlertRefresher.Send] = [:], log: Log = .none,
        watchdog: Watchdog = Watchdog(interval: nil), in scratch: Scratch? = nil
    ) throws {
        self.scratch = try scratch ?? Scratch()
        clock = hands.clock
        board = Board(startedAt: clock.now())
        ledger = try Ledger.open(directory: self.scratch.path, bytesMax: bytesMax)
        let past = try ledger.load()
        try ledger.start(at: clock.now(), version: "test")
        var sending = Dispatcher.Settings()
        let (mailbox, board, clock) = (mailbox, board, clock)
        sending.clock = { clock.now() }
        sending.metrics = board.metrics
        // A sender waits for the test, and the test for its disk: longer than anybody here has patience.
        var mark = DeliveryMark(mailbox: mailbox, board: board, log: .none)
        mark.waitMilliseconds = 20_000
        sending.began = mark.began
        sending.finished = { _ = mailbox.offer(.delivered($0), urgent: true) }
        dispatcher = try Dispatcher(["hook": taker, Desk.feed: Taker()], sending)
        var desk = try Self.desk()
        let restored = desk.restore(past.cases, silences: past.silences, at: clock.now())
        let failures = Handle<[StartFailure]>([])
        let stored = Handle<[Partition: Int64]>([:])
        self.failed = failures
        self.positions = stored
        engine = Engine(
            desk: desk, restored: restored, ledger: ledger, dispatcher: dispatcher,
            refresher: AlertRefresher(
                refreshes, metrics: board.metrics, log: .none, at: clock.now()),
            mailbox: mailbox, board: board, settings: Settings(), clock: clock, log: log,
            reports: Engine.Reports(
                stored: { new in stored.value.withLock { $0.merge(new) { $1 } } },
                failed: { failure in failures.value.withLock { $0.append(failure) } }),
            watchdog: watchdog)
        if startsDispatcher { dispatcher.start() }
    }

    deinit {
        // A sender may wait for its mark still.
        for case .began(_, let stored) in mailbox.take(waiting: 0) { stored() }
        dispatcher.stop(within: .seconds(5))
    }

    final class Handle<Value: Sendable>: Sendable {
        let value: Mutex<Value>
        init(_ value: Value) { self.value = Mutex(value) }
    }
    let failed: Handle<[StartFailure]>
    let positions: Handle<[Partition: Int64]>

    /// A second connection, for looking.
    func reader() throws -> LedgerReader { try LedgerReader(directory: scratch.path) }

    func step(_ findings: [Finding], next: Int64 = 1) -> Engine.Input {
        var step = IntakeStep()
        step.findings = findings
        step.positions = [Partition(topic: "t", number: 0): next]
        return .step(step)
    }

    func finding(
        _ device: String, _ edge: Finding.Edge = .fired, summary: String = "silent"
    ) -> Finding {
        let now = clock.now()
        return Finding(
            key: Finding.Key(rule: "gone", subject: Entity(kind: .device, name: device)),
            edge: edge, since: now, at: now, severity: .critical, tier: .one, symptom: "off-bus",
            devices: [device], labels: Labels([.host: "node-\(device)"]), summary: summary,
            partition: Partition(topic: "t", number: 0), offset: 1)
    }

    /// Turns with what waits, as the engine's own loop would.
    func turn(_ inputs: [Engine.Input] = []) {
        engine.turn(inputs + mailbox.take(waiting: 0, urgentOnly: engine.isFull))
    }

    /// Lets `device` fail, and its wait for others pass.
    func fire(_ device: String, next: Int64 = 1) {
        turn([step([finding(device)], next: next)])
        hands.pass(.seconds(1))
        turn()
    }

    var cases: [CaseRecord] { board.state.withLock { $0.cases } }
}

/// Waits for what another thread does; false where it does not come within ten seconds.
func eventually(_ isTrue: () -> Bool) -> Bool {
    for _ in 0..<10_000 {
        if isTrue() { return true }
        Thread.sleep(forTimeInterval: 0.001)
    }
    return false
}
