package import Fleet
package import Incidents
import Rules

extension Brief {
    /// What a page tells of an incident at `time`; older news than `staleAfter` says that it is old.
    package init(
        _ incident: Incident, _ episode: Episode, staleAfter: Duration, at time: Instant
    ) {
        self.init(
            title: incident.title, summary: incident.summary, blame: incident.blame,
            symptom: incident.symptom, severity: min(episode.severity, incident.severity),
            since: incident.since)
        devices = Array(incident.devices.prefix(Brief.devicesMax))
        deviceCount = incident.devices.count
        labels = incident.labels
        rules = incident.rules
        evidence = (incident.lead?.evidence ?? []).prefix(Brief.evidenceMax).map(\.phrase)
        acceleratorsLost = incident.acceleratorsLost
        costPerHour = incident.costPerHour
        costTotal = incident.costTotal(at: time)
        runbook = incident.runbook
        acknowledgedBy = if case .acked(let name) = episode.response { name } else { "" }
        isStale = time - incident.lastEventAt > staleAfter
        notes = Brief.notes(incident, episode)
    }

    /// A list of names that nobody reads to its end; `deviceCount` has the number.
    static let devicesMax = 50
    static let evidenceMax = 8
    /// Event time that is older is news of the past (reference, accelerators 3.10).
    package static let staleAfter = Duration.seconds(600)

    /// What else a person should know before acting.
    private static func notes(_ incident: Incident, _ episode: Episode) -> [String] {
        var lines: [String] = []
        if !incident.costBasis.isEmpty {
            lines.append(
                "cost \(incident.costLowPerHour) to \(incident.costHighPerHour) per hour: "
                    + incident.costBasis)
        }
        if incident.opportunityPerHour > .zero {
            lines.append("better use would save \(incident.opportunityPerHour) per hour")
        }
        if !incident.explainedBy.isEmpty { lines.append("explained by \(incident.explainedBy)") }
        if episode.isFlapping {
            lines.append(
                "flapping: opened \(episode.opens.count) times lately, pages are held back")
        }
        return lines
    }
}
