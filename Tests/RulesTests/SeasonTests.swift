import Fleet
import Testing

@testable import Rules
@testable import Telemetry

/// What is usual at this hour of the week.
@Suite("Seasons") struct SeasonTests {
    private static let rule = """
        - id: load
          scope: SCOPE
          gate: [allocated]
          AGG
          metric: util.busy
          detector: seasonal
          z: 4
          floor: 0.02
          every: 5m
          season: SEASON
          for: 10m
          clear_for: 15m
          severity: medium
          cost: {class: none}
          runbook: "Compare {{subject}} with last week."
        """

    /// A service with the day and the week of people; `factor` is what happens to it.
    private func fleet(
        _ scope: String, _ agg: String = "agg: mean", season: String = "week",
        factor: @escaping (Int) -> Float
    ) throws -> Scenario {
        let text = Self.rule.replacing("SCOPE", with: scope)
            .replacing("  AGG\n", with: agg.isEmpty ? "" : "  \(agg)\n").replacing(
                "SEASON", with: season)
        let scenario = Scenario(book: try Scenario.book(text), step: 60_000)
        scenario.period = 120
        let isJob = scope == "job"
        scenario.host(
            "h1", devices: 4, job: isJob ? "chat" : "", service: isJob ? "" : "chat"
        ) { second, noise in
            // The scenario begins at 10:00 on a Saturday.
            let hours = Float(second) / 3_600 + 10
            let day = Int(hours / 24) % 7
            let angle = 2 * Float.pi * ((hours.truncatingRemainder(dividingBy: 24)) - 9) / 24
            var load = 0.42 * (1 + 0.55 * sine(angle)) * (day < 2 && season == "week" ? 0.7 : 1)
            load *= 1 + noise.normal(0.12)
            return [.utilBusy: min(1, max(0, load * factor(second)))]
        }
        return scenario
    }

    private static let week = 7 * 86_400

    @Test func `a drop by forty percent in the fourth week is found, no weekend is`() throws {
        // Wednesday, 13:00.
        let drop = 3 * Self.week + 4 * 86_400 + 3 * 3_600
        try check(drop, try fleet("service") { $0 >= drop && $0 < drop + 7_200 ? 0.6 : 1 })
    }

    @Test(arguments: ["job", "device"])
    func `by the hours of a day the third day knows enough`(_ scope: String) throws {
        let drop = 3 * 86_400 + 3 * 3_600
        let scenario = try fleet(scope, scope == "device" ? "" : "agg: mean", season: "day") {
            $0 >= drop && $0 < drop + 7_200 ? 0.6 : 1
        }
        try check(drop, scenario, times: scope == "device" ? 4 : 1)
    }

    private func check(_ drop: Int, _ scenario: Scenario, times: Int = 1) throws {
        scenario.play(seconds: drop)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
        scenario.play(seconds: 6 * 3_600)
        let finding = try #require(scenario.fired("load").first)
        let delay = Int((finding.at.milliseconds - Scenario.start) / 1_000) - drop
        #expect(delay > 0 && delay <= 1_500, "\(delay) s")
        #expect(scenario.findings.count { $0.edge == .cleared } == times, "\(scenario.story)")
        #expect(scenario.fired("load").count == times, "\(scenario.story)")
        let evidence = try #require(finding.evidence.first)
        #expect(evidence.phrase.contains(" at this hour, ") && evidence.against.hasSuffix(" below"))
        #expect(evidence.value < 0.5 && evidence.value > 0.2)
    }

    @Test func `nothing is said of an hour that was not seen twice`() throws {
        let scenario = try fleet("service") { $0 > 8 * 86_400 ? 0.1 : 1 }
        scenario.play(seconds: 9 * 86_400)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
    }

    @Test func `a service that was away for an hour finds its season again`() throws {
        let scenario = try fleet("service") { $0 > 3 * Self.week + 4 * 86_400 + 10_800 ? 0.5 : 1 }
        scenario.play(seconds: 3 * Self.week + 4 * 86_400)
        scenario.rename(Array(0..<4), service: "other")
        scenario.play(seconds: 3_600)
        scenario.rename(Array(0..<4), service: "chat")
        scenario.play(seconds: 3 * 3_600)
        #expect(scenario.fired("load").map(\.key.subject.name) == ["chat"], "\(scenario.story)")
    }

    @Test func `a reload of the same rule keeps what is usual`() throws {
        let drop = 2 * Self.week + 4 * 86_400 + 10_800
        let scenario = try fleet("service") { $0 >= drop ? 0.5 : 1 }
        scenario.play(seconds: drop)
        let text =
            "# other layout\n"
            + Self.rule.replacing("SCOPE", with: "service")
            .replacing("AGG", with: "agg: mean").replacing("SEASON", with: "week")
        _ = scenario.engine.replace(
            book: try Scenario.book(text), vocabulary: &scenario.vocabulary,
            detection: &scenario.detection, directory: &scenario.directory,
            at: scenario.instant(drop))
        scenario.play(seconds: 3_600)
        #expect(scenario.fired("load").count == 1, "\(scenario.story)")
    }

    @Test func `a season that cannot be is refused`() {
        for (key, value) in [("every", "2h"), ("z", "0.5"), ("metric", "throttle.reasons")] {
            let lines = Self.rule.replacing("SCOPE", with: "service")
                .replacing("AGG", with: "agg: mean").replacing("SEASON", with: "week").split(
                    separator: "\n")
            let text = lines.map { line in
                line.hasPrefix("  \(key): ") ? "  \(key): \(value)" : String(line)
            }.joined(separator: "\n")
            #expect(throws: Scenario.Refused.self) { try Scenario.book(text) }
        }
    }
}

/// Sine by its series: tests of pure rooms need no Foundation for one.
private func sine(_ angle: Float) -> Float {
    var turned = angle.truncatingRemainder(dividingBy: 2 * Float.pi)
    if turned > Float.pi { turned -= 2 * Float.pi }
    if turned < -Float.pi { turned += 2 * Float.pi }
    var term = turned
    var sum = turned
    for n in 1..<9 {
        term *= -turned * turned / Float((2 * n) * (2 * n + 1))
        sum += term
    }
    return sum
}
