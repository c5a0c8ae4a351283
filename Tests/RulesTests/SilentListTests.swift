import Fleet
import TestSupport
import Testing

@testable import Detection
@testable import Rules
@testable import Telemetry

@Suite("Who is silent") struct SilentListTests {
    /// Devices of partitions that are apart in time, some of which begin long after others.
    @Test(arguments: UInt64(1)...12)
    func `those that are listed are those that were last heard of too long ago`(
        _ seed: UInt64
    )
        throws
    {
        var random = SeededGenerator(seed: seed)
        var vocabulary = Vocabulary()
        var engine = RuleEngine(book: try Scenario.shipped(), vocabulary: &vocabulary)
        var detection = Detection(vocabulary: vocabulary)
        var directory = Directory()
        let partitions = (0..<3).map { Partition(topic: "t", number: Int32($0)) }
        var now: Int64 = 1_763_700_000_000
        var known = 0
        var listed = 0
        for step in 0..<400 {
            now += 5_000
            var batch = SampleBatch()
            batch.partitions = partitions
            if known < 40, random.below(4) == 0 {
                let partition = partitions[known % 3]
                _ = directory.register(
                    "nvidia/d\(known)", labels: Labels([.host: "h\(known)"]), origin: partition,
                    at: Instant(milliseconds: now))
                known += 1
            }
            for device in 0..<known where random.below(device < 20 ? 3 : 30) == 0 {
                // The second partition is a minute behind, the third anywhere.
                let behind = [0, 60_000, Int64(random.below(200)) * 1_000][device % 3]
                batch.rows.append(
                    SampleBatch.Row(
                        device: DeviceIndex(UInt32(device)), group: 0,
                        partition: UInt16(device % 3), time: Instant(milliseconds: now - behind),
                        offset: 0, points: 1))
                batch.lanes.append(SIMD16(repeating: 0.5))
            }
            detection.apply(&batch, directory: &directory)
            engine.grow(detection)
            engine.listSilent(now, detection)
            let wait = engine.program.silenceMin
            let expected = detection.devices.indices.filter {
                let device = detection.devices[$0]
                guard device.lastSeen != .min else { return false }
                let clock = detection.clocks[Int(device.clock)].effective
                return clock != .min && min(now, clock) - device.lastSeen >= wait
            }
            // Whoever is silent by any account is listed.
            for device in detection.devices.indices where !expected.contains(device) {
                #expect(detection.age(of: device, at: now) < wait)
            }
            let silent = engine.agenda.silent.map { Int($0) }.sorted()
            #expect(silent == expected, "seed \(seed), step \(step)")
            listed += expected.count
        }
        #expect(listed > 100)
    }
}
