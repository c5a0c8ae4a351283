/// What the kernel must know of each of the 16 metrics of a group; shared by all devices.
///
/// Each field is one vector of 16 lanes, in the metric's own unit unless said otherwise.
package struct LaneParameters: Sendable {
    /// Time constant of the fast mean that gates and smoothing read, s.
    package var fastSeconds = SIMD16<Float>(repeating: 120)
    /// Time constant of the slow baseline that scores are measured against, s.
    package var slowSeconds = SIMD16<Float>(repeating: 3_600)
    /// Deviation below which nothing counts as unusual: physics, quantisation.
    package var floor = SIMD16<Float>(repeating: 0)
    /// Deviation believed before anything was seen; a large one is the warm-up, because it fades
    /// with the slow time constant as real deviations replace it.
    package var prior = SIMD16<Float>(repeating: 1)
    /// The flag `unusual` is raised where |z| exceeds this many deviations.
    package var threshold = SIMD16<Float>(repeating: 5)
    /// A sample moves the slow baseline by no more than this many deviations (Huber's clip), so that
    /// a fault does not become the normal.
    package var clip = SIMD16<Float>(repeating: 6)
    /// CUSUM allowance k, in deviations.
    package var allowance = SIMD16<Float>(repeating: 1)
    /// CUSUM decision interval h, in deviation-minutes.
    package var decision = SIMD16<Float>(repeating: 30)

    package init() {}
}

/// Which lanes of a tick deserve a look; bit i is lane i.
package struct TickFlags: Equatable, Sendable {
    /// Lanes that carried a value.
    package var present: UInt16 = 0
    /// |z| beyond the threshold.
    package var unusual: UInt16 = 0
    /// A two-sided CUSUM beyond its decision interval.
    package var shifted: UInt16 = 0

    package init() {}
}
