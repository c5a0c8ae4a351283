/// The rate of a counter, per second, between two readings.
///
/// A decrease is a reset: the counter's new value is what it counted since. The first reading gives
/// no rate.
package struct CounterRate: Equatable, Sendable, Codable {
    private var last: Double?
    private var seen: Int64 = .min

    package init() {}

    /// The rate since the last reading; nil for the first one, and for one that is not a count or
    /// no newer than the last, which changes nothing.
    ///
    /// One that is more than an hour older says that the clock was set back: it is a first one.
    package mutating func update(_ reading: Double, at milliseconds: Int64) -> Double? {
        guard reading.isFinite, reading >= 0 else { return nil }
        let older = last != nil && milliseconds <= seen
        guard !older || isClockSetBack(from: seen, to: milliseconds) else { return nil }
        defer { (last, seen) = (reading, milliseconds) }
        guard let last, !older else { return nil }
        let (elapsed, overflow) = milliseconds.subtractingReportingOverflow(seen)
        guard !overflow else { return nil }
        return (reading < last ? reading : reading - last) * 1_000 / Double(elapsed)
    }
}

/// Whether a step back in event time is the clock's doing, and not a late reading.
func isClockSetBack(from last: Int64, to milliseconds: Int64) -> Bool {
    let (back, overflow) = last.subtractingReportingOverflow(milliseconds)
    return overflow || back > Int64(LaneParameters.staleMilliseconds)
}
