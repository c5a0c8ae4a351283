package import Fleet

/// The anomaly score of several metrics of one device for a rule, as one.
///
/// Means of all metrics over the same intervals go in. An interval in which one of them did not come
/// is scored by the others; a metric that never comes is missing from nothing. 4 KB a metric, and
/// 4 KB more.
package struct AnomalyDeviceWatch: Sendable {
    private var device: AnomalyDevice
    private let profile: AnomalyProfile
    private let every: Int64
    private var open = OpenInterval()
    private var means: [RunningMean]
    private var calm = AnomalyCalm()
    /// The last alert; nil once it is over.
    package private(set) var alert: AnomalyDeviceAlert?
    /// The score of the last complete means; nil before the first.
    package private(set) var score: Float?
    /// When a value last came, milliseconds.
    package private(set) var fedAt: Int64 = .min

    /// A watch of which one mean stands for `every` milliseconds, a second to a day.
    package init(metrics: Int, _ profile: AnomalyProfile, every: Int64) {
        device = AnomalyDevice(metrics: metrics)
        self.profile = profile
        self.every = AnomalyCalm.bounded(every)
        means = Array(repeating: RunningMean(), count: max(metrics, 1))
    }

    package var metrics: Int { means.count }

    /// Lets time pass: the first moment of a new interval closes the one before it.
    ///
    /// An interval with one moment that is not to be learned from is scored and not learned.
    ///
    /// Hours are those of `calendar`, or of the profile's offset.
    ///
    /// - Returns: whether values of this moment may be added; those of an interval that is over
    ///   may not.
    package mutating func advance(
        to milliseconds: Int64, learns: Bool = true, calendar: SiteCalendar? = nil
    ) -> Bool {
        switch open.enter(milliseconds, every: every, learns: learns) {
        case .late: return false
        case .same, .next(nil): return true
        case .next(let closed?):
            close(closed, calendar)
            return true
        }
    }

    /// Adds a value of one metric at the moment of the last `advance`.
    package mutating func add(_ value: Float, metric: Int, at milliseconds: Int64) {
        guard value.isFinite, means.indices.contains(metric) else { return }
        fedAt = milliseconds
        means[metric].add(value)
    }

    private mutating func close(_ closed: OpenInterval.Closed, _ calendar: SiteCalendar?) {
        let start = closed.number &* every
        var values = [Double](repeating: .nan, count: means.count)
        for metric in means.indices { values[metric] = means[metric].take() ?? .nan }
        guard
            let found = device.push(
                values, at: start, profile.at(start, calendar), learns: closed.learns)
        else { return }
        score = found.total
        if found.alerts {
            alert = AnomalyDeviceAlert(
                values: values, unexplained: found.unexplained, apart: found.apart,
                score: found.total, parts: found.parts)
            calm = AnomalyCalm()
        } else if alert != nil, calm.isOver(found.total, profile) {
            alert = nil
        }
    }
}

/// What was said when a device became unusual.
package struct AnomalyDeviceAlert: Equatable, Sendable {
    /// The means of all metrics; NaN where there was none.
    package let values: [Double]
    /// What the metrics did not explain of each other; nil where that is not known.
    package let unexplained: Double?
    /// By metric, its part of that, 0–1; empty where it is not known.
    package let apart: [Double]
    package let score: Float
    package let parts: [AnomalyDevice.Part]
}
