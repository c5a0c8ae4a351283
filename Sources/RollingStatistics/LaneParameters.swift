import CLanes

/// What the kernel must know of each of the 16 metrics of a group; shared by all devices.
///
/// Each field is one vector of 16 lanes, in the metric's own unit unless said otherwise. A NaN or
/// an absurd number in a field is replaced as `bounded` says, never trapped on.
package struct LaneParameters: Sendable {
    /// Time constant of the fast mean that gates and smoothing read, s.
    package var fastSeconds = SIMD16<Float>(repeating: 120)
    /// Time constant of the slow baseline that scores are measured against, s.
    package var slowSeconds = SIMD16<Float>(repeating: 3_600)
    /// Deviation below which nothing counts as unusual: physics, quantisation.
    package var floor = SIMD16<Float>(repeating: 0)
    /// Deviation believed before anything was seen.
    ///
    /// A large one is the warm-up: it fades with twice the slow time constant as real deviations
    /// replace it. One that is too small is repaired slowly, with alarms, so err on the large side.
    package var prior = SIMD16<Float>(repeating: 1)
    /// The flag `unusual` is raised where |z| exceeds this many deviations.
    package var threshold = SIMD16<Float>(repeating: 5)
    /// A sample moves the slow baseline by no more than this many deviations (Huber's clip), so that
    /// a fault does not become the normal.
    package var clip = SIMD16<Float>(repeating: 6)
    /// How much an unusual sample teaches the slow baseline, as a share of a usual one: 0 freezes
    /// the baseline while the anomaly lasts, 1 leaves only the clip.
    ///
    /// The clip alone is not enough: at six deviations the variance still grows by 35 times the
    /// weight of each sample, and a step of ten deviations in 10 s samples would be forgiven after
    /// two and a half minutes, before any rule's hold has passed. At an eighth it stays visible for
    /// twenty minutes, and a new normal is still learnt within a few time constants.
    package var trust = SIMD16<Float>(repeating: 0.125)
    /// CUSUM allowance k, in deviations.
    package var allowance = SIMD16<Float>(repeating: 1)
    /// CUSUM decision interval h, in deviation-minutes; infinity switches the CUSUM off.
    package var decision = SIMD16<Float>(repeating: 30)

    package init() {}
}

extension LaneParameters {
    /// Values are clamped to ± this, 2⁶²: the square of a difference of two still fits a Float.
    package static let valueMax: Float = 0x1p62

    /// A value up to this much older than the newest of its lane, or as old, is stale; one that is
    /// older still says that the clock was set back, or that the lane was silent for more than the
    /// 24.8 days that half a turn of the millisecond counter takes.
    package static let staleMilliseconds: Int32 = 3_600_000

    /// No sample, however long the gap before it, is more than this share of the slow baseline.
    ///
    /// Without it one sample after a night of silence would replace the baseline, and its variance
    /// would collapse.
    package static let slowWeightMax: Float = 0.125

    /// A sample is evidence for no more than this many seconds of the CUSUM: a gap is no evidence.
    package static let evidenceSecondsMax: Float = 60

    /// The CUSUM counts |z| no higher than this: one absurd value is not a shift.
    package static let evidenceMax: Float = 10

    /// Added to every squared deviation, so that nothing is divided by zero.
    package static let varianceMin: Float = 1e-12

    /// The same parameters with every field inside what the arithmetic can carry; NaN becomes the
    /// least.
    package var bounded: LaneParameters {
        var all = self
        all.fastSeconds = within(fastSeconds, 0.001, 1e9)
        all.slowSeconds = within(slowSeconds, 0.001, 1e9)
        all.floor = within(floor, 0, LaneParameters.valueMax)
        all.prior = within(prior, 0, LaneParameters.valueMax)
        all.threshold = within(threshold, 0, .infinity)
        all.clip = within(clip, 0, 1e6)
        all.trust = within(trust, 0, 1)
        all.allowance = within(allowance, 0, 1e6)
        all.decision = within(decision, 0, .infinity)
        return all
    }

    /// What the kernel reads, in its order: the fields in bounds, and the constants above.
    var vectors: InlineArray<16, SIMD16<Float>> {
        let all = bounded
        return [
            all.fastSeconds, all.slowSeconds,
            all.floor * all.floor + LaneParameters.varianceMin, all.prior * all.prior,
            all.threshold, all.clip, all.trust, all.allowance, all.decision,
            all.decision + all.decision,
            SIMD16(repeating: LaneParameters.valueMax),
            SIMD16(repeating: LaneParameters.evidenceMax),
            SIMD16(repeating: LaneParameters.evidenceSecondsMax),
            SIMD16(repeating: LaneParameters.slowWeightMax),
            SIMD16(repeating: Float(LaneParameters.staleMilliseconds)),
            SIMD16(repeating: 1 / 60),
        ]
    }

    private func within(_ value: SIMD16<Float>, _ low: Float, _ high: Float) -> SIMD16<Float> {
        lanes_min(lanes_max(value, SIMD16(repeating: low)), SIMD16(repeating: high))
    }
}

/// Which lanes of a tick deserve a look; bit i is lane i.
package struct TickFlags: BitwiseCopyable, Equatable, Sendable {
    /// Lanes that carried a value that was used.
    package var present: UInt16 = 0
    /// |z| beyond the threshold.
    package var unusual: UInt16 = 0
    /// A two-sided CUSUM beyond its decision interval.
    package var shifted: UInt16 = 0
    /// Lanes that carried a value no newer than the last of the lane: it changed nothing.
    package var stale: UInt16 = 0

    package init() {}
}
