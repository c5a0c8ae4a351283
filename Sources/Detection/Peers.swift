import RollingStatistics

/// What the members of a cohort agree on at one time.
package struct Peers: Sendable {
    package let median: Float
    private let group: PeerGroup

    /// Reads and destroys `scratch`; nil where fewer than three have a value.
    ///
    /// The deviation costs as much as the median: without it there are no scores.
    package init?(_ scratch: inout [Float], deviates: Bool) {
        guard let group = PeerGroup(&scratch, deviates: deviates) else { return nil }
        self.group = group
        median = group.median
    }

    /// How many deviations `value` lies above its peers, a deviation being at least `floor`.
    package func score(_ value: Float, floor: Float) -> Float { group.score(value, floor: floor) }

    /// The median of `scratch`, which is destroyed.
    package static func median(of scratch: inout [Float]) -> Float? {
        RollingStatistics.median(&scratch)
    }
}
