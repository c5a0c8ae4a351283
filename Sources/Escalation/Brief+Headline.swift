package import Fleet
package import Incidents
import Rules

extension Brief {
    /// What a page tells of an incident at `time`.
    ///
    /// The first 200 characters of the summary are enough to act on: what, where, since when,
    /// dollars per hour, the first action and the command that takes it.
    package init(_ incident: Incident, _ episode: Episode, at time: Instant) {
        self.init(
            title: incident.title, summary: "", blame: incident.blame, symptom: incident.symptom,
            severity: min(episode.severity, incident.severity), since: incident.since)
        devices = Array(incident.devices.prefix(Brief.devicesMax))
        deviceCount = incident.devices.count
        labels = incident.labels
        rules = incident.rules
        acceleratorsLost = incident.acceleratorsLost
        costPerHour = incident.costPerHour
        costTotal = incident.costTotal(at: time)
        runbook = incident.runbook
        acknowledgedBy = if case .acked(let name) = episode.response { name } else { "" }
        isStale = time - incident.lastEventAt > Brief.staleAfter
        summary = Brief.headline(incident, at: time) + Brief.details(incident, episode, self)
    }

    /// A list of names that nobody reads to its end; `deviceCount` has the number.
    static let devicesMax = 50
    /// Event time that is older is news of the past (reference, accelerators 3.10).
    static let staleAfter = Duration.seconds(600)
    /// What a telephone shows without a touch.
    static let headlineMax = 200

    /// Ids are never cut; of the words, the action gives way first.
    static func headline(_ incident: Incident, at time: Instant) -> String {
        let isToday = time.rfc3339.prefix(10) == incident.since.rfc3339.prefix(10)
        let since = isToday ? "\(incident.since.timeOfDay)Z" : incident.since.rfc3339
        let host = incident.labels[.host]
        let place =
            incident.blame.kind == .device && !host.isEmpty && host.utf8.count <= 40
            ? "\(host) \(incident.blame.name)" : incident.blame.description
        let middle = " | \(place) | since \(since) | \(incident.costPerHour)/h"
        let acknowledge = " | tocsin incident ack \(incident.id)"
        let room = max(0, headlineMax - middle.count - acknowledge.count)
        let action = incident.runbook.isEmpty ? "" : " | \(incident.runbook)"
        let what = incident.summary.isEmpty ? incident.title : incident.summary
        let actionRoom = min(action.count, max(room / 2, room - what.count))
        let shortWhat = cut(what, to: room - actionRoom)
        return shortWhat + middle + cut(action, to: actionRoom) + acknowledge
    }

    private static func cut(_ text: String, to length: Int) -> String {
        let line = text.split(whereSeparator: \.isNewline).joined(separator: " ")
        guard line.count > length else { return line }
        return length < 8 ? "" : "\(line.prefix(length - 1))…"
    }

    /// The rest, for those who read on.
    private static func details(
        _ incident: Incident, _ episode: Episode, _ brief: Brief
    ) -> String {
        var lines = [incident.title]
        if incident.summary.count > 60 { lines.append(incident.summary) }
        for evidence in incident.lead?.evidence.prefix(6) ?? [] {
            lines.append(evidence.phrase)
        }
        if !incident.runbook.isEmpty { lines.append("First: \(incident.runbook)") }
        if !incident.costBasis.isEmpty {
            lines.append(
                "Cost: \(incident.costPerHour)/h (\(incident.costLowPerHour) to "
                    + "\(incident.costHighPerHour)), \(brief.costTotal) so far; "
                    + incident.costBasis)
        }
        if incident.opportunityPerHour > .zero {
            lines.append("Better use would save \(incident.opportunityPerHour)/h")
        }
        if !incident.explainedBy.isEmpty { lines.append("Explained by \(incident.explainedBy)") }
        if episode.isFlapping {
            lines.append(
                "Flapping: opened \(episode.opens.count) times lately; pages are held back")
        }
        if brief.isStale { lines.append("The newest data is old: this may be over") }
        return "\n" + lines.joined(separator: "\n")
    }
}
