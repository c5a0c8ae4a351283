package import Fleet

/// One incident as the people on call saw it.
package struct ReceivedPage: Sendable, Equatable, Identifiable {
    /// Of the incident: later pages of the same incident add to the same record.
    package var id: String
    /// Rules that spoke, the first one first.
    package var rules: [String]
    package var entity: Entity
    package var devices: [String]
    /// Event time of the first finding.
    package var firstEvent: Instant
    /// Wall time of the first message to anybody.
    package var firstWall: Instant
    package var highestTier: Tier
    package var isAcknowledged: Bool
    package var costPerHour: Money
    package var severity: Severity

    package init(
        id: String, rules: [String], entity: Entity, devices: [String], firstEvent: Instant,
        firstWall: Instant, severity: Severity
    ) {
        self.id = id
        self.rules = rules
        self.entity = entity
        self.devices = devices
        self.firstEvent = firstEvent
        self.firstWall = firstWall
        self.severity = severity
        highestTier = .one
        isAcknowledged = false
        costPerHour = .zero
    }
}

/// What was injected against what was said (reference, rules and simulator 5.6).
package struct Scorecard: Sendable {
    /// One label, and the page that told of it.
    package struct Row: Sendable, Identifiable {
        package let label: FaultLabel
        /// The page by which it was found: the first with an expected rule.
        package let page: ReceivedPage?
        /// The rule that named it; an acceptable one where no expected one spoke.
        package let rule: String
        package let isExpected: Bool
        /// From the moment when it could be known; never below zero.
        package let delay: Duration
        /// All pages of this fault; more than one says the same thing twice.
        package let pages: Int

        package var id: String { label.id }
    }

    package let rows: [Row]
    /// Pages that no fault explains.
    package let falsePages: [ReceivedPage]
    private let topology: Topology

    /// A page may precede its label by one `interval`, because samples are that far apart.
    package init(
        labels: [FaultLabel], pages: [ReceivedPage], topology: Topology,
        interval: Duration = .seconds(10)
    ) {
        let matching = Matching(topology: topology, interval: interval)
        let ordered = pages.sorted { ($0.firstEvent, $0.id) < ($1.firstEvent, $1.id) }
        rows = labels.map { matching.row(for: $0, among: ordered) }
        falsePages = ordered.filter { page in
            !labels.contains { matching.rule(of: page, naming: $0) != nil }
        }
        self.topology = topology
    }

    /// Ids of page-class faults that no expected rule named.
    package var missedPageClass: [String] {
        rows.filter { $0.label.isPageClass && !$0.isExpected }.map(\.label.id)
    }

    /// Share of the faults that an expected rule named; 1 where there were none.
    package var recall: Double {
        rows.isEmpty ? 1 : Double(rows.count { $0.isExpected }) / Double(rows.count)
    }
}

/// When a page tells of a fault.
private struct Matching {
    let topology: Topology
    let interval: Duration

    /// The rule by which `page` tells of `label`, an expected one if there is any.
    func rule(of page: ReceivedPage, naming label: FaultLabel) -> String? {
        let grace = max(label.hold, .seconds(300))
        guard page.firstEvent >= label.start - interval, page.firstEvent <= label.end + grace,
            isRelated(page, label.entity)
        else { return nil }
        return page.rules.first(where: label.expected.contains)
            ?? page.rules.first(where: label.acceptable.contains)
    }

    /// By the blamed entity; by the devices only where the topology does not know the entity.
    ///
    /// A page that blames the wrong rank and lists its whole job must not count as found.
    private func isRelated(_ page: ReceivedPage, _ entity: Entity) -> Bool {
        guard topology.devices(of: page.entity).isEmpty else {
            return topology.isRelated(page.entity, entity)
        }
        let suffering = Set(page.devices)
        let members = topology.devices(of: entity)
        return page.entity == entity || !suffering.isEmpty && suffering.isSubset(of: members)
    }

    func row(for label: FaultLabel, among pages: [ReceivedPage]) -> Scorecard.Row {
        let found = pages.compactMap { page in
            rule(of: page, naming: label).map { (page: page, rule: $0) }
        }
        let best = found.first { label.expected.contains($0.rule) } ?? found.first
        guard let best else {
            return Scorecard.Row(
                label: label, page: nil, rule: "", isExpected: false, delay: .zero, pages: 0)
        }
        return Scorecard.Row(
            label: label, page: best.page, rule: best.rule,
            isExpected: label.expected.contains(best.rule),
            delay: max(.zero, best.page.firstEvent - label.detectable), pages: found.count)
    }
}

extension Scorecard {
    /// A table for people, one line per fault, and what was missed or made up below it.
    package var text: String {
        let head = ["fault", "where", "found by", "delay", "tier", "acked", "$/h"]
        let table = [head] + rows.map(cells)
        let widths = head.indices.map { column in
            table.map { $0[column].count }.max() ?? 0
        }
        var lines = table.map { cells in
            zip(cells, widths).map(Scorecard.padded).joined(separator: "  ").trimmedRight
        }
        let found = rows.count { $0.isExpected }
        lines.append("")
        lines.append("found: \(found) of \(rows.count)")
        lines.append("missed that must page: \(Scorecard.list(missedPageClass))")
        let strangers = falsePages.map { page in
            let rules = page.rules.joined(separator: "+")
            return "\(rules) on \(topology.place(of: page.entity))"
                + " at \(page.firstEvent.timeOfDay)"
        }
        lines.append("pages that no fault explains: \(Scorecard.list(strangers))")
        return lines.joined(separator: "\n")
    }

    private func cells(_ row: Row) -> [String] {
        let fault = "\(row.label.id) \(row.label.name)"
        guard let page = row.page else {
            return [fault, row.label.place, "MISSED", "-", "-", "-", "-"]
        }
        return [
            fault, row.label.place, row.isExpected ? row.rule : "(\(row.rule))",
            Scorecard.spelled(row.delay),
            page.highestTier == .backstop ? "backstop" : String(page.highestTier.rawValue),
            page.isAcknowledged ? "yes" : "no", page.costPerHour.description,
        ]
    }

    private static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    private static func list(_ items: [String]) -> String {
        items.isEmpty ? "none" : items.joined(separator: ", ")
    }

    /// `8s`, `1m10s`, `24m`.
    private static func spelled(_ duration: Duration) -> String {
        let seconds = duration.milliseconds / 1_000
        guard seconds >= 60 else { return "\(seconds)s" }
        return seconds % 60 == 0 ? "\(seconds / 60)m" : "\(seconds / 60)m\(seconds % 60)s"
    }
}

extension String {
    fileprivate var trimmedRight: String {
        var text = self
        while text.last == " " { text.removeLast() }
        return text
    }
}
