package import Fleet

/// One message to the people of one tier: the word that leaves Escalation.
///
/// It carries all that a channel needs to write it out; no channel looks anything up.
package struct Page: Codable, Sendable, Identifiable {
    package enum Kind: String, Codable, Sendable {
        /// Interrupts: somebody must act.
        case page
        /// Edits what was said, silently.
        case update
        /// To the acker only: the acknowledgement is about to expire.
        case reminder
        /// To everyone who was paged.
        case resolved
        /// To everyone who was paged: somebody has it.
        case acknowledged
    }

    /// Why this page is sent now (reference, escalation 3.6).
    package enum Reason: String, Codable, Sendable, CaseIterable {
        case first, timeout, unack, ackExpired = "ack_expired", snoozeOver = "snooze_over"
        case unmasked, reopen, severity, growth, undelivered, flapRepage = "flap_repage"
        case backstop, manual, resolved, acknowledged, reminder, changed
        /// Told to know, while others are called or nobody is.
        case informed
    }

    /// 26 base-32 digits: a hash of incident, generation, round, tier, target and sequence.
    package let id: String
    package var kind: Kind
    package var reason: Reason
    package var incident: String
    package var generation: Int
    package var round: Int
    package var tier: Tier
    package var at: Instant
    /// Who is paged: people, or rooms.
    package var recipients: [Recipient]
    package var brief: Brief

    package init(
        id: String, kind: Kind, reason: Reason, incident: String, generation: Int, round: Int,
        tier: Tier, at: Instant, recipients: [Recipient], brief: Brief
    ) {
        self.id = id
        self.kind = kind
        self.reason = reason
        self.incident = incident
        self.generation = generation
        self.round = round
        self.tier = tier
        self.at = at
        self.recipients = recipients
        self.brief = brief
    }
}

/// A person or a room, and the channels by which to reach them, in order of preference.
package struct Recipient: Codable, Hashable, Sendable {
    package var name: String
    /// Names of destinations in the settings.
    package var channels: [String]

    package init(name: String, channels: [String]) {
        self.name = name
        self.channels = channels
    }
}

/// The incident as a page tells it: what, where, since when, how bad, what to do first.
package struct Brief: Codable, Sendable, Equatable {
    package var title: String
    package var summary: String
    package var blame: Entity
    package var symptom: String
    package var severity: Severity
    package var since: Instant
    package var devices: [String]
    package var deviceCount: Int
    package var labels: Labels
    package var rules: [String]
    /// The numbers that the decision rests on, one in each line, in words.
    package var evidence: [String]
    /// What else bears on it, such as what the price is based on.
    package var notes: [String]
    package var acceleratorsLost: Double
    package var costPerHour: Money
    package var costTotal: Money
    package var runbook: String
    /// Who acknowledged, where somebody did.
    package var acknowledgedBy: String
    /// The event time was already old when the page was made: news of the past.
    package var isStale: Bool

    package init(
        title: String, summary: String, blame: Entity, symptom: String, severity: Severity,
        since: Instant
    ) {
        self.title = title
        self.summary = summary
        self.blame = blame
        self.symptom = symptom
        self.severity = severity
        self.since = since
        devices = []
        deviceCount = 0
        labels = Labels()
        rules = []
        evidence = []
        notes = []
        acceleratorsLost = 0
        costPerHour = .zero
        costTotal = .zero
        runbook = ""
        acknowledgedBy = ""
        isStale = false
    }
}
