/// The anomaly score of the metrics of one device, as one.
///
/// Each metric is scored as a series of its own. Beside them stands what the metrics do not explain
/// of each other: their leading common movements are learned as they come, and the rest, which is
/// small while they move together as they use to, is scored as a series too. The evidence of the
/// device is that of its most unusual metric, or of the rest where that is more. 4 KB a metric, and
/// 4 KB more.
package struct AnomalyDevice: Sendable {
    private var series: [AnomalySeries]
    private var rest = AnomalySeries()
    private var common = AnomalyCommon(metrics: 0)
    private var judge = AnomalyJudge()
    private var count: UInt32 = 0
    /// Metrics that come, in order: what is never sent is missing from no sample.
    private var known: [Int] = []
    /// By metric, samples since it last came.
    private var missed: [UInt32]

    package init(metrics: Int) {
        series = Array(repeating: AnomalySeries(), count: max(metrics, 1))
        missed = Array(repeating: 0, count: max(metrics, 1))
    }

    /// A metric that did not come for so many samples, a day at five minutes, comes no more.
    private static let missedMax: UInt32 = 288

    package struct Score: Sendable {
        package var total: Float
        package var alerts: Bool
        /// What the common movements left of this sample; nil where that is not known.
        package var unexplained: Double?
        /// By metric, its part of that, 0–1; empty where it is not known.
        package var apart: [Double] = []
        /// Why, the weightiest first; only of an alert.
        package var parts: [Part] = []
    }

    /// A reason, and the metric that gave it; nil where it is what they have in common that broke.
    package struct Part: Equatable, Sendable, Codable {
        package let metric: Int?
        package let part: AnomalyPart
        /// Of the evidence of all metrics and of the rest.
        package let share: Double
    }

    /// Takes one value of each metric; NaN where there is none.
    ///
    /// Without `learns` the sample is scored and does not become part of what is known.
    ///
    /// - Returns: nil where no value can be trusted.
    package mutating func push(
        _ values: [Double], at milliseconds: Int64, _ profile: AnomalyProfile, learns: Bool = true
    ) -> Score? {
        guard series.count > 1 else {
            guard let value = values.first,
                let score = series[0].push(value, at: milliseconds, profile, learns: learns)
            else { return nil }
            return Score(
                total: score.total, alerts: score.alerts,
                parts: score.parts.map { Part(metric: 0, part: $0, share: $0.share) })
        }
        var most = 0.0
        var taken: [Int] = []
        var reasons: [(weight: Double, metric: Int?, part: AnomalyPart)] = []
        func add(_ score: AnomalyScore, _ metric: Int?) {
            for part in score.parts {
                reasons.append((part.share * Double(score.evidence), metric, part))
            }
        }
        for metric in series.indices.prefix(values.count) {
            guard
                let score = series[metric].push(
                    values[metric], at: milliseconds, profile, explains: true, learns: learns)
            else { continue }
            taken.append(metric)
            most = max(most, Double(score.evidence))
            add(score, metric)
        }
        guard !taken.isEmpty else { return nil }
        meet(taken)
        var evidence = most
        var unexplained: Double?
        if taken == known, known.count > 1,
            let left = common.push(known.map { values[$0] }, learns: learns),
            let score = rest.push(
                left, at: milliseconds, profile, explains: true, learns: learns)
        {
            unexplained = left
            let apart = naturalLogarithm(1 + common.deviationsApart / 3)
            evidence = max(evidence, Double(score.evidence) + apart)
            add(score, nil)
        }
        let (total, alerts) = judge.decide(evidence, after: count, profile)
        if count < .max { count += 1 }
        guard alerts else {
            return Score(total: Float(total), alerts: false, unexplained: unexplained)
        }
        let sum = reasons.reduce(0) { $0 + $1.weight }
        var parts: [Part] = []
        for reason in reasons.sorted(by: { $0.weight > $1.weight })
        where parts.count < AnomalyDevice.partsMax {
            // One metric in many words says less than two in a few.
            guard parts.count(where: { $0.metric == reason.metric }) < AnomalyDevice.partsMax / 2
            else { continue }
            let share = sum > 0 ? reason.weight / sum : 0
            parts.append(Part(metric: reason.metric, part: reason.part, share: share))
        }
        return Score(
            total: Float(total), alerts: true, unexplained: unexplained,
            apart: unexplained == nil ? [] : apart(), parts: parts)
    }

    private static let partsMax = 4

    private func apart() -> [Double] {
        var found = [Double](repeating: 0, count: series.count)
        for (place, share) in common.shares.enumerated() { found[known[place]] = share }
        return found
    }

    /// A metric that begins or ceases to come: what the others have in common is learned anew.
    private mutating func meet(_ taken: [Int]) {
        for metric in missed.indices where missed[metric] < .max { missed[metric] += 1 }
        for metric in taken { missed[metric] = 0 }
        let now = missed.indices.filter {
            missed[$0] == 0 || known.contains($0) && missed[$0] < AnomalyDevice.missedMax
        }
        guard now != known else { return }
        known = now
        common = AnomalyCommon(metrics: known.count)
        rest = AnomalySeries()
    }
}

/// What the metrics of a device have in common, learned as it comes.
///
/// The leading principal components by Sanger's rule, over values in running deviations: no matrix
/// is kept, and a sample costs a few operations per metric and component.
struct AnomalyCommon: Sendable {
    private var means: [Double]
    private var variances: [Double]
    /// One direction after the other, each as long as there are metrics.
    private var directions: [Double]
    private var values: [Double]
    /// Mean square of what is left of each metric.
    private var ownSquares: [Double]
    /// What each metric added to the rest of the last sample, 0–1.
    private(set) var shares: [Double]
    private let components: Int
    private var count = 0
    /// The rest: mean and mean distance from it over a week, and the mean of about the last hour.
    private var usual = 0.0
    private var distance = 0.0
    private var lately = 0.0
    /// How far the last hour's rest lies above the usual one, in usual distances.
    private(set) var deviationsApart = 0.0

    /// Of the statistics of each metric: a week at five minutes.
    private static let span = 2_000.0
    private static let rateMin = 0.0005
    /// Of one metric: twenty of its own deviations are as good as any more.
    private static let squareMax = 400.0
    /// Samples of an hour at five minutes.
    private static let hour = 12.0
    /// Samples before the rest is asked about.
    private static let from = 96
    /// No value counts for more deviations: one glitch must not turn the directions.
    private static let deviationsMax = 6.0

    init(metrics: Int) {
        means = Array(repeating: 0, count: metrics)
        variances = Array(repeating: 0, count: metrics)
        values = Array(repeating: 0, count: metrics)
        ownSquares = Array(repeating: 1, count: metrics)
        shares = Array(repeating: 0, count: metrics)
        // Half of the movements at most: what is common, not what each does for itself.
        components = min(3, metrics / 2)
        directions = []
        for component in 0..<components {
            for metric in 0..<metrics {
                // Different to begin with, or they would learn the same.
                directions.append(metric % (component + 2) == 0 ? 0.5 : 0.1)
            }
        }
    }

    /// Learns one sample of all metrics, all of them finite.
    ///
    /// Without `learns` only the last hour's mean moves.
    ///
    /// - Returns: the root of the mean square that the common movements leave, each metric in what
    ///   it usually keeps to itself; nil while it is too early to say.
    mutating func push(_ sample: [Double], learns: Bool) -> Double? {
        guard learns || count < AnomalyCommon.from else {
            var other = self
            defer {
                (lately, deviationsApart) = (other.lately, other.deviationsApart)
                shares = other.shares
            }
            return other.learn(sample)
        }
        return learn(sample)
    }

    private mutating func learn(_ sample: [Double]) -> Double? {
        count += 1
        let weight = max(1 / Double(count), 1 / AnomalyCommon.span)
        for metric in means.indices {
            let deviation = variances[metric].squareRoot() + 1e-12
            let away = (sample[metric] - means[metric]) / deviation
            let limit = AnomalyCommon.deviationsMax
            values[metric] = count > 2 ? min(max(away, -limit), limit) : 0
            let bounded = count > 20 ? values[metric] * deviation : sample[metric] - means[metric]
            means[metric] += weight * bounded
            variances[metric] += weight * (bounded * bounded - variances[metric])
        }
        // A step is small beside the sample that it is taken for, or it would overshoot.
        let energy = values.reduce(0) { $0 + $1 * $1 }
        let rate = max(2 / (Double(count) + 20), AnomalyCommon.rateMin)
        let step = rate / (1 + rate * energy)
        for component in 0..<components { explain(component, step) }
        // Each metric in what it usually keeps to itself: one that follows the others closely says
        // more by a small departure than one that follows nobody.
        var sum = 0.0
        for metric in values.indices {
            let own = ownSquares[metric]
            let square = values[metric] * values[metric]
            shares[metric] = min(square / (own + 1e-9), AnomalyCommon.squareMax)
            sum += shares[metric]
            ownSquares[metric] += weight * (min(square, 16 * own + 1 / Double(count)) - own)
        }
        guard count > AnomalyCommon.from, sum.isFinite else { return nil }
        for metric in shares.indices { shares[metric] /= max(sum, 1e-300) }
        let rest = (sum / Double(values.count)).squareRoot()
        compare(rest)
        return rest
    }

    private mutating func compare(_ rest: Double) {
        let taken = count - AnomalyCommon.from
        lately += max(1 / Double(taken), 1 / AnomalyCommon.hour) * (rest - lately)
        let isKnown = taken > 2 * AnomalyCommon.from
        deviationsApart = isKnown ? max(0, (lately - usual) / (distance + 1e-9)) : 0
        let weight = max(1 / Double(taken), 1 / AnomalyCommon.span)
        // What is far off is learned as if it were near: a fault does not become usual in a day.
        let bounded = isKnown ? min(rest, usual + 4 * distance) : rest
        usual += weight * (bounded - usual)
        distance += weight * (abs(bounded - usual) - distance)
    }

    /// Takes one common movement out of the values, and turns its direction towards them.
    private mutating func explain(_ component: Int, _ step: Double) {
        let first = component * values.count
        var size = 0.0
        var along = 0.0
        for metric in values.indices {
            size += directions[first + metric] * directions[first + metric]
            along += directions[first + metric] * values[metric]
        }
        guard size > 1e-12 else { return }
        let length = size.squareRoot()
        along /= length
        for metric in values.indices {
            let direction = directions[first + metric] / length
            values[metric] -= along * direction
            directions[first + metric] = direction + step * along * values[metric]
        }
    }
}
