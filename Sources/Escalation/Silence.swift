package import Fleet
package import Incidents

/// Hides matching incidents from people for a while: not from detection, history or dollars.
package struct Silence: Codable, Sendable, Hashable, Identifiable {
    package let id: String
    /// One of these groups must hold in full.
    package let matchers: [[Matcher]]
    package let starts: Instant
    package let ends: Instant
    package let author: String
    package let reason: String
    /// Who confirmed that critical incidents may stay hidden; empty where nobody did.
    package var approvedBy: String

    /// Nothing is hidden for longer (reference, escalation 3.8).
    package static let lengthMax = Duration.seconds(30 * 86_400)
    /// Critical incidents are hidden for this long only, unless a second person approves.
    package static let criticalMax = Duration.seconds(3_600)
    /// Silences at one time; each is held against every incident.
    package static let countMax = 1_000

    /// Whether it hides anything at `time`.
    package func isActive(at time: Instant) -> Bool { starts <= time && time < ends }

    /// Whether it hides an incident at `time`.
    package func hides(_ facts: Matcher.Facts, at time: Instant) -> Bool {
        guard isActive(at: time) else { return false }
        if facts.severity == .critical, approvedBy.isEmpty, time >= criticalEnd { return false }
        return matchers.contains { $0.allSatisfy { $0.matches(facts) } }
    }

    /// Whether it hides all that a device with these labels could say at `time`.
    ///
    /// Such a silence is a maintenance or a drill. One that names a symptom or a rule as well says
    /// nothing of the rest of the device.
    package func covers(_ labels: Labels, at time: Instant) -> Bool {
        isActive(at: time)
            && matchers.contains { $0.allSatisfy { $0.matches(labels: labels) } }
    }

    private var criticalEnd: Instant { min(ends, starts + Silence.criticalMax) }

    /// The first moment after `time` at which it may hide more or less than before.
    func nextEdge(after time: Instant) -> Instant? {
        [starts, criticalEnd, ends].filter { $0 > time }.min()
    }
}
