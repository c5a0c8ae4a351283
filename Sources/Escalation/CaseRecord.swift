package import Incidents

/// One incident with its escalation: the unit that is stored, listed and restored.
package struct CaseRecord: Codable, Sendable, Identifiable {
    package var incident: Incident
    package var episode: Episode

    package var id: String { incident.id }

    package init(incident: Incident, episode: Episode) {
        self.incident = incident
        self.episode = episode
    }
}
