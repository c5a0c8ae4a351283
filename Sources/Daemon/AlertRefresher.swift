import Dispatch
import Escalation
import Fleet
import Notification
import Observability
import Synchronization

/// Says again to Alertmanager what is open, once a minute, and what resolved, for five minutes.
///
/// Alertmanager forgets an alert that nobody repeats. Decided on the engine's thread, sent by a
/// thread for each destination, so that a slow peer holds up nobody; where one round is still under
/// way when the next is due, that one is left out.
final class AlertRefresher {
    /// Where the pages of one round go; answers how it went, after a bounded time.
    typealias Send = @Sendable ([Page], Instant) -> Attempt

    static let every = Duration.seconds(60)
    static let resolvedFor = Duration.seconds(300)

    private struct Round: Sendable {
        let pages: [Page]
        let at: Instant
    }

    private struct Lane {
        /// The page that was delivered last, by incident.
        var pages: [String: Page] = [:]
        let rounds: Mailbox<Round?>
        let worker: Worker
        let skipped: Counter
    }

    private var lanes: [String: Lane] = [:]
    private var refreshedAt: Instant

    init(_ destinations: [String: Send], metrics: Metrics, log: Log, at now: Instant) {
        refreshedAt = now
        for (name, send) in destinations {
            let rounds = Mailbox<Round?>(bound: 1)
            func counter(_ result: String) -> Counter {
                metrics.counter(
                    "tocsin_alert_refreshes_total",
                    "Rounds in which open alerts were said again to Alertmanager, by result.",
                    [MetricLabel("destination", name), MetricLabel("result", result)])
            }
            let (done, failed) = (counter("delivered"), counter("failed"))
            let worker = Worker("refresh-\(name)") {
                while true {
                    for round in rounds.take(waiting: 60_000) {
                        guard let round else { return }
                        let attempt = send(round.pages, round.at)
                        guard case .delivered = attempt else {
                            failed.add()
                            log.warning(
                                "open alerts were not said again; they end there if this goes on",
                                ["destination": name, "why": attempt.reason])
                            continue
                        }
                        done.add()
                    }
                }
            }
            lanes[name] = Lane(rounds: rounds, worker: worker, skipped: counter("skipped"))
        }
    }

    deinit { stop(within: .zero) }

    /// Takes in what became of a delivery.
    func note(_ delivery: Delivery) {
        guard delivery.state == .done, lanes[delivery.destination] != nil else { return }
        lanes[delivery.destination]?.pages[delivery.page.incident] = delivery.page
    }

    /// Forgets whatever is about none of `incidents`: closed, or merged into another.
    func keep(_ incidents: Set<String>) {
        for name in lanes.keys {
            let pages = lanes[name]?.pages ?? [:]
            lanes[name]?.pages = pages.filter { incidents.contains($0.key) }
        }
    }

    /// Starts a round where one is due.
    func refresh(at now: Instant) {
        guard now - refreshedAt >= Self.every else { return }
        refreshedAt = now
        for (name, lane) in lanes {
            let pages = lane.pages.values
                .filter { $0.kind != .resolved || now - $0.at <= Self.resolvedFor }
                .sorted { $0.incident < $1.incident }
            lanes[name]?.pages = Dictionary(
                pages.map { ($0.incident, $0) }, uniquingKeysWith: { $1 })
            guard !pages.isEmpty else { continue }
            if !lane.rounds.offer(Round(pages: pages, at: now)) { lane.skipped.add() }
        }
    }

    /// Ends the threads, and waits for those that end in time.
    func stop(within limit: Duration) {
        let ending = lanes.values
        lanes = [:]
        for lane in ending { _ = lane.rounds.offer(nil, urgent: true) }
        for lane in ending { _ = lane.worker.join(within: limit) }
    }
}
