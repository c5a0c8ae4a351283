package import Fleet

/// The anomaly score of one series for a rule: means of equal time go in, and alerts last.
///
/// A producer that sends every second would fill the memory of a series, 96 samples, in minutes,
/// and a score that was measured on samples of five minutes would not mean the same. So values are
/// averaged first. 4 KB.
package struct AnomalyWatch: Sendable {
    private var series = AnomalySeries()
    private let profile: AnomalyProfile
    private var gathered: IntervalMean
    private var calm = AnomalyCalm()
    /// The last alert; nil once it is over.
    package private(set) var alert: AnomalyAlert?
    /// The score of the last complete mean; nil before the first.
    package private(set) var score: Float?

    /// A watch of which one mean stands for `every` milliseconds, a second to a day.
    package init(_ profile: AnomalyProfile, every: Int64) {
        self.profile = profile
        gathered = IntervalMean(every: AnomalyCalm.bounded(every))
    }

    /// When a value last came, milliseconds.
    package var fedAt: Int64 { gathered.fedAt }

    /// Adds a value; the first one of a new interval closes the one before it.
    ///
    /// An interval with one value that is not to be learned from is scored and not learned. Hours
    /// are those of `calendar`, or of the profile's offset.
    package mutating func feed(
        _ value: Float, at milliseconds: Int64, learns: Bool = true, calendar: SiteCalendar? = nil
    ) {
        guard let closed = gathered.feed(value, at: milliseconds, learns: learns),
            let mean = closed.mean,
            let found = series.push(
                mean, at: closed.start, profile.at(closed.start, calendar), learns: closed.learns)
        else { return }
        score = found.total
        if found.alerts {
            alert = AnomalyAlert(value: mean, score: found.total, parts: found.parts)
            calm = AnomalyCalm()
        } else if alert != nil, calm.isOver(found.total, profile) {
            alert = nil
        }
    }
}

/// When an alert is over: after so many means that are less than half as unusual as it takes.
struct AnomalyCalm: Sendable {
    /// Means since the last that was unusual.
    private var means = 0

    mutating func isOver(_ total: Float, _ profile: AnomalyProfile) -> Bool {
        means = Double(total) >= profile.threshold / 2 ? 0 : means + 1
        return means >= AnomalyCalm.meansMax
    }

    /// An hour at five minutes; what comes later speaks for itself.
    private static let meansMax = 12

    /// What one mean may stand for.
    static func bounded(_ every: Int64) -> Int64 { min(max(every, 1_000), 86_400_000) }
}

/// What was said when a series became unusual.
package struct AnomalyAlert: Equatable, Sendable, Codable {
    package let value: Double
    package let score: Float
    package let parts: [AnomalyPart]
}
