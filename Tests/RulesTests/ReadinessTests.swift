import Fleet
import TestSupport
import Testing

@testable import Detection
@testable import Rules
@testable import Telemetry

/// What devices are ready for is counted as it changes; this holds the counts against all devices.
@Suite("Who is ready for what") struct ReadinessTests {
    @Test(arguments: UInt64(1)...6)
    func `the counts are those of all devices, whatever they do and wherever they stand`(
        _ seed: UInt64
    ) throws {
        var random = SeededGenerator(seed: seed)
        let scenario = Scenario(book: try Scenario.shipped())
        var devices: [Int] = []
        var (ready, entries) = (0, 0)
        for round in 0..<60 {
            if devices.count < 80, random.below(3) == 0 {
                devices += scenario.host(
                    "h\(devices.count)", devices: 1 + random.below(8),
                    job: "j\(random.below(3))", service: random.below(2) == 0 ? "s" : "")
            }
            for _ in 0..<min(3, devices.count) {
                change(devices[random.below(devices.count)], of: scenario, &random)
            }
            scenario.play(seconds: 5 * (1 + random.below(12)))
            let found = compare(scenario, "seed \(seed), round \(round)")
            ready += found.ready
            entries += found.entries
        }
        #expect(ready > 100 && entries > 100, "seed \(seed): \(ready) ready, \(entries) entries")
    }

    private func change(_ device: Int, of scenario: Scenario, _ random: inout SeededGenerator) {
        switch random.below(8) {
        case 0: scenario.behave([device], Shape.idle)
        case 1: scenario.behave([device], Shape.hung)
        case 2: scenario.behave([device], Shape.training(with: [.tempCore: 95]))
        case 3: scenario.behave([device], Shape.training(with: [.throttleReasons: 64]))
        case 4: scenario.silence([device])
        case 5: scenario.assign([device], job: random.below(3) == 0 ? "" : "j\(random.below(5))")
        case 6: scenario.rename([device], service: random.below(2) == 0 ? "" : "s")
        default: scenario.behave([device], Shape.training)
        }
    }

    /// All that devices are ready for, looked at one by one.
    private func compare(_ scenario: Scenario, _ place: String) -> (ready: Int, entries: Int) {
        scenario.engine.gatherReady(scenario.detection)
        let (program, words) = (scenario.engine.program, scenario.engine.program.words)
        var devices = [Int32](repeating: 0, count: program.rules.count)
        var members = scenario.engine.readiness.members.map {
            [Int32](repeating: 0, count: $0.count)
        }
        var entries: [[Int]] = []
        for device in 0..<scenario.engine.deviceCount {
            for rule in program.steps {
                let bit = UInt64(1) << UInt64(rule % 64)
                guard scenario.engine.ready[device * words + rule / 64] & bit != 0 else { continue }
                devices[rule] += 1
                guard let kind = program.rules[rule].group else {
                    entries.append([device, rule])
                    continue
                }
                let group = Int(scenario.detection.devices[device][kind])
                guard group >= 0 else { continue }
                let stride = scenario.engine.groupStates[kind.rawValue].stride
                members[kind.rawValue][group * stride + program.rules[rule].local] += 1
            }
        }
        var listed: [[Int]] = []
        for entry in scenario.engine.agenda.entries {
            for bit in 0..<64 where entry.rules & (1 << UInt64(bit)) != 0 {
                listed.append([Int(entry.device), Int(entry.word) * 64 + bit])
            }
        }
        entries.sort { ($0[0], $0[1]) < ($1[0], $1[1]) }
        #expect(scenario.engine.readiness.devices == devices, "\(place)")
        #expect(scenario.engine.readiness.members == members, "\(place)")
        #expect(listed == entries, "\(place)")
        return (Int(devices.reduce(0, +)), entries.count)
    }
}
