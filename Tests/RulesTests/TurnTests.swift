import Fleet
import Telemetry
import Testing

@testable import Rules

/// What waits for a minute is judged every fifteen seconds, all else that steps judge every five.
@Suite("Turns") struct TurnTests {
    private static let rules = """
        - {id: quick, scope: job, agg: median, metric: temp.core, above: 80, for: 55s, severity: low,
           runbook: x}
        - {id: patient, scope: job, agg: median, metric: temp.core, above: 80, for: 1m, severity: low,
           runbook: x}
        - {id: own-hold, scope: job, any_members: {min: 8}, for: 1m,
           all: [{metric: temp.core, above: 80}], severity: low, runbook: x}
        - {id: phases, scope: job, agg: median, metric: temp.core, detector: duration, above: 80,
           longer_than: 1m, severity: low, runbook: x}
        - {id: explains, scope: job, agg: max, metric: temp.mem, above: 90, for: 1m,
           inhibits: [quick-*], severity: low, runbook: x}
        - {id: quick-too, scope: job, agg: max, metric: temp.mem, above: 95, for: 10s, severity: low,
           runbook: x}
        - {id: explains-patient, scope: job, agg: max, metric: temp.mem, above: 90, for: 1m,
           inhibits: [patient], severity: low, runbook: x}
        """

    @Test func `a rule waits for turns where it waits anyway and explains nothing quicker`() throws
    {
        let scenario = Scenario(book: try Scenario.book(TurnTests.rules))
        let patient = scenario.engine.program.rules.filter(\.isPatient)
            .map { scenario.engine.book.rules[$0.rule].id }
        #expect(Set(patient) == ["patient", "own-hold", "phases", "explains-patient"])
    }

    /// Heat begins at each of the steps between two turns.
    @Test(arguments: [0, 5, 10])
    func `a turn delays what is said by less than itself`(_ offset: Int) throws {
        let scenario = Scenario(book: try Scenario.book(TurnTests.rules))
        scenario.period = 5
        let devices = scenario.host("h1", job: "a")
        scenario.play(seconds: 600 + offset)
        scenario.behave(devices, Shape.training(with: [.tempCore: 85]))
        scenario.play(minutes: 5)
        var since: [String: Int] = [:]
        for finding in scenario.findings where finding.edge == .fired {
            since[finding.key.rule] = Int(
                (finding.since - scenario.instant(0)).milliseconds / 1_000)
        }
        let quick = try #require(since["quick"])
        #expect((600 + offset...605 + offset).contains(quick))
        for rule in ["patient", "own-hold"] {
            let turn = try #require(since[rule])
            #expect(turn % 15 == 0 && (quick..<quick + 15).contains(turn), "\(rule): \(turn)")
        }
    }
}
