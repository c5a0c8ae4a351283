import Configuration
import Detection
import Fleet
import Testing

@testable import Rules
@testable import Telemetry

@Suite("The engine") struct EngineTests {
    static let hot = """
        - id: too-hot
          metric: temp.core
          above: 80
          for: 60s
          severity: high
          symptom: thermal
          runbook: "Cool {{host}}."
        """

    private func hot(_ celsius: Float) -> Scenario.Behaviour {
        Shape.training(with: [.tempCore: celsius])
    }

    @Test func `a rule fires after its hold and clears below eighty percent for twice as long`()
        throws
    {
        let scenario = Scenario(book: try Scenario.book(EngineTests.hot))
        scenario.period = 5
        scenario.host("h1", devices: 1, hot(81))
        scenario.play(seconds: 120)
        scenario.behave([0], hot(65))
        scenario.play(seconds: 300)
        scenario.behave([0], hot(63))
        scenario.play(seconds: 180)
        let edges = scenario.story.map { $0.split(separator: " ").prefix(2).joined(separator: " ") }
        #expect(edges == ["62s fired", "542s cleared"])
        #expect(scenario.findings.first?.since == scenario.instant(2))
        #expect(
            scenario.findings.first?.summary
                == "GPU 0 on h1: temp.core 81 °C (limit above 80 °C), since 10:00:02 UTC")
    }

    @Test func `a value that falls in time is no finding`() throws {
        let scenario = Scenario(book: try Scenario.book(EngineTests.hot))
        scenario.host("h1", devices: 1, hot(81))
        scenario.play(seconds: 55)
        scenario.behave([0], hot(80))
        scenario.play(seconds: 120)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
    }

    @Test func `silence clears nothing that fires`() throws {
        let scenario = Scenario(book: try Scenario.book(EngineTests.hot))
        scenario.host("h1", devices: 1, hot(81))
        scenario.host("h2", devices: 1)
        scenario.play(minutes: 3)
        scenario.silence([0])
        scenario.play(minutes: 60)
        #expect(scenario.findings.map(\.edge) == [.fired])
        #expect(scenario.engine.firing.count == 1)
    }

    @Test(arguments: [1, 7, 500])
    func `where batches end changes nothing`(_ size: Int) throws {
        func run(_ size: Int) throws -> [String] {
            let scenario = Scenario(book: try Scenario.shipped())
            scenario.batchSize = size
            scenario.host("h1", job: "a", partition: 0)
            scenario.host("h2", job: "a", partition: 1)
            scenario.host("h3", job: "b", Shape.idle)
            scenario.play(minutes: 12)
            scenario.silence([3])
            scenario.fault(9, 48, "DBE")
            scenario.fault(9, 45, in: 1)
            scenario.behave([12], Shape.training(with: [.throttleReasons: 0x40]))
            scenario.count(10, .eccUncorrected, 1)
            scenario.play(minutes: 5)
            scenario.count(10, .eccUncorrected, 2)
            scenario.behave([12], Shape.training)
            scenario.play(minutes: 20)
            return scenario.findings.map {
                "\(scenario.line($0)) \($0.summary) \($0.evidence) \($0.devices) \($0.offset)"
            }
        }
        let whole = try run(64)
        #expect(whole.count >= 6, "\(whole)")
        #expect(try run(size) == whole)
    }

    @Test func `what was restored stays firing without a word until it is seen to be over`() throws
    {
        let first = Scenario(book: try Scenario.book(EngineTests.hot))
        first.host("h1", devices: 1, hot(81))
        first.play(minutes: 3)
        let firing = first.engine.firing
        #expect(firing.count == 1)

        let second = Scenario(book: try Scenario.book(EngineTests.hot))
        // Restored before the device is known.
        second.engine.restore(
            firing: firing, detection: &second.detection, directory: &second.directory)
        #expect(second.engine.firing.count == 1)
        second.host("h1", devices: 1, hot(81))
        second.play(minutes: 5)
        #expect(second.findings.isEmpty)
        second.behave([0], hot(60))
        let over = second.second
        second.play(minutes: 4)
        #expect(second.findings.map(\.edge) == [.cleared])
        let cleared = try #require(second.findings.first)
        #expect(cleared.at >= second.instant(over + 120))
        #expect(cleared.since == firing.first?.since)
    }

    @Test func `what was restored for a job that never comes back is over in the end`() throws {
        let first = Scenario(book: try Scenario.shipped())
        first.host("h1", job: "gone", Shape.idle)
        first.play(minutes: 32)
        let firing = first.engine.firing
        #expect(firing.map(\.key.rule) == ["eff-idle-allocated"])

        let second = Scenario(book: try Scenario.shipped())
        var settings = DetectionSettings()
        settings.retireAfter = 600_000
        second.detection = Detection(vocabulary: second.vocabulary, settings: settings)
        second.engine.restore(
            firing: firing, detection: &second.detection, directory: &second.directory)
        second.host("h1", job: "other")
        second.play(minutes: 9)
        #expect(second.findings.isEmpty && second.engine.firing.count == 1)
        second.play(minutes: 3)
        #expect(second.findings.map(\.edge) == [.cleared])
        #expect(second.engine.firing.isEmpty)
    }

    @Test func `a group that filled again is over five minutes after it emptied for good`() throws {
        let rule = """
            - {id: hot-job, scope: job, agg: median, metric: temp.core, above: 80, for: 60s,
               severity: low, runbook: x}
            """
        let scenario = Scenario(book: try Scenario.book(rule))
        let devices = scenario.host("h1", job: "a", hot(85))
        scenario.play(minutes: 3)
        // Away for less than five minutes, and back for more.
        scenario.assign(devices, job: "")
        scenario.play(minutes: 2)
        scenario.assign(devices, job: "a")
        scenario.play(minutes: 10)
        #expect(scenario.findings.map(\.edge) == [.fired], "\(scenario.story)")
        scenario.assign(devices, job: "")
        let left = scenario.second
        scenario.play(minutes: 10)
        #expect(scenario.findings.map(\.edge) == [.fired, .cleared], "\(scenario.story)")
        let cleared = try #require(scenario.findings.last)
        #expect(cleared.summary == "job a is over")
        #expect(
            cleared.at >= scenario.instant(left + 300) && cleared.at <= scenario.instant(left + 320)
        )
    }

    @Test func `a reload keeps what did not change, and says what is gone`() throws {
        let other = """
            - id: too-busy
              metric: util.busy
              above: 0.5
              severity: medium
              runbook: "Nothing."
            """
        let scenario = Scenario(book: try Scenario.book(EngineTests.hot + "\n" + other))
        scenario.host("h1", devices: 1, hot(81))
        scenario.play(seconds: 45)
        #expect(scenario.findings.map(\.key.rule) == ["too-busy"])
        let book = try Scenario.book(
            """
            # The same rule, laid out in another way.
            - {id: too-hot, metric: temp.core, above: 80, for: 60s, severity: high,
               symptom: thermal, runbook: "Cool {{host}}."}
            """)
        let removed = scenario.engine.replace(
            book: book, vocabulary: &scenario.vocabulary, detection: &scenario.detection,
            directory: &scenario.directory, at: scenario.instant(scenario.second))
        #expect(removed.map(\.edge) == [.ruleRemoved])
        #expect(removed.first?.key.rule == "too-busy")
        // The hold that had begun goes on: it fires at 60 s, not at 105.
        scenario.play(seconds: 60)
        #expect(scenario.delay(of: "too-hot", from: 0).map { $0 <= 70 } == true)
    }

    @Test func `a rule that changed begins anew but does not forget what it said`() throws {
        let scenario = Scenario(book: try Scenario.book(EngineTests.hot))
        scenario.host("h1", devices: 1, hot(81))
        scenario.play(minutes: 3)
        let book = try Scenario.book(EngineTests.hot.split(separator: "80").joined(separator: "70"))
        let removed = scenario.engine.replace(
            book: book, vocabulary: &scenario.vocabulary, detection: &scenario.detection,
            directory: &scenario.directory, at: scenario.instant(scenario.second))
        #expect(removed.isEmpty)
        scenario.play(minutes: 5)
        #expect(scenario.findings.map(\.edge) == [.fired])
        #expect(scenario.engine.firing.map(\.key.rule) == ["too-hot"])
        scenario.behave([0], hot(40))
        scenario.play(minutes: 5)
        #expect(scenario.findings.map(\.edge) == [.fired, .cleared])
    }

    @Test func `a metric that a device never sends drops out, one that it must send does not`()
        throws
    {
        let scenario = Scenario(
            book: try Scenario.book(
                """
                - id: without-power
                  all:
                    - {metric: util.busy, above: 0.5}
                    - {metric: power.ratio, above: 2}
                  severity: medium
                  runbook: "-"
                - id: needs-power
                  all:
                    - {metric: util.busy, above: 0.5}
                    - {metric: power.ratio, above: 2, optional: false}
                  severity: medium
                  runbook: "-"
                """))
        scenario.host("tpu", devices: 1, vendor: "tpu", Shape.tpu)
        scenario.host("gpu", devices: 1)
        scenario.play(minutes: 9)
        #expect(scenario.findings.isEmpty, "not before the device is known for ten minutes")
        scenario.play(minutes: 3)
        #expect(
            scenario.findings.map(\.key.description) == ["without-power on device tpu/tpu-0"])
    }

    @Test func `a shadow rule is judged and sends nothing`() throws {
        let scenario = Scenario(book: try Scenario.book(EngineTests.hot + "\n  mode: shadow"))
        scenario.host("h1", devices: 1, hot(81))
        scenario.play(minutes: 3)
        #expect(scenario.findings.isEmpty)
        #expect(scenario.engine.firing.isEmpty)
        #expect(scenario.shadow.map(\.key.rule) == ["too-hot"])
    }

    @Test func `a metric of one's own can be ruled on`() throws {
        let scenario = Scenario(
            book: try Scenario.book(
                """
                - id: sick-fabric
                  metric: x.acme.fabric_sickness
                  above: 3
                  severity: medium
                  runbook: "-"
                """))
        let metric = try #require(scenario.vocabulary["x.acme.fabric_sickness"])
        scenario.host("h1", devices: 1, Shape.training(with: [metric: 4]))
        scenario.play(seconds: 20)
        #expect(
            scenario.findings.map(\.summary)
                == ["GPU 0 on h1: x.acme.fabric_sickness 4 (limit above 3), since 10:00:07 UTC"])
    }

    @Test func `an own baseline speaks of a level that is far from it`() throws {
        let scenario = Scenario(
            book: try Scenario.book(
                """
                - id: odd-power
                  metric: power.draw
                  detector: zscore
                  z: 5
                  for: 2m
                  severity: high
                  runbook: "-"
                """))
        scenario.host("h1", devices: 1)
        scenario.play(minutes: 90)
        #expect(scenario.findings.isEmpty)
        scenario.behave([0], Shape.training(with: [.powerDraw: 420]))
        scenario.play(minutes: 4)
        #expect(scenario.findings.map(\.edge) == [.fired])
    }
}

@Suite("Events") struct EventTests {
    private func fleet() throws -> Scenario {
        let scenario = Scenario(book: try Scenario.shipped())
        scenario.host("h1", job: "llm-7")
        scenario.host("h2", job: "llm-7")
        scenario.play(minutes: 10)
        return scenario
    }

    @Test func `a cascade is one finding with its root first`() throws {
        let scenario = try fleet()
        scenario.fault(4, 45)
        scenario.fault(4, 94, in: 1)
        scenario.fault(4, 48, in: 1)
        scenario.fault(4, 171, in: 2)
        scenario.play(minutes: 5)
        #expect(Set(scenario.findings.map(\.key.description)) == ["evt-xid on device nvidia/h1-4"])
        #expect(scenario.findings.first?.edge == .fired)
        let last = try #require(scenario.findings.last)
        #expect(last.severity == .critical && last.tier == .one && last.symptom == "ecc")
        #expect(last.summary.hasPrefix("GPU 4 on h1: XID 48, double-bit ECC error, then "))
        #expect(last.runbook == "Drain h1 and reset GPU 4 on h1; read the XIDs that came with it.")
        #expect(last.blocked.count == 15)
    }

    @Test func `a card off the bus is told once, by its XID`() throws {
        let scenario = try fleet()
        scenario.fault(4, 79, "GPU has fallen off the bus.", in: 2)
        scenario.play(seconds: 5)
        scenario.silence([4])
        scenario.play(minutes: 30)
        #expect(scenario.findings.map(\.key.rule) == ["evt-xid"], "\(scenario.story)")
        #expect(scenario.findings.first?.symptom == "off-bus")
    }

    @Test func `another XID does not hide that the device falls silent`() throws {
        let scenario = try fleet()
        scenario.fault(4, 31)
        scenario.play(seconds: 5)
        scenario.silence([4])
        scenario.play(minutes: 3)
        #expect(scenario.pages.map(\.key.rule) == ["tel-device-absent"])
    }

    @Test func `the same code within five minutes is one event`() throws {
        let scenario = try fleet()
        for second in [0, 30, 299] { scenario.fault(2, 31, in: second) }
        scenario.play(minutes: 6)
        #expect(scenario.findings.map(\.edge) == [.fired])
        #expect(scenario.findings.first?.severity == .low)
    }

    @Test func `a code that follows others speaks only when it stays alone`() throws {
        let scenario = try fleet()
        scenario.fault(2, 45)
        scenario.play(seconds: 50)
        #expect(scenario.findings.isEmpty)
        scenario.play(seconds: 30)
        #expect(scenario.findings.map(\.key.rule) == ["evt-xid"])
        #expect(scenario.findings.first?.severity == .low)
    }

    @Test func `a code that nobody knows is a ticket for tier three`() throws {
        let scenario = try fleet()
        scenario.fault(2, 31_337, "new in this driver")
        scenario.play(seconds: 30)
        let finding = try #require(scenario.findings.first)
        #expect(finding.severity == .medium && finding.tier == .three)
        #expect(finding.runbook.hasPrefix("Look up XID 31337"))
    }

    @Test func `the same fault on all devices of a host at once is one finding`() throws {
        let scenario = try fleet()
        for device in 0..<8 { scenario.fault(device, 31, in: device / 3) }
        scenario.play(minutes: 2)
        #expect(Set(scenario.findings.map(\.key)).count == 1)
        #expect(scenario.findings.last?.devices.count == 8)
    }

    @Test func `a fatal link error is worse than a link error`() throws {
        let scenario = try fleet()
        scenario.fault(2, 145, "NVLink: RLW, Nonfatal")
        scenario.fault(9, 145, "NVLink: RLW, Fatal, link 3")
        scenario.play(seconds: 30)
        #expect(scenario.findings.map(\.severity).sorted() == [.critical, .high])
    }

    @Test func `application faults that repeat across jobs suspect the hardware`() throws {
        let scenario = try fleet()
        scenario.fault(2, 31)
        scenario.play(minutes: 10)
        scenario.assign([2], job: "llm-8")
        scenario.fault(2, 13)
        scenario.play(minutes: 1)
        let finding = try #require(scenario.fired("evt-xid-repeat").first)
        #expect(finding.key.subject.name == "nvidia/h1-2" && finding.tier == .two)
    }

    @Test func `an event is over an hour after its last word`() throws {
        let scenario = try fleet()
        scenario.fault(2, 31)
        scenario.play(minutes: 58)
        #expect(scenario.findings.map(\.edge) == [.fired])
        scenario.play(minutes: 4)
        #expect(scenario.findings.map(\.edge) == [.fired, .cleared])
    }
}
