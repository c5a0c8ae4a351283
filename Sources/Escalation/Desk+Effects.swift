import Fleet
import Incidents

extension Desk {
    /// Steps one episode and does what it asks for.
    mutating func drive(_ id: String, _ event: Episode.Event, _ draft: inout Draft) {
        guard var episode = episodes[id] else { return }
        let time = draft.at
        let plan = episode.plan
        let effects = episode.step(event, at: time) { tier in
            !recipients(of: tier, plan, route: casebook.incidents[id]?.route ?? "", at: time)
                .isEmpty
        }
        episodes[id] = episode
        switch event {
        case .masked, .unmasked:
            let isInhibited = episode.masks.contains { $0.inhibitor != nil }
            if isInhibited { inhibited.insert(id) } else { inhibited.remove(id) }
        default: break
        }
        draft.touched.insert(id)
        for effect in effects { carryOut(effect, for: id, &draft) }
    }

    /// Those who are on call in a tier now; targets that are gone give way to the present policy's.
    func recipients(of tier: Tier, _ plan: Plan, route: String, at time: Instant) -> [Recipient] {
        let targets = plan.level(tier).page
        let known = targets.contains { policy.knows($0) }
        let live = known ? targets : policy.plan(route: route).level(tier).page
        return policy.recipients(of: live, at: time)
    }

    private mutating func carryOut(
        _ effect: Episode.Effect, for id: String, _ draft: inout Draft
    ) {
        switch effect {
        case .page(let reason, let tier, let round, let sequence, let audience):
            page(id, reason, tier, round, sequence, audience, &draft)
        case .inform(let tier): inform(tier, of: id, &draft)
        case .skipped(let tier):
            counters.coverageGaps &+= 1
            let targets = episodes[id]?.plan.level(tier).page.map(\.text) ?? []
            draft.audit(
                "page.skipped", id,
                "coverage_gap: nobody is on call in \(tier.name) (\(targets.joined(separator: ", ")))"
            )
        case .held: draft.audit("incident.held", id, casebook.incidents[id]?.title ?? "")
        case .suppressed:
            counters.suppressedShort &+= 1
            draft.audit("incident.suppressed", id, "ended before anybody was told")
            endChildren(of: id, &draft)
            forget(id, &draft)
            draft.outcome.removed.append(id)
        case .opened: opened(id, &draft)
        case .recovering: draft.audit("incident.recovering", id)
        case .refired: draft.audit("incident.refired", id)
        case .reopened: draft.audit("incident.reopened", id)
        case .resolved(let name): resolved(id, by: name, &draft)
        case .closed: closed(id, &draft)
        case .acknowledged(let name): acknowledged(id, by: name, &draft)
        case .reminded(let name):
            draft.audit("response.ack_reminded", id, name)
            send(.reminder, .reminder, id, to: [name], &draft)
        case .ackExpired(let name): draft.audit("response.ack_expired", id, name)
        case .flapping:
            let count = episodes[id]?.opens.count ?? 0
            episodes[id]?.note("flapping: \(count) times lately", by: "engine", at: draft.at)
            draft.audit("incident.flapping", id, "\(count) times")
        case .flapHeld: draft.audit("page.held", id, "flapping")
        case .undelivered(let tier):
            counters.undelivered &+= 1
            draft.audit("page.undelivered", id, "no channel of \(tier.name) took it")
        case .update: update(id, because: .changed, &draft)
        case .recheck: recheck(id, &draft)
        }
    }

    // Life.

    private mutating func opened(_ id: String, _ draft: inout Draft) {
        casebook.published(id)
        guard let episode = episodes[id] else { return }
        draft.audit(
            "incident.opened", id,
            "generation \(episode.generation)"
                + (episode.masks.isEmpty
                    ? ""
                    : ", masked by \(episode.masks.map(\.description).joined(separator: ", "))"))
        // The queue is for reading: the feed hears of it, and nobody is called.
        if !episode.severity.isPage { send(.update, .informed, id, to: [], &draft) }
    }

    private mutating func resolved(_ id: String, by name: String, _ draft: inout Draft) {
        draft.audit("incident.resolved", id, name.isEmpty ? "by source" : "by \(name)")
        cancelOutstanding(id, &draft)
        send(.resolved, .resolved, id, to: episodes[id]?.paged ?? [], &draft)
        casebook.end(id)
        endChildren(of: id, &draft)
    }

    private mutating func closed(_ id: String, _ draft: inout Draft) {
        draft.audit("incident.closed", id)
        if let incident = casebook.incidents[id], let episode = episodes[id] {
            draft.outcome.changed.append(CaseRecord(incident: incident, episode: episode))
        }
        forget(id, &draft)
        draft.outcome.removed.append(id)
    }

    private mutating func acknowledged(_ id: String, by name: String, _ draft: inout Draft) {
        cancelOutstanding(id, &draft)
        if case .snoozed = episodes[id]?.response {
            draft.audit("response.snooze", id, name)
        } else {
            draft.audit("response.ack", id, name)
        }
        send(.acknowledged, .acknowledged, id, to: episodes[id]?.paged ?? [], &draft)
        // An acknowledgement goes down to what is explained, never up.
        guard case .acked = episodes[id]?.response else { return }
        for child in children(of: id) where episodes[child]?.phase == .open {
            guard episodes[child]?.response == .unacked else { continue }
            drive(child, .acknowledged(by: name), &draft)
        }
    }

    func children(of id: String) -> [String] {
        let mask = Mask.inhibited(by: id)
        return inhibited.filter { episodes[$0]?.masks.contains(mask) == true }.sorted()
    }

    mutating func endChildren(of id: String, _ draft: inout Draft) {
        for child in children(of: id) { drive(child, .parentEnded, &draft) }
    }

    /// A minute after its parent ended, what still fires is on its own.
    private mutating func recheck(_ id: String, _ draft: inout Draft) {
        for parent in (episodes[id]?.masks ?? []).compactMap(\.inhibitor) {
            let phase = episodes[parent]?.phase
            guard phase != .open, phase != .held else { continue }
            draft.audit("mask.inhibit.off", id, parent)
            casebook.release(id, prices: prices, at: draft.at)
            drive(id, .unmasked(.inhibited(by: parent)), &draft)
        }
    }

    // Messages.

    private mutating func page(
        _ id: String, _ reason: Page.Reason, _ tier: Tier, _ round: Int, _ sequence: Int,
        _ audience: Episode.Audience, _ draft: inout Draft
    ) {
        guard let incident = casebook.incidents[id], let episode = episodes[id] else { return }
        var recipients: [Recipient] = []
        switch audience {
        case .tier: break
        case .holder(let name), .tierAnd(let name):
            recipients = [policy.recipient(name, at: draft.at)].compactMap(\.self)
        }
        // A holder who is no longer known cannot be asked; the tier is.
        if case .holder = audience, !recipients.isEmpty {
            draft.audit("response.recalled", id, reason.rawValue)
        } else {
            if !episode.plan.level(tier).page.contains(where: { policy.knows($0) }) {
                draft.audit("config.rebased", id, "nobody of \(tier.name) is left in the policy")
            }
            let live = self.recipients(
                of: tier, episode.plan, route: incident.route, at: draft.at)
            recipients += live.filter { person in !recipients.contains { $0.name == person.name } }
        }
        counters.pages &+= 1
        if tier == .backstop { counters.backstops &+= 1 }
        let names = recipients.map(\.name)
        let page = Page(
            id: pageID(id, episode, round, tier, names, "\(sequence)"), kind: .page,
            reason: reason, incident: id, generation: episode.generation, round: round, tier: tier,
            at: draft.at, recipients: recipients,
            brief: Brief(incident, episode, staleAfter: staleAfter, at: draft.at))
        draft.audit(
            "page.created", id,
            "\(tier.name), round \(round + 1), \(reason.rawValue): "
                + (names.isEmpty ? "nobody" : names.joined(separator: ", ")))
        expectAnswers(post(page, &draft), sequence, for: id)
        for name in names where !episode.paged.contains(name) { episodes[id]?.paged.append(name) }
        told(id)
    }

    /// Notes what must be answered for.
    private mutating func expectAnswers(_ deliveries: [String], _ sequence: Int, for id: String) {
        guard var episode = episodes[id] else { return }
        for delivery in deliveries {
            couriers[delivery] = id
            episode.outstanding.append(.init(delivery: delivery, sequence: sequence))
        }
        while episode.outstanding.count > Episode.outstandingMax {
            couriers[episode.outstanding.removeFirst().delivery] = nil
        }
        episodes[id] = episode
    }

    private mutating func inform(_ tier: Tier, of id: String, _ draft: inout Draft) {
        guard let episode = episodes[id], let incident = casebook.incidents[id] else { return }
        let names = recipients(of: tier, episode.plan, route: incident.route, at: draft.at)
            .map(\.name).filter { !episode.paged.contains($0) }
        guard !names.isEmpty else { return }
        send(.update, .informed, id, to: names, tier: tier, &draft)
        episodes[id]?.paged += names
    }

    mutating func update(_ id: String, because reason: Page.Reason, _ draft: inout Draft) {
        send(.update, reason, id, to: episodes[id]?.paged ?? [], &draft)
        told(id)
    }

    private mutating func told(_ id: String) {
        guard let incident = casebook.incidents[id] else { return }
        episodes[id]?.devicesTold = incident.devices.count
        episodes[id]?.titleTold = incident.title
        episodes[id]?.costTold = incident.costPerHour
    }

    /// A message that calls nobody.
    private mutating func send(
        _ kind: Page.Kind, _ reason: Page.Reason, _ id: String, to names: [String],
        tier: Tier? = nil, _ draft: inout Draft
    ) {
        guard let incident = casebook.incidents[id], var episode = episodes[id] else { return }
        episode.messages += 1
        episodes[id] = episode
        let tier = tier ?? episode.tier ?? incident.tier
        let seed = "\(kind.rawValue)\(episode.messages)"
        let page = Page(
            id: pageID(id, episode, episode.round, tier, names, seed), kind: kind, reason: reason,
            incident: id, generation: episode.generation, round: episode.round, tier: tier,
            at: draft.at,
            recipients: names.compactMap { policy.recipient($0, at: draft.at) },
            brief: Brief(incident, episode, staleAfter: staleAfter, at: draft.at))
        _ = post(page, &draft)
    }

    private func pageID(
        _ id: String, _ episode: Episode, _ round: Int, _ tier: Tier, _ names: [String],
        _ sequence: String
    ) -> String {
        let seed =
            "tocsin/1|\(id)|\(episode.generation)|\(round)|\(tier.rawValue)|"
            + "\(names.joined(separator: ","))|\(sequence)"
        return base32(SHA256.hash(seed.utf8), digits: 26)
    }

    /// One delivery for each destination, and one for the feed; returns the ids that reach people.
    private func post(_ page: Page, _ draft: inout Draft) -> [String] {
        draft.outcome.pages.append(page)
        var destinations: [String] = []
        for channel in page.recipients.flatMap(\.channels)
        where channel != Desk.feed && !destinations.contains(channel) {
            destinations.append(channel)
        }
        let deliveries = destinations.map { Delivery(destination: $0, page: page) }
        draft.outcome.deliveries += deliveries
        draft.outcome.deliveries.append(Delivery(destination: Desk.feed, page: page))
        return deliveries.map(\.id)
    }

    private mutating func cancelOutstanding(_ id: String, _ draft: inout Draft) {
        for waiting in episodes[id]?.outstanding ?? [] {
            couriers[waiting.delivery] = nil
            draft.outcome.cancelled.append(waiting.delivery)
        }
        episodes[id]?.outstanding = []
    }
}
