import Fleet
import Testing

@testable import Rules

/// Numbers as a person reads them at night.
@Suite("Wording") struct WordingTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let value: Double
        let unit: String
        let text: String
        var testDescription: String { text }

        init(_ value: Double, _ unit: String, _ text: String) {
            self.value = value
            self.unit = unit
            self.text = text
        }

        static let all = [
            Case(0.492_839_5, "ratio", "0.493"), Case(345.271, "W", "345 W"),
            Case(-0.118, "change", "-12 %"), Case(0.034, "change", "+3.4 %"),
            Case(0.006_2, "ratio", "0.0062"), Case(0.000_001, "ratio", "0"),
            Case(0, "ratio", "0"), Case(-3.25, "°C", "-3.25 °C"), Case(81, "°C", "81 °C"),
            Case(81.400_001_525_878_9, "°C", "81.4 °C"), Case(1_979.6, "MHz", "1980 MHz"),
            Case(99.96, "W", "100 W"), Case(9.996, "W", "10 W"), Case(0.999_9, "ratio", "1"),
            Case(3e10, "B", "27.9 GiB"), Case(85_520_809_984, "B", "79.6 GiB"),
            Case(1_023.9, "B", "1 KiB"), Case(512, "B", "512 B"), Case(1.2e11, "B/s", "120 GB/s"),
            Case(7, "count", "7"), Case(42, "per minute", "42 per minute"),
            Case(0x40, "bitmask", "hardware thermal (0x40)"), Case(0, "bitmask", "0x0"),
            Case(79, "event", ""), Case(.nan, "W", "no number"),
            Case(123_456_789, "count", "123456789"), Case(.infinity, "B", "no number"),
        ]
    }

    @Test(arguments: Case.all)
    func `a number has three digits that count, and a unit that people use`(_ item: Case) {
        let evidence = Finding.Evidence(
            name: "x", value: item.value, unit: item.unit, against: "")
        #expect(evidence.text == item.text)
        #expect(evidence.phrase == (item.text.isEmpty ? "x" : "x \(item.text)"))
    }

    @Test(arguments: [
        (0, "0 s"), (59_999, "59 s"), (60_000, "1 min"), (93_000, "93 s"), (150_000, "2 min"),
        (3_600_000, "1 h"), (7_500_000, "2 h 5 min"), (172_800_000, "2 days"),
        (259_200_000, "3 days"), (262_800_000, "73 h"),
    ])
    func `a while is told in the largest unit that fits`(_ item: (Int64, String)) {
        #expect(Wording.duration(item.0) == item.1)
    }

    /// Every shipped rule, with the words that it may speak.
    @Test func `what the shipped rules say has no hole in it`() throws {
        for rule in try Scenario.shipped().rules {
            for text in [rule.summary, rule.runbook] {
                #expect(!text.contains("  ") && !text.hasSuffix(" "), "\(rule.id): \(text)")
            }
            guard rule.symptom != "" else { continue }
            #expect(
                rule.runbook.hasSuffix(".") && rule.runbook.first?.isUppercase == true
                    || rule.runbook.hasPrefix("nvidia-smi"), "\(rule.id): \(rule.runbook)")
        }
    }
}
