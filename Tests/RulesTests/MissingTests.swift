import Fleet
import Testing

@testable import Rules
@testable import Telemetry

/// A host that counts fewer devices than it has, beside what its devices themselves show.
@Suite("Missing devices") struct MissingTests {
    private let seven = Shape.training(with: [.hostDevicesVisible: 7])

    private func fleet() throws -> Scenario {
        let scenario = Scenario(book: try Scenario.shipped())
        for host in 1...3 { scenario.host("h\(host)", job: "llm-7") }
        scenario.play(minutes: 15)
        return scenario
    }

    private func lose(_ device: Int, in scenario: Scenario) {
        scenario.behave(Array(0..<8), seven)
        scenario.silence([device])
    }

    @Test func `off the bus with its XID is one finding on one device`() throws {
        let scenario = try fleet()
        scenario.fault(3, 79, "GPU has fallen off the bus")
        scenario.play(seconds: 3)
        lose(3, in: scenario)
        scenario.play(minutes: 30)
        #expect(
            scenario.findings.map(\.key.description) == ["evt-xid on device nvidia/h1-3"],
            "\(scenario.story)")
        #expect(scenario.findings.first?.devices == ["nvidia/h1-3"])
    }

    @Test func `off the bus without a word is one finding on one device`() throws {
        let scenario = try fleet()
        lose(3, in: scenario)
        let start = scenario.second
        scenario.play(minutes: 30)
        #expect(
            scenario.findings.map(\.key.description) == ["tel-device-absent on device nvidia/h1-3"],
            "\(scenario.story)")
        #expect(try #require(scenario.delay(of: "tel-device-absent", from: start)) <= 75)
        scenario.behave(Array(0..<8), Shape.training)
        scenario.play(minutes: 10)
        #expect(scenario.findings.map(\.edge) == [.fired, .cleared], "\(scenario.story)")
    }

    @Test func `one device explains one missing, not two`() throws {
        let scenario = try fleet()
        scenario.behave(Array(0..<8), Shape.training(with: [.hostDevicesVisible: 6]))
        scenario.silence([3])
        scenario.play(minutes: 5)
        let finding = try #require(scenario.fired("tel-device-count").first)
        #expect(finding.devices == ["nvidia/h1-3", "unknown/h1-1"])
        #expect(finding.summary.hasPrefix("host h1 sees 6 of its 8 devices since "))
        #expect(finding.summary.hasSuffix("missing: GPU 3 on h1 and 1 not known"))
        #expect(scenario.fired("tel-device-absent").count == 1)
    }

    @Test func `a count without its devices' absence names the silent one alone`() throws {
        let rule = """
            - id: count
              scope: host
              agg: min
              metric: host.devices_visible
              detector: usual
              for: 30s
              severity: critical
              blame: silent
              cost: {class: hard, members: all}
              summary: "{{count}} missing: {{devices}}"
              runbook: "x"
            """
        let scenario = Scenario(book: try Scenario.book(rule))
        scenario.host("h1", job: "llm-7")
        scenario.play(minutes: 15)
        lose(5, in: scenario)
        scenario.play(minutes: 3)
        let finding = try #require(scenario.findings.first)
        #expect(scenario.findings.count == 1, "\(scenario.story)")
        #expect(finding.devices == ["nvidia/h1-5"] && finding.blocked.count == 7)
        #expect(finding.labels[.slot] == "5" && finding.summary == "1 missing: GPU 5 on h1")
    }

    @Test func `a count that trembles for a sample says nothing`() throws {
        let scenario = try fleet()
        for _ in 0..<4 {
            scenario.behave(Array(0..<8), seven)
            scenario.play(seconds: 60)
            scenario.behave(Array(0..<8), Shape.training)
            scenario.play(seconds: 60)
        }
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
    }

    @Test func `a device that left the roster after a day is not missed again`() throws {
        let scenario = Scenario(book: try Scenario.shipped(), step: 30_000)
        scenario.period = 30
        scenario.host("h1", devices: 2, Shape.idle)
        scenario.host("h2", devices: 2, Shape.idle)
        scenario.behave([0, 1, 2, 3]) { second, noise in
            var shown = Shape.idle(second, &noise)
            shown?[.hostDevicesVisible] = 2
            return shown
        }
        scenario.play(minutes: 20)
        scenario.behave([1]) { second, noise in
            var shown = Shape.idle(second, &noise)
            shown?[.hostDevicesVisible] = 1
            return shown
        }
        scenario.silence([0])
        scenario.play(minutes: 26 * 60)
        #expect(
            scenario.findings.map { "\($0.edge) \($0.key)" } == [
                "fired tel-device-absent on device nvidia/h1-0",
                "cleared tel-device-absent on device nvidia/h1-0",
            ], "\(scenario.story)")
    }

    @Test func `to name the silent ones needs a group`() {
        #expect(throws: Scenario.Refused.self) {
            try Scenario.book(
                """
                - id: a
                  blame: silent
                  metric: temp.core
                  above: 3
                  severity: low
                  runbook: "x"
                """)
        }
    }
}
