import Fleet
import Testing

@testable import Rules
@testable import Telemetry

/// `detector: anomaly`.
@Suite("Anomaly rules") struct AnomalyRuleTests {
    private static let rule = """
        - id: odd
          scope: SCOPE
          gate: [allocated]
          AGG
          metric: util.busy
          detector: anomaly
          profile: paging
          every: 5m
          severity: medium
          cost: {class: none}
          runbook: "Compare {{subject}} with last week."
        """

    private static func text(_ scope: String, _ agg: String = "") -> String {
        rule.replacing("SCOPE", with: scope)
            .replacing("  AGG\n", with: agg.isEmpty ? "" : "  \(agg)\n")
    }

    /// Two devices at about 0.4, of which the first is what `load` says.
    private func fleet(
        _ text: String, load: @escaping (Int) -> Float?
    ) throws -> Scenario {
        let scenario = Scenario(book: try Scenario.book(text), step: 60_000)
        scenario.period = 60
        for (name, isOdd) in [("h1", true), ("h2", false)] {
            scenario.host(name, devices: 1, job: "train") { second, noise in
                let usual = 0.4 + noise.normal(0.01)
                return [.utilBusy: isOdd ? load(second) ?? usual : usual]
            }
        }
        return scenario
    }

    private static let day = 86_400

    @Test func `a value that was never so is a finding that says why, and clears`() throws {
        let start = 4 * Self.day
        let scenario = try fleet(Self.text("device")) {
            $0 >= start && $0 < start + 3_600 ? 0.9 : nil
        }
        scenario.play(seconds: start)
        #expect(scenario.fired("odd").count <= 1, "\(scenario.story)")
        #expect(scenario.engine.watchCount == 2)
        scenario.findings.removeAll()
        // The last 48 means tell of it for four hours, and an hour must be calm.
        scenario.play(seconds: 10 * 3_600)
        let finding = try #require(scenario.fired("odd").first)
        #expect(scenario.fired("odd").count == 1, "\(scenario.story)")
        #expect(finding.devices == ["nvidia/h1-0"])
        let delay = (finding.at.milliseconds - Scenario.start) / 1_000 - Int64(start)
        #expect(delay > 0 && delay <= 900, "\(delay) s")
        let evidence = try #require(finding.evidence.first)
        #expect(evidence.name == "util.busy" && evidence.value > 0.6)
        #expect(evidence.against.contains("left the range"), "\(evidence.against)")
        #expect(finding.summary.contains("left the range"), "\(finding.summary)")
        #expect(scenario.findings.count { $0.edge == .cleared } == 1, "\(scenario.story)")
    }

    @Test func `a group is scored by its aggregate`() throws {
        let start = 4 * Self.day
        let scenario = try fleet(Self.text("job", "agg: max")) {
            $0 >= start && $0 < start + 3_600 ? 0.9 : nil
        }
        scenario.play(seconds: start)
        scenario.findings.removeAll()
        scenario.play(seconds: 3_600)
        #expect(scenario.fired("odd").map(\.key.subject.name) == ["train"], "\(scenario.story)")
        let finding = try #require(scenario.fired("odd").first)
        #expect(finding.evidence.first?.name == "job max util.busy")
        #expect(scenario.engine.watchCount == 1)
    }

    @Test func `no rule that asks, no state`() throws {
        let text = Self.text("device").replacing("detector: anomaly", with: "above: 2")
            .replacing("  profile: paging\n  every: 5m\n", with: "")
        let scenario = try fleet(text) { _ in nil }
        scenario.play(seconds: 3_600)
        #expect(scenario.engine.watchCount == 0)
    }

    @Test func `a reload of the same rule keeps what was learned`() throws {
        let start = 4 * Self.day
        let scenario = try fleet(Self.text("device")) {
            $0 >= start && $0 < start + 3_600 ? 0.9 : nil
        }
        scenario.play(seconds: start)
        _ = scenario.engine.replace(
            book: try Scenario.book("# other layout\n" + Self.text("device")),
            vocabulary: &scenario.vocabulary, detection: &scenario.detection,
            directory: &scenario.directory, at: scenario.instant(start))
        #expect(scenario.engine.watchCount == 2)
        scenario.findings.removeAll()
        scenario.play(seconds: 3_600)
        #expect(scenario.fired("odd").count == 1, "\(scenario.story)")
    }

    @Test func `a reload of a rule that asks no more gives the memory back`() throws {
        let scenario = try fleet(Self.text("device")) { _ in nil }
        scenario.play(seconds: 3_600)
        let before = scenario.engine.bytes
        let text = Self.text("device").replacing("id: odd", with: "id: other")
        _ = scenario.engine.replace(
            book: try Scenario.book(text), vocabulary: &scenario.vocabulary,
            detection: &scenario.detection, directory: &scenario.directory,
            at: scenario.instant(3_600))
        #expect(scenario.engine.watchCount == 0)
        #expect(scenario.engine.bytes <= before - 2 * 4_000)
    }

    @Test(arguments: [
        ("profile: paging", "profile: loud", "paging, sensitive"),
        ("every: 5m", "every: 2h", "'every' must be 10s to 1h"),
        ("every: 5m", "every: 9s", "'every' must be 10s to 1h"),
        ("every: 5m", "utc_offset_hours: 15", "must be between -14.0 and 14.0"),
        ("every: 5m", "z: 4", "z"),
        ("metric: util.busy", "metric: throttle.reasons", "'anomaly' asks a level"),
        ("  metric: util.busy\n", "", "'metric' is missing"),
    ])
    func `a mistake is refused with what would be right`(
        _ old: String, _ new: String, _ words: String
    ) {
        let text = Self.text("device").replacing(old, with: new)
        do {
            _ = try Scenario.book(text)
            Issue.record("it was taken")
        } catch let refused as Scenario.Refused {
            #expect(refused.problems.contains { $0.contains(words) }, "\(refused.problems)")
        } catch { Issue.record("\(error)") }
    }

    @Test(arguments: ["every: 10s", "every: 1h", "utc_offset_hours: -14", "every: 30m"])
    func `at the limit it is taken`(_ line: String) throws {
        _ = try Scenario.book(Self.text("device").replacing("every: 5m", with: line))
    }
}
