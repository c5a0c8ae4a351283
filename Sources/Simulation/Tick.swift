package import Fleet
package import Telemetry

/// What one device says at one moment; not a number where it says nothing.
package struct Tick: Sendable {
    package var time: Instant
    /// By `Metric.rawValue`; the canonical metrics only.
    private var values: [Double]

    package init(time: Instant = Instant(milliseconds: 0)) {
        self.time = time
        values = Array(repeating: .nan, count: Vocabulary.canonical.count)
    }

    package subscript(metric: Metric) -> Double {
        get { values[Int(metric.rawValue)] }
        set { values[Int(metric.rawValue)] = newValue }
    }

    package mutating func clear() {
        for index in values.indices { values[index] = .nan }
    }
}

/// A discrete event as an agent reads it from the kernel log.
package struct TickEvent: Sendable, Equatable {
    package let code: Int
    package let text: String

    package init(code: Int, text: String) {
        self.code = code
        self.text = text
    }
}
