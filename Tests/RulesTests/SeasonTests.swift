import Detection
import Configuration
import Fleet
import Foundation
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
            var load = 0.42 * (1 + 0.55 * sine(angle)) * (day < 2 && season != "day" ? 0.7 : 1)
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

    @Test(arguments: ["job", "device"])
    func `by working days and days of rest the third of either knows enough`(
        _ scope: String
    ) throws {
        // The second weekend, which no Friday resembles, and then a Wednesday.
        let drop = 11 * 86_400 + 3 * 3_600
        let agg = scope == "device" ? "" : "agg: mean"
        let scenario = try fleet(scope, agg, season: "workday") {
            $0 >= drop && $0 < drop + 7_200 ? 0.6 : 1
        }
        try check(drop, scenario, times: scope == "device" ? 4 : 1)
        #expect(scenario.engine.deviceSeasons.count == (scope == "device" ? 16 : 0))
        #expect(scenario.engine.seasonsRefused == 0)
    }

    @Test func `a reload keeps the seasons of devices, and gives those back that nobody asks for`()
        throws
    {
        let drop = 4 * 86_400 + 3 * 3_600
        let scenario = try fleet("device", "", season: "workday") { $0 >= drop ? 0.5 : 1 }
        scenario.play(seconds: drop)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
        func replace(_ change: (String) -> String) throws {
            let text = Self.rule.replacing("SCOPE", with: "device").replacing("  AGG\n", with: "")
                .replacing("SEASON", with: "workday")
            let other = """

                - id: also
                  scope: device
                  metric: temp.core
                  detector: seasonal
                  z: 4
                  floor: 1
                  season: workday
                  severity: low
                  runbook: "Look."
                """
            _ = scenario.engine.replace(
                book: try Scenario.book(other + "\n" + change(text)),
                vocabulary: &scenario.vocabulary, detection: &scenario.detection,
                directory: &scenario.directory, at: scenario.instant(drop))
        }
        try replace { $0 }
        #expect(scenario.engine.deviceSeasons.count == 16)
        scenario.play(seconds: 3_600)
        #expect(scenario.fired("load").count == 4, "\(scenario.story)")
        try replace { $0.replacing("id: load", with: "id: load-2") }
        #expect(scenario.engine.deviceSeasons.count == 0)
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

/// Time zones and holidays, as rule files name them.
@Suite("Calendars in rule files") struct CalendarRuleTests {
    static let zones = ZoneDatabase(
        bytes: { name in
            (try? Data(contentsOf: URL(filePath: "/usr/share/zoneinfo/\(name)"))).map { Array($0) }
        }, names: { ["America/New_York", "Europe/Berlin", "UTC"] })

    static func text(_ line: String, holidays: String = "[2026-12-17]") -> String {
        """
        calendars:
          office:
            time_zone: UTC
            holidays: \(holidays)
        rules:
          - id: load
            scope: service
            gate: [allocated]
            agg: mean
            metric: util.busy
            detector: seasonal
            \(line)
            z: 4
            floor: 0.02
            for: 10m
            severity: medium
            runbook: "Compare {{subject}} with last week."
        """
    }

    private static let start = 3 * 7 * 86_400 + 4 * 86_400

    /// A service in its fourth week, whose Wednesday and Thursday are as `factor` says.
    private func play(_ line: String, until end: Int) throws -> Scenario {
        let text = Self.text(line, holidays: "[2026-12-16, 2026-12-17]")
        let book = try Scenario.book(text, zones: Self.zones)
        let scenario = Scenario(book: book, step: 60_000)
        scenario.period = 120
        scenario.host("h1", devices: 2, service: "chat") { second, noise in
            // The scenario begins at 10:00 on a Saturday, 2026-11-21.
            let hours = Float(second) / 3_600 + 10
            let date = Int(hours / 24)
            let isFree = date % 7 < 2 || date == 25 || date == 26
            let height = sine(Float.pi * hours.truncatingRemainder(dividingBy: 24) / 24)
            return [.utilBusy: 0.3 + (isFree ? 0.1 : 0.5) * height * height + noise.normal(0.02)]
        }
        scenario.play(seconds: end)
        return scenario
    }

    @Test func `holidays that a calendar names surprise nobody, and others do`() throws {
        let end = Self.start + 2 * 86_400
        let told = try play("season: week", until: end)
        #expect(!told.fired("load").isEmpty)
        let known = try play("calendar: office", until: end)
        #expect(known.findings.isEmpty, "\(known.story)")
    }

    @Test func `a fault on a holiday is told against a Sunday`() throws {
        let scenario = try play("calendar: office", until: Self.start)
        // Wednesday 10:00, a holiday: all of a working day's load comes.
        scenario.behave([0, 1]) { _, noise in [.utilBusy: 0.8 + noise.normal(0.02)] }
        scenario.play(seconds: 3_600)
        let evidence = try #require(scenario.fired("load").first?.evidence.first)
        #expect(evidence.against.contains("of a holiday, as of a Sunday"), "\(evidence)")
        #expect(evidence.against.contains("usual 0.39"), "\(evidence)")
    }

    @Test(arguments: [
        "calendar: office", "time_zone: Europe/Berlin", "time_zone: America/New_York",
    ])
    func `what goes by a clock is taken`(_ line: String) throws {
        let book = try Scenario.book(Self.text(line), zones: Self.zones)
        #expect(book.calendars["office"]?.zone.name == "UTC")
        let anomaly = Self.text(line).replacing(
            "detector: seasonal", with: "detector: anomaly"
        ).replacing("    z: 4\n    floor: 0.02\n", with: "")
        _ = try Scenario.book(anomaly, zones: Self.zones)
    }

    @Test(arguments: [
        "[2026-12-25]", "[12-25, 01-01, 02-29]", "[\"2026-12-24 to 2027-01-01\"]", "[]",
        "[\"2027-01-01 to 2028-01-01\"]",
    ])
    func `a list of holidays is taken`(_ holidays: String) throws {
        _ = try Scenario.book(
            Self.text("calendar: office", holidays: holidays), zones: Self.zones)
    }

    private func problems(_ text: String, zones: ZoneDatabase = zones) -> [String] {
        do {
            _ = try Scenario.book(text, zones: zones)
            return []
        } catch let refused as Scenario.Refused { return refused.problems } catch {
            return ["\(error)"]
        }
    }

    @Test(arguments: [
        (
            "calendar: ofice",
            "test.yaml:12:15: there is no calendar 'ofice'; did you mean 'office'?; "
                + "'calendars' in a rule file defines them"
        ),
        (
            "time_zone: Europe/Berln",
            "test.yaml:12:16: there is no time zone 'Europe/Berln'; did you mean 'Europe/Berlin'?"
        ),
        (
            "time_zone: new_york",
            "test.yaml:12:16: there is no time zone 'new_york'; did you mean 'America/New_York'?"
        ),
        (
            "time_zone: Mars/Olympus",
            "test.yaml:12:16: there is no time zone 'Mars/Olympus'; write it as Europe/Berlin"
        ),
        (
            "time_zone: UTC\n    calendar: office",
            "test.yaml:6:5: 'calendar' or 'time_zone', not both"
        ),
        ("utc_offset_hours: 1", "test.yaml:12:5: unknown key 'utc_offset_hours'"),
    ])
    func `a mistake of a rule is told with its place and a guess`(_ line: String, _ told: String) {
        let found = problems(Self.text(line))
        #expect(found.contains { $0.hasPrefix(told) }, "\(found)")
    }

    @Test(arguments: [
        "[2026-13-01]", "[2026-02-29]", "[02-30]", "[Christmas]", "[\"2026-01-02 to 2026-01-01\"]",
        "[\"2026-01-01 to 2027-01-02\"]", "[2026-12-24 until 2026-12-26]", "[{}]",
    ])
    func `a day that never comes is refused`(_ holidays: String) {
        let found = problems(Self.text("calendar: office", holidays: holidays))
        #expect(found.count == 1 && found[0].hasPrefix("test.yaml:4:"), "\(found)")
    }

    @Test func `a calendar that comes twice, or has no zone, is refused`() {
        let text = Self.text("calendar: office")
        let twice = problems(
            text.replacing("calendars:\n", with: "calendars:\n  office: {time_zone: UTC}\n"))
        #expect(twice.contains { $0.contains("'office' is already defined") }, "\(twice)")
        let none = problems(text.replacing("    time_zone: UTC\n", with: ""))
        #expect(none == ["test.yaml:3:5: 'time_zone' is missing"])
        let capital = problems(text.replacing("office", with: "Office"))
        #expect(capital.contains { $0.contains("a–z, 0–9 and hyphens only") }, "\(capital)")
        let empty = problems(text, zones: .empty)
        #expect(empty.contains { $0.contains("nor any other: install tzdata") }, "\(empty)")
    }

    @Test func `calendars may stand in a file of their own, before or after the rules`() throws {
        let parts = Self.text("calendar: office").components(separatedBy: "rules:\n")
        let rules = "rules:\n" + parts[1]
        for files in [[("a", parts[0]), ("b", rules)], [("a", rules), ("b", parts[0])]] {
            let problems = Problems()
            let book = RuleBook.load(files: files, zones: Self.zones, problems: problems)
            #expect(book != nil, "\(problems.sorted)")
        }
    }

    @Test func `another holiday leaves what was learned, another zone does not`() throws {
        func hash(_ text: String) throws -> UInt64 {
            try #require(try Scenario.book(text, zones: Self.zones)["load"]).hash
        }
        let before = try hash(Self.text("calendar: office"))
        #expect(before == (try hash(Self.text("calendar: office", holidays: "[12-24]"))))
        let moved = Self.text("calendar: office").replacing("UTC", with: "Europe/Berlin")
        #expect(before != (try hash(moved)))
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
