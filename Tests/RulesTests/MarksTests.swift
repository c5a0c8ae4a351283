import Fleet
import Telemetry
import TestSupport
import Testing

@testable import Rules

/// Marks say where a rule need not be evaluated: with them and without, the same is said.
@Suite struct MarksTests {
    @Test(arguments: UInt64(1)...4)
    func `what is said does not depend on what was left out`(_ seed: UInt64) throws {
        try compare(Scenario.shipped(), seed)
    }

    @Test(arguments: UInt64(1)...4)
    func `nor where rules ask in ways that no shipped rule does`(_ seed: UInt64) throws {
        try compare(Scenario.book(MarksTests.unusual), seed)
    }

    private func compare(_ book: RuleBook, _ seed: UInt64) throws {
        let quick = life(of: Scenario(book: book), seed)
        let slow = Scenario(book: book)
        slow.engine.program.judgeAlways()
        _ = life(of: slow, seed)
        #expect(quick.story == slow.story)
        #expect(quick.shadow.map(quick.line) == slow.shadow.map(slow.line))
        // A life in which nothing happened would prove nothing.
        #expect(Set(quick.findings.map(\.key.rule)).count >= 8, "\(quick.story)")
    }

    @Test func `a limit of which nothing is known is none that cannot hold`() throws {
        let scenario = Scenario(
            book: try Scenario.book(
                """
                - {id: a, metric: temp.core, above: 90, severity: high, runbook: x}
                - {id: b, metric: temp.core, below: 10, severity: high, runbook: x}
                """))
        let devices = scenario.host("h", devices: 2) { _, _ in [.tempCore: 50] }
        scenario.play(minutes: 15)
        #expect(scenario.story == [])
        scenario.behave([devices[0]]) { _, _ in [.tempCore: .infinity] }
        scenario.behave([devices[1]]) { _, _ in [.tempCore: -.infinity] }
        scenario.play(seconds: 10)
        #expect(Set(scenario.findings.map(\.key.rule)) == ["a", "b"])
    }

    private static let unusual = """
        - {id: own-pause, metric: util.busy, detector: duration, below: 0.3, longer_than: 5m,
           times_usual: 2, severity: low, runbook: x}
        - {id: job-p90, scope: job, agg: p90, metric: util.busy, below: 0.5, for: 2m, severity: low,
           runbook: x}
        - id: job-either
          scope: [job, service]
          any:
            - {agg: median, metric: util.tensor, below: 0.1}
            - {agg: max, metric: temp.core, above: 90}
          severity: low
          runbook: x
        - id: job-both
          scope: job
          all:
            - {agg: min, metric: util.busy, below: 0.5}
            - {agg: p10, metric: power.draw, below: 300}
            - {any_members: {max: 2}, metric: temp.core, above: 70}
          for: 1m
          clear_for: 1m
          severity: low
          runbook: x
        - {id: drift, metric: temp.core, detector: cusum, every: 1m, reference: {frozen: 20m, min: 10m},
           direction: both, deadband: 1, budget: 4, severity: low, runbook: x}
        - id: offset
          gate: [running]
          any:
            - {metric: clock.core, detector: peer, cohort: [job, host], offset: frozen, z: -5, floor: 15}
            - {metric: temp.core, detector: peer, cohort: [host], above: 1.2}
          for: 1m
          severity: low
          runbook: x
        - id: job-offset
          scope: job
          any_members: {min: 1, max: 3}
          for: 2m
          all: [{metric: power.draw, detector: peer, offset: frozen, z: -4, floor: 20}]
          severity: low
          runbook: x
        - id: contrary
          all:
            - {metric: util.busy, above: 0.5}
            - not: {metric: power.draw, above: 150}
          severity: low
          runbook: x
        - {id: still, metric: temp.core, detector: flatline, window: 5m, severity: low, runbook: x}
        - {id: hot-hosts, scope: host, any_members: {min: 2}, metric: temp.core, above: 80,
           severity: low, runbook: x}
        - {id: counted, metric: ecc.corrected, detector: delta, at_least: 3, window: 10m, severity: low,
           runbook: x}
        - {id: repeated, detector: count, at_least: 2, window: 30m, clear_for: 5m, severity: low,
           runbook: x}
        - {id: filling, metric: mem.used, detector: forecast, limit: 8e10, within: 2h, window: 20m,
           slope_per_minute: 1e6, fit: 0.6, severity: low, runbook: x}
        """

    /// Three hours in which every device is now this, now that.
    private func life(of scenario: Scenario, _ seed: UInt64) -> Scenario {
        var random = SeededGenerator(seed: seed)
        for host in 0..<3 {
            scenario.host(
                "h\(host)", devices: 6, job: host < 2 ? "train" : "",
                service: host == 2 ? "chat" : "", rack: "r\(host % 2)")
        }
        for _ in 0..<45 {
            for device in 0..<18 where random.chance(0.15) {
                scenario.behave([device], behaviour(&random))
            }
            if random.chance(0.3) {
                scenario.fault(random.below(18), [13, 31, 79][random.below(3)])
            }
            if random.chance(0.3) {
                let counter: Metric = random.chance(0.5) ? .eccUncorrected : .eccCorrected
                scenario.count(random.below(18), counter, Double(random.below(6)))
            }
            if random.chance(0.1) {
                scenario.assign([random.below(18)], job: ["train", "other"][random.below(2)])
            }
            scenario.play(minutes: 4)
        }
        return scenario
    }

    private func behaviour(_ random: inout SeededGenerator) -> Scenario.Behaviour {
        switch random.below(8) {
        case 0: return Shape.training
        case 1: return Shape.checkpointing
        case 2: return Shape.idle
        case 3: return Shape.hung
        case 4: return { _, _ in nil }
        case 5:
            let missing: [Metric] = [.powerDraw, .utilTensor, .clockCore, .throttleReasons]
            let metric = missing[random.below(missing.count)]
            return { second, noise in
                var shown = Shape.training(second, &noise)
                shown?[metric] = nil
                return shown
            }
        default:
            let odd: [(Metric, [Float])] = [
                (.throttleReasons, [0x8, 0x20, 0x40, 0x48, 0x80, 0x88]), (.tempCore, [70, 76, 95]),
                (.tempMem, [92, 95, 96]), (.clockCore, [500, 1_500, 1_700]),
                (.linkHealth, [0.5, 1]), (.linkBytes, [1e9]), (.pcieGenRatio, [0.8]),
                (.remapPending, [1]), (.remapFailed, [1]), (.utilBusy, [0.02, 0.2, 1]),
                (.powerDraw, [80, 640.5]), (.memUsed, [7.9e10]), (.hostDevicesVisible, [5, 7]),
            ]
            var changes: [Metric: Float] = [:]
            for _ in 0...random.below(3) {
                let (metric, values) = odd[random.below(odd.count)]
                changes[metric] = values[random.below(values.count)]
            }
            return Shape.training(with: changes)
        }
    }
}

extension Program {
    /// As if no mark were known.
    fileprivate mutating func judgeAlways() {
        for index in rejects.indices {
            rejects[index].isAlways = true
        }
        for index in memberRejects.indices { memberRejects[index].isAlways = true }
        self.index()
    }
}
