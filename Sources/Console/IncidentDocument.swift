package import Escalation
import Fleet
import Incidents
package import Ledger
import Rules

/// The answer to `GET /api/v1/incidents`.
package struct IncidentList: Codable, Sendable {
    package var incidents: [IncidentDocument]
    /// How many there are; `incidents` may hold fewer.
    package var total: Int
    /// When the server made this list.
    package var at: Timestamp
}

/// One incident as the API tells it: a line of the list, or with `history` the whole.
package struct IncidentDocument: Codable, Sendable, Equatable, Identifiable {
    package struct Blame: Codable, Sendable, Equatable {
        package var kind: String
        package var name: String
    }

    package struct Cost: Codable, Sendable, Equatable {
        package var acceleratorsLost: Double
        package var usdPerHour: Double
        package var usdTotal: Double
        package var acceleratorHoursLost: Double
    }

    package var id: String
    package var title: String
    package var summary: String
    /// `critical`, `high`, `medium` or `low`.
    package var severity: String
    package var symptom: String
    package var blame: Blame
    package var route: String
    package var since: Timestamp
    package var heardAt: Timestamp
    package var escalation: EscalationDocument
    package var cost: Cost
    package var rules: [String]
    package var findingCount: Int
    package var deviceCount: Int
    package var labels: [String: String]
    /// The first thing to do.
    package var runbook: String
    package var history: History?

    /// A rack that dies takes hundreds of devices: enough are named to start, all are counted.
    package static let devicesMax = 200
    package static let findingsMax = 100

    package init(_ record: CaseRecord) {
        let incident = record.incident
        id = incident.id
        summary = incident.summary
        severity = incident.severity.name
        symptom = incident.symptom
        blame = Blame(kind: incident.blame.kind.rawValue, name: incident.blame.name)
        title = incident.title.isEmpty ? "\(symptom) on \(incident.blame)" : incident.title
        route = incident.route
        since = Timestamp(incident.since)
        heardAt = Timestamp(incident.heardAt)
        escalation = EscalationDocument(record.episode)
        cost = Cost(
            acceleratorsLost: incident.acceleratorsLost.finite,
            usdPerHour: incident.costPerHour.dollars, usdTotal: incident.costTotal.dollars,
            acceleratorHoursLost: incident.acceleratorHoursLost.finite)
        rules = Set(incident.findings.values.map(\.key.rule)).sorted()
        findingCount = incident.findings.count
        deviceCount = incident.devices.count
        labels = Dictionary(
            uniqueKeysWithValues: incident.labels.pairs.map { ($0.key.name, $0.value) })
        runbook = incident.runbook
    }

    /// What only the whole of one incident tells.
    package struct History: Codable, Sendable, Equatable {
        package var findings: [FindingDocument]
        package var devices: [String]
        /// Oldest first.
        package var timeline: [AuditDocument]
        package var deliveries: [DeliveryDocument]

        package init(_ record: CaseRecord, timeline: [AuditRow], deliveries: [Delivery]) {
            findings = record.incident.findings.values
                .sorted {
                    ($0.severity, $0.since, $0.key.description) < (
                        $1.severity, $1.since, $1.key.description
                    )
                }
                .prefix(IncidentDocument.findingsMax).map(FindingDocument.init)
            devices = Array(record.incident.devices.prefix(IncidentDocument.devicesMax))
            self.timeline = timeline.sorted { $0.seq < $1.seq }.map(AuditDocument.init)
            self.deliveries = deliveries.map(DeliveryDocument.init)
        }
    }
}

package struct FindingDocument: Codable, Sendable, Equatable {
    package struct Evidence: Codable, Sendable, Equatable {
        package var name: String
        /// Nil where the sample was no number.
        package var value: Double?
        package var unit: String
        package var against: String
        /// Its part of a score that several things make together, 0–1; nil where it stands alone.
        package var share: Double?
    }

    package var rule: String
    package var subject: String
    package var severity: String
    package var since: Timestamp
    package var summary: String
    package var evidence: [Evidence]
    package var runbook: String
    /// Where the deciding sample came from: `topic[3]@1234`.
    package var source: String

    init(_ finding: Finding) {
        rule = finding.key.rule
        subject = finding.key.subject.description
        severity = finding.severity.name
        since = Timestamp(finding.since)
        summary = finding.summary
        evidence = finding.evidence.prefix(32).map {
            Evidence(
                name: $0.name, value: $0.value.isFinite ? $0.value : nil, unit: $0.unit,
                against: $0.against, share: $0.share)
        }
        runbook = finding.runbook
        source = "\(finding.partition)@\(finding.offset)"
    }
}

/// One line of the audit.
package struct AuditDocument: Codable, Sendable, Equatable {
    package var seq: Int64
    package var at: Timestamp
    package var actor: String
    package var via: String
    package var type: String
    package var incident: String
    package var detail: String
    /// In hexadecimal.
    package var hash: String

    package init(_ row: AuditRow) {
        seq = row.seq
        at = Timestamp(row.entry.at)
        actor = row.entry.actor
        via = row.entry.via
        type = row.entry.type
        incident = row.entry.incident
        detail = row.entry.detail
        hash = row.hash.hexadecimal
    }
}

/// The answer to `GET /api/v1/audit`.
package struct AuditList: Codable, Sendable {
    /// Newest first.
    package var rows: [AuditDocument]
}

package struct DeliveryDocument: Codable, Sendable, Equatable {
    package var id: String
    package var destination: String
    package var kind: String
    package var reason: String
    package var tier: Int
    package var at: Timestamp
    package var recipients: [String]
    package var state: String
    package var attempts: Int
    package var lastCode: Int
    package var lastError: String
    package var mayRepeat: Bool

    init(_ delivery: Delivery) {
        id = delivery.id
        destination = delivery.destination
        kind = delivery.page.kind.rawValue
        reason = delivery.page.reason.rawValue
        tier = delivery.page.tier.rawValue
        at = Timestamp(delivery.page.at)
        recipients = delivery.page.recipients.prefix(50).map(\.name)
        state = delivery.state.rawValue
        attempts = delivery.attempts
        lastCode = delivery.lastCode
        lastError = delivery.lastError
        mayRepeat = delivery.mayRepeat
    }
}

extension Double {
    /// JSON knows no infinity: what has no finite value is 0.
    fileprivate var finite: Double { isFinite ? self : 0 }
}
