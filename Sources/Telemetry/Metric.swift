/// A metric by its number: canonical ones are fixed, opaque ones are handed out as they appear.
///
/// Sixteen metrics make a group, the unit that the statistics kernel works on: metric `m` stands in
/// lane `m % 16` of group `m / 16`.
///
/// Public, so that it is inlined.
public struct Metric: RawRepresentable, Hashable, Codable, Sendable {
    /// The number; canonical metrics come first.
    public let rawValue: UInt16

    /// The metric of a number.
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// The metric in a lane of a group.
    public init(group: Int, lane: Int) { rawValue = UInt16(group * 16 + lane) }

    /// The unit of sixteen that it belongs to.
    public var group: Int { Int(rawValue >> 4) }
    /// Its place in the group, 0 … 15.
    public var lane: Int { Int(rawValue & 15) }
}

/// What the numbers of a metric mean.
package enum MetricKind: String, Sendable {
    /// A level, in the unit of the metric.
    case gauge
    /// Monotone; a decrease is a reset. Its lane carries the increase per second.
    case counter
    /// A set of flags or a small state, exact as a Float; never averaged.
    case state
}

/// One entry of the vocabulary.
package struct MetricDefinition: Sendable {
    package let metric: Metric
    package let name: String
    /// Base units: ratio (0–1), B, B/s, W, J, °C, MHz, s, count.
    package let unit: String
    package let kind: MetricKind
    /// Values outside are quarantined: counted, never fed to a detector.
    package let valid: ClosedRange<Double>
    /// The deviation, in `unit`, below which a difference is noise by physics or quantisation.
    package let floor: Double
}
