package import Fleet
package import Rules

/// Findings that one person should look at together: one blamed node, one symptom, one life.
package struct Incident: Codable, Sendable, Identifiable {
    /// Derived from the group key and the time of the first finding: `INC-` and ten base-32 digits.
    package let id: String
    package var route: String
    package var blame: Entity
    package var symptom: String
    /// The worst of its findings since it opened; never lowered before it resolves.
    package var severity: Severity
    package var tier: Tier
    /// Event time of the first sign.
    package var since: Instant
    /// Wall-clock time at which this process first heard of it.
    package var heardAt: Instant
    /// Event time of the newest edge of any finding.
    package var lastEventAt: Instant
    /// Firing findings by their key in words; cleared ones leave.
    package var findings: [String: Finding]
    /// Members of the jobs that wait because of this, by job: kept once, not with every finding.
    package var waiting: [String: [String]]
    /// The job that waits for a finding, by the finding's key.
    package var waitingFor: [String: String]
    /// Ids of all devices that suffer, sorted.
    package var devices: [String]
    /// How many devices the blamed node has; 0 where nobody said.
    package var devicesUnderBlame: Int
    /// The labels that all findings share.
    package var labels: Labels
    package var title: String
    package var summary: String
    package var runbook: String
    /// The incident that explains this one; while there is one, costs are counted there.
    package var explainedBy: String
    /// Accelerators that do no useful work because of this: accelerator-hours lost per hour.
    package var acceleratorsLost: Double
    package var costPerHour: Money
    package var costLowPerHour: Money
    package var costHighPerHour: Money
    /// What better use would save: never part of the cost.
    package var opportunityPerHour: Money
    /// How the cost was computed, with the price, its source and the version of the book.
    package var costBasis: String
    /// Closed-form total so far, accelerator-hours, up to `costedUntil`.
    package var acceleratorHoursLost: Double
    package var costedUntil: Instant
    package var costTotal: Money

    package init(
        id: String, route: String, blame: Entity, symptom: String, finding: Finding,
        heardAt: Instant
    ) {
        self.id = id
        self.route = route
        self.blame = blame
        self.symptom = symptom
        severity = finding.severity
        tier = finding.tier
        since = finding.since
        self.heardAt = heardAt
        lastEventAt = finding.at
        findings = [finding.key.description: finding]
        waiting = [:]
        waitingFor = [:]
        devices = finding.devices.sorted()
        devicesUnderBlame = 0
        labels = finding.labels
        title = "\(symptom) on \(blame)"
        summary = finding.summary
        runbook = finding.runbook
        explainedBy = ""
        acceleratorsLost = 0
        costPerHour = .zero
        costLowPerHour = .zero
        costHighPerHour = .zero
        opportunityPerHour = .zero
        costBasis = ""
        acceleratorHoursLost = 0
        costedUntil = finding.since
        costTotal = .zero
    }

    /// The rules that fire now, sorted.
    package var rules: [String] { Set(findings.values.map(\.key.rule)).sorted() }

    package var isFiring: Bool { !findings.isEmpty }

    /// The finding that speaks for all: the worst, then the oldest.
    package var lead: Finding? {
        findings.values.min {
            ($0.severity.rawValue, $0.since, $0.key.description)
                < ($1.severity.rawValue, $1.since, $1.key.description)
        }
    }
}

extension Incident {
    /// Findings beyond this many keep only what decides: a rack that dies must not make a record
    /// of megabytes that is stored again with every edge.
    static let wholeFindingsMax = 64

    /// Adds or renews a finding.
    mutating func put(_ finding: Finding) {
        let key = finding.key.description
        let job = finding.labels[.job]
        var kept = finding
        if !finding.blocked.isEmpty {
            if finding.blocked.count >= (waiting[job]?.count ?? 0) {
                waiting[job] = finding.blocked
            }
            waitingFor[key] = job
            kept.blocked = []
        } else {
            waitingFor[key] = nil
        }
        if findings.count >= Incident.wholeFindingsMax, findings[key] == nil {
            kept.evidence = []
            kept.runbook = ""
            kept.summary = String(kept.summary.prefix(80))
        }
        findings[key] = kept
        since = min(since, finding.since)
        lastEventAt = max(lastEventAt, finding.at)
    }

    /// A new generation: what the last one said is history, what it cost stays.
    mutating func restart(with finding: Finding) {
        severity = finding.severity
        tier = finding.tier
        since = finding.since
        settle(until: finding.since)
    }

    /// Takes a finding out.
    mutating func drop(_ finding: Finding) {
        let key = finding.key.description
        findings[key] = nil
        waitingFor[key] = nil
        if waitingFor.isEmpty { waiting = [:] }
        lastEventAt = max(lastEventAt, finding.at)
    }

    /// A finding as it was sent: with the members that wait.
    func whole(_ key: String) -> Finding? {
        guard var finding = findings[key] else { return nil }
        if let job = waitingFor[key] { finding.blocked = waiting[job] ?? [] }
        return finding
    }

    /// Brings everything that is derived from the findings up to date.
    ///
    /// An incident whose last finding left keeps what it said, and costs nothing from then on.
    mutating func refresh(prices: PriceBook) {
        settle(until: lastEventAt)
        guard let lead else {
            free()
            return
        }
        severity = min(severity, lead.severity)
        tier = findings.values.reduce(tier) { min($0, $1.tier) }
        devices = Set(findings.values.flatMap(\.devices)).sorted()
        labels = commonLabels
        summary = lead.summary
        runbook = lead.runbook
        let share =
            devicesUnderBlame > 1 && blame.kind != .device
            ? "\(devices.count) of \(devicesUnderBlame) devices"
            : devices.count > 1 ? "\(devices.count) devices" : ""
        // What the leading finding says names its own subject; a larger blame needs other words.
        title =
            lead.key.subject == blame && !lead.summary.isEmpty
            ? lead.summary : "\(symptom) on \(blame)" + (share.isEmpty ? "" : ", \(share)")
        price(by: prices)
    }

    private var commonLabels: Labels {
        var common = lead?.labels ?? Labels()
        guard findings.count > 1 else { return common }
        for key in LabelKey.allCases where !common[key].isEmpty {
            let value = common[key]
            if findings.values.contains(where: { $0.labels[key] != value }) { common[key] = "" }
        }
        return common
    }
}
