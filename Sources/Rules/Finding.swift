package import Fleet

/// What a rule says about one subject: the word that leaves Rules.
///
/// A finding is an edge: it is sent when the rule fires, when what it says changes, and when it
/// clears. Its identity is `key`; everything else may differ between edges.
package struct Finding: Codable, Sendable {
    /// The rule and its subject: at most one finding of a key is firing at any time.
    package struct Key: Hashable, Codable, Sendable, CustomStringConvertible {
        package let rule: String
        package let subject: Entity

        package init(rule: String, subject: Entity) {
            self.rule = rule
            self.subject = subject
        }

        package var description: String { "\(rule) on \(subject)" }
    }

    package enum Edge: String, Codable, Sendable {
        case fired, changed, cleared
        /// The rule is no longer in the rule set; nothing is known of the subject.
        case ruleRemoved
    }

    /// One number that the decision rests on, in words: `power.ratio 0.31 (threshold 0.60)`.
    package struct Evidence: Codable, Equatable, Sendable {
        package var name: String
        package var value: Double
        package var unit: String
        /// The limit or baseline it was held against, in words.
        package var against: String
        /// Its part of a score that several things make together, 0–1; nil where it stands alone.
        package var share: Double?

        package init(
            name: String, value: Double, unit: String, against: String, share: Double? = nil
        ) {
            self.name = name
            self.value = value
            self.unit = unit
            self.against = against
            self.share = share
        }
    }

    package var key: Key
    package var edge: Edge
    /// Event time from which the condition held, before `for` was waited out.
    package var since: Instant
    /// Event time of this edge.
    package var at: Instant
    package var severity: Severity
    package var tier: Tier
    /// The class by which incidents are grouped, such as `off-bus`, `thermal` or `hang`.
    package var symptom: String
    /// Ids of the devices that suffer, the subject's own first.
    package var devices: [String]
    /// The members of a synchronous job that wait because of this fault.
    ///
    /// Empty where only `devices` lose time.
    package var blocked: [String]
    /// Labels of the subject as last seen.
    package var labels: Labels
    /// One sentence for the person on call: what, with the numbers.
    package var summary: String
    package var evidence: [Evidence]
    /// The first action, an imperative sentence.
    package var runbook: String
    package var cost: CostClass
    /// Share of the affected accelerators' time that is lost, 0–1.
    package var lostFraction: Double
    /// Where the deciding sample came from.
    package var partition: Partition
    package var offset: Int64

    package init(
        key: Key, edge: Edge, since: Instant, at: Instant, severity: Severity, tier: Tier,
        symptom: String, devices: [String], labels: Labels, summary: String,
        partition: Partition, offset: Int64
    ) {
        self.key = key
        self.edge = edge
        self.since = since
        self.at = at
        self.severity = severity
        self.tier = tier
        self.symptom = symptom
        self.devices = devices
        self.blocked = []
        self.labels = labels
        self.summary = summary
        self.evidence = []
        self.runbook = ""
        self.cost = .none
        self.lostFraction = 0
        self.partition = partition
        self.offset = offset
    }
}

/// How a fault costs accelerator time (reference, accelerators 2.5).
package enum CostClass: String, CaseIterable, Codable, Sendable {
    /// Costs nothing by itself.
    case none
    /// The device is gone, and with it a synchronous job of N.
    case hard
    /// The job computes nothing at all.
    case hang
    /// The others of a synchronous job wait for the slowest.
    case straggler
    /// The device runs below its clock.
    case throttle
    /// Allocated and not used.
    case idle
    /// Could run better; reported, never called waste.
    case opportunity
    /// Nothing lost yet; acting now prevents it.
    case prevent
}
