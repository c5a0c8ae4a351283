import RollingStatistics

/// What the members of a cohort agree on at one time.
package struct Peers: Sendable {
    package let median: Float
    private let group: PeerGroup

    /// Reads and destroys `scratch`; nil where fewer than three have a value.
    package init?(_ scratch: inout [Float]) {
        guard let group = PeerGroup(&scratch) else { return nil }
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
