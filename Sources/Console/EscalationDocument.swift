package import Escalation
import Fleet

/// Where an incident stands between the tiers: who has it, who is next and when.
///
/// The one place in Console that reads an `Episode`.
package struct EscalationDocument: Codable, Sendable, Equatable {
    /// `held`, `open`, `resolved` or `closed`.
    package var phase: String
    package var generation: Int
    /// `unacked`, `acked` or `snoozed`.
    package var response: String
    /// Who acknowledged or snoozed; empty where nobody did.
    package var holder: String
    /// When the acknowledgement or the snooze ends.
    package var until: Timestamp?
    /// The tier that was paged last, 1 to 4; nil before anybody was.
    package var tier: Int?
    /// When the next tier is paged, while the clock runs.
    package var nextPageAt: Timestamp?
    /// Why nobody hears of it: `silence:…`, `inhibited:INC-…`.
    package var masks: [String]
    /// Everyone who was paged.
    package var paged: [String]
    package var flapping: Bool

    package init(phase: String, generation: Int) {
        self.phase = phase
        self.generation = generation
        response = "unacked"
        holder = ""
        masks = []
        paged = []
        flapping = false
    }

    package init(_ episode: Episode) {
        self.init(phase: episode.phase.rawValue, generation: episode.generation)
        switch episode.response {
        case .unacked: break
        case .acked(let name):
            response = "acked"
            holder = name
            until = episode.ackDeadline.map(Timestamp.init)
        case .snoozed(let name):
            response = "snoozed"
            holder = name
            until = episode.snoozeDeadline.map(Timestamp.init)
        }
        tier = episode.tier?.rawValue
        nextPageAt = episode.levelDeadline.map(Timestamp.init)
        masks = episode.masks.map(\.description)
        paged = episode.paged
        flapping = episode.isFlapping
    }

    /// `ana until 14:05`, `snoozed by ana`, `tier 2`, `silenced`, `nobody`.
    package func who() -> String {
        let end = until.map { " until \($0.instant.timeOfDay.prefix(5))" } ?? ""
        if response == "acked" { return holder + end }
        if response == "snoozed" { return "snoozed by \(holder)\(end)" }
        if phase == "resolved" || phase == "closed" { return phase }
        if let mask = masks.first { return mask.hasPrefix("silence:") ? "silenced" : mask }
        guard let tier, let named = Tier(rawValue: tier) else {
            return phase == "held" ? "held" : "nobody"
        }
        return "\(named.name) paged"
    }
}
