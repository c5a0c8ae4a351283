package import Fleet

/// Why an incident is not shown to anybody: `silence:…`, `inhibited:INC-…`, `parked:storm`.
package struct Mask: Hashable, Codable, Sendable, Comparable, CustomStringConvertible {
    package let description: String

    private init(_ text: String) { description = text }

    package static func silence(_ id: String) -> Mask { Mask("silence:\(id)") }
    package static func inhibited(by id: String) -> Mask { Mask("inhibited:\(id)") }

    /// The silence, where it is one.
    package var silence: String? { rest(of: "silence:") }
    /// The incident that inhibits, where one does.
    package var inhibitor: String? { rest(of: "inhibited:") }

    private func rest(of prefix: String) -> String? {
        description.hasPrefix(prefix) ? String(description.dropFirst(prefix.count)) : nil
    }

    package static func < (left: Mask, right: Mask) -> Bool {
        left.description < right.description
    }

    package init(from decoder: any Decoder) throws {
        description = try decoder.singleValueContainer().decode(String.self)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// The escalation state of one incident (reference, escalation 3.2).
///
/// Three regions beside each other: `signal` (does it still fire), `response` (has somebody got it)
/// and `masks` (may anybody hear of it). The clock of a level runs only where all three say so.
/// Timers are fields of this state: what is stored can be restored, and none can be lost.
package struct Episode: Codable, Sendable, Hashable {
    package enum Phase: String, Codable, Sendable { case held, open, resolved, closed }

    package enum Signal: String, Codable, Sendable { case clear, firing }

    package enum Response: Codable, Sendable, Hashable {
        case unacked
        case acked(by: String)
        case snoozed(by: String)

        package var holder: String? {
            switch self {
            case .unacked: nil
            case .acked(let name), .snoozed(let name): name
            }
        }
    }

    package struct Note: Codable, Sendable, Hashable {
        package let at: Instant
        package let by: String
        package let text: String
    }

    /// A page on its way by one channel.
    package struct Outstanding: Codable, Sendable, Hashable {
        package let delivery: String
        /// The page's sequence number.
        package let sequence: Int
    }

    /// Beyond this many, the oldest are no longer waited for: an outbox that stands still for days.
    package static let outstandingMax = 64

    package var phase: Phase
    package var generation: Int
    package var signal = Signal.clear
    package var response = Response.unacked
    package var masks: [Mask] = []
    /// The worst so far; the plan of the worse severity stays until it resolves.
    package var severity = Severity.low
    package var plan: Plan
    /// The tier that the rule names as first owner.
    package var owner = Tier.one
    package var round = 0
    /// The tier that was paged last; nil before the first page, and while a flapping one is held.
    package var tier: Tier?
    package var sequence = 0

    /// When the tier's time is up; nil while the clock stands.
    package var levelDeadline: Instant?
    /// What was left when the clock stopped.
    package var remaining: Int64?
    package var freezeUsed: Int64 = 0
    package var freezeSince: Instant?
    package var freezeDeadline: Instant?
    package var holdDeadline: Instant?
    package var waitDeadline: Instant?
    package var ackDeadline: Instant?
    package var snoozeDeadline: Instant?
    package var reopenDeadline: Instant?
    package var deliveryDeadline: Instant?
    package var updateDeadline: Instant?
    package var recheckDeadline: Instant?

    package var ackWarned = false
    /// Why the acker was called back, and the others will be.
    package var pendingReason: Page.Reason?
    package var lastAcker = ""
    package var lastPaged: Instant?
    package var lastUpdated: Instant?
    package var opens: [Instant] = []
    package var isFlapping = false
    package var repageAt: Instant?
    /// Names of everyone who was paged in this generation, in order.
    package var paged: [String] = []
    /// Deliveries of pages that no channel has answered for yet, also of earlier pages.
    package var outstanding: [Outstanding] = []
    /// Some channel took the current page.
    package var isDelivered = false
    /// Every channel refused the current page.
    package var isUndelivered = false
    /// Messages of every kind, so that each has an id of its own.
    package var messages = 0
    /// What the last message said: devices, title and dollars.
    package var devicesTold = 0
    package var titleTold = ""
    package var costTold = Money.zero
    package var notes: [Note] = []
    package var updatedAt: Instant

    package init() { self.init(plan: .empty) }

    package init(plan: Plan) {
        phase = .held
        generation = 0
        self.plan = plan
        updatedAt = Instant(milliseconds: 0)
    }

    /// Whether the clock of the level should run.
    package var isRunning: Bool {
        phase == .open && severity.isPage && response == .unacked && masks.isEmpty
            && (signal == .firing || freezeSince == nil)
    }

    /// Who is called first: nobody below the rule's owner, nor below what the policy says.
    package var startTier: Tier { min(max(plan.start(severity), owner), .three) }

    package enum Timer: String, CaseIterable, Codable, Sendable {
        case wait, level, hold, ack, snooze, freeze, delivery, reopen, update, recheck
    }

    package subscript(timer: Timer) -> Instant? {
        switch timer {
        case .wait: waitDeadline
        case .level: levelDeadline
        case .hold: holdDeadline
        case .ack: ackDeadline
        case .snooze: snoozeDeadline
        case .freeze: freezeDeadline
        case .delivery: deliveryDeadline
        case .reopen: reopenDeadline
        case .update: updateDeadline
        case .recheck: recheckDeadline
        }
    }

    /// The timer that is due first; of two at once, the one named first in `Timer`.
    package var nextTimer: (at: Instant, timer: Timer)? {
        var first: (at: Instant, timer: Timer)?
        for timer in Timer.allCases {
            guard let at = self[timer], at < first?.at ?? .distantFuture else { continue }
            first = (at, timer)
        }
        return first
    }

    /// Timeline notes that an incident keeps; the audit trail keeps all.
    package static let notesMax = 50

    package mutating func note(_ text: String, by author: String, at time: Instant) {
        notes.append(Note(at: time, by: author, text: String(text.prefix(500))))
        if notes.count > Episode.notesMax { notes.removeFirst() }
    }
}
