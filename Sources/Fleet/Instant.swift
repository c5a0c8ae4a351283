/// A moment in UTC, as whole milliseconds since 1970-01-01T00:00:00Z.
///
/// Pure code never asks what time it is: instants come in with the data or as an argument.
///
/// Public, as little else is: what is `package` is never inlined across modules (Swift 6.3.1).
public struct Instant: Hashable, Comparable, BitwiseCopyable, Sendable {
    package var milliseconds: Int64

    /// The instant so many milliseconds after 1970 began.
    public init(milliseconds: Int64) { self.milliseconds = milliseconds }

    /// The first instant that any calculation may name: the year 1.
    public static var distantPast: Instant {
        Instant(milliseconds: -62_135_596_800_000)
    }
    /// The last instant that any calculation may name: the end of 9999.
    public static var distantFuture: Instant {
        Instant(milliseconds: 253_402_300_799_000)
    }

    /// Whether one comes before the other.
    public static func < (left: Instant, right: Instant) -> Bool {
        left.milliseconds < right.milliseconds
    }

    /// Saturates instead of trapping: an instant may come from outside.
    package static func + (left: Instant, right: Duration) -> Instant {
        let (sum, overflow) = left.milliseconds.addingReportingOverflow(right.milliseconds)
        guard !overflow else { return right > .zero ? .distantFuture : .distantPast }
        return Instant(milliseconds: sum)
    }

    package static func - (left: Instant, right: Duration) -> Instant { left + (.zero - right) }

    package static func - (left: Instant, right: Instant) -> Duration {
        .milliseconds(
            left.milliseconds.subtractingReportingOverflow(right.milliseconds).partialValue)
    }

    package static func += (left: inout Instant, right: Duration) { left = left + right }
}

/// An instant is a plain number of milliseconds in JSON, so that every store and wire agrees.
extension Instant: Codable {
    /// Reads the number of milliseconds.
    public init(from decoder: any Decoder) throws {
        milliseconds = try decoder.singleValueContainer().decode(Int64.self)
    }

    /// Writes the number of milliseconds.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(milliseconds)
    }
}

extension Duration {
    /// Whole milliseconds, toward zero, saturating at Int64.
    package var milliseconds: Int64 {
        let (seconds, attoseconds) = components
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000)
        guard !overflow else { return seconds > 0 ? .max : .min }
        return whole.addingReportingOverflow(attoseconds / 1_000_000_000_000_000).partialValue
    }

    /// Seconds, with the fraction.
    package var seconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) * 1e-18
    }

    /// `90s`, `15m`, `4h`, `2d`: the largest unit that leaves a whole number.
    package var short: String {
        let count = milliseconds
        guard count % 1_000 == 0 else { return "\(count)ms" }
        let seconds = count / 1_000
        for (unit, size) in [("d", 86_400), ("h", 3_600), ("m", 60)] as [(String, Int64)]
        where seconds != 0 && seconds % size == 0 {
            return "\(seconds / size)\(unit)"
        }
        return "\(seconds)s"
    }
}
