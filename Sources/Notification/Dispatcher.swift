package import Escalation
package import Fleet
import Foundation
package import Observability
import Synchronization

/// More destinations than threads that we are willing to keep.
package struct DestinationsError: Error, Equatable, CustomStringConvertible {
    package let count: Int

    package init(count: Int) { self.count = count }

    package var description: String {
        "\(count) destinations are too many: at most \(Dispatcher.destinationsMax) can be served;"
            + " send to one that fans out"
    }
}

/// Sends what the outbox holds: one thread for each destination, so that a slow one delays only
/// itself.
///
/// It decides nothing: the outbox does, and whoever is called back records what came of it. The
/// callbacks run on these threads, never under a lock.
package final class Dispatcher: Sendable {
    /// Each is a thread and a connection.
    package static let destinationsMax = 64

    package struct Settings: Sendable {
        package var policy = RetryPolicy()
        package var outboxRowsMax = 10_000
        package var log = Log.none
        package var metrics = Metrics()
        package var clock: @Sendable () -> Instant = Log.wallClock
        /// In 0..<1; spreads retries.
        package var uniform: @Sendable () -> Double = { Double.random(in: 0..<1) }
        /// Called before the first byte leaves, with the row in flight: record it and return, or a
        /// crash cannot know that it may have been sent.
        package var began: @Sendable (Delivery) -> Void = { _ in }
        /// Called when an attempt has ended, or when a delivery ended without one.
        package var finished: @Sendable (DeliveryResult) -> Void = { _ in }

        package init() {}
    }

    private struct State {
        var outbox: Outbox
        var channels: [String: any Channel]
        var workers: Set<String> = []
        var isStarted = false
        var isStopping = false
    }

    private enum Step {
        case stop
        case wait(seconds: Double)
        case send(Delivery, any Channel)
    }

    private let settings: Settings
    private let state: Mutex<State>
    /// Held while a thread decides to wait, so that no wake-up falls in between.
    private let condition = NSCondition()

    package init(_ channels: [String: any Channel], _ settings: Settings) throws(DestinationsError)
    {
        guard channels.count <= Dispatcher.destinationsMax else {
            throw DestinationsError(count: channels.count)
        }
        self.settings = settings
        let outbox = Outbox(policy: settings.policy, rowsMax: settings.outboxRowsMax)
        state = Mutex(State(outbox: outbox, channels: channels))
        exposeOutbox()
    }

    /// Starts to send; deliveries may be put in before.
    package func start() {
        state.withLock { $0.isStarted = true }
        startWorkers()
    }

    /// Replaces the destinations, at a reload.
    ///
    /// What waits for one that is gone fails at once, so that its page can go elsewhere.
    package func replace(
        _ channels: [String: any Channel], paces: [String: Duration] = [:]
    ) throws(DestinationsError) {
        guard channels.count <= Dispatcher.destinationsMax else {
            throw DestinationsError(count: channels.count)
        }
        state.withLock { state in
            state.channels = channels
            state.outbox.paces = paces
        }
        abandonStrays()
        startWorkers()
        wake()
    }

    package func enqueue(_ deliveries: [Delivery]) {
        report(state.withLock { $0.outbox.enqueue(deliveries) })
        abandonStrays()
        wake()
    }

    /// Puts back what an earlier process left.
    package func restore(_ rows: [Delivery]) {
        let now = settings.clock()
        report(state.withLock { $0.outbox.restore(rows, at: now) })
        abandonStrays()
        wake()
    }

    package func cancel(_ ids: [String]) {
        report(state.withLock { $0.outbox.cancel(ids) })
        wake()
    }

    /// Looks again at what is due; to be called after the clock was set.
    package func wake() {
        condition.lock()
        condition.broadcast()
        condition.unlock()
    }

    package func health(of destination: String) -> Outbox.Health {
        state.withLock { $0.outbox.health(of: destination) }
    }

    package var waiting: Int { state.withLock { $0.outbox.count } }

    /// Sends no more, ends what is under way and waits for the threads.
    ///
    /// What was cut off comes back as queued, may have arrived, and is sent again by the next
    /// process. False where a thread did not end in time.
    @discardableResult package func stop(within limit: Duration) -> Bool {
        let channels = state.withLock { state in
            state.isStopping = true
            return state.channels.values.map(\.self)
        }
        for channel in channels { channel.cancel() }
        wake()
        return waitUntil(limit) { $0.workers.isEmpty }
    }

    /// Waits until nothing is left in the outbox; false where it takes longer.
    package func drain(within limit: Duration) -> Bool { waitUntil(limit) { $0.outbox.count == 0 } }

    private func waitUntil(_ limit: Duration, _ isDone: (borrowing State) -> Bool) -> Bool {
        let deadline = Date(timeIntervalSinceNow: limit.seconds)
        condition.lock()
        defer { condition.unlock() }
        while !state.withLock({ isDone($0) }) {
            guard condition.wait(until: deadline) else { return state.withLock { isDone($0) } }
        }
        return true
    }

    private func startWorkers() {
        let names = state.withLock { state -> [String] in
            guard state.isStarted, !state.isStopping else { return [] }
            let missing = state.channels.keys.filter { !state.workers.contains($0) }
            state.workers.formUnion(missing)
            return missing
        }
        for name in names {
            let thread = Thread { self.work(name) }
            thread.name = "send \(name)"
            thread.start()
        }
    }

    private func work(_ name: String) {
        condition.lock()
        defer {
            condition.broadcast()
            condition.unlock()
        }
        while true {
            switch step(name) {
            case .stop: return
            case .wait(let seconds): _ = condition.wait(until: Date(timeIntervalSinceNow: seconds))
            case .send(let delivery, let channel):
                condition.unlock()
                send(delivery, by: channel)
                condition.lock()
                condition.broadcast()
            }
        }
    }

    private func step(_ name: String) -> Step {
        let now = settings.clock()
        return state.withLock { state in
            guard !state.isStopping, let channel = state.channels[name] else {
                state.workers.remove(name)
                return .stop
            }
            if let next = state.outbox.due(name, at: now),
                let delivery = state.outbox.began(next.id, at: now)
            {
                return .send(delivery, channel)
            }
            // No longer than a second: the wall clock may be set while we wait.
            let wait = state.outbox.nextWake(name, after: now).map { ($0 - now).seconds } ?? 1
            return .wait(seconds: min(max(wait, 0.001), 1))
        }
    }

    private func send(_ delivery: Delivery, by channel: any Channel) {
        settings.began(delivery)
        let attempt = channel.send(delivery, at: settings.clock())
        let now = settings.clock()
        let uniform = settings.uniform()
        let result = state.withLock {
            $0.outbox.finished(delivery.id, attempt, at: now, uniform: uniform)
        }
        if let result { report([result]) }
        abandonStrays()
    }

    /// Fails what waits for a destination that is not in the settings.
    private func abandonStrays() {
        report(
            state.withLock { state in
                state.outbox.waitingDestinations.filter { state.channels[$0] == nil }
                    .flatMap { state.outbox.abandon($0) }
            })
    }

    private func report(_ results: [DeliveryResult]) {
        for result in results {
            count(result)
            explain(result)
            settings.finished(result)
        }
    }

    private func count(_ result: DeliveryResult) {
        let outcome =
            switch result.delivery.state {
            case .done: "delivered"
            case .queued, .inflight: "retried"
            case .failed: "failed"
            case .cancelled: "cancelled"
            }
        settings.metrics.counter(
            "tocsin_deliveries_total", "Attempts to deliver a page, by how they ended.",
            [
                MetricLabel("destination", result.delivery.destination),
                MetricLabel("result", outcome), MetricLabel("reason", result.reasonClass),
            ]
        ).add()
    }

    private func explain(_ result: DeliveryResult) {
        let delivery = result.delivery
        let fields: Fields = [
            "destination": delivery.destination, "delivery": delivery.id,
            "incident": delivery.page.incident, "attempts": delivery.attempts,
            "reason": delivery.lastError,
        ]
        switch delivery.state {
        case .failed: settings.log.error("a page was not delivered and will not be", fields)
        case .queued: settings.log.warning("a page was not delivered yet", fields)
        case .done, .inflight, .cancelled: settings.log.debug("a delivery ended", fields)
        }
        switch result.circuit {
        case .unchanged: break
        case .opened: settings.log.error("a destination is down; probing it", fields)
        case .closed: settings.log.notice("a destination is back", fields)
        }
    }

    private func exposeOutbox() {
        let metrics = settings.metrics
        let oldest = metrics.gauge(
            "tocsin_outbox_oldest_seconds", "Age of the oldest page that is not delivered yet.")
        let rows = metrics.gauge("tocsin_outbox_deliveries", "Deliveries that wait or are sent.")
        let coalesced = metrics.counter(
            "tocsin_outbox_updates_coalesced_total", "Updates that a newer one replaced.")
        let dropped = metrics.counter(
            "tocsin_outbox_updates_dropped_total", "Updates that a full outbox did not keep.")
        metrics.beforeExposition { [weak self] in
            guard let self else { return }
            let now = settings.clock()
            state.withLock { state in
                oldest.set(state.outbox.oldest(at: now).seconds)
                rows.set(Double(state.outbox.count))
                coalesced.raise(to: state.outbox.coalesced)
                dropped.raise(to: state.outbox.dropped)
                for name in state.channels.keys {
                    let health = state.outbox.health(of: name)
                    let label = [MetricLabel("destination", name)]
                    metrics.gauge(
                        "tocsin_destination_down", "1 while a destination is only probed.", label
                    ).set(health.isOpen ? 1 : 0)
                    metrics.gauge(
                        "tocsin_destination_refused",
                        "1 while the last page was refused for good: mend its settings.", label
                    ).set(health.isRefused ? 1 : 0)
                }
            }
        }
    }
}

extension DeliveryResult {
    /// A few words that a dashboard can group by.
    fileprivate var reasonClass: String {
        switch attempt {
        case nil: "none"
        case .delivered: "ok"
        case .retry(_, 429, _, _): "rate_limited"
        case .permanent(401, _), .permanent(403, _): "auth_error"
        case .retry(_, 500..., _, _), .permanent(500..., _): "server_error"
        case .permanent: "client_error"
        case .retry: "network"
        }
    }
}
