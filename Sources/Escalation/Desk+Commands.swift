package import Fleet
import Incidents

extension Desk {
    /// Carries out what a person asks for.
    ///
    /// - Parameters:
    ///   - command: what is asked.
    ///   - actor: who asks, such as `ana` or `human:ana`; automation may not take responsibility.
    ///   - via: `cli`, `api`, `slack-link` and so on.
    ///   - time: the clock on the wall.
    /// - Returns: what is to be written down and sent.
    /// - Throws: a `Refusal` whose sentence says why, and what would work.
    package mutating func command(
        _ command: Command, by actor: String, via: String, at time: Instant
    ) throws(Refusal) -> Outcome {
        let name = actor.hasPrefix("human:") ? String(actor.dropFirst(6)) : actor
        guard !name.isEmpty, name.utf8.count <= 100 else {
            throw Refusal(.invalid, "say who you are: a name of 1 to 100 bytes")
        }
        var draft = draft(actor.contains(":") ? actor : "human:\(name)", via: via, at: time)
        switch command {
        case .acknowledge(let text):
            let id = try open(text)
            try refuseAutomation(name, "acknowledge")
            drive(id, .acknowledged(by: name), &draft)
        case .unacknowledge(let text):
            let id = try open(text)
            guard episodes[id]?.response != .unacked else {
                throw Refusal(.conflict, "\(id) is not acknowledged")
            }
            draft.audit("response.unack", id)
            drive(id, .unacknowledged, &draft)
        case .snooze(let text, let length): try snooze(text, length, name, &draft)
        case .resolve(let text): try resolve(text, name, &draft)
        case .escalate(let text, let tier, let reason):
            try escalate(text, tier, reason, &draft)
        case .note(let text, let note):
            let id = try known(text)
            episodes[id]?.note(note, by: name, at: draft.at)
            draft.audit("response.note", id, String(note.prefix(500)))
            drive(id, .active(by: name), &draft)
        case .silence(let request): try silence(request, name, &draft)
        case .expireSilence(let id): try expire(id, &draft)
        case .approveSilence(let id): try approve(id, name, &draft)
        }
        return finish(draft)
    }

    private func refuseAutomation(_ name: String, _ verb: String) throws(Refusal) {
        guard !name.hasPrefix("automation"), name != "engine" else {
            throw Refusal(.forbidden, "only a person can \(verb): automation does not look")
        }
    }

    private func known(_ text: String) throws(Refusal) -> String {
        let found = ids(beginning: text)
        guard let id = found.first else {
            throw Refusal(
                .notFound,
                "there is no incident '\(text.prefix(40))'; `tocsin incident list` names them")
        }
        guard found.count == 1 else {
            throw Refusal(
                .invalid,
                "'\(text.prefix(40))' could be \(found.prefix(3).joined(separator: ", ")) or others; write more of it"
            )
        }
        return id
    }

    private func open(_ text: String) throws(Refusal) -> String {
        let id = try known(text)
        switch episodes[id]?.phase {
        case .open: return id
        case .held:
            let until = episodes[id]?.waitDeadline?.timeOfDay ?? "soon"
            throw Refusal(
                .conflict,
                "\(id) is held back until \(until)Z while blame settles; nobody was paged yet")
        default: throw Refusal(.conflict, "\(id) is resolved already")
        }
    }

    private mutating func snooze(
        _ text: String, _ length: Duration, _ name: String, _ draft: inout Draft
    ) throws(Refusal) {
        let id = try open(text)
        try refuseAutomation(name, "snooze")
        guard let episode = episodes[id] else { return }
        let longest = episode.plan.timings.snoozeMax[episode.severity]
        guard length > .zero, length <= longest else {
            throw Refusal(
                .invalid,
                "a \(episode.severity.name) incident can be snoozed for at most \(longest.short), not \(length.short)"
            )
        }
        drive(id, .snoozed(by: name, for: length), &draft)
    }

    private mutating func resolve(
        _ text: String, _ name: String, _ draft: inout Draft
    ) throws(Refusal) {
        let id = try open(text)
        guard episodes[id]?.signal == .clear else {
            let rules = casebook.incidents[id]?.rules.prefix(3).joined(separator: ", ") ?? ""
            throw Refusal(
                .conflict,
                "\(id) still fires (\(rules)); it resolves by itself when that ends. Until then, snooze it or add a silence with an end"
            )
        }
        drive(id, .resolved(by: name), &draft)
    }

    private mutating func escalate(
        _ text: String, _ tier: Tier, _ reason: String, _ draft: inout Draft
    ) throws(Refusal) {
        let id = try open(text)
        guard let episode = episodes[id] else { return }
        guard episode.severity.isPage else {
            throw Refusal(
                .conflict, "\(id) is of severity \(episode.severity.name), which pages nobody")
        }
        guard episode.masks.isEmpty else {
            let masks = episode.masks.map(\.description).joined(separator: ", ")
            throw Refusal(.conflict, "\(id) is hidden by \(masks); end that first")
        }
        draft.audit("response.escalate", id, "to \(tier.name): \(reason.prefix(500))")
        episodes[id]?.note("escalated to \(tier.name): \(reason)", by: draft.actor, at: draft.at)
        drive(id, .escalated(to: tier), &draft)
    }

    // Silences.

    private mutating func silence(
        _ request: SilenceRequest, _ name: String, _ draft: inout Draft
    ) throws(Refusal) {
        let starts = max(request.starts ?? draft.at, draft.at)
        guard request.ends > starts else {
            throw Refusal(.invalid, "a silence must end after it starts")
        }
        guard request.ends - starts <= Silence.lengthMax else {
            throw Refusal(.invalid, "a silence lasts 30d at most; fix the rule instead")
        }
        guard !request.matchers.isEmpty, request.matchers.allSatisfy({ !$0.isEmpty }),
            request.matchers.count <= 20, request.matchers.allSatisfy({ $0.count <= 20 })
        else { throw Refusal(.invalid, "a silence needs 1 to 20 groups of 1 to 20 matchers") }
        guard !request.reason.isEmpty else {
            throw Refusal(.invalid, "a silence needs a reason: the next shift will ask")
        }
        guard silencesByID.count < Silence.countMax else {
            throw Refusal(.conflict, "there are \(Silence.countMax) silences already; expire some")
        }
        let text = request.matchers.map { $0.map(\.text).joined(separator: ",") }
            .joined(separator: " or ")
        let seed = "silence|\(name)|\(starts.milliseconds)|\(request.ends.milliseconds)|\(text)"
        let id = "SIL-" + base32(SHA256.hash(seed.utf8), digits: 10)
        silencesByID[id] = Silence(
            id: id, matchers: request.matchers, starts: starts, ends: request.ends, author: name,
            reason: String(request.reason.prefix(500)), approvedBy: "")
        draft.audit("silence.created", "", "\(id) until \(request.ends.rfc3339): \(text)")
        draft.outcome.silences = []
        turnSilences(&draft)
    }

    private func silence(_ id: String) throws(Refusal) -> Silence {
        guard let silence = silencesByID[id] else {
            throw Refusal(.notFound, "there is no silence '\(id.prefix(40))'; it may have ended")
        }
        return silence
    }

    private mutating func expire(_ id: String, _ draft: inout Draft) throws(Refusal) {
        _ = try silence(id)
        silencesByID[id] = nil
        draft.audit("silence.expired", "", id)
        draft.outcome.silences = []
        turnSilences(&draft)
    }

    private mutating func approve(
        _ id: String, _ name: String, _ draft: inout Draft
    ) throws(Refusal) {
        let found = try silence(id)
        guard found.author != name else {
            throw Refusal(.forbidden, "a second person must approve: \(name) wrote \(id)")
        }
        guard policy.isSenior(name) else {
            throw Refusal(.forbidden, "\(name) is neither a lead nor on call in tier 2 or above")
        }
        silencesByID[id]?.approvedBy = name
        draft.audit("approval.granted", "", "\(id), also for critical incidents")
        draft.outcome.silences = []
        turnSilences(&draft)
    }
}
