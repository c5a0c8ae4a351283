import CLanes

/// The kernel's slow twin: one lane, plain arithmetic, the definition of what the fast one computes.
///
/// With τ a time constant and Δt the time since the lane's last value, the weight of a new value is
/// Δt/(τ+Δt), the backward Euler step of an exponential average: exact for irregular sampling and
/// equal to the usual α for a regular one. A lane's first value counts as one second after nothing.
package struct ReferenceLane: Equatable, Sendable {
    package var last: Float = .nan
    /// Milliseconds of the last value, modulo 2³²; the kernel subtracts with wrap-around.
    package var seen: Int32 = 0
    package var mean: Float = .nan
    package var variance: Float = 0
    package var slowMean: Float = .nan
    package var slowVariance: Float = 0
    package var cusumUp: Float = 0
    package var cusumDown: Float = 0

    package init() {}

    package struct Parameters: Sendable {
        package var fastSeconds: Float, slowSeconds: Float, floor: Float, prior: Float
        package var threshold: Float, clip: Float, allowance: Float, decision: Float

        package init(_ all: LaneParameters, lane: Int) {
            fastSeconds = all.fastSeconds[lane]
            slowSeconds = all.slowSeconds[lane]
            floor = all.floor[lane]
            prior = all.prior[lane]
            threshold = all.threshold[lane]
            clip = all.clip[lane]
            allowance = all.allowance[lane]
            decision = all.decision[lane]
        }
    }

    /// Feeds `value` at `time` and says what it raised; NaN changes nothing.
    ///
    /// - Returns: whether the value was unusual, and whether a shift has accumulated.
    package mutating func update(
        _ value: Float, at time: Int32, _ p: Parameters
    ) -> (unusual: Bool, shifted: Bool) {
        guard value == value else { return (false, false) }
        if mean != mean {
            mean = value
            variance = 0
            slowMean = value
            slowVariance = p.prior * p.prior
            cusumUp = 0
            cusumDown = 0
            last = value
            seen = time
            return (false, false)
        }
        // Out of order within a millisecond wrap: never a negative step.
        let elapsed = max(Float(time &- seen) * 0.001, 0)
        let fast = elapsed / (p.fastSeconds + elapsed)
        let slow = elapsed / (p.slowSeconds + elapsed)

        let deviation = (slowVariance + p.floor * p.floor + 1e-12).squareRoot()
        let distance = value - slowMean
        let z = distance / deviation
        let unusual = abs(z) > p.threshold

        // Minutes of evidence, at most one a sample: a gap is no evidence.
        let minutes = min(elapsed, 60) * (1 / 60)
        let bounded = min(max(z, -10), 10)
        cusumUp = max(cusumUp + (bounded - p.allowance) * minutes, 0)
        cusumDown = max(cusumDown - (bounded + p.allowance) * minutes, 0)
        let shifted = max(cusumUp, cusumDown) > p.decision

        let limit = p.clip * deviation
        let clipped = min(max(distance, -limit), limit)
        slowMean += slow * clipped
        slowVariance = (1 - slow) * (slowVariance + slow * clipped * clipped)
        let d = value - mean
        mean += fast * d
        variance = (1 - fast) * (variance + fast * d * d)
        last = value
        seen = time
        return (unusual, shifted)
    }
}
