import Detection
import Fleet
import Foundation
import Testing

@testable import Rules
@testable import Telemetry

/// Run in a release build with `TOCSIN_MEASURE=1`; elsewhere it only shows that a fleet fits.
@Suite("Cost", .serialized) struct CostTests {
    @Test func `state per device is bounded and said`() throws {
        let scenario = Scenario(book: try Scenario.shipped())
        for host in 0..<4 { scenario.host("h\(host)", job: "j") }
        scenario.play(minutes: 2)
        let devices = scenario.detection.devices.count
        let detection = scenario.detection.bytes() / devices
        let rules = scenario.engine.bytes / devices
        #expect(detection + rules < 6_144, "\(detection) B in detection, \(rules) B in rules")
    }

    @Test(.enabled(if: measures), arguments: [5_000, 86_400_000])
    func `a device tick costs little`(_ step: Int64) throws {
        var vocabulary = Vocabulary()
        var directory = Directory()
        var engine = RuleEngine(book: try Scenario.shipped(), vocabulary: &vocabulary)
        var settings = DetectionSettings()
        settings.stepMilliseconds = step
        var detection = Detection(vocabulary: vocabulary, settings: settings)
        let partition = Partition(topic: "accel", number: 0)
        let devices = 8_192
        for device in 0..<devices {
            let labels = Labels([
                .host: "h\(device / 8)", .slot: "\(device % 8)", .rack: "r\(device / 64)",
                .job: "j\(device / 256)", .model: "H100",
            ])
            _ = directory.register(
                "nvidia/\(device)", labels: labels, origin: partition,
                at: Instant(milliseconds: Scenario.start))
        }
        var noise = Noise(seed: 1)
        var shapes: [[SIMD16<Float>]] = []
        for _ in 0..<64 {
            let shown = Shape.training(0, &noise) ?? [:]
            shapes.append(
                (0..<3).map { group in
                    var lanes = SIMD16<Float>(repeating: .nan)
                    for (metric, value) in shown where metric.group == group {
                        lanes[metric.lane] = value
                    }
                    return lanes
                })
        }
        var batch = SampleBatch()
        for groups in [1, 3] {
            var spent = 0
            var rows = 0
            var said = 0
            for tick in 0..<60 {
                for first in stride(from: 0, to: devices, by: 1_024) {
                    batch.removeAll()
                    batch.partitions = [partition]
                    for device in first..<first + 1_024 {
                        let time = Int64(groups * 10_000_000 + tick * 10_000 + device % 10_000)
                        for group in 0..<groups {
                            batch.rows.append(
                                SampleBatch.Row(
                                    device: DeviceIndex(UInt32(device)), group: UInt16(group),
                                    partition: 0,
                                    time: Instant(milliseconds: Scenario.start + time),
                                    offset: Int64(device), points: 16))
                            batch.lanes.append(shapes[(device + tick) % 64][group])
                        }
                    }
                    let start = clock()
                    said +=
                        engine.process(
                            &batch, detection: &detection, directory: &directory
                        ).count
                    if tick >= 10 {
                        spent += clock() - start
                        rows += batch.rows.count
                    }
                }
            }
            let each = Double(spent) * 1_000 / Double(rows)
            print("steps of \(step) ms, \(groups) groups: \(Int(each)) ns a row, said \(said)")
            print(
                "\(detection.bytes() / devices) B in detection, \(engine.bytes / devices) B in rules"
            )
        }
    }
}

private let measures: Bool = {
    Environment.has("TOCSIN_MEASURE")
}()

private enum Environment {
    static func has(_ name: String) -> Bool {
        ProcessInfo.processInfo.environment[name] != nil
    }
}
