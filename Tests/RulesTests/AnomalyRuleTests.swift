import Detection
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

/// `detector: anomaly` over several metrics of one device.
@Suite("Anomaly rules over several metrics") struct MultivariateRuleTests {
    private static let rule = """
        - id: apart
          scope: device
          gate: [allocated]
          metrics: [power.draw, temp.core, util.busy]
          detector: anomaly
          every: 5m
          severity: medium
          cost: {class: none}
          runbook: "Look at {{device}}."
        """

    /// One device of which power and temperature follow one load, and a second one.
    private func fleet(
        _ text: String = rule, parts: @escaping (Int) -> Bool,
        shows: @escaping (Int, inout [Metric: Float]) -> Void = { _, _ in }
    ) throws -> Scenario {
        let scenario = Scenario(book: try Scenario.book(text), step: 60_000)
        scenario.period = 60
        for (name, isOdd) in [("h1", true), ("h2", false)] {
            scenario.host(name, devices: 1, job: "train") { second, noise in
                let time = Float(second / 300)
                let load = 0.5 + 0.4 * wave(time / 37) * wave(time / 101 + 1.6)
                let heat = isOdd && parts(second) ? 1 - load : load
                var shown: [Metric: Float] = [
                    .powerDraw: 300 + 300 * load + noise.normal(2),
                    .tempCore: 40 + 30 * heat + noise.normal(0.3),
                    .utilBusy: 0.7 + noise.normal(0.02),
                ]
                if isOdd { shows(second, &shown) }
                return shown
            }
        }
        return scenario
    }

    private static let day = 86_400

    @Test func `metrics that part within their ranges are one finding that says so`() throws {
        let start = 12 * Self.day
        let scenario = try fleet { $0 >= start && $0 < start + 6 * 3_600 }
        scenario.play(seconds: start)
        #expect(scenario.engine.watchCount == 2)
        #expect(scenario.findings.count { $0.edge == .fired } <= 2, "\(scenario.story)")
        scenario.findings.removeAll()
        scenario.play(seconds: 6 * 3_600)
        let finding = try #require(scenario.fired("apart").first)
        #expect(finding.devices == ["nvidia/h1-0"], "\(scenario.story)")
        let apart = try #require(finding.evidence.first { $0.name == "metrics apart" })
        #expect(apart.unit == "times as usual" && apart.value > 1.5, "\(apart)")
        let share = try #require(apart.share)
        #expect(share > 0.1 && share <= 1)
        #expect(apart.against.contains("% of the evidence: "), "\(apart.against)")
        #expect(finding.summary.contains("metrics apart"), "\(finding.summary)")
    }

    @Test func `the metric that is unlike itself is named, with its share and baseline`() throws {
        let start = 6 * Self.day
        let scenario = try fleet(parts: { _ in false }) { second, shown in
            if second >= start { shown[.tempCore] = 96 }
        }
        scenario.play(seconds: start)
        scenario.findings.removeAll()
        scenario.play(seconds: 3_600)
        let finding = try #require(scenario.fired("apart").first)
        // A temperature that stands still parts from the power, too, and that is said of it.
        let apart = try #require(finding.evidence.first { $0.name == "metrics apart" })
        #expect(apart.against.contains("power.draw 50 % and temp.core 50 % of it"), "\(apart)")
        let evidence = try #require(finding.evidence.first { $0.name == "temp.core" })
        #expect(evidence.unit == "°C", "\(finding.evidence)")
        #expect(evidence.value > 80 && evidence.against.contains("left the range"))
        let shares = finding.evidence.compactMap(\.share)
        #expect(shares.count == finding.evidence.count && shares == shares.sorted(by: >))
        #expect(shares.reduce(0, +) <= 1.000_001 && shares.reduce(0, +) > 0.2)
    }

    @Test func `a metric that never comes is missing from nothing`() throws {
        let start = 12 * Self.day
        let text = Self.rule.replacing("util.busy]", with: "util.busy, temp.mem]")
        let scenario = try fleet(text) { $0 >= start && $0 < start + 6 * 3_600 }
        scenario.play(seconds: start)
        scenario.findings.removeAll()
        scenario.play(seconds: 6 * 3_600)
        let finding = try #require(scenario.fired("apart").first, "\(scenario.story)")
        #expect(finding.evidence.contains { $0.name == "metrics apart" }, "\(finding.evidence)")
    }

    @Test func `a device that sends none of them is unknown, and then false`() throws {
        let text = Self.rule.replacing(
            "[power.draw, temp.core, util.busy]", with: "[temp.mem, x.one]")
        let scenario = try fleet(text) { _ in false }
        scenario.play(seconds: 2 * 3_600)
        #expect(scenario.findings.isEmpty && scenario.engine.watchCount == 0)
    }

    @Test func `a reload keeps what was learned, and a rule that is gone gives it back`() throws {
        let start = 6 * Self.day
        let scenario = try fleet(parts: { _ in false }) { second, shown in
            if second >= start { shown[.tempCore] = 96 }
        }
        scenario.play(seconds: start)
        func replace(_ text: String) throws {
            _ = scenario.engine.replace(
                book: try Scenario.book(text), vocabulary: &scenario.vocabulary,
                detection: &scenario.detection, directory: &scenario.directory,
                at: scenario.instant(start))
        }
        let before = scenario.engine.bytes
        try replace("# again\n" + Self.rule)
        #expect(scenario.engine.bytes == before && scenario.engine.watchCount == 2)
        scenario.findings.removeAll()
        scenario.play(seconds: 3_600)
        #expect(scenario.fired("apart").count == 1, "\(scenario.story)")
        try replace(Self.rule.replacing("id: apart", with: "id: other"))
        #expect(scenario.engine.watchCount == 0)
        // Two devices of three metrics, and the rest of each.
        #expect(scenario.engine.bytes <= before - 8 * 4_000)
    }

    @Test func `the table takes so many series, and a learner counts for all of its`() {
        var table = LearnerTable<AnomalyDeviceWatch>(entriesMax: 10, bytesEach: 1)
        func feed(_ subject: Int, metrics: Int) -> Bool? {
            table.update(
                0, subject, group: -1, series: metrics + 1, name: { "" },
                make: { AnomalyDeviceWatch(metrics: metrics, .paging, every: 300_000) },
                feed: { _ in true })
        }
        #expect(feed(0, metrics: 4) == true && feed(1, metrics: 4) == true)
        #expect(table.bytes == 10 && table.refused == 0)
        #expect(feed(2, metrics: 2) == nil && table.refused == 1)
        #expect(feed(1, metrics: 4) == true && table.count == 2)
    }

    @Test(arguments: [
        ("[power.draw, temp.core, util.busy]", "[power.draw]", "2 to 16 metrics"),
        ("[power.draw, temp.core, util.busy]", "[power.draw, temp.cor]", "'temp.core'?"),
        ("[power.draw, temp.core, util.busy]", "[power.draw, power.draw]", "comes twice"),
        (
            "[power.draw, temp.core, util.busy]", "[power.draw, throttle.reasons]",
            "'throttle.reasons' is a state"
        ),
        ("detector: anomaly", "metric: util.busy\n  detector: anomaly", "not both"),
        ("detector: anomaly\n  every: 5m", "above: 1", "belongs to detector 'anomaly'"),
        ("scope: device", "scope: job", "'metrics' are those of one device"),
    ])
    func `a mistake is refused with what would be right`(
        _ old: String, _ new: String, _ words: String
    ) {
        Scenario.expectRefused(Self.rule.replacing(old, with: new), words)
    }

    @Test(arguments: [2, 16, 17]) func `up to sixteen metrics are taken`(_ count: Int) throws {
        let names = (0..<count).map { "x.m\($0)" }.joined(separator: ", ")
        let text = Self.rule.replacing("power.draw, temp.core, util.busy", with: names)
        if count <= 16 {
            _ = try Scenario.book(text)
        } else {
            #expect(throws: Scenario.Refused.self) { try Scenario.book(text) }
        }
    }
}

/// A wave of period 2π that needs no library: a parabola each half, near enough to a sine.
private func wave(_ angle: Float) -> Float {
    let turn = (angle / (2 * .pi)).truncatingRemainder(dividingBy: 1)
    let half = turn < 0.5 ? turn * 2 : turn * 2 - 1
    let arc = 4 * half * (1 - half)
    return turn < 0.5 ? arc : -arc
}
