import Fleet
import Telemetry
import Testing

@testable import Rules

/// A device that still sends, and does not send all that it did.
@Suite struct MissingMetricTests {
    @Test func `a metric that comes no more is missed, a device that is silent is not this rule's`()
        throws
    {
        let scenario = Scenario(
            book: try Scenario.book(
                """
                - id: no-power
                  metric: power.draw
                  detector: absence
                  after: 2m
                  severity: high
                  runbook: look at {{host}}
                """))
        let devices = scenario.host("h", devices: 3)
        scenario.play(minutes: 20)
        #expect(scenario.story == [])
        let begin = scenario.second
        scenario.behave([devices[0]], without([.powerDraw]))
        scenario.silence([devices[1]])
        scenario.play(minutes: 5)
        let finding = try #require(scenario.fired("no-power").first)
        #expect(scenario.findings.count == 1 && finding.key.subject.name == "nvidia/h-0")
        #expect((110...140).contains(try #require(scenario.delay(of: "no-power", from: begin))))
        #expect(finding.evidence.map(\.phrase) == ["silence of power.draw 120 s (limit 2 min)"])
        scenario.behave([devices[0]], Shape.training)
        scenario.play(minutes: 5)
        #expect(scenario.findings.last?.edge == .cleared)
    }

    @Test func `a device that never sent a metric is not missed for it`() throws {
        let scenario = Scenario(
            book: try Scenario.book(
                "- {id: a, metric: power.draw, detector: absence, severity: high, runbook: x}"))
        scenario.host("h", devices: 2, without([.powerDraw]))
        scenario.play(minutes: 60)
        #expect(scenario.story == [])
    }

    @Test func `less than nine tenths of what a device sent is told with names`() throws {
        let scenario = Scenario(book: try Scenario.shipped())
        let devices = scenario.host("h", devices: 2)
        scenario.play(minutes: 60)
        scenario.behave([devices[1]], without([.utilTensor, .clockCore, .powerDraw]))
        scenario.play(minutes: 9)
        #expect(scenario.shadow.isEmpty)
        scenario.play(minutes: 4)
        let finding = try #require(scenario.shadow.first { $0.key.rule == "tel-metric-missing" })
        #expect(finding.key.subject.name == "nvidia/h-1")
        #expect(
            finding.evidence.first?.against
                == "missing: clock.core, power.draw, power.ratio and 1 more"
        )
        scenario.behave([devices[1]], Shape.training)
        scenario.play(minutes: 15)
        #expect(scenario.shadow.last { $0.key.rule == "tel-metric-missing" }?.edge == .cleared)
    }

    @Test func `a gap of the stream ends no silence that was there before it`() throws {
        let scenario = Scenario(book: try Scenario.shipped())
        let devices = scenario.host("h", devices: 8)
        scenario.play(minutes: 30)
        scenario.silence([devices[3]])
        scenario.play(minutes: 10)
        let told = scenario.story
        #expect(scenario.fired("tel-device-absent").map(\.devices) == [["nvidia/h-3"]])
        // Nobody sends for five minutes; then all do but the one that is gone.
        let shapes = scenario.behaviours
        scenario.silence(devices)
        scenario.play(minutes: 5)
        for device in devices { scenario.behave([device], shapes[device]) }
        scenario.play(minutes: 10)
        #expect(scenario.story == told)
    }

    private func without(_ metrics: [Metric]) -> Scenario.Behaviour {
        { second, noise in
            var shown = Shape.training(second, &noise)
            for metric in metrics { shown?[metric] = nil }
            return shown
        }
    }
}
