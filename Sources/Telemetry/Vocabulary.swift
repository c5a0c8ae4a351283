/// The names by which rules and messages call metrics, and what is known of each.
///
/// Canonical metrics come first and never change their number within a release. A name that no
/// table knows becomes an opaque series, so that custom silicon can be ruled on at once; their
/// number is bounded, and what does not fit is counted.
public struct Vocabulary: Sendable {
    package private(set) var definitions: [MetricDefinition]
    private var byName: [String: Metric]
    /// Names refused because the table of opaque metrics was full.
    package private(set) var refused: UInt64 = 0

    /// 16 groups: 3 canonical and 13 for whatever else a site sends.
    public static var groupsMax: Int { 16 }
    package static var metricsMax: Int { groupsMax * 16 }

    package init() {
        definitions = Vocabulary.canonical
        byName = Dictionary(
            uniqueKeysWithValues: Vocabulary.canonical.map { ($0.name, $0.metric) })
    }

    package subscript(name: String) -> Metric? { byName[name] }

    package subscript(metric: Metric) -> MetricDefinition { definitions[Int(metric.rawValue)] }

    package func name(of metric: Metric) -> String {
        Int(metric.rawValue) < definitions.count ? definitions[Int(metric.rawValue)].name : "?"
    }

    /// The metric called `name`, made now if no table knows it.
    ///
    /// - Returns: nil when no number is left; counted in `refused`.
    package mutating func opaque(_ name: String) -> Metric? {
        if let metric = byName[name] { return metric }
        guard definitions.count < Vocabulary.metricsMax else {
            refused += 1
            return nil
        }
        let metric = Metric(rawValue: UInt16(definitions.count))
        definitions.append(
            MetricDefinition(
                metric: metric, name: name, unit: "", kind: .gauge,
                valid: -3.4e38...3.4e38, floor: 0))
        byName[name] = metric
        return metric
    }
}
