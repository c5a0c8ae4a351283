package import Configuration
package import Detection
package import Fleet

/// One rule as a person wrote it, checked and typed.
package struct Rule: Sendable {
    package enum Mode: String, Sendable {
        case live
        /// Evaluated and counted; its findings go to nobody.
        case shadow
    }

    package let id: String
    package let file: String
    package let mark: Mark
    package var scopes: [EntityKind] = [.device]
    package var gate = GateTest()
    package var condition = Condition.all([])
    package var hold: Int64 = 0
    package var clearHold: Int64 = 0
    package var severity = Severity.medium
    package var tier = Tier.one
    package var symptom = ""
    package var summary = ""
    package var runbook = ""
    package var cost = CostClass.none
    /// Whether the other members of the job wait for the blamed device.
    package var costsAllMembers = false
    /// Names the members that are silent instead of all of them.
    package var blamesSilent = false
    package var inhibits: [Inhibition] = []
    package var mode = Mode.live
    package var labels: [(key: LabelKey, value: String)] = []
    /// Of the definition, without comments and layout: equal hashes mean equal behaviour.
    package var hash: UInt64 = 0
}

/// What a firing rule keeps from being said below its subject.
package struct Inhibition: Sendable, Equatable {
    /// A rule id, or the beginning of one before a `*`.
    package let target: String
    /// Only while the finding has this symptom; empty for any.
    package let symptom: String

    package func covers(_ id: String) -> Bool {
        target.hasSuffix("*") ? id.hasPrefix(target.dropLast()) : id == target
    }
}

/// What must hold of the subject before a rule judges it.
package struct GateTest: Sendable, Equatable {
    package var required: Gates = []
    package var refused: Gates = []
    package var membersMin = 0
    package var membersMax = Int.max
    /// Some other device of its host was heard of lately: the host lives.
    package var hostPresent = false

    package var isOpen: Bool { self == GateTest() }
}

/// The condition tree of a rule.
package indirect enum Condition: Sendable {
    case all([Condition])
    case any([Condition])
    case atLeast(Int, [Condition])
    case not(Condition)
    case members(Members, Condition)
    /// True once the condition has been true for so many milliseconds.
    case held(Int64, Condition)
    case gated(GateTest, Condition)
    case leaf(Leaf)
}

/// For how many of the members of a group a condition must hold.
package struct Members: Sendable {
    package var min = 1
    package var max = Int.max
    /// More than this share of the members whose state is known; replaces `min`.
    package var fraction: Double?
    /// The share at which a firing rule lets go.
    package var clearFraction: Double?
    /// Count hosts instead of devices.
    package var ofHosts = false
}

/// One question about one metric.
package struct Leaf: Sendable {
    /// Empty where the detector asks no metric.
    package var metric = ""
    /// Of a score over several metrics of one device; `metric` is empty then.
    package var metrics: [String] = []
    package var aggregate: Aggregate?
    /// Key of the calendar that its hours go by, in the book's; empty for UTC.
    package var calendar = ""
    /// Drops out where the device never sends the metric, instead of being false.
    package var isOptional = false
    package var test: Test
}

/// How the values of the members of a group become one.
package enum Aggregate: String, CaseIterable, Sendable {
    case median, mean, p10, p90, min, max, sum
    /// 90th minus 10th percentile.
    case spread
}

/// Limits in the metric's unit; NaN where there is none.
package struct Bound: Sendable, Equatable {
    package var above = Float.nan
    package var below = Float.nan
    package var clearAbove = Float.nan
    package var clearBelow = Float.nan

    /// With both limits, between them.
    func holds(_ value: Float, isFiring: Bool) -> Bool {
        let low = isFiring ? clearAbove : above
        let high = isFiring ? clearBelow : below
        return (low.isNaN || value > low) && (high.isNaN || value < high)
    }
}

package enum Relative: Sendable, Equatable {
    case absolute
    /// As a share of another metric of the same device.
    case metric(String)
    /// As a share of the device's own mean of about the last hour.
    case own
}

package enum Direction: Sendable { case up, down, both }

package enum Test: Sendable {
    case threshold(Bound, Relative)
    case state(StateTest)
    /// A counter rose by at least `least` within `window` milliseconds.
    case delta(least: Float, window: Int64)
    /// A counter's increase per `per` seconds.
    case rate(Bound, per: Float)
    case zscore(limit: Float, Direction)
    /// The very same value for `window` milliseconds; `fractional`: only where it has decimals.
    case flatline(window: Int64, fractional: Bool)
    /// Within ± `within` of its middle, as a share, for `window` milliseconds.
    case steady(window: Int64, within: Float)
    case absence(AbsenceTest)
    /// Less than a share of the metrics of the last day came within `window` milliseconds.
    case completeness(below: Float, window: Int64)
    case event(policy: String)
    case count(CountTest)
    case peer(PeerTest)
    case cusum(CusumTest)
    /// Below the value that is usual for it.
    case usual(window: Int64)
    case duration(DurationTest)
    case forecast(ForecastTest)
    case seasonal(SeasonalTest)
    case anomaly(AnomalyTest)
    case mismatch(MismatchTest)
}

package struct StateTest: Sendable {
    package var anyOf: UInt32 = 0
    package var allOf: UInt32 = 0
    package var noneOf: UInt32 = 0
    package var equals = Float.nan
}

package struct AbsenceTest: Sendable {
    /// Milliseconds of silence; or `intervals` of the device's own cadence where that is longer.
    package var after: Int64 = 60_000
    package var intervals: Float = 3
    /// A silence that is older than this does not start a finding; 0 for no such limit.
    package var recent: Int64 = 0
}

package struct CountTest: Sendable {
    /// Empty for any code; ignored where `transitions` counts.
    package var codes: Set<Int32> = []
    package var least = 3
    package var window: Int64 = 3_600_000
    package var distinctJobs = false
    /// Counts ends of `running` instead of faults.
    package var transitions = false
}

package struct PeerTest: Sendable {
    /// In order of preference; empty means the members of the rule's own subject.
    package var cohorts: [CohortKind] = []
    /// Negative for below the peers; NaN where a share is asked for.
    package var z = Float.nan
    package var floor: Float = 0
    /// As a share of the median of the peers.
    package var ratio = Bound()
    /// Judges the change against the offset that the device had when it was learned.
    package var frozenOffset = false
    package var membersMin = 5
}

/// A label of a device that is not what most of its peers carry.
package struct MismatchTest: Sendable {
    package var label = LabelKey.driver
    /// In order of preference.
    package var cohorts: [CohortKind] = []
    /// Peers are those that carry the same of these.
    package var alike: [LabelKey] = [.vendor, .model]
    package var membersMin = 5
    /// The share of the peers that must carry the same.
    package var agree: Float = 0.8
}

package struct CusumTest: Sendable {
    package var every: Int64 = 300_000
    /// The reference is made of this much time, and judged against from `least` on.
    package var frozen: Int64 = 21_600_000
    package var least: Int64 = 3_600_000
    package var isRelative = false
    package var direction = Direction.both
    package var deadband: Float = 0
    /// Departure beyond the deadband, summed over intervals.
    package var budget: Float = 0
}

package struct DurationTest: Sendable {
    package var bound = Bound()
    package var least: Int64 = 300_000
    /// And so many times as long as such phases usually last.
    package var times: Float = 0
}

package struct ForecastTest: Sendable {
    /// In the unit of the metric.
    package var limit: Float = 0
    package var within: Int64 = 0
    package var window: Int64 = 600_000
    /// Per minute, in the unit of the metric.
    package var slopeMin: Float = 0
    package var determinationMin: Float = 0.8
}

package struct SeasonalTest: Sendable {
    package var z: Float = 4
    package var direction = Direction.both
    /// The smallest deviation worth the name, in the unit of the metric.
    package var floor: Float = 0
    /// One mean stands for so many milliseconds.
    package var every: Int64 = 300_000
    package var season = SeasonKind.week
}

package struct AnomalyTest: Sendable {
    /// For a person who looks, instead of for a page.
    package var isSensitive = false
    /// One mean stands for so many milliseconds.
    package var every: Int64 = 300_000
    /// Of the local time whose days and weeks count, from UTC, milliseconds.
    package var offset: Int64 = 0
}
