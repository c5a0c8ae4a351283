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
    /// Firing findings by their key in words; cleared ones leave.
    package var findings: [String: Finding]
    /// Ids of all devices that suffer, sorted.
    package var devices: [String]
    package var labels: Labels
    package var title: String
    package var summary: String
    package var runbook: String
    /// Accelerators that do no useful work because of this: accelerator-hours lost per hour.
    package var acceleratorsLost: Double
    package var costPerHour: Money
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
        findings = [finding.key.description: finding]
        devices = finding.devices.sorted()
        labels = finding.labels
        title = ""
        summary = finding.summary
        runbook = finding.runbook
        acceleratorsLost = 0
        costPerHour = .zero
        acceleratorHoursLost = 0
        costedUntil = heardAt
        costTotal = .zero
    }
}
