/// The anomaly score of the metrics of one device, as one.
///
/// Each metric is scored by itself; the device is as unusual as the metric that is most so.
package struct AnomalyDevice: Sendable {
    private var series: [AnomalySeries]

    package init(metrics: Int) {
        series = Array(repeating: AnomalySeries(), count: max(metrics, 1))
    }

    package struct Score: Sendable {
        package var total: Float
        package var alerts: Bool
        package var parts: [Part] = []
    }

    /// A reason, and the metric that gave it.
    package struct Part: Sendable {
        package let metric: Int
        package let part: AnomalyPart
    }

    /// Takes one value of each metric; NaN where there is none.
    ///
    /// - Returns: nil where no value can be trusted.
    package mutating func push(
        _ values: [Double], at milliseconds: Int64, _ profile: AnomalyProfile
    ) -> Score? {
        guard let value = values.first,
            let score = series[0].push(value, at: milliseconds, profile)
        else { return nil }
        return Score(
            total: score.total, alerts: score.alerts,
            parts: score.parts.map { Part(metric: 0, part: $0) })
    }
}
