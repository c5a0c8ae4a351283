package import Escalation
package import Fleet

/// What became of one attempt, or of a delivery that needed none.
package struct DeliveryResult: Sendable {
    package enum Circuit: Sendable, Equatable {
        case unchanged
        /// Too many failures in a row: only a probe now and then until one succeeds.
        case opened
        case closed
    }

    /// The row as it is to be recorded: queued again, done, failed or cancelled.
    package let delivery: Delivery
    /// Nil where nothing was sent: superseded, cancelled, or no such destination.
    package let attempt: Attempt?
    package var circuit: Circuit = .unchanged
}

/// Every delivery that is not at its end, and which may be sent now.
///
/// A value: it decides, and whoever owns it sends. For each destination one delivery is under way
/// at a time; deliveries of one incident keep their order there, so that a resolve never overtakes
/// its page, and different incidents pass each other, the gravest first.
///
/// Pages and resolves are sent at least once and never dropped: the engine bounds them by the number
/// of open incidents. An update is sent at most once; a newer one takes the place of one that waits.
package struct Outbox: Sendable {
    package let policy: RetryPolicy
    /// Past this, waiting updates are dropped, oldest first.
    package let rowsMax: Int
    /// The shortest time between two deliveries to a destination, by its name.
    package var paces: [String: Duration] = [:]
    package private(set) var count = 0
    package private(set) var coalesced: UInt64 = 0
    package private(set) var dropped: UInt64 = 0

    private var lanes: [String: Lane] = [:]
    private var destinations: [String: String] = [:]
    private var updates = 0
    private var sequence: UInt64 = 0

    /// Ten thousand rows of about 2 KB each are 20 MB.
    package init(policy: RetryPolicy = RetryPolicy(), rowsMax: Int = 10_000) {
        self.policy = policy
        self.rowsMax = rowsMax
    }

    /// Takes deliveries in the order in which they were decided; one that is known is not taken
    /// twice.
    ///
    /// - Returns: updates that will not be sent because of these, cancelled.
    package mutating func enqueue(_ deliveries: some Sequence<Delivery>) -> [DeliveryResult] {
        var ended: [DeliveryResult] = []
        for delivery in deliveries where destinations[delivery.id] == nil {
            var row = delivery
            row.state = .queued
            if row.page.kind == .update { ended += supersede(row) }
            add(row)
            if count > rowsMax { ended += dropUpdate() }
        }
        return ended
    }

    /// Puts back what an earlier process left, in its order.
    ///
    /// A row that was in flight may have arrived: it is sent again and says so. An update in flight
    /// is not, because an update is sent at most once.
    ///
    /// - Returns: rows that are at their end.
    package mutating func restore(
        _ rows: some Sequence<Delivery>, at now: Instant
    ) -> [DeliveryResult] {
        var ended: [DeliveryResult] = []
        for row in rows where destinations[row.id] == nil {
            var row = row
            switch row.state {
            case .done, .failed, .cancelled: continue
            case .queued: break
            case .inflight where row.page.kind == .update:
                ended.append(Outbox.end(row, "the process ended while this update was in flight"))
                continue
            case .inflight:
                row.state = .queued
                row.mayRepeat = true
                row.nextAttempt = now
            }
            add(row)
        }
        return ended
    }

    /// Withdraws deliveries that are no longer needed; one in flight is let go and not repeated.
    package mutating func cancel(
        _ ids: some Sequence<String>, reason: String = "no longer needed"
    ) -> [DeliveryResult] {
        var ended: [DeliveryResult] = []
        for id in ids {
            guard let name = destinations[id], let row = lanes[name]?.rows[id] else { continue }
            guard lanes[name]?.inflight != id else {
                lanes[name]?.rows[id]?.isWithdrawn = true
                continue
            }
            remove(id)
            ended.append(Outbox.end(row.delivery, reason))
        }
        return ended
    }

    /// Fails what waits for a destination that no longer exists.
    package mutating func abandon(_ destination: String) -> [DeliveryResult] {
        guard let lane = lanes[destination] else { return [] }
        let waiting = lane.rows.values.filter { $0.delivery.id != lane.inflight }
            .sorted { $0.sequence < $1.sequence }
        defer { if lanes[destination]?.rows.isEmpty == true { lanes[destination] = nil } }
        return waiting.map { row in
            remove(row.delivery.id)
            var delivery = row.delivery
            delivery.state = .failed
            delivery.lastError = "there is no destination named '\(plain(destination, max: 100))'"
            return DeliveryResult(delivery: delivery, attempt: nil)
        }
    }

    /// What may be sent at `now`, at most one for each destination.
    package func due(at now: Instant) -> [Delivery] {
        lanes.keys.sorted().compactMap { due($0, at: now) }
    }

    /// What may be sent to `destination` at `now`.
    package func due(_ destination: String, at now: Instant) -> Delivery? {
        guard let lane = lanes[destination], lane.inflight == nil, has(lane.opensAt, come: now)
        else { return nil }
        var best: Head?
        for head in lane.heads.values where has(head.nextAttempt, come: now) {
            if let found = best, found.urgency < head.urgency { continue }
            best = head
        }
        return best.flatMap { lane.rows[$0.id]?.delivery }
    }

    /// Notes that `id` is being sent.
    ///
    /// - Returns: the row in flight, to be recorded before the first byte leaves; nil where it is
    ///   gone or its destination is busy.
    package mutating func began(_ id: String, at now: Instant) -> Delivery? {
        guard let name = destinations[id], lanes[name]?.inflight == nil,
            var row = lanes[name]?.rows[id]
        else { return nil }
        row.delivery.state = .inflight
        row.delivery.attempts += 1
        lanes[name]?.update(row)
        lanes[name]?.inflight = id
        if let pace = paces[name] { lanes[name]?.pausedUntil = now + pace }
        return row.delivery
    }

    /// Takes in how an attempt ended; `uniform` in 0..<1 spreads the next one.
    package mutating func finished(
        _ id: String, _ attempt: Attempt, at now: Instant, uniform: Double
    ) -> DeliveryResult? {
        guard let name = destinations[id], lanes[name]?.inflight == id,
            var row = lanes[name]?.rows[id]
        else { return nil }
        // In place: a copy of the lane would copy every row of it for each attempt.
        lanes[name]?.inflight = nil
        let circuit = lanes[name]?.note(attempt, at: now, policy) ?? .unchanged
        decide(&row, attempt, at: now, uniform)
        lanes[name]?.update(row)
        if row.delivery.state != .queued { remove(id) }
        return DeliveryResult(delivery: row.delivery, attempt: attempt, circuit: circuit)
    }

    /// When to ask `due` again; nil where nothing waits.
    package func nextWake(after now: Instant) -> Instant? {
        lanes.keys.compactMap { nextWake($0, after: now) }.min()
    }

    package func nextWake(_ destination: String, after now: Instant) -> Instant? {
        guard let lane = lanes[destination], lane.inflight == nil,
            let first = lane.heads.values.lazy.map(\.nextAttempt).min()
        else { return nil }
        return max(first, lane.opensAt, now)
    }

    /// The destinations for which something waits.
    package var waitingDestinations: [String] {
        lanes.filter { !$0.value.rows.isEmpty }.keys.sorted()
    }

    /// How long the oldest delivery has been waiting for its end.
    package func oldest(at now: Instant) -> Duration {
        let first = lanes.values.flatMap { $0.rows.values.map(\.delivery.page.at) }.min()
        return first.map { max(.zero, now - $0) } ?? .zero
    }

    package struct Health: Sendable, Equatable {
        package var waiting = 0
        package var failures = 0
        package var isOpen = false
        /// The last attempt was refused for good: the settings or the other side must be mended.
        package var isRefused = false
        package var lastError = ""
    }

    package func health(of destination: String) -> Health {
        guard let lane = lanes[destination] else { return Health() }
        return Health(
            waiting: lane.rows.count, failures: lane.failures, isOpen: lane.openUntil != nil,
            isRefused: lane.isRefused, lastError: lane.lastError)
    }

    private func decide(
        _ row: inout Row, _ attempt: Attempt, at now: Instant, _ uniform: Double
    ) {
        row.delivery.lastCode = attempt.code
        row.delivery.lastError = plain(attempt.reason, max: 300)
        switch attempt {
        case .delivered: row.delivery.state = .done
        case .permanent: row.delivery.state = .failed
        case .retry(let after, _, _, let mayHaveArrived):
            row.delivery.mayRepeat = row.delivery.mayRepeat || mayHaveArrived
            let next =
                now
                + policy.delay(
                    afterAttempts: row.delivery.attempts,
                    severity: row.delivery.page.brief.severity,
                    retryAfter: after, uniform: uniform)
            if row.isWithdrawn {
                row.delivery.state = .cancelled
            } else if row.delivery.page.kind == .update && after == nil {
                row.delivery.state = .failed
            } else if policy.givesUp(made: row.delivery.page.at, next: next) {
                row.delivery.state = .failed
                row.delivery.lastError =
                    "gave up after \(policy.giveUpAfter.short): \(row.delivery.lastError)"
            } else {
                row.delivery.state = .queued
                row.delivery.nextAttempt = next
            }
        }
    }

    /// No wait of ours is longer than this: where more is left, the clock has stepped back.
    private func has(_ moment: Instant, come now: Instant) -> Bool {
        moment <= now || moment - now > policy.retryAfterMax
    }

    private mutating func add(_ delivery: Delivery) {
        sequence += 1
        let row = Row(delivery: delivery, sequence: sequence)
        lanes[delivery.destination, default: Lane()].add(row)
        destinations[delivery.id] = delivery.destination
        count += 1
        if delivery.page.kind == .update { updates += 1 }
    }

    private mutating func remove(_ id: String) {
        guard let name = destinations.removeValue(forKey: id),
            let row = lanes[name]?.remove(id)
        else { return }
        count -= 1
        if row.delivery.page.kind == .update { updates -= 1 }
    }

    private mutating func supersede(_ newer: Delivery) -> [DeliveryResult] {
        guard let lane = lanes[newer.destination] else { return [] }
        let older = lane.queues[newer.page.incident, default: []].filter { id in
            id != lane.inflight && lane.rows[id]?.delivery.page.kind == .update
        }
        coalesced += UInt64(older.count)
        return cancel(older, reason: "superseded by a newer update")
    }

    private mutating func dropUpdate() -> [DeliveryResult] {
        guard updates > 0 else { return [] }
        let waiting = lanes.values.flatMap { lane in
            lane.rows.values.filter { row in
                row.delivery.page.kind == .update && row.delivery.id != lane.inflight
            }
        }
        guard let oldest = waiting.min(by: { $0.sequence < $1.sequence }) else { return [] }
        dropped += 1
        return cancel([oldest.delivery.id], reason: "the outbox is full")
    }

    private static func end(_ delivery: Delivery, _ reason: String) -> DeliveryResult {
        var delivery = delivery
        delivery.state = .cancelled
        delivery.lastError = reason
        return DeliveryResult(delivery: delivery, attempt: nil)
    }
}

private struct Row: Sendable {
    var delivery: Delivery
    let sequence: UInt64
    var isWithdrawn = false
}

/// What decides which row goes next: small, because all of them are looked at for each delivery.
private struct Head: Sendable {
    let id: String
    /// Updates last, then by severity, then by age.
    let urgency: (Int, Int, UInt64)
    let nextAttempt: Instant

    init(_ row: Row) {
        let page = row.delivery.page
        id = row.delivery.id
        urgency = (page.kind == .update ? 1 : 0, page.brief.severity.rawValue, row.sequence)
        nextAttempt = row.delivery.nextAttempt
    }
}

/// Everything for one destination.
private struct Lane: Sendable {
    var rows: [String: Row] = [:]
    /// Ids by incident, in order; only the first of each may go.
    var queues: [String: [String]] = [:]
    /// The first of each incident.
    private(set) var heads: [String: Head] = [:]
    var inflight: String?
    var failures = 0
    var openUntil: Instant?
    var pausedUntil = Instant.distantPast
    var isRefused = false
    var lastError = ""

    var opensAt: Instant { max(pausedUntil, openUntil ?? .distantPast) }

    mutating func add(_ row: Row) {
        rows[row.delivery.id] = row
        queues[row.delivery.page.incident, default: []].append(row.delivery.id)
        settle(row.delivery.page.incident)
    }

    mutating func update(_ row: Row) {
        rows[row.delivery.id] = row
        settle(row.delivery.page.incident)
    }

    mutating func remove(_ id: String) -> Row? {
        guard let row = rows.removeValue(forKey: id) else { return nil }
        let incident = row.delivery.page.incident
        queues[incident]?.removeAll { $0 == id }
        if queues[incident]?.isEmpty == true { queues[incident] = nil }
        settle(incident)
        return row
    }

    private mutating func settle(_ incident: String) {
        heads[incident] = queues[incident]?.first.flatMap { rows[$0] }.map(Head.init)
    }

    /// Counts failures in a row.
    ///
    /// An answer that refuses or asks for patience is no failure of the destination: it is there.
    mutating func note(
        _ attempt: Attempt, at now: Instant, _ policy: RetryPolicy
    ) -> DeliveryResult.Circuit {
        lastError = plain(attempt.reason, max: 300)
        isRefused = false
        switch attempt {
        case .retry(nil, _, _, _):
            failures += 1
            guard failures >= policy.failuresMax else { return .unchanged }
            let wasOpen = openUntil != nil
            openUntil = now + policy.probeInterval
            return wasOpen ? .unchanged : .opened
        case .retry(let wait?, _, _, _):
            pausedUntil = max(pausedUntil, now + min(max(.zero, wait), policy.retryAfterMax))
        case .permanent: isRefused = true
        case .delivered: break
        }
        failures = 0
        let wasOpen = openUntil != nil
        openUntil = nil
        return wasOpen ? .closed : .unchanged
    }
}
