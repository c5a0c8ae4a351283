import Fleet
import Testing

@testable import Rules
@testable import Telemetry

/// `detector: mismatch`.
@Suite("Labels that differ from those of the peers") struct MismatchTests {
    private static let rule = """
        - id: drift
          scope: device
          detector: mismatch
          label: driver
          cohort: [job, cluster]
          for: 5m
          clear_for: 5m
          severity: low
          cost: {class: none}
          runbook: "Bring {{host}} to the version of its peers."
        """

    private func fleet(
        _ text: String = rule, jobs: [(name: String, devices: Int)] = [("llm", 16)]
    ) throws -> Scenario {
        let scenario = Scenario(book: try Scenario.book(text))
        for job in jobs {
            let devices = scenario.host("h-\(job.name)", devices: job.devices, job: job.name)
            scenario.label(devices, .driver, "535.161.08")
        }
        return scenario
    }

    @Test func `the one with another driver is named with both, and clears when it is mended`()
        throws
    {
        let scenario = try fleet()
        scenario.play(minutes: 10)
        #expect(scenario.findings.isEmpty)
        scenario.label([3], .driver, "550.54.15")
        scenario.play(minutes: 10)
        let finding = try #require(scenario.fired("drift").first)
        #expect(scenario.fired("drift").count == 1, "\(scenario.story)")
        #expect(finding.devices == ["nvidia/h-llm-3"])
        let evidence = try #require(finding.evidence.first)
        #expect(evidence.phrase == "driver 550.54.15 (535.161.08 on 15 of 16 in job llm)")
        #expect(evidence.value == 15.0 / 16 && evidence.unit == "label")
        #expect(finding.summary.hasPrefix("GPU 3 on h-llm: driver 550.54.15 (535.161.08 on 15 of"))
        // A minute to be seen, and five to be told.
        let delay = try #require(scenario.delay(of: "drift", from: 600))
        #expect((300...370).contains(delay), "\(delay)")
        scenario.label([3], .driver, "535.161.08")
        scenario.play(minutes: 8)
        #expect(scenario.findings.count { $0.edge == .cleared } == 1, "\(scenario.story)")
    }

    struct Split: Sendable, CustomTestStringConvertible {
        let devices: Int, others: Int, agree: String
        let fires: Bool
        var testDescription: String { "\(others) of \(devices), agree \(agree)" }
    }

    @Test(arguments: [
        Split(devices: 16, others: 8, agree: "0.51", fires: false),
        Split(devices: 16, others: 7, agree: "0.51", fires: true),
        Split(devices: 5, others: 1, agree: "0.8", fires: true),
        Split(devices: 5, others: 1, agree: "0.81", fires: false),
        Split(devices: 4, others: 1, agree: "0.51", fires: false),
        Split(devices: 10, others: 3, agree: "0.8", fires: false),
        Split(devices: 10, others: 2, agree: "0.8", fires: true),
        Split(devices: 10, others: 1, agree: "1.0", fires: false),
    ])
    func `ties, split cohorts and tiny ones say nothing`(_ split: Split) throws {
        let text = Self.rule.replacing("for: 5m\n", with: "for: 5m\n  agree: \(split.agree)\n")
            .replacing("clear_for: 5m\n  agree: \(split.agree)\n", with: "clear_for: 5m\n")
        let scenario = try fleet(text, jobs: [("llm", split.devices)])
        scenario.label(Array(0..<split.others), .driver, "550")
        scenario.play(minutes: 12)
        let told = scenario.fired("drift").count
        #expect(told == (split.fires ? split.others : 0), "\(scenario.story)")
    }

    @Test func `an upgrade that goes over the job in ten minutes tells nobody`() throws {
        let scenario = try fleet()
        scenario.play(minutes: 3)
        for device in 0..<16 {
            scenario.label([device], .driver, "550.54.15")
            scenario.play(seconds: 40)
        }
        scenario.play(minutes: 20)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
    }

    @Test func `a finding stands while a little less agree, and is open while they are split`()
        throws
    {
        let scenario = try fleet()
        scenario.label([0], .driver, "550")
        scenario.play(minutes: 10)
        #expect(scenario.fired("drift").count == 1)
        // 11 of 16: enough to stay, not enough for four others to be told.
        scenario.label([1, 2, 3, 4], .driver, "550")
        scenario.play(minutes: 20)
        #expect(scenario.findings.count == 1, "\(scenario.story)")
        // Half and half: nothing is known. Then most have it, and it is as it should be.
        scenario.label([5, 6, 7], .driver, "550")
        scenario.play(minutes: 20)
        #expect(scenario.findings.count == 1, "\(scenario.story)")
        scenario.label(Array(8..<16), .driver, "550")
        scenario.play(minutes: 10)
        #expect(scenario.findings.last?.edge == .cleared && scenario.findings.count == 2)
    }

    @Test func `peers are of the same model, unless the rule says otherwise`() throws {
        func told(_ alike: String) throws -> Int {
            let text = Self.rule.replacing(
                "cohort: [job, cluster]", with: "cohort: job\n  alike: \(alike)")
            let scenario = try fleet(text)
            scenario.label([0, 1], .model, "A100")
            scenario.label([0, 1], .driver, "470")
            scenario.play(minutes: 12)
            return scenario.fired("drift").count
        }
        #expect(try told("[vendor, model]") == 0)
        #expect(try told("[vendor]") == 2)
        #expect(try told("[]") == 2)
    }

    @Test func `a small job is compared in the next cohort`() throws {
        let scenario = try fleet(jobs: [("small", 2), ("large", 12)])
        scenario.label([1], .driver, "550")
        scenario.play(minutes: 12)
        let finding = try #require(scenario.fired("drift").first, "\(scenario.story)")
        #expect(finding.devices == ["nvidia/h-small-1"])
        #expect(finding.evidence.first?.against == "535.161.08 on 13 of 14 in cluster c1")
    }

    @Test func `who carries no label, or left all cohorts, differs from nobody`() throws {
        let text = Self.rule.replacing("[job, cluster]", with: "[job]")
        let scenario = try fleet(text)
        scenario.label([0], .driver, "")
        scenario.label([3], .driver, "550")
        scenario.play(minutes: 10)
        #expect(scenario.fired("drift").map(\.devices) == [["nvidia/h-llm-3"]])
        scenario.assign([3], job: "")
        scenario.play(minutes: 10)
        #expect(scenario.findings.last?.edge == .cleared, "\(scenario.story)")
    }

    @Test func `under a job the members that differ are its offenders`() throws {
        let text = """
            - id: drift
              scope: job
              any_members: {min: 1, max: 3}
              detector: mismatch
              label: firmware
              cohort: job
              for: 5m
              severity: low
              runbook: "Look at {{offenders}}."
            """
        let scenario = try fleet(text)
        scenario.label(Array(0..<16), .firmware, "96.00.74")
        scenario.label([2, 9], .firmware, "96.00.30")
        scenario.play(minutes: 12)
        let finding = try #require(scenario.fired("drift").first, "\(scenario.story)")
        #expect(finding.devices == ["nvidia/h-llm-2", "nvidia/h-llm-9"])
        #expect(finding.evidence.first?.name == "firmware 96.00.30")
    }

    @Test func `hundreds of values and long ones are bounded`() throws {
        let scenario = try fleet(jobs: [("llm", 400)])
        for device in 0..<300 { scenario.label([device], .driver, "v\(device)") }
        let long = String(repeating: "ü", count: 10_000)
        scenario.label([399], .driver, long)
        scenario.play(minutes: 12)
        #expect(scenario.findings.isEmpty)
        #expect(scenario.engine.labelModes.bytes == 400)
        for device in 0..<300 { scenario.label([device], .driver, "535.161.08") }
        scenario.play(minutes: 12)
        let name = try #require(scenario.fired("drift").first?.evidence.first?.name)
        #expect(name.utf8.count < 300)
    }

    @Test func `the shipped rule tells who was left behind for half a day`() throws {
        let scenario = Scenario(book: try Scenario.shipped(), step: 60_000)
        scenario.period = 60
        let devices = scenario.host("h1", devices: 8, job: "llm")
        scenario.label(devices, .driver, "535")
        scenario.label([5], .driver, "470")
        scenario.play(seconds: 12 * 3_600 + 300)
        let told = scenario.shadow.filter { $0.key.rule == "cfg-version-drift" }
        #expect(told.map(\.devices) == [["nvidia/h1-5"]])
        #expect(told.first?.evidence.map(\.name) == ["driver 470"])
    }

    @Test(arguments: [
        ("label: driver", "label: drivr", "test.yaml:4:10: 'label' must be one of"),
        ("label: driver", "label: slot", "not 'slot'"),
        ("  label: driver\n", "", "test.yaml:1:3: 'label' is missing"),
        ("  cohort: [job, cluster]\n", "", "test.yaml:1:3: 'cohort' is missing: whose peers"),
        ("[job, cluster]", "[job, clustr]", "did you mean 'cluster'?"),
        ("[job, cluster]", "pipeline", "'cohort' must be one of"),
        ("label: driver", "label: driver\n  agree: 0.5", "'agree' must be between 0.51 and 1"),
        ("label: driver", "label: driver\n  members: 2", "'members' must be between 3 and 10000"),
        ("label: driver", "label: driver\n  alike: [modl]", "did you mean 'model'?"),
        ("label: driver", "label: driver\n  metric: util.busy", "asks no metric"),
        ("scope: device", "scope: job", "'mismatch' is asked of devices"),
        ("severity: low", "severity: critical", "a statistic alone"),
    ])
    func `a mistake is refused with what would be right`(
        _ old: String, _ new: String, _ words: String
    ) {
        Scenario.expectRefused(Self.rule.replacing(old, with: new), words)
    }
}
