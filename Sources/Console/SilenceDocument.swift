package import Escalation
package import Fleet
import Incidents

/// The answer to `GET /api/v1/silences`.
package struct SilenceList: Codable, Sendable {
    package var silences: [SilenceDocument]
    package var at: Timestamp
}

/// One silence as the API tells it.
package struct SilenceDocument: Codable, Sendable, Equatable, Identifiable {
    package var id: String
    /// One of these groups must hold in full.
    package var matchers: [[String]]
    package var startsAt: Timestamp
    package var endsAt: Timestamp
    package var createdBy: String
    package var reason: String
    /// Empty where nobody did; critical incidents then hide for an hour only.
    package var approvedBy: String
    /// Whether it hides anything now, or begins later.
    package var isActive: Bool

    package init(_ silence: Silence, at now: Instant) {
        id = silence.id
        matchers = silence.matchers.map { $0.map(\.text) }
        startsAt = Timestamp(silence.starts)
        endsAt = Timestamp(silence.ends)
        createdBy = silence.author
        reason = silence.reason
        approvedBy = silence.approvedBy
        isActive = silence.isActive(at: now)
    }
}

extension IncidentText {
    /// One line per silence under a heading; the last column is not cut.
    package static func silences(_ silences: [SilenceDocument], at now: Instant) -> String {
        guard !silences.isEmpty else { return "no silences" }
        let rows = silences.map { silence in
            [
                silence.id, silence.isActive ? "active" : "pending",
                silence.endsAt.instant.rfc3339, silence.createdBy,
                silence.approvedBy.isEmpty ? "-" : silence.approvedBy,
                silence.matchers.map { $0.joined(separator: ",") }.joined(separator: " or "),
                silence.reason,
            ].map { Plain.line($0, max: 100) }
        }
        return aligned([["ID", "STATE", "ENDS", "BY", "APPROVED", "HIDES", "WHY"]] + rows)
    }
}
