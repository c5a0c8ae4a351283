package import Fleet
package import Incidents

/// What people can ask for; the incident by its id or an unambiguous beginning of it.
package enum Command: Codable, Sendable, Hashable {
    case acknowledge(String)
    case unacknowledge(String)
    case snooze(String, for: Duration)
    /// Refused while it still fires.
    case resolve(String)
    case escalate(String, to: Tier, reason: String)
    case note(String, String)
    case silence(SilenceRequest)
    case expireSilence(String)
    case approveSilence(String)
}

/// A silence as it is asked for; a start in the past means at once.
package struct SilenceRequest: Codable, Sendable, Hashable {
    /// One of these groups must hold in full.
    package var matchers: [[Matcher]]
    package var starts: Instant?
    package var ends: Instant
    package var reason: String

    package init(matchers: [[Matcher]], starts: Instant? = nil, ends: Instant, reason: String) {
        self.matchers = matchers
        self.starts = starts
        self.ends = ends
        self.reason = reason
    }
}

/// Why a command was not carried out, as a sentence for whoever gave it.
package struct Refusal: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Kind: String, Sendable {
        /// There is no such thing.
        case notFound
        /// It makes no sense as asked.
        case invalid
        /// It makes sense, and not now.
        case conflict
        /// Not by this person.
        case forbidden
    }

    package let kind: Kind
    package let description: String

    package init(_ kind: Kind, _ sentence: String) {
        self.kind = kind
        description = sentence
    }
}

/// What became of one delivery.
package enum DeliveryOutcome: Sendable, Hashable {
    case delivered
    /// For good: nothing more will be tried.
    case failed(String)
    /// Will be tried again; only noted.
    case retrying(String)
}

/// What is to be done and written down after an input: all of it in one transaction.
package struct Outcome: Sendable {
    package var pages: [Page] = []
    /// One for each page and destination.
    package var deliveries: [Delivery] = []
    /// Ids of deliveries that nobody needs any more, if they were not sent yet.
    package var cancelled: [String] = []
    package var audit: [AuditEntry] = []
    /// Cases as they are now, by id; one that closes is here a last time.
    package var changed: [CaseRecord] = []
    /// Ids of cases that are gone: closed ones (their last record is in `changed`), and those that
    /// ended before anybody was told (never in `changed` of the same outcome).
    package var removed: [String] = []
    /// All silences, where any changed.
    package var silences: [Silence]?

    package init() {}

    package var isEmpty: Bool {
        pages.isEmpty && deliveries.isEmpty && cancelled.isEmpty && audit.isEmpty
            && changed.isEmpty && removed.isEmpty && silences == nil
    }
}
