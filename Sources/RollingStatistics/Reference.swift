/// The kernel's slow twin: one lane, plain arithmetic, the definition of what the fast one computes.
///
/// With τ a time constant and Δt the time since the lane's last value, the weight of a new value is
/// Δt/(τ+Δt), the backward Euler step of an exponential average: it never exceeds one, whatever the
/// gap, and equals the usual α for regular sampling. The lane's first value becomes both means.
///
/// Neither twin fuses a multiplication with an addition, so both agree bit for bit, on every
/// instruction set: a checkpoint may move to another processor and a replay still matches.
package struct ReferenceLane: Equatable, Sendable {
    package var last: Float = .nan
    /// Milliseconds of the newest value, modulo 2³²; the kernel subtracts with wrap-around.
    package var seen: Int32 = 0
    /// The fast mean and the variance around it.
    package var mean: Float = .nan
    package var variance: Float = 0
    /// The slow baseline and the variance around it.
    package var slowMean: Float = .nan
    package var slowVariance: Float = 0
    /// Deviation-minutes above and below the baseline, beyond the allowance.
    package var cusumUp: Float = 0
    package var cusumDown: Float = 0

    package init() {}

    package struct Parameters: Sendable {
        package var fastSeconds: Float, slowSeconds: Float, floor: Float, prior: Float
        package var threshold: Float, clip: Float, trust: Float, allowance: Float, decision: Float

        package init(_ parameters: LaneParameters, lane: Int) {
            let all = parameters.bounded
            fastSeconds = all.fastSeconds[lane]
            slowSeconds = all.slowSeconds[lane]
            floor = all.floor[lane]
            prior = all.prior[lane]
            threshold = all.threshold[lane]
            clip = all.clip[lane]
            trust = all.trust[lane]
            allowance = all.allowance[lane]
            decision = all.decision[lane]
        }
    }

    /// What one value raised in one lane.
    package struct Flags: Equatable, Sendable {
        package var present = false, unusual = false, shifted = false, stale = false

        package init() {}
    }

    /// Feeds `value` at `time` and says what it raised; NaN changes nothing.
    package mutating func update(_ value: Float, at time: Int32, _ p: Parameters) -> Flags {
        var flags = Flags()
        guard value == value else { return flags }
        let value = smaller(larger(value, -LaneParameters.valueMax), LaneParameters.valueMax)
        if mean != mean {
            (last, seen) = (value, time)
            (mean, variance) = (value, 0)
            (slowMean, slowVariance) = (value, p.prior * p.prior)
            (cusumUp, cusumDown) = (0, 0)
            flags.present = true
            return flags
        }
        let step = time &- seen
        if step <= 0 && step > -LaneParameters.staleMilliseconds {
            flags.stale = true
            return flags
        }
        flags.present = true
        // A step of the clock, or a silence beyond half a turn of the counter, is a long gap.
        let elapsed = abs(Float(step)) * 0.001

        let deviation = (slowVariance + (p.floor * p.floor + LaneParameters.varianceMin))
            .squareRoot()
        let distance = value - slowMean
        let z = distance / deviation
        flags.unusual = abs(z) > p.threshold

        let minutes = smaller(elapsed, LaneParameters.evidenceSecondsMax) * (1 / 60)
        let most = LaneParameters.evidenceMax
        let evidence = smaller(larger(z, -most), most)
        // Full at twice the decision: after the longest fault it clears as fast as it rose.
        let full = p.decision + p.decision
        cusumUp = smaller(larger(cusumUp + (evidence - p.allowance) * minutes, 0), full)
        cusumDown = smaller(larger(cusumDown - (evidence + p.allowance) * minutes, 0), full)
        flags.shifted = larger(cusumUp, cusumDown) > p.decision

        let limit = p.clip * deviation
        let clipped = smaller(larger(distance, -limit), limit)
        let weight = smaller(elapsed / (p.slowSeconds + elapsed), LaneParameters.slowWeightMax)
        let slow = flags.unusual ? weight * p.trust : weight
        slowVariance = (1 - slow) * (slowVariance + slow * clipped * clipped)
        slowMean += slow * clipped

        let fast = elapsed / (p.fastSeconds + elapsed)
        let d = value - mean
        variance = (1 - fast) * (variance + fast * d * d)
        mean += fast * d
        (last, seen) = (value, time)
        return flags
    }

    /// The squared deviation that scores are measured in.
    package func deviation(floor: Float) -> Float {
        (slowVariance + (floor * floor + LaneParameters.varianceMin)).squareRoot()
    }
}

/// As the kernel compares: the second where either is NaN, so that ±0 come out alike.
private func larger(_ a: Float, _ b: Float) -> Float { a > b ? a : b }
private func smaller(_ a: Float, _ b: Float) -> Float { a < b ? a : b }
