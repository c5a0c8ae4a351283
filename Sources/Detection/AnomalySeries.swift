/// How unlike all that came before one value of one series is, as a sum of evidence.
///
/// Twelve streams look at the series: means of 1 to 96 samples that leave the range they kept;
/// states of value and past, and of value and time of day, that were never visited; an hour of the
/// day, or of the week once that is known, that is not as usual. What each says is
/// `log(1 + novelty)`, and the evidence is the sum. It counts as far as the samples before back it,
/// and after an alert the series is quiet, unless something much worse comes. A sample is held
/// against what came before it, and then becomes part of that. 4 KB, flat; about 115 ns a sample.
///
/// Samples should come at about the same distance in time; one that is missing is left out, not
/// made up. Counters are fed as rates.
package struct AnomalySeries: Sendable {
    private var day = AnomalySeason<24>()
    private var week = AnomalySeason<168>()
    private var records = AnomalyRecords()
    /// Milliseconds of the newest sample.
    package private(set) var newest: Int64 = .min
    /// The first value: what follows is kept as the distance from it, which 32 bits hold better.
    private var origin = 0.0
    private var judge = AnomalyJudge()
    /// Samples taken.
    package private(set) var count: UInt32 = 0
    /// Samples since one so far off that it may be a glitch.
    private var sinceStrange: UInt32 = .max
    private var states = AnomalyStates()

    package init() {}

    /// Takes one sample.
    ///
    /// `explains` asks for the parts of much evidence that is no alert, too. Without `learns` the
    /// sample is scored and moves the means, but does not become part of what is known.
    ///
    /// - Returns: nil where it cannot be trusted: not finite, absurdly large, or of a time before
    ///   the newest.
    package mutating func push(
        _ value: Double, at milliseconds: Int64, _ profile: AnomalyProfile, explains: Bool = false,
        learns: Bool = true
    ) -> AnomalyScore? {
        let moment = AnomalyMoment(milliseconds &+ profile.offsetMilliseconds)
        // Nobody looked at most series for minutes. What the time alone says will be read is asked
        // for at once, so that one wait for the memory is not followed by the next.
        records.prefetch()
        day.prefetch(bin: moment.hourOfDay)
        week.prefetch(bin: moment.hourOfWeek)
        guard abs(value) <= AnomalySeries.valueMax, milliseconds >= newest else { return nil }
        if count == 0 { origin = value }
        newest = milliseconds
        let n = Int(count)
        let asked = value - origin
        // What is no glitch needs no bound.
        let isFar = !records.reaches(asked, origin: origin, ranges: AnomalySeries.strangeRanges)
        if n >= 96, isStrange(isFar) { return passOver(asked, profile, explains) }
        let y = Float(isFar ? records.bounded(asked, origin: origin) : asked)
        let lagged = n >= 6 ? records.value(back: 6) : y
        var means = records.advance(y, count: n)

        var novelty = SIMD16<Float>()
        let kept = means[0]
        means[0] = asked
        let isRecord = records.weigh(means, count: n, &novelty)
        means[0] = kept
        let x = Double(y)
        let pairs = SIMD8<Double>(x, Double(lagged), x, means[2], x, means[4], x, means[6])
        let place = states.place(pairs, slot: moment.slotOfDay, samples: n, &novelty)
        day.enter(bin: moment.hourOfDay, weight: 0.2)
        week.enter(bin: moment.hourOfWeek, weight: 0.3)
        let floor = AnomalySeries.seasonFloor * Float(records.high[2] - records.low[2])
        let ofDay = day.read(y, into: moment.intoHour, floor: floor)
        let ofWeek = week.read(y, into: moment.intoHour, floor: floor)
        // The week knows what the day takes for unusual: a weekend.
        novelty[11] = ofWeek.isKnown ? 0 : ofDay.z / 3
        novelty[12] = ofWeek.isKnown ? ofWeek.z / 3 : 0

        // Most samples are new in nothing, and one logarithm of a product is cheaper than eleven.
        var product = (1 + Double(novelty[11])) * (1 + Double(novelty[12]))
        if isRecord || place.fresh | place.beyond != 0 {
            for stream in 0..<11 { product *= 1 + Double(novelty[stream]) }
        }
        let evidence = naturalLogarithm(product)
        let (total, alerts) = judge.decide(evidence, after: count, profile)
        var parts: [AnomalyPart] = []
        if alerts || (explains && evidence > AnomalySeries.explainedMin) {
            let context = AnomalyContext(
                origin: origin, value: asked, lagged: lagged, means: means, low: records.low,
                high: records.high, moment: moment, ofDay: ofDay, ofWeek: ofWeek)
            parts = context.parts(novelty)
        }

        // From here on it is part of what came before. The first samples are all there is to know.
        let isLearned = learns || n < 96
        if isLearned {
            records.learn(means, count: n)
            states.visit(pairs, slot: moment.slotOfDay, samples: n, place)
        }
        day.learn(y, ofDay, isLearned)
        week.learn(y, ofWeek, isLearned)
        if n % 96 == 95 { tighten() }
        if count < .max { count += 1 }
        return AnomalyScore(
            total: Float(total), evidence: Float(evidence), novelty: novelty, alerts: alerts,
            parts: parts)
    }

    /// Whether this is the first value in a while that lies so many ranges off: a glitch, or the
    /// first of many.
    @inline(__always)
    private mutating func isStrange(_ isFar: Bool) -> Bool {
        let isFirst = sinceStrange >= 96
        if sinceStrange < .max { sinceStrange += 1 }
        guard isFar else { return false }
        sinceStrange = 0
        return isFirst
    }

    /// Scores a value that is so far off that it is not learned, unless another one follows.
    ///
    /// One reading of a million would make every range and every cell too wide to see by.
    private mutating func passOver(
        _ asked: Double, _ profile: AnomalyProfile, _ explains: Bool
    ) -> AnomalyScore {
        let (low, high) = (records.low[0], records.high[0])
        let away = max(asked - high, low - asked) / (high - low + AnomalyRecords.rangeMin)
        var novelty = SIMD16<Float>()
        novelty[0] = Float(min(away, 1e30)) * AnomalyScore.perRange
        // The four grids that know the value itself say it too, as far as they may.
        for stream in 6..<10 { novelty[stream] = Float(min(away, 10)) * AnomalyScore.perRange }
        var product = 1.0
        for stream in 0..<10 { product *= 1 + Double(novelty[stream]) }
        let evidence = naturalLogarithm(product)
        let cause = AnomalyPart.Cause.record(
            samples: 1, mean: asked + origin, low: low + origin, high: high + origin)
        let (total, alerts) = judge.decide(evidence, after: count, profile)
        return AnomalyScore(
            total: Float(total), evidence: Float(evidence), novelty: novelty, alerts: alerts,
            parts: alerts || explains ? [AnomalyPart(cause: cause, share: 1)] : [])
    }

    /// Further off than this, a value waits for another one: what comes once is a glitch.
    private static var strangeRanges: Double { 20 }
    private static var explainedMin: Double { 0.5 }
    private static var valueMax: Double { 0x1p62 }
    /// Of the range of the mean of 12: the line between two hours is no better than that.
    private static var seasonFloor: Float { 0.01 }

    private mutating func tighten() {
        func axis(_ lane: Int) -> AnomalyAxis {
            AnomalyAxis(low: records.low[lane], high: records.high[lane])
        }
        guard count >= 192 else { return }
        states.tighten(value: axis(0), six: axis(6), twelve: axis(2), many: axis(4))
    }
}

/// What one sample is worth.
package struct AnomalyScore: Sendable {
    /// What is held against the threshold: the evidence, as far as the last samples back it.
    package var total: Float
    /// The sum of the evidence of this sample alone, in natural logarithms.
    package var evidence: Float
    /// Of each stream, in units of what makes it count.
    package var novelty: SIMD16<Float>
    package var alerts: Bool
    /// Why, the weightiest first; of an alert, or where it was asked for.
    package var parts: [AnomalyPart] = []

    /// A distance of a fifth of a range counts as one.
    @inline(__always)
    static var perRange: Float { 5 }
}

/// Where a moment lies in its day and its week.
struct AnomalyMoment {
    let hourOfDay: Int
    let hourOfWeek: Int
    /// 45 minutes each.
    let slotOfDay: Int
    let intoHour: Float

    @inline(__always)
    init(_ milliseconds: Int64) {
        let rest = milliseconds % 604_800_000
        // A week has fewer milliseconds than 32 bits hold, which divide in half the time.
        let week = UInt32(truncatingIfNeeded: rest < 0 ? rest + 604_800_000 : rest)
        let hour = week / 3_600_000
        hourOfWeek = Int(hour)
        hourOfDay = Int(hour % 24)
        slotOfDay = Int(week % 86_400_000 / 2_700_000)
        intoHour = Float(week % 3_600_000) / 3_600_000
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
