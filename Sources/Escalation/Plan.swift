package import Fleet

/// Whom a tier pages: resolved to people at the moment of each page.
package enum Target: Hashable, Sendable {
    case schedule(String)
    case user(String)
    case leads(of: String)
    case room(String)

    package var text: String {
        switch self {
        case .schedule(let name): "schedule:\(name)"
        case .user(let name): "user:\(name)"
        case .leads(let name): "team_leads:\(name)"
        case .room(let name): "room:\(name)"
        }
    }

    package init?(text: String) {
        let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
        guard parts.count == 2 else { return nil }
        switch parts[0] {
        case "schedule": self = .schedule(parts[1])
        case "user": self = .user(parts[1])
        case "team_leads": self = .leads(of: parts[1])
        case "room": self = .room(parts[1])
        default: return nil
        }
    }
}

/// A target is its text in JSON: `schedule:hub`.
extension Target: Codable {
    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let target = Target(text: text) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "no target: \(text)"))
        }
        self = target
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}

/// A length of time that depends on the severity.
package struct BySeverity: Hashable, Codable, Sendable {
    /// Milliseconds, worst severity first; always four.
    private var milliseconds: [Int64]

    package init(_ critical: Duration, _ high: Duration, _ medium: Duration, _ low: Duration) {
        milliseconds = [critical, high, medium, low].map(\.milliseconds)
    }

    package init(_ all: Duration) { self.init(all, all, all, all) }

    package subscript(severity: Severity) -> Duration {
        get {
            let index = severity.rawValue - 1
            return index < milliseconds.count ? .milliseconds(milliseconds[index]) : .seconds(60)
        }
        set {
            let index = severity.rawValue - 1
            if index < milliseconds.count { milliseconds[index] = newValue.milliseconds }
        }
    }
}

/// The policy of one incident as it was when the episode opened: a later edit leaves it alone.
package struct Plan: Hashable, Codable, Sendable {
    package struct Level: Hashable, Codable, Sendable {
        package var page: [Target]
        package var timeout: BySeverity

        package init(page: [Target], timeout: BySeverity) {
            self.page = page
            self.timeout = timeout
        }
    }

    package var policy: String
    /// Tiers 1 to 3.
    package var levels: [Level]
    package var rounds: Int
    package var backstop: Level
    package var start: [Severity: Tier]
    /// Whether tier 2 hears of a critical incident while tier 1 is paged.
    package var informsLeads: Bool
    package var timings: Timings

    package func level(_ tier: Tier) -> Level {
        tier == .backstop || tier.rawValue > levels.count ? backstop : levels[tier.rawValue - 1]
    }

    package func timeout(_ tier: Tier, _ severity: Severity) -> Duration {
        level(tier).timeout[severity]
    }

    package func start(_ severity: Severity) -> Tier { start[severity] ?? .one }

    /// Reference, escalation 3.1; severities 3 and 4 page nobody, their numbers only hold the
    /// place.
    package static let timeouts: [Tier: BySeverity] = [
        .one: BySeverity(.seconds(300), .seconds(900), .seconds(3_600), .seconds(3_600)),
        .two: BySeverity(.seconds(600), .seconds(1_200), .seconds(3_600), .seconds(3_600)),
        .three: BySeverity(.seconds(900), .seconds(1_800), .seconds(3_600), .seconds(3_600)),
        .backstop: BySeverity(.seconds(900), .seconds(3_600), .seconds(3_600), .seconds(3_600)),
    ]

    /// Names nobody: what an episode has before its policy is known.
    package static let empty = Plan(
        policy: "", levels: [], rounds: 2,
        backstop: Level(page: [], timeout: BySeverity(.seconds(900))), start: [:],
        informsLeads: false, timings: Timings())
}

/// How long the machine waits, for what (reference, escalation 3.2–3.6).
package struct Timings: Hashable, Codable, Sendable {
    private static func seconds(_ a: Int, _ b: Int) -> BySeverity {
        BySeverity(.seconds(a), .seconds(b), .seconds(b), .seconds(b))
    }

    /// So that blame can settle before anybody is paged.
    package var groupWait = seconds(10, 30)
    package var resolveHold = BySeverity(.seconds(120))
    package var ackTTL = seconds(3_600, 4 * 3_600)
    package var ackGrace = BySeverity(.seconds(600))
    package var reopenWindow = BySeverity(.seconds(900))
    /// Between two pages of time-outs, also after an outage of our own.
    package var minLevel = BySeverity(.seconds(60))
    /// The longest that recovering may hold the clock, in one episode.
    package var freezeCap = BySeverity(.seconds(600))
    /// A page that no channel took by then counts as undelivered.
    package var deliveryDeadline = seconds(60, 300)
    /// What is left of a level when its page turns out to be undelivered.
    package var undeliveredSkip = BySeverity(.seconds(5))
    package var flapWindow = BySeverity(.seconds(3_600))
    package var flapRepage = BySeverity(.seconds(3_600))
    package var flapHold = BySeverity(.seconds(1_800))
    package var updateInterval = BySeverity(.seconds(60))
    /// How long the acker has, when it got worse, before the others are called.
    package var secondLook = BySeverity(.seconds(300))
    /// After a parent ended, before its child is on its own.
    package var recheck = BySeverity(.seconds(60))
    package var snoozeMax = seconds(3_600, 24 * 3_600)
    package var flapCount = 4

    package init() {}
}
