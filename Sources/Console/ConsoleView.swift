package import Escalation
package import Fleet
package import Ledger

/// What the engine shows of itself: a value, made anew by its owner for each request.
package struct ConsoleView: Sendable {
    package struct PartitionView: Sendable {
        package var partition: Partition
        package var nextOffset: Int64
        /// Records behind the end of the log; nil while that is unknown.
        package var lag: Int64?
        /// Event time up to which everything was read.
        package var watermark: Instant?

        package init(
            partition: Partition, nextOffset: Int64, lag: Int64?, watermark: Instant?
        ) {
            self.partition = partition
            self.nextOffset = nextOffset
            self.lag = lag
            self.watermark = watermark
        }
    }

    package var version: String
    package var instance: String
    /// The time of this view, by the wall clock.
    package var at: Instant
    package var startedAt: Instant
    /// When the engine's loop last came round.
    package var engineAliveAt: Instant
    /// Why it is not ready, in words; empty where it is.
    package var notReady: [String] = []
    /// Why the rules on disk are not those in force; empty where they are.
    package var reloadFailure = ""
    package var partitions: [PartitionView] = []
    package var deviceCount = 0
    /// Every incident that is not closed.
    package var cases: [CaseRecord] = []
    /// Every silence that did not end yet.
    package var silences: [Silence] = []
    package var auditHead: AuditHead?

    package init(
        version: String, instance: String, at: Instant, startedAt: Instant, engineAliveAt: Instant
    ) {
        self.version = version
        self.instance = instance
        self.at = at
        self.startedAt = startedAt
        self.engineAliveAt = engineAliveAt
    }
}

/// What only the ledger knows: closed incidents, who decided what, what was sent.
package struct ConsoleHistory: Sendable {
    package var audit:
        @Sendable (_ incident: String?, _ limit: Int) throws(LedgerError) -> [AuditRow]
    package var deliveries:
        @Sendable (_ incident: String, _ limit: Int) throws(LedgerError) -> [Delivery]
    package var recentCases: @Sendable (_ limit: Int) throws(LedgerError) -> [CaseRecord]
    package var cases:
        @Sendable (_ idPrefix: String, _ limit: Int) throws(LedgerError) -> [CaseRecord]

    package init(
        audit: @escaping @Sendable (String?, Int) throws(LedgerError) -> [AuditRow],
        deliveries: @escaping @Sendable (String, Int) throws(LedgerError) -> [Delivery],
        recentCases: @escaping @Sendable (Int) throws(LedgerError) -> [CaseRecord],
        cases: @escaping @Sendable (String, Int) throws(LedgerError) -> [CaseRecord]
    ) {
        self.audit = audit
        self.deliveries = deliveries
        self.recentCases = recentCases
        self.cases = cases
    }

    package init(_ reader: LedgerReader) {
        audit = { incident, limit throws(LedgerError) in
            try reader.audit(incident: incident, limit: limit)
        }
        deliveries = { incident, limit throws(LedgerError) in
            try reader.deliveries(incident: incident, limit: limit)
        }
        recentCases = { limit throws(LedgerError) in try reader.recentCases(limit: limit) }
        cases = { prefix, limit throws(LedgerError) in
            try reader.cases(idPrefix: prefix, limit: limit)
        }
    }
}

/// The answer to `GET /api/v1/status`.
package struct StatusDocument: Codable, Sendable {
    package struct PartitionStatus: Codable, Sendable {
        package var topic: String
        package var number: Int32
        package var nextOffset: Int64
        package var lag: Int64?
        package var watermark: Timestamp?
    }

    package struct Counts: Codable, Sendable {
        package var open = 0
        package var held = 0
        package var resolved = 0
        /// Open ones that nobody has.
        package var unacked = 0
        /// Open ones by severity, and by the tier that was paged last: 1, 2, 3 or backstop.
        package var bySeverity: [String: Int] = [:]
        package var byTier: [String: Int] = [:]
        package var usdPerHour = 0.0
    }

    package var version: String
    package var instance: String
    package var at: Timestamp
    package var startedAt: Timestamp
    package var engineAliveAt: Timestamp
    package var ready: Bool
    package var notReady: [String]
    /// Why the last reload was refused, every mistake on a line; nil where the rules are in force.
    package var reloadFailure: String?
    package var partitions: [PartitionStatus]
    package var lag: Int64
    package var deviceCount: Int
    package var incidents: Counts
    package var auditSeq: Int64?
    package var auditHash: String?

    package init(_ view: ConsoleView, notReady: [String]) {
        version = view.version
        instance = view.instance
        at = Timestamp(view.at)
        startedAt = Timestamp(view.startedAt)
        engineAliveAt = Timestamp(view.engineAliveAt)
        ready = notReady.isEmpty
        self.notReady = notReady
        reloadFailure = view.reloadFailure.isEmpty ? nil : view.reloadFailure
        partitions = view.partitions.sorted { $0.partition < $1.partition }.map {
            PartitionStatus(
                topic: $0.partition.topic, number: $0.partition.number, nextOffset: $0.nextOffset,
                lag: $0.lag, watermark: $0.watermark.map(Timestamp.init))
        }
        lag = view.partitions.reduce(0) { sum, partition in
            let (total, overflow) = sum.addingReportingOverflow(max(0, partition.lag ?? 0))
            return overflow ? .max : total
        }
        deviceCount = view.deviceCount
        incidents = Counts(view.cases)
        auditSeq = view.auditHead?.seq
        auditHash = view.auditHead?.hexadecimal
    }
}

extension StatusDocument.Counts {
    init(_ cases: [CaseRecord]) {
        // Every severity and tier is there, also with none: a dashboard then has no holes.
        for severity in Severity.allCases { bySeverity[severity.name] = 0 }
        for tier in Tier.allCases { byTier[tier.key] = 0 }
        for record in cases {
            switch record.episode.phase {
            case .held: held += 1
            case .resolved: resolved += 1
            case .closed: break
            case .open: count(IncidentDocument(record))
            }
        }
    }

    private mutating func count(_ incident: IncidentDocument) {
        open += 1
        if incident.escalation.response == "unacked" { unacked += 1 }
        bySeverity[incident.severity, default: 0] += 1
        if let tier = incident.escalation.tier.flatMap(Tier.init(rawValue:)) {
            byTier[tier.key, default: 0] += 1
        }
        usdPerHour += incident.cost.usdPerHour
    }
}

extension Tier {
    fileprivate var key: String { self == .backstop ? name : "\(rawValue)" }
}
