import Fleet
import Telemetry
import TestSupport
import Testing

@testable import Rules

/// Marks say where a rule need not be evaluated: with them and without, the same is said.
@Suite struct MarksTests {
    @Test(arguments: UInt64(1)...4)
    func `what is said does not depend on what was left out`(_ seed: UInt64) throws {
        let book = try Scenario.shipped()
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
            rejects[index].isExhaustive = true
            rejects[index].silence = 0
        }
    }
}
