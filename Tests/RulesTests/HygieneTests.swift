import Fleet
import Telemetry
import Testing

@testable import Detection
@testable import Rules

/// What is not normal must not become the normal.
@Suite struct HygieneTests {
    private static let rules = """
        - {id: low, metric: temp.core, above: 80, severity: high, runbook: x, clear_for: 60s}
        - {id: z, metric: temp.core, detector: zscore, z: 4, severity: medium, runbook: x}
        """

    @Test func `an incident teaches nothing, and afterwards the old baseline stands`() throws {
        let scenario = Scenario(book: try Scenario.book(Self.rules))
        let device = warmed(scenario)
        let before = try #require(mean(scenario, device))
        scenario.behave([device]) { _, _ in [.tempCore: 90] }
        scenario.play(minutes: 120)
        // Measured against what was before, all the while.
        #expect(isHeld(scenario, device))
        // The sample that fired, and those of the same step, came before the word.
        #expect(abs(try #require(mean(scenario, device)) - before) < 0.1)
        #expect(scenario.fired("z").count == 1 && scenario.firing("z"))
        scenario.behave([device]) { _, noise in [.tempCore: 60 + noise.normal(0.3)] }
        scenario.play(minutes: 5)
        #expect(!scenario.firing("low") && !scenario.firing("z"))
        #expect(!isHeld(scenario, device))
        #expect(abs(try #require(mean(scenario, device)) - before) < 1)
    }

    @Test func `what lasts longer than a day has become the normal`() throws {
        let scenario = Scenario(book: try Scenario.book(Self.rules))
        let device = warmed(scenario)
        scenario.behave([device]) { _, noise in [.tempCore: 90 + noise.normal(0.3)] }
        scenario.play(minutes: 23 * 60)
        #expect(scenario.firing("z"))
        scenario.play(minutes: 90)
        // The limit is still crossed; the baseline is where the device has been for a day.
        #expect(scenario.firing("low") && !scenario.firing("z"))
        #expect(abs(try #require(mean(scenario, device)) - 90) < 2)
    }

    @Test func `two reasons to hold want two ends`() throws {
        let scenario = Scenario(book: try Scenario.book(Self.rules))
        let device = warmed(scenario)
        scenario.detection.hold(device)
        scenario.detection.hold(device)
        scenario.detection.release(device)
        #expect(isHeld(scenario, device))
        scenario.detection.release(device)
        #expect(!isHeld(scenario, device))
        // One end too many, and a device that nobody knows, are nothing.
        scenario.detection.release(device)
        scenario.detection.hold(99)
        scenario.detection.release(99)
        #expect(!isHeld(scenario, device))
    }

    private func warmed(_ scenario: Scenario) -> Int {
        let device = scenario.host("h", devices: 1) { _, noise in
            [.tempCore: 60 + noise.normal(0.3)]
        }[0]
        scenario.play(minutes: 180)
        #expect(scenario.story == [])
        return device
    }

    private func isHeld(_ scenario: Scenario, _ device: Int) -> Bool {
        scenario.detection.isHeld(device)
    }

    private func mean(_ scenario: Scenario, _ device: Int) -> Float? {
        scenario.detection.slowMean(of: device, .tempCore)
    }
}

extension Scenario {
    fileprivate func firing(_ rule: String) -> Bool {
        engine.firing.contains { $0.key.rule == rule }
    }
}
