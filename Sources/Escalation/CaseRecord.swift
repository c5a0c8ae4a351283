package import Fleet
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

/// The escalation state of one incident (reference, escalation 3.2).
package struct Episode: Codable, Sendable {
    package enum Phase: String, Codable, Sendable { case held, open, resolved, closed }

    package var phase: Phase
    package var generation: Int

    package init() {
        phase = .held
        generation = 0
    }
}
