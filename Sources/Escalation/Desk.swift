package import Fleet
package import Incidents
package import Rules

/// The whole of incidents and escalation as one value: findings and time go in, pages come out.
///
/// Owned by one thread. Every input returns an `Outcome`, which its owner writes down in one
/// transaction before anything of it leaves the process. The same inputs give the same outcomes.
///
/// Every delivery of a page must be answered with `delivered`: a page that no channel took within
/// its deadline counts as undelivered, and the next tier is called.
package struct Desk: Sendable {
    /// What the daemon exports of it.
    package struct Counters: Sendable, Equatable {
        package var pages: UInt64 = 0
        package var suppressedShort: UInt64 = 0
        package var coverageGaps: UInt64 = 0
        package var backstops: UInt64 = 0
        package var undelivered: UInt64 = 0
        package var folded: UInt64 = 0
        package var merged: UInt64 = 0
    }

    /// Every message is also sent here: the record that others subscribe to.
    package static let feed = "feed"

    package internal(set) var policy: EscalationPolicy
    package internal(set) var prices: PriceBook
    package internal(set) var counters = Counters()
    /// Event time that is older is news of the past, and its pages say so.
    package var staleAfter = Brief.staleAfter
    var casebook: Casebook
    var episodes: [String: Episode] = [:]
    var silencesByID: [String: Silence] = [:]
    /// Cases with a parent that explains them.
    var inhibited: Set<String> = []
    /// Where the answer to an outstanding delivery belongs.
    var couriers: [String: String] = [:]
    private var deadlines = DeadlineQueue()
    private var silenceEdge: Instant?
    /// The newest instant that was given: time never runs backwards in the record.
    private var latest = Instant.distantPast

    package init(policy: EscalationPolicy, prices: PriceBook) {
        self.policy = policy
        self.prices = prices
        casebook = Casebook(incidentsMax: policy.incidentsMax)
    }

    /// One input under way.
    struct Draft {
        let at: Instant
        let actor: String
        let via: String
        var outcome = Outcome()
        var touched: Set<String> = []

        mutating func audit(_ type: String, _ incident: String = "", _ detail: String = "") {
            outcome.audit.append(
                AuditEntry(
                    at: at, actor: actor, via: via, type: type, incident: incident,
                    detail: detail))
        }
    }

    mutating func draft(_ actor: String, via: String, at time: Instant) -> Draft {
        latest = max(latest, time)
        return Draft(at: latest, actor: actor, via: via)
    }

    mutating func finish(_ draft: Draft) -> Outcome {
        var outcome = draft.outcome
        for id in draft.touched.sorted() {
            guard let record = record(id) else { continue }
            outcome.changed.append(record)
            deadlines.set(id, to: record.episode.nextTimer?.at)
        }
        outcome.changed.sort { $0.id < $1.id }
        counters.folded = casebook.folded &+ casebook.dropped
        return outcome
    }

    private func record(_ id: String) -> CaseRecord? {
        guard let incident = casebook.incidents[id], let episode = episodes[id] else { return nil }
        return CaseRecord(incident: incident, episode: episode)
    }

    // Inputs.

    /// Applies findings, in order.
    ///
    /// - Parameters:
    ///   - findings: edges, as the rules sent them.
    ///   - members: ids of the devices of a host, rack, job or cluster; empty where unknown. Blame
    ///     moves up to a node only where this says how many devices the node has.
    ///   - time: the clock on the wall; event time is in the findings.
    /// - Returns: what is to be written down and sent.
    package mutating func take(
        _ findings: [Finding], members: (Entity) -> [String] = { _ in [] }, at time: Instant
    ) -> Outcome {
        var draft = draft("engine", via: "stream", at: time)
        let changes = withoutActuallyEscaping(members) { members in
            casebook.take(
                findings, routing: policy.routing(members: members), prices: prices, at: draft.at)
        }
        for (child, parent) in changes.absorbed {
            guard let episode = episodes[child] else { continue }
            let wait = episode.waitDeadline
            for grandchild in children(of: child) {
                drive(grandchild, .masked(.inhibited(by: parent)), &draft)
                drive(grandchild, .unmasked(.inhibited(by: child)), &draft)
            }
            forget(child, &draft)
            draft.outcome.removed.append(child)
            draft.audit("incident.merged", child, "into \(parent), before anybody was told")
            inherit(wait, by: parent, &draft)
        }
        // First: what is explained must not page, or speak of itself, in the same breath.
        for (child, parent) in changes.merged { inhibit(child, by: parent, &draft) }
        for id in changes.touched.sorted() { follow(id, &draft) }
        return finish(draft)
    }

    /// Lets time pass: every timer that is due fires, the earliest first.
    package mutating func tick(at time: Instant) -> Outcome {
        var draft = draft("engine", via: "timer", at: time)
        expire(&draft)
        return finish(draft)
    }

    /// When `tick` is wanted next; nil while nothing waits.
    package var nextDeadline: Instant? {
        [deadlines.first?.at, silenceEdge].compactMap(\.self).min()
    }

    private mutating func expire(_ draft: inout Draft) {
        if let edge = silenceEdge, edge <= draft.at { turnSilences(&draft) }
        // Each timer that fires moves its deadline past now; the bound only guards the thread.
        var left = 64 + 16 * episodes.count
        while left > 0, let due = deadlines.first, due.at <= draft.at {
            left -= 1
            guard let timer = episodes[due.id]?.nextTimer, timer.at <= draft.at else {
                deadlines.set(due.id, to: episodes[due.id]?.nextTimer?.at)
                continue
            }
            drive(due.id, .timer(timer.timer), &draft)
            deadlines.set(due.id, to: episodes[due.id]?.nextTimer?.at)
        }
    }

    /// What became of a delivery.
    package mutating func delivered(
        id: String, result: DeliveryOutcome, at time: Instant
    ) -> Outcome {
        var draft = draft("destination:\(id.dropFirst(27))", via: "outbox", at: time)
        let incident = couriers[id] ?? ""
        switch result {
        case .retrying(let reason):
            draft.audit("delivery.attempt", incident, "\(id): \(reason)")
        case .delivered:
            draft.audit("delivery.done", incident, id)
            guard let sequence = settle(id, &draft) else { break }
            drive(incident, .delivered(sequence), &draft)
        case .failed(let reason):
            draft.audit("delivery.failed", incident, "\(id): \(reason)")
            guard let sequence = settle(id, &draft), let episode = episodes[incident],
                !episode.isDelivered,
                !episode.outstanding.contains(where: { $0.sequence == sequence })
            else { break }
            drive(incident, .undelivered(sequence), &draft)
        }
        return finish(draft)
    }

    /// Takes an answered delivery off the list; returns the number of its page.
    private mutating func settle(_ id: String, _ draft: inout Draft) -> Int? {
        guard let incident = couriers.removeValue(forKey: id),
            let index = episodes[incident]?.outstanding.firstIndex(where: { $0.delivery == id })
        else { return nil }
        draft.touched.insert(incident)
        return episodes[incident]?.outstanding.remove(at: index).sequence
    }

    /// Puts back what an earlier process wrote down; overdue timers fire, once each.
    ///
    /// - Parameters:
    ///   - cases: as last stored.
    ///   - silences: as last stored.
    ///   - lastSeen: when the earlier process last wrote; makes the outage part of the record.
    ///   - time: the clock on the wall.
    /// - Returns: what is to be written down and sent.
    package mutating func restore(
        _ cases: [CaseRecord], silences: [Silence] = [], lastSeen: Instant? = nil,
        at time: Instant
    ) -> Outcome {
        for record in cases { latest = max(latest, record.episode.updatedAt) }
        var draft = draft("engine", via: "start", at: time)
        for silence in silences { silencesByID[silence.id] = silence }
        for record in cases where record.episode.phase != .closed {
            casebook.restore(
                record.incident, isQuiet: record.episode.phase == .held,
                hasEnded: record.episode.phase == .resolved,
                routing: policy.routing(members: { _ in [] }))
            episodes[record.id] = record.episode
            if record.episode.masks.contains(where: { $0.inhibitor != nil }) {
                inhibited.insert(record.id)
            }
            for waiting in record.episode.outstanding { couriers[waiting.delivery] = record.id }
            deadlines.set(record.id, to: record.episode.nextTimer?.at)
        }
        noteOutage(since: lastSeen, &draft)
        turnSilences(&draft)
        expire(&draft)
        return finish(draft)
    }

    private mutating func noteOutage(since lastSeen: Instant?, _ draft: inout Draft) {
        // Half a minute is a restart, not an outage.
        guard let lastSeen, draft.at - lastSeen > .seconds(30) else { return }
        let late = episodes.keys.filter {
            episodes[$0]?.nextTimer.map { $0.at <= draft.at } ?? false
        }
        let stretch = "engine down \(lastSeen.timeOfDay)–\(draft.at.timeOfDay)"
        draft.audit("engine.outage", "", "\(stretch), \(late.count) incidents affected")
        for id in late {
            episodes[id]?.note(stretch, by: "engine", at: draft.at)
            draft.touched.insert(id)
        }
    }

    /// New files: people, schedules and prices hold at once, open episodes keep their plan.
    package mutating func replace(
        policy: EscalationPolicy, prices: PriceBook, at time: Instant
    ) -> Outcome {
        var draft = draft("config", via: "reload", at: time)
        self.policy = policy
        self.prices = prices
        casebook.reprice(by: prices, until: draft.at)
        draft.touched.formUnion(episodes.keys)
        draft.audit("config.activated", "", "policy \(policy.digest), prices \(prices.version)")
        return finish(draft)
    }

    // What can be seen.

    /// All cases: open before resolved, the worst and dearest first.
    package var cases: [CaseRecord] {
        episodes.keys.compactMap(record).sorted { left, right in
            let leftRank = (left.episode.phase.rank, left.incident.severity.rawValue)
            let rightRank = (right.episode.phase.rank, right.incident.severity.rawValue)
            if leftRank != rightRank { return leftRank < rightRank }
            let (leftCost, rightCost) = (left.incident.costPerHour, right.incident.costPerHour)
            return leftCost == rightCost ? left.id < right.id : leftCost > rightCost
        }
    }

    /// Silences that did not end yet, by id.
    package var silences: [Silence] { silencesByID.values.sorted { $0.id < $1.id } }

    /// The case of an id, or of an unambiguous beginning of one; `INC-` may be left out.
    package func find(_ text: String) -> CaseRecord? {
        let found = ids(beginning: text)
        return found.count == 1 ? record(found[0]) : nil
    }

    func ids(beginning text: String) -> [String] {
        let upper = text.uppercased()
        let wanted = upper.hasPrefix("INC-") ? upper : "INC-\(upper)"
        if episodes[wanted] != nil { return [wanted] }
        guard wanted.count > 6 else { return [] }
        return episodes.keys.filter { $0.hasPrefix(wanted) }.sorted()
    }

    // Incidents and their episodes.

    /// Tells an episode what became of its incident.
    private mutating func follow(_ id: String, _ draft: inout Draft) {
        guard let incident = casebook.incidents[id] else { return }
        guard let episode = episodes[id] else {
            begin(incident, &draft)
            return
        }
        draft.touched.insert(id)
        episodes[id]?.owner = incident.tier
        maskBySilences(id, &draft)
        switch (incident.isFiring, episode.signal) {
        case (true, .clear): drive(id, .fired(incident.severity), &draft)
        case (false, .firing): drive(id, .cleared, &draft)
        case (false, .clear):
            // It came and went within one batch, and the episode never saw it.
            if episode.phase == .resolved { casebook.end(id) }
        case (true, .firing):
            if incident.severity < episode.severity {
                rebase(id, &draft)
                draft.audit(
                    "incident.severity", id, "\(episode.severity.name) → \(incident.severity.name)")
                drive(id, .worsened(incident.severity), &draft)
            } else if incident.devices.count
                >= max(2 * episode.devicesTold, episode.devicesTold + 8),
                episode.response != .unacked
            {
                drive(id, .grown, &draft)
            } else if incident.title != episode.titleTold || hasMoved(incident, episode) {
                drive(id, .changed, &draft)
            }
        }
    }

    /// Whether the dollars per hour are a quarter more or less than was said.
    private func hasMoved(_ incident: Incident, _ episode: Episode) -> Bool {
        let said = episode.costTold.dollars
        return abs(incident.costPerHour.dollars - said) > 0.25 * max(abs(said), 1)
    }

    private mutating func begin(_ incident: Incident, _ draft: inout Draft) {
        guard incident.isFiring else {
            // It came and went within one batch: nobody ever heard of it.
            counters.suppressedShort &+= 1
            endChildren(of: incident.id, &draft)
            casebook.remove(incident.id)
            return
        }
        var episode = Episode(plan: policy.plan(route: incident.route))
        episode.severity = incident.severity
        episode.owner = incident.tier
        episodes[incident.id] = episode
        maskBySilences(incident.id, &draft)
        drive(incident.id, .fired(incident.severity), &draft)
    }

    /// A folded child's wait counts for its parent: blame that settles late must not page late.
    private mutating func inherit(_ wait: Instant?, by parent: String, _ draft: inout Draft) {
        guard let wait, let incident = casebook.incidents[parent] else { return }
        if episodes[parent] == nil { begin(incident, &draft) }
        guard let own = episodes[parent]?.waitDeadline else { return }
        episodes[parent]?.waitDeadline = min(own, max(wait, draft.at))
    }

    private mutating func inhibit(_ child: String, by parent: String, _ draft: inout Draft) {
        guard let episode = episodes[child], episode.phase != .closed else { return }
        counters.merged &+= 1
        draft.audit("incident.merged", child, "explained by \(parent)")
        drive(child, .masked(.inhibited(by: parent)), &draft)
        episodes[child]?.note("explained by \(parent)", by: "engine", at: draft.at)
        if !episode.paged.isEmpty { update(child, because: .changed, &draft) }
        if case .acked(let name)? = episodes[parent]?.response,
            case .unacked? = episodes[child]?.response
        {
            drive(child, .acknowledged(by: name), &draft)
        }
    }

    /// Severity rises under a new policy: the new one holds from here on.
    private mutating func rebase(_ id: String, _ draft: inout Draft) {
        guard let incident = casebook.incidents[id], let old = episodes[id]?.plan else { return }
        let plan = policy.plan(route: incident.route)
        guard plan != old else { return }
        episodes[id]?.plan = plan
        if let tier = episodes[id]?.tier {
            episodes[id]?.tier = max(tier, plan.start(incident.severity))
        }
        draft.audit("config.rebased", id, "severity rose; policy \(plan.policy) as it is now")
    }

    mutating func forget(_ id: String, _ draft: inout Draft) {
        for waiting in episodes[id]?.outstanding ?? [] { couriers[waiting.delivery] = nil }
        episodes[id] = nil
        inhibited.remove(id)
        casebook.remove(id)
        deadlines.set(id, to: nil)
        draft.touched.remove(id)
    }

    // Silences.

    mutating func turnSilences(_ draft: inout Draft) {
        for silence in silences where silence.ends <= draft.at {
            silencesByID[silence.id] = nil
            draft.audit("mask.silence.off", "", "\(silence.id) ended")
            draft.outcome.silences = []
        }
        for id in episodes.keys.sorted() { maskBySilences(id, &draft) }
        silenceEdge = silencesByID.values.compactMap { $0.nextEdge(after: draft.at) }.min()
        if draft.outcome.silences != nil { draft.outcome.silences = silences }
    }

    /// Masks that begin come before masks that end, so that a case is never bare in between.
    private mutating func maskBySilences(_ id: String, _ draft: inout Draft) {
        guard let incident = casebook.incidents[id], let episode = episodes[id] else { return }
        if silencesByID.isEmpty, episode.masks.isEmpty { return }
        let facts = Matcher.Facts(incident)
        let hiding = silencesByID.values.filter { $0.hides(facts, at: draft.at) }.map(\.id).sorted()
        let before = Set(episode.masks.compactMap(\.silence))
        for silence in hiding where !before.contains(silence) {
            draft.audit("mask.silence.on", id, silence)
            drive(id, .masked(.silence(silence)), &draft)
        }
        for silence in before.sorted() where !hiding.contains(silence) {
            draft.audit("mask.silence.off", id, silence)
            drive(id, .unmasked(.silence(silence)), &draft)
        }
    }
}

extension Episode.Phase {
    fileprivate var rank: Int {
        switch self {
        case .open: 0
        case .held: 1
        case .resolved: 2
        case .closed: 3
        }
    }
}
