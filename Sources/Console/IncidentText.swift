package import Fleet
import Rules

/// Incidents as text for a terminal: what, where, since when, how bad, who, what to do first.
///
/// The server's structs in, plain lines out: nothing in them moves a cursor or changes a colour.
package enum IncidentText {
    /// One line per incident under a heading, columns aligned; the last column is not cut.
    package static func table(_ incidents: [IncidentDocument], at now: Instant) -> String {
        guard !incidents.isEmpty else { return "no incident\n" }
        let rows = incidents.map { incident in
            [
                incident.id, incident.severity,
                Plain.line("\(incident.blame.kind) \(incident.blame.name)", max: 44),
                Plain.age(incident.since.instant, at: now), Plain.money(incident.cost.usdPerHour),
                Plain.line(incident.escalation.who(), max: 30),
                Plain.line(incident.title, max: 100),
            ].map { Plain.line($0, max: 100) }
        }
        return aligned(
            [["ID", "SEVERITY", "WHERE", "SINCE", "$/H", "WHO", "WHAT"]] + rows, right: [3, 4])
    }

    /// Everything about one incident, to be read from top to bottom.
    package static func detail(_ incident: IncidentDocument, at now: Instant) -> String {
        var lines = [
            "\(Plain.line(incident.id))  \(Plain.line(incident.severity).uppercased())  "
                + Plain.line(incident.title, max: 1_000)
        ]
        if incident.summary != incident.title {
            lines += ["", Plain.line(incident.summary, max: 1_000)]
        }
        if !incident.runbook.isEmpty {
            lines += ["", "First: \(Plain.line(incident.runbook, max: 1_000))"]
        }
        lines.append("")
        let facts = facts(incident, now).map { ["\($0.name):", Plain.line($0.value, max: 1_000)] }
        var text = lines.joined(separator: "\n") + "\n" + aligned(facts)
        guard let history = incident.history else { return text }
        text += section("Evidence", history.findings.flatMap(evidence))
        text += section(
            "Timeline",
            split(
                aligned(
                    history.timeline.map { row in
                        [row.at.instant.rfc3339, row.type, row.actor, row.detail].map {
                            Plain.line($0)
                        }
                    })))
        text += section(
            "Sent",
            split(
                aligned(
                    history.deliveries.map { sent in
                        [
                            sent.at.instant.rfc3339, sent.destination,
                            "\(sent.kind), \(sent.reason)",
                            sent.recipients.joined(separator: ", "), outcome(sent),
                        ].map { Plain.line($0) }
                    })))
        return text
    }

    /// The facts of an incident by name, in the order in which people ask.
    static func facts(
        _ incident: IncidentDocument, _ now: Instant
    ) -> [(name: String, value: String)] {
        var facts = [("Where", "\(incident.blame.kind) \(incident.blame.name)")]
        let labels = incident.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        if !labels.isEmpty { facts.append(("Labels", labels.joined(separator: " "))) }
        let since = incident.since.instant
        facts.append(("Since", "\(since.rfc3339), \(Plain.age(since, at: now)) ago"))
        let cost = incident.cost
        facts.append(
            (
                "Cost",
                "\(Plain.money(cost.usdPerHour)) per hour, \(Plain.money(cost.usdTotal)) so far, "
                    + "\(Plain.number(cost.acceleratorsLost)) accelerators lost"
            ))
        facts.append(("Who", incident.escalation.who()))
        if let next = incident.escalation.nextPageAt {
            facts.append(("Next page", next.instant.rfc3339))
        }
        let paged = incident.escalation.paged
        if !paged.isEmpty { facts.append(("Paged", paged.joined(separator: ", "))) }
        let masks = incident.escalation.masks
        if !masks.isEmpty { facts.append(("Hidden by", masks.joined(separator: ", "))) }
        facts.append(("Phase", phase(incident)))
        facts.append(("Rules", incident.rules.joined(separator: ", ")))
        facts.append(("Devices", devices(incident)))
        return facts
    }

    private static func phase(_ incident: IncidentDocument) -> String {
        let escalation = incident.escalation
        let again = escalation.generation > 1 ? ", opened \(escalation.generation) times" : ""
        return "\(escalation.phase)\(again)\(escalation.flapping ? ", flapping" : "")"
    }

    private static func devices(_ incident: IncidentDocument) -> String {
        guard let named = incident.history?.devices, !named.isEmpty else {
            return "\(incident.deviceCount)"
        }
        let shown = named.prefix(8).joined(separator: ", ")
        let hidden = incident.deviceCount - min(named.count, 8)
        return hidden > 0 ? "\(shown) and \(hidden) more" : shown
    }

    private static func evidence(_ finding: FindingDocument) -> [String] {
        [Plain.line("\(finding.summary) (\(finding.rule), \(finding.source))")]
            + finding.evidence.map { "    " + Plain.line(words($0)) }
    }

    /// `power.ratio 0.31 (threshold 0.60)`.
    static func words(_ evidence: FindingDocument.Evidence) -> String {
        Finding.Evidence(
            name: evidence.name, value: evidence.value ?? .nan, unit: evidence.unit,
            against: evidence.against
        ).phrase
    }

    static func outcome(_ sent: DeliveryDocument) -> String {
        var words = sent.state
        if sent.attempts > 1 { words += " after \(sent.attempts) attempts" }
        if sent.state != "done", sent.lastCode != 0 { words += ", code \(sent.lastCode)" }
        if sent.state != "done", !sent.lastError.isEmpty { words += ": \(sent.lastError)" }
        return words
    }

    private static func section(_ title: String, _ lines: [String]) -> String {
        guard !lines.isEmpty else { return "" }
        return "\n\(title)\n" + lines.map { "  \($0)\n" }.joined()
    }

    private static func split(_ text: String) -> [String] {
        text.split(separator: "\n").map(String.init)
    }

    /// Columns two spaces apart; those in `right` end on one line, and no line ends in spaces.
    static func aligned(_ rows: [[String]], right: Set<Int> = []) -> String {
        var widths: [Int] = []
        for row in rows {
            for (column, cell) in row.enumerated() {
                if column == widths.count { widths.append(0) }
                widths[column] = max(widths[column], cell.count)
            }
        }
        var text = ""
        for row in rows {
            var line = ""
            for (column, cell) in row.enumerated() {
                let gap = String(repeating: " ", count: widths[column] - cell.count)
                line += right.contains(column) ? gap + cell : cell + gap
                line += "  "
            }
            while line.last == " " { line.removeLast() }
            text += line + "\n"
        }
        return text
    }
}
