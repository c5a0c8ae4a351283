package import Fleet

/// One line of the record of who decided what; the ledger numbers and hash-chains it.
package struct AuditEntry: Codable, Sendable, Equatable {
    package var at: Instant
    /// `human:ana`, `engine`, `config`, `destination:noc`.
    package var actor: String
    /// `api`, `cli`, `timer`, `stream`, `reload`, `start`.
    package var via: String
    /// What happened, such as `incident.opened`, `page.created` or `response.ack`.
    package var type: String
    /// Empty where no incident is concerned.
    package var incident: String
    /// One line of detail, no secrets.
    package var detail: String

    package init(
        at: Instant, actor: String, via: String, type: String, incident: String, detail: String
    ) {
        self.at = at
        self.actor = actor
        self.via = via
        self.type = type
        self.incident = incident
        self.detail = detail
    }
}
