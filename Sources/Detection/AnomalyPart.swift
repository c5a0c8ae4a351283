/// One reason for a score, with what a person needs to believe it or not.
package struct AnomalyPart: Equatable, Sendable, Codable {
    package enum Cause: Equatable, Sendable, Codable {
        /// The mean of so many samples left the range that it had kept.
        case record(samples: Int, mean: Double, low: Double, high: Double)
        /// The value never came with this one so many samples before, or with a mean like this.
        case state(value: Double, beside: Double, Companion, rangesAway: Double)
        /// The value, or its mean of so many samples, was never so at this time of the day.
        case timeOfDay(mean: Double, samples: Int, minute: Int, rangesAway: Double)
        /// The last four hours' worth of samples lie off what this hour usually brings.
        case hour(Int, ofWeek: Bool, usual: Double, off: Double, deviations: Double)
    }

    package enum Companion: Equatable, Sendable, Codable {
        case samplesBefore(Int)
        case meanOf(Int)
    }

    package let cause: Cause
    /// Of the whole sum of evidence.
    package let share: Double

    /// `its mean of 12 samples, 88.1, left the range 40.2 to 71 that it had kept (45 %)`.
    ///
    /// `quantity` writes a value of the series, with its unit.
    package func words(_ quantity: (Double) -> String) -> String {
        sentence(quantity) + " (\(AnomalyPart.percent(share)))"
    }

    private func sentence(_ quantity: (Double) -> String) -> String {
        switch cause {
        case .record(let samples, let mean, let low, let high):
            let what = samples == 1 ? "it" : "its mean of \(samples) samples, \(quantity(mean)),"
            return "\(what) left the range \(quantity(low)) to \(quantity(high)) that it had kept"
        case .state(_, let beside, let companion, let away):
            let with: String =
                switch companion {
                case .samplesBefore(let count): "\(quantity(beside)) \(count) samples before"
                case .meanOf(let count): "a mean of \(quantity(beside)) over \(count) samples"
                }
            return "never so with \(with), by \(AnomalyPart.percent(away)) of its range"
        case .timeOfDay(let mean, let samples, let minute, let away):
            let what = samples == 1 ? "" : "its mean of \(samples) samples, \(quantity(mean)), "
            return what + "never so about \(AnomalyPart.clock(minute)), by "
                + "\(AnomalyPart.percent(away)) of its range"
        case .hour(let hour, let ofWeek, let usual, let off, let deviations):
            let name =
                ofWeek
                ? "\(AnomalyPart.days[hour / 24 % 7]) \(AnomalyPart.clock(hour % 24 * 60))"
                : AnomalyPart.clock(hour * 60)
            return "usual \(quantity(usual)) for \(name), and the last 48 samples lie "
                + "\(quantity(abs(off))) \(off < 0 ? "below" : "above"), "
                + "\(AnomalyPart.tenths(deviations)) times what one \(ofWeek ? "week" : "day") "
                + "differs from the next"
        }
    }

    /// The first hour of the count of weeks is a Thursday's, as 1970 began.
    private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]

    private static func clock(_ minute: Int) -> String {
        let hour = minute / 60 % 24
        let rest = minute % 60
        return (hour < 10 ? "0" : "") + "\(hour):" + (rest < 10 ? "0" : "") + "\(rest)"
    }

    private static func percent(_ share: Double) -> String {
        guard share < 1_000 else { return "over 100000 %" }
        return "\(max(1, Int((share * 100).rounded()))) %"
    }

    private static func tenths(_ value: Double) -> String {
        guard value < 1_000 else { return "over 1000" }
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }
}

/// All that one sample was held against, while it is still at hand.
struct AnomalyContext {
    let origin: Double
    let value: Double
    let lagged: Float
    let means: SIMD8<Double>
    let low: SIMD8<Double>
    let high: SIMD8<Double>
    let moment: AnomalyMoment
    let ofDay: AnomalyReading
    let ofWeek: AnomalyReading

    /// At most so many reasons, each with at least so much of the sum: more is not read.
    private static let partsMax = 4
    private static let shareMin = 0.05

    func parts(_ novelty: SIMD16<Float>) -> [AnomalyPart] {
        let evidence = (0..<13).map { naturalLogarithm(1 + Double(novelty[$0])) }
        let sum = evidence.reduce(0, +)
        guard sum > 0 else { return [] }
        let order = evidence.indices.sorted { evidence[$0] > evidence[$1] }
        return order.prefix(AnomalyContext.partsMax)
            .filter { evidence[$0] >= AnomalyContext.shareMin * sum }
            .map { stream in
                AnomalyPart(
                    cause: cause(stream, Double(novelty[stream])), share: evidence[stream] / sum)
            }
    }

    private func cause(_ stream: Int, _ novelty: Double) -> AnomalyPart.Cause {
        let away = novelty / Double(AnomalyScore.perRange)
        switch stream {
        case 0..<AnomalyRecords.count:
            return .record(
                samples: Int(AnomalyRecords.spans[stream]),
                mean: (stream == 0 ? value : means[stream]) + origin, low: low[stream] + origin,
                high: high[stream] + origin)
        case 6:
            return .state(
                value: value + origin, beside: Double(lagged) + origin, .samplesBefore(6),
                rangesAway: away)
        case 7, 8:
            return .state(
                value: value + origin, beside: means[stream == 7 ? 2 : 4] + origin,
                .meanOf(stream == 7 ? 12 : 48), rangesAway: away)
        case 9, 10:
            return .timeOfDay(
                mean: (stream == 9 ? value : means[6]) + origin, samples: stream == 9 ? 1 : 6,
                minute: moment.slotOfDay * 45, rangesAway: away)
        default:
            let reading = stream == 11 ? ofDay : ofWeek
            return .hour(
                reading.bin, ofWeek: stream == 12, usual: Double(reading.usual) + origin,
                off: Double(reading.mean), deviations: Double(reading.z))
        }
    }
}
