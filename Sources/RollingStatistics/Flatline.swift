/// How long a series has shown the very same bits: a frozen sensor, a hung exporter.
///
/// Only for metrics with a fraction: an idle chip's whole-degree temperature was constant for 381
/// minutes, its power for less than one (reference, rules section 5.2, rule 6). Which metrics to
/// ask about is the rule's business.
package struct Flatline: Equatable, Sendable, Codable {
    private var bits: UInt32 = 0
    private var since: Int64 = .min
    private var seen: Int64 = .min

    /// A longer silence starts the count again: nobody saw the value stay.
    package static let gapMillisecondsMax: Int64 = 300_000

    package init() {}

    /// Takes one value and returns for how many milliseconds it has been the same.
    ///
    /// NaN is a missing value, and a time shortly before the last a late one: neither changes
    /// anything. A time long before says that the clock was set back, and the count starts again.
    package mutating func update(_ value: Float, at milliseconds: Int64) -> Int64 {
        guard value == value else { return unchanged }
        let (gap, overflow) = milliseconds.subtractingReportingOverflow(seen)
        let silent = overflow || abs(gap) > Flatline.gapMillisecondsMax
        guard silent || gap >= 0 else { return unchanged }
        if silent || value.bitPattern != bits {
            bits = value.bitPattern
            since = milliseconds
        }
        seen = milliseconds
        return unchanged
    }

    /// Milliseconds from the last change to the newest value.
    package var unchanged: Int64 { seen &- since }
}
