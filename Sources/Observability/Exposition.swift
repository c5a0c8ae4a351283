/// Writes metrics as Prometheus text 0.0.4 or OpenMetrics 1.0 (reference, wire formats 4.7).
struct Exposition {
    enum Format: Equatable {
        case text, openMetrics

        var contentType: String {
            switch self {
            case .text: "text/plain; version=0.0.4; charset=utf-8"
            case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
        }

        /// OpenMetrics for whoever names version 1 and likes it no less than plain text.
        init(accept: String) {
            var open = 0.0
            var text = 0.0
            for entry in accept.lowercased().split(separator: ",").prefix(32) {
                let parts = entry.split(separator: ";").map { $0.filter { $0 != " " } }
                let quality =
                    parts.first { $0.hasPrefix("q=") }.flatMap { Double($0.dropFirst(2)) } ?? 1
                let version = parts.first { $0.hasPrefix("version=") }
                switch parts.first {
                case "application/openmetrics-text"
                where version == nil || version == "version=1.0.0":
                    open = max(open, quality)
                case "text/plain": text = max(text, quality)
                default: continue
                }
            }
            self = open > 0 && open >= text ? .openMetrics : .text
        }
    }

    private let format: Format
    private var text = ""

    init(_ format: Format) { self.format = format }

    mutating func append(_ name: String, _ family: MetricFamily) {
        let isOpen = format == .openMetrics
        let base =
            isOpen && family.kind == .counter ? String(name.dropLast("_total".count)) : name
        if isOpen {
            text += "# TYPE \(base) \(family.kind.rawValue)\n"
            if let unit = Exposition.unit(of: base) { text += "# UNIT \(base) \(unit)\n" }
            text += "# HELP \(base) \(escaped(family.help))\n"
        } else {
            text += "# HELP \(base) \(escaped(family.help))\n"
            text += "# TYPE \(base) \(family.kind.rawValue)\n"
        }
        let series = family.series.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        for (labels, cell) in series { append(name, labels, cell) }
    }

    func finished() -> [UInt8] { Array((format == .openMetrics ? text + "# EOF\n" : text).utf8) }

    private mutating func append(_ name: String, _ labels: [MetricLabel], _ cell: MetricCell) {
        switch cell {
        case .counter(let counter): sample(name, labels, String(counter.value))
        case .gauge(let gauge): sample(name, labels, Exposition.number(gauge.value))
        case .histogram(let histogram):
            let counts = histogram.counts
            var below: UInt64 = 0
            for (bound, count) in zip(histogram.bounds, counts.buckets) {
                below &+= count
                sample("\(name)_bucket", labels, String(below), le: "\(bound)")
            }
            sample("\(name)_bucket", labels, String(counts.count), le: "+Inf")
            sample("\(name)_sum", labels, Exposition.number(counts.sum))
            sample("\(name)_count", labels, String(counts.count))
        }
    }

    private mutating func sample(
        _ name: String, _ labels: [MetricLabel], _ value: String, le: String? = nil
    ) {
        var parts = labels.map { "\($0.name)=\"\(quoted($0.value))\"" }
        if let le { parts.append("le=\"\(le)\"") }
        text +=
            parts.isEmpty
            ? "\(name) \(value)\n" : "\(name){\(parts.joined(separator: ","))} \(value)\n"
    }

    /// A help text; OpenMetrics escapes quotes in it too.
    private func escaped(_ help: String) -> String {
        format == .openMetrics ? quoted(help) : Exposition.escape(help, quotes: false)
    }

    private func quoted(_ value: String) -> String { Exposition.escape(value, quotes: true) }

    private static func escape(_ text: String, quotes: Bool) -> String {
        var escaped = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": escaped.append(contentsOf: "\\\\".unicodeScalars)
            case "\n": escaped.append(contentsOf: "\\n".unicodeScalars)
            case "\"" where quotes: escaped.append(contentsOf: "\\\"".unicodeScalars)
            default: escaped.append(scalar)
            }
        }
        return String(escaped)
    }

    /// The unit that a name ends in, where it is one of those that readers know.
    private static func unit(of name: String) -> String? {
        ["seconds", "bytes", "ratio", "celsius", "joules", "watts"].first {
            name.hasSuffix("_\($0)")
        }
    }

    private static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
        let isWhole = value == value.rounded() && abs(value) < 9_007_199_254_740_992
        return isWhole ? String(Int64(value)) : "\(value)"
    }
}
