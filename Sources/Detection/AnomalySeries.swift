/// How unlike all that came before one value of one series is, as a sum of evidence.
///
/// Thirteen streams look at the series: means of 1 to 96 samples that leave the range they kept;
/// states of value and past, and of value and time of day, that were never visited; hours of the
/// day and the week that are not as usual. What each says is `log(1 + novelty)`, and the score is
/// the sum. A sample is held against what came before it, and then becomes part of that. After an
/// alert the series is quiet for 110 samples, unless something five times as bad comes, a factor
/// that decays. Just under 4 KB, flat; about 100 ns a sample.
///
/// Samples should come at about the same distance in time; one that is missing is left out, not
/// made up. Counters are fed as rates.
package struct AnomalySeries: Sendable {
    /// Samples of the means, one a lane; the last is for the grids alone.
    @inline(__always)
    static var spans: SIMD8<Double> { SIMD8(1, 3, 12, 24, 48, 96, 6, 96) }
    static let records = 6
    private static let ringLength = 96

    /// The first value: what follows is kept as the distance from it, which 32 bits hold better.
    private var origin = 0.0
    private var ring = InlineArray<96, Float>(repeating: 0)
    private var head = 0
    private var sums = SIMD8<Double>()
    private var low = SIMD8<Double>()
    private var high = SIMD8<Double>()
    private var middle = SIMD8<Double>()
    private var day = AnomalySeason<24>()
    private var week = AnomalySeason<168>()
    private var states = AnomalyStates()
    /// Samples taken.
    package private(set) var count: UInt32 = 0
    private var sinceAlert: UInt32 = .max
    /// What a score must exceed to alert again early.
    private var bar = 0.0
    /// Milliseconds of the newest sample.
    package private(set) var newest: Int64 = .min

    package init() {}

    /// Takes one sample; nil where it cannot be trusted: not finite, absurdly large, or of a time
    /// before the newest.
    package mutating func push(
        _ value: Double, at milliseconds: Int64, _ profile: AnomalyProfile
    ) -> AnomalyScore? {
        guard abs(value) <= AnomalySeries.valueMax, milliseconds >= newest else { return nil }
        if count == 0 { origin = value }
        newest = milliseconds
        let x = Float(value - origin)
        let moment = AnomalyMoment(milliseconds &+ profile.offsetMilliseconds)
        let means = advance(x)

        day.enter(bin: moment.hourOfDay, weight: 0.2)
        week.enter(bin: moment.hourOfWeek, weight: 0.3)
        let n = Int(count)
        let lagged = n >= 6 ? ring[place(back: 6)] : x
        var novelty = SIMD16<Float>()
        let beyond = records(means, n, &novelty)
        let y = Double(x)
        let pairs = SIMD8<Double>(
            y, Double(lagged), y, means[2], y, means[4], y, means[6])
        let place = states.place(pairs, slot: moment.slotOfDay, samples: n, &novelty)
        let ofDay = day.read(x)
        let ofWeek = week.read(x)
        novelty[11] = ofDay.z / 3
        novelty[12] = ofWeek.z / 3

        // Most samples are new in nothing, and one logarithm of a product is cheaper than eleven.
        var product = (1 + Double(novelty[11])) * (1 + Double(novelty[12]))
        if beyond || place.fresh | place.beyond != 0 {
            for stream in 0..<11 { product *= 1 + Double(novelty[stream]) }
        }
        let total = naturalLogarithm(product)
        let wasQuiet = sinceAlert >= profile.quietSamples
        let alerts = total >= profile.threshold && (wasQuiet || total > bar)

        // From here on it is part of what came before.
        learnRecords(means, n)
        states.visit(pairs, slot: moment.slotOfDay, samples: n, place)
        day.learn(x, ofDay)
        week.learn(x, ofWeek)
        ring[head] = x
        head = head == AnomalySeries.ringLength - 1 ? 0 : head + 1
        if head == 0 { resum() }
        if count < .max { count += 1 }
        if alerts {
            sinceAlert = 1
            bar = total * profile.escalation * AnomalySeries.decay
        } else {
            if sinceAlert < .max { sinceAlert += 1 }
            bar *= AnomalySeries.decay
        }
        return AnomalyScore(total: Float(total), novelty: novelty, alerts: alerts)
    }

    private static let valueMax = 0x1p62
    /// exp(-1/60): what is five times as bad at once is as bad as before after 97 samples.
    private static let decay = 0.983_471_453_821_617_4

    @inline(__always)
    private func place(back: Int) -> Int {
        let place = head - back
        return place < 0 ? place + AnomalySeries.ringLength : place
    }

    /// Moves the sums on by one sample and returns the means.
    @inline(__always)
    private mutating func advance(_ x: Float) -> SIMD8<Double> {
        var change = SIMD8<Double>(repeating: Double(x))
        let leaving = SIMD8<Float>(
            ring[place(back: 1)], ring[place(back: 3)], ring[place(back: 12)],
            ring[place(back: 24)], ring[place(back: 48)], ring[head], ring[place(back: 6)], 0)
        change -= SIMD8<Double>(leaving)
        sums += change
        if count >= 96 { return sums * AnomalySeries.shares }
        var counts = AnomalySeries.spans
        let known = SIMD8<Double>(repeating: Double(count) + 1)
        counts.replace(with: known, where: counts .> known)
        return sums / counts
    }

    @inline(__always)
    private static var shares: SIMD8<Double> {
        SIMD8(1, 1.0 / 3, 1.0 / 12, 1.0 / 24, 1.0 / 48, 1.0 / 96, 1.0 / 6, 1.0 / 96)
    }

    /// The running sums round; from the window itself they are as they should be.
    private mutating func resum() {
        var sum = 0.0
        for back in 1...AnomalySeries.ringLength {
            sum += Double(ring[place(back: back)])
            switch back {
            case 1: sums[0] = sum
            case 3: sums[1] = sum
            case 6: sums[6] = sum
            case 12: sums[2] = sum
            case 24: sums[3] = sum
            case 48: sums[4] = sum
            case 96: sums[5] = sum
            default: break
            }
        }
    }

    /// Samples before a mean is asked whether it is a record.
    private static let recordsFrom = 60

    @inline(__always)
    private func records(
        _ means: SIMD8<Double>, _ n: Int, _ novelty: inout SIMD16<Float>
    ) -> Bool {
        guard n > AnomalySeries.recordsFrom else { return false }
        var outside = means - high
        let below = low - means
        outside.replace(with: below, where: below .> outside)
        guard any(outside .> 0) else { return false }
        for lane in 0..<AnomalySeries.records where outside[lane] > 0 {
            let range = high[lane] - low[lane] + 1e-12
            novelty[lane] = Float(outside[lane] / range / 0.2)
        }
        return true
    }

    @inline(__always)
    private mutating func learnRecords(_ means: SIMD8<Double>, _ n: Int) {
        guard n >= AnomalySeries.recordsFrom else { return }
        if n == AnomalySeries.recordsFrom {
            low = means
            high = means
            middle = means
            return
        }
        let weight = max(1 / Double(n - AnomalySeries.recordsFrom + 1), 0.000_5)
        middle += weight * (means - middle)
        high = middle + (high - middle) * AnomalySeries.shrink
        low = middle + (low - middle) * AnomalySeries.shrink
        high.replace(with: means, where: means .> high)
        low.replace(with: means, where: means .< low)
    }

    /// A range halves in 20,000 samples, ten weeks at five minutes.
    private static let shrink = 0.999_965_343_242_133_2
}

/// What one sample is worth.
package struct AnomalyScore: Sendable {
    /// The sum of the evidence, in natural logarithms.
    package var total: Float
    /// Of each stream, in units of what makes it count.
    package var novelty: SIMD16<Float>
    package var alerts: Bool
}

/// Where a moment lies in its day and its week.
struct AnomalyMoment {
    let hourOfDay: Int
    let hourOfWeek: Int
    /// 45 minutes each.
    let slotOfDay: Int

    @inline(__always)
    init(_ milliseconds: Int64) {
        let rest = milliseconds % 604_800_000
        let week = Int(rest < 0 ? rest + 604_800_000 : rest)
        let day = week % 86_400_000
        hourOfWeek = week / 3_600_000
        hourOfDay = day / 3_600_000
        slotOfDay = day / 2_700_000
    }
}

/// The natural logarithm of a number from 1 up, to eight digits.
@inline(__always)
func naturalLogarithm(_ value: Double) -> Double {
    guard value > 1 else { return 0 }
    var exponent = Double(Int64(value.bitPattern >> 52) - 1_023)
    var mantissa = Double(bitPattern: value.bitPattern & 0xF_FFFF_FFFF_FFFF | 0x3FF << 52)
    if mantissa > 1.414_213_562_373_095 {
        mantissa *= 0.5
        exponent += 1
    }
    let z = (mantissa - 1) / (mantissa + 1)
    let w = z * z
    // The series of artanh, in two halves so that neither waits for the other.
    let odd = 1.0 / 5 + w * (1.0 / 7) + w * w * (1.0 / 9)
    let series = (1 + w * (1.0 / 3)) + w * w * odd
    return exponent * 0.693_147_180_559_945_3 + 2 * z * series
}
