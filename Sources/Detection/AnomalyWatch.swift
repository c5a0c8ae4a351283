/// The anomaly score of one series for a rule: means of equal time go in, and alerts last.
///
/// A producer that sends every second would fill the memory of a series, 96 samples, in minutes,
/// and a score that was measured on samples of five minutes would not mean the same. So values are
/// averaged first. 4 KB.
package struct AnomalyWatch: Sendable {
    private var series = AnomalySeries()
    private let profile: AnomalyProfile
    private let every: Int64
    private var interval: Int64 = .min
    private var sum = 0.0
    private var count = 0
    private var isLearned = true
    /// Means since the last that was unusual, after an alert.
    private var calm = 0
    /// The last alert; nil once it is over.
    package private(set) var alert: AnomalyAlert?
    /// The score of the last complete mean; nil before the first.
    package private(set) var score: Float?
    /// When a value last came, milliseconds.
    package private(set) var fedAt: Int64 = .min

    /// A watch of which one mean stands for `every` milliseconds, a second to a day.
    package init(_ profile: AnomalyProfile, every: Int64) {
        self.profile = profile
        self.every = min(max(every, 1_000), 86_400_000)
    }

    /// Adds a value; the first one of a new interval closes the one before it.
    ///
    /// An interval with one value that is not to be learned from is scored and not learned.
    package mutating func feed(_ value: Float, at milliseconds: Int64, learns: Bool = true) {
        let slot = milliseconds / every
        let now = milliseconds % every < 0 ? slot - 1 : slot
        if now < interval { return }
        if now > interval {
            if count > 0 { close() }
            interval = now
            (sum, count) = (0, 0)
            isLearned = true
        }
        if !learns { isLearned = false }
        guard value.isFinite else { return }
        fedAt = milliseconds
        sum += Double(value)
        count += 1
    }

    private mutating func close() {
        let mean = sum / Double(count)
        guard
            let found = series.push(
                mean, at: interval &* every, profile, learns: isLearned)
        else { return }
        score = found.total
        if found.alerts {
            alert = AnomalyAlert(value: mean, score: found.total, parts: found.parts)
            calm = 0
        } else if alert != nil {
            calm = Double(found.total) >= profile.threshold / 2 ? 0 : calm + 1
            if calm >= AnomalyWatch.calmMeans { alert = nil }
        }
    }

    /// An alert is over after so many means that are less than half as unusual as it takes: an hour
    /// at five minutes, and what comes later speaks for itself.
    private static let calmMeans = 12
}

/// What was said when a series became unusual.
package struct AnomalyAlert: Equatable, Sendable, Codable {
    package let value: Double
    package let score: Float
    package let parts: [AnomalyPart]
}
