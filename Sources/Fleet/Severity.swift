/// How soon a human must act; the number is the one that policies and people say.
package enum Severity: Int, CaseIterable, Codable, Sendable {
    /// Sev 1: job-stopping, fleet-wide or corrupting. Pages now, at any hour.
    case critical = 1
    /// Sev 2: pages, with time to walk to a desk.
    case high = 2
    /// Sev 3: a ticket; the queue and the digest.
    case medium = 3
    /// Sev 4: an opportunity; the weekly report.
    case low = 4

    package var name: String {
        switch self {
        case .critical: "critical"
        case .high: "high"
        case .medium: "medium"
        case .low: "low"
        }
    }

    package init?(name: String) {
        guard let found = Severity.allCases.first(where: { $0.name == name }) else { return nil }
        self = found
    }

    /// Whether this severity interrupts a person.
    package var isPage: Bool { self == .critical || self == .high }
}

extension Severity: Comparable {
    /// The worse severity is the smaller: `min` of two is the one to act on.
    package static func < (left: Severity, right: Severity) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// Who is paged first: tier 1 on-call teams, tier 2 their leads, tier 3 the one engineering group.
package enum Tier: Int, CaseIterable, Codable, Sendable, Comparable {
    case one = 1
    case two = 2
    case three = 3
    /// Beyond tier 3: repeats until a human answers.
    case backstop = 4

    package static func < (left: Tier, right: Tier) -> Bool { left.rawValue < right.rawValue }

    package var name: String { self == .backstop ? "backstop" : "tier \(rawValue)" }
}
