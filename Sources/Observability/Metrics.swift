import Synchronization

/// A label of a series: a name of ours and a value that may be anybody's.
package struct MetricLabel: Hashable, Sendable, Comparable {
    package let name: String
    package let value: String

    package init(_ name: String, _ value: String) {
        self.name = name
        // Long enough for a device id; each value is kept for the life of the process.
        self.value = value.utf8.count <= 256 ? value : String(value.unicodeScalars.prefix(64))
    }

    package static func < (left: MetricLabel, right: MetricLabel) -> Bool {
        (left.name, left.value) < (right.name, right.value)
    }
}

/// What the daemon counts of itself: names are `tocsin_<noun>_<unit>`, counters end in `_total`.
///
/// Ask once, keep the counter, and add to it: asking takes a lock, adding does not. A name with two
/// kinds or a name against the rule is a bug of ours and stops the process. A family has at most
/// `seriesMax` series; the values of the next are all counted as one whose labels read `other`.
package final class Metrics: Sendable {
    package static let seriesMax = 500

    private let state = Mutex(State())

    package init() {}

    package func counter(
        _ name: String, _ help: String, _ labels: [MetricLabel] = []
    ) -> Counter {
        precondition(name.hasSuffix("_total"), "a counter's name ends in _total: \(name)")
        let cell = cell(name, help, labels, .counter) { .counter(Counter()) }
        guard case .counter(let counter) = cell else { preconditionFailure("a cell of its kind") }
        return counter
    }

    package func gauge(_ name: String, _ help: String, _ labels: [MetricLabel] = []) -> Gauge {
        precondition(!name.hasSuffix("_total"), "a gauge is no total: \(name)")
        let cell = cell(name, help, labels, .gauge) { .gauge(Gauge()) }
        guard case .gauge(let gauge) = cell else { preconditionFailure("a cell of its kind") }
        return gauge
    }

    /// `bounds` are the upper bounds of the buckets, ascending, without infinity.
    package func histogram(
        _ name: String, _ help: String, bounds: [Double], _ labels: [MetricLabel] = []
    ) -> Histogram {
        precondition(!name.hasSuffix("_total"), "a histogram is no total: \(name)")
        let cell = cell(name, help, labels, .histogram) { .histogram(Histogram(bounds)) }
        guard case .histogram(let found) = cell else { preconditionFailure("a cell of its kind") }
        return found
    }

    /// Runs `refresh` before each exposition, for values that are known only when asked.
    package func beforeExposition(_ refresh: @escaping @Sendable () -> Void) {
        state.withLock { $0.refreshes.append(refresh) }
    }

    /// Everything as Prometheus reads it, in the format that `accept` prefers.
    package func exposition(accept: String = "") -> (contentType: String, body: [UInt8]) {
        for refresh in state.withLock({ $0.refreshes }) { refresh() }
        let families = state.withLock { $0.families }
        let format = Exposition.Format(accept: accept)
        var exposition = Exposition(format)
        for (name, family) in families.sorted(by: { $0.key < $1.key }) {
            exposition.append(name, family)
        }
        return (format.contentType, exposition.finished())
    }

    private func cell(
        _ name: String, _ help: String, _ labels: [MetricLabel], _ kind: MetricFamily.Kind,
        _ make: () -> MetricCell
    ) -> MetricCell {
        precondition(Metrics.isName(name), "not the name of a metric: \(name)")
        precondition(labels.allSatisfy { Metrics.isLabel($0.name) }, "a label of \(name)")
        let labels = labels.sorted()
        return state.withLock { state in
            var family = state.families[name] ?? MetricFamily(kind: kind, help: help)
            precondition(family.kind == kind, "\(name) is of another kind")
            let isFull = family.series[labels] == nil && family.series.count >= Metrics.seriesMax
            let key = isFull ? labels.map { MetricLabel($0.name, "other") } : labels
            if let cell = family.series[key] { return cell }
            let cell = make()
            family.series[key] = cell
            state.families[name] = family
            return cell
        }
    }

    private static func isName(_ name: String) -> Bool {
        (name.hasPrefix("tocsin_") || name.hasPrefix("process_"))
            && name.utf8.allSatisfy {
                UInt8(ascii: "a")...UInt8(ascii: "z") ~= $0
                    || UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 || $0 == UInt8(ascii: "_")
            }
    }

    private static func isLabel(_ name: String) -> Bool {
        name != "le"
            && !name.isEmpty && !name.hasPrefix("_")
            && name.utf8.allSatisfy {
                UInt8(ascii: "a")...UInt8(ascii: "z") ~= $0 || $0 == UInt8(ascii: "_")
            }
    }

    private struct State {
        var families: [String: MetricFamily] = [:]
        var refreshes: [@Sendable () -> Void] = []
    }
}

struct MetricFamily: Sendable {
    enum Kind: String { case counter, gauge, histogram }

    let kind: Kind
    let help: String
    var series: [[MetricLabel]: MetricCell] = [:]
}

enum MetricCell: Sendable {
    case counter(Counter)
    case gauge(Gauge)
    case histogram(Histogram)
}

/// A number that only grows.
package final class Counter: Sendable {
    private let count = Atomic<UInt64>(0)

    package init() {}

    package func add(_ amount: UInt64 = 1) { count.wrappingAdd(amount, ordering: .relaxed) }

    /// Takes over a total that somebody else keeps; a smaller one changes nothing.
    package func raise(to total: UInt64) { count.max(total, ordering: .relaxed) }

    package var value: UInt64 { count.load(ordering: .relaxed) }
}

/// A number that goes up and down.
package final class Gauge: Sendable {
    private let bits = Atomic<UInt64>(0)

    package init() {}

    package func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }

    package var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }
}

/// How often a value fell below each of a few bounds.
package final class Histogram: Sendable {
    struct Counts: Sendable {
        /// Not cumulative; the last is what lies above every bound.
        var buckets: [UInt64]
        var sum = 0.0
        var count: UInt64 = 0
    }

    /// From a millisecond to a minute, about 2.5 times apart.
    package static let seconds = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
    ]

    let bounds: [Double]
    private let state: Mutex<Counts>

    package init(_ bounds: [Double]) {
        precondition(
            !bounds.isEmpty && bounds.allSatisfy(\.isFinite)
                && zip(bounds, bounds.dropFirst()).allSatisfy(<), "bounds ascend")
        self.bounds = bounds
        state = Mutex(Counts(buckets: Array(repeating: 0, count: bounds.count + 1)))
    }

    /// Counts `value`; one that is not a number is left out.
    package func observe(_ value: Double) {
        guard !value.isNaN else { return }
        let place = bounds.firstIndex { value <= $0 } ?? bounds.count
        state.withLock { counts in
            counts.buckets[place] &+= 1
            counts.sum += value
            counts.count &+= 1
        }
    }

    var counts: Counts { state.withLock { $0 } }
}
