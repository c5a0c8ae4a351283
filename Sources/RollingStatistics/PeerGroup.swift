/// What a cohort agrees on: its median, and the deviation that the median absolute one implies.
///
/// A cohort is the devices of one job or role at one time (reference, detection section 4: a node
/// whose devices do different work has a spread of 136 %). Where each device has an offset of its
/// own, such as its place in the air stream, feed differences from that, frozen: a moving one
/// absorbs the very drift that one looks for.
package struct PeerGroup: Equatable, Sendable {
    package let median: Float
    /// 1.4826 times the median absolute deviation; NaN where nobody asks for it.
    package let deviation: Float
    /// How many members had a value.
    package let members: Int

    /// With fewer there is no telling who is the odd one.
    package static let membersMin = 3

    /// Reads and destroys `scratch`, the members' values in any order; NaN is a missing member.
    ///
    /// - Returns: nil when fewer than `membersMin` have a value.
    package init?(_ scratch: inout [Float], deviates: Bool = true) {
        var members = 0
        for value in scratch where value.isFinite { members += 1 }
        guard members >= PeerGroup.membersMin else { return nil }
        guard let median = RollingStatistics.median(&scratch) else { return nil }
        self.median = median
        let absolute = deviates ? medianAbsoluteDeviation(&scratch, around: median) : nil
        deviation = absolute.map { 1.4826 * $0 } ?? .nan
        self.members = members
    }

    /// How many deviations `value` lies above the median of its peers; NaN for NaN.
    ///
    /// `floor` is the smallest deviation worth the name, in the metric's unit: it carries the score
    /// where peers agree to the digit or the median is near zero.
    package func score(_ value: Float, floor: Float) -> Float {
        // Below a millionth of the median, a difference is the rounding of a Float.
        (value - median) / max(deviation, floor, abs(median) * 1e-6, 1e-12)
    }
}
