import Fleet
import TestSupport
import Testing

@testable import Detection
@testable import Rules
@testable import Telemetry

@Suite("Who misses nothing") struct CompleteTests {
    /// Devices that send some of their metrics for a while, and a second group late and of old times.
    @Test(arguments: UInt64(1)...8)
    func `a device that is not looked at again misses nothing, by all that it ever sent`(
        _ seed: UInt64
    ) throws {
        var random = SeededGenerator(seed: seed)
        let book = try Scenario.book(
            """
            - {id: missing, scope: device, severity: low, runbook: x, detector: completeness,
               below: 0.9, window: 5m}
            """)
        var vocabulary = Vocabulary()
        var engine = RuleEngine(book: book, vocabulary: &vocabulary)
        var detection = Detection(vocabulary: vocabulary)
        detection.serve(engine.needs)
        var directory = Directory()
        let partition = Partition(topic: "t", number: 0)
        let leaf = engine.program.leaves[0]
        var now: Int64 = 1_763_700_000_000
        let devices = 12
        for device in 0..<devices {
            _ = directory.register(
                "nvidia/d\(device)", labels: Labels(), origin: partition,
                at: Instant(milliseconds: now))
        }
        var sent = [UInt16](repeating: 0xff, count: devices)
        var (complete, missing, full) = (0, 0, 0)
        for _ in 0..<800 {
            now += 20_000
            // A jump over a day, after which all that did not come is gone.
            if random.below(300) == 0 { now += 90_000_000 }
            var batch = SampleBatch()
            batch.partitions = [partition]
            for device in 0..<devices where random.below(8) > 0 {
                if random.below(80) == 0 { sent[device] = UInt16(random.below(0x100)) }
                if random.below(40) == 0 { sent[device] = 0xff }
                // Each group of its own time; the third comes seldom, and was measured long ago.
                for (group, behind) in [0, 0, random.below(1_200_000)].enumerated()
                where group == 0 || random.below(group == 1 ? 20 : 60) == 0 {
                    var lanes = SIMD16<Float>(repeating: .nan)
                    for lane in 0..<16 where sent[device] & 1 << UInt16(lane) != 0 {
                        lanes[lane] = 1
                    }
                    batch.rows.append(
                        SampleBatch.Row(
                            device: DeviceIndex(UInt32(device)), group: UInt16(group),
                            partition: 0, time: Instant(milliseconds: now - Int64(behind)),
                            offset: 0, points: 1))
                    batch.lanes.append(lanes)
                }
            }
            _ = engine.process(&batch, detection: &detection, directory: &directory)
            for device in 0..<devices {
                let found = detection.completeness(of: device, window: leaf.window)
                if !found.missing.isEmpty { missing += 1 } else { full += 1 }
                guard engine.isComplete(leaf, device, detection) else { continue }
                complete += 1
                #expect(found.missing.isEmpty, "seed \(seed), device \(device) at \(now)")
            }
        }
        #expect(missing > 1_000 && complete > 500, "\(complete) of \(full), \(missing)")
    }
}
