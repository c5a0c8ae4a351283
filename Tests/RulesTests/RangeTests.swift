import Fleet
import TestSupport
import Testing

@testable import Detection
@testable import Rules
@testable import Telemetry

/// What leaves keep of each value, whoever keeps it, is what all values together say.
@Suite("Ranges") struct RangeTests {
    @Test(arguments: UInt64(1)...8)
    func
        `the range of each slice is that of the values in it, and the series begins after the last hole`(
            _ seed: UInt64
        ) throws
    {
        var random = SeededGenerator(seed: seed)
        let book = try Scenario.book(
            """
            - {id: still, scope: device, severity: low, runbook: x, metric: power.draw,
               detector: steady, within: 0.05, window: 60s}
            - {id: odd, scope: device, severity: low, runbook: x, metric: temp.core,
               detector: zscore, z: 8}
            """)
        var vocabulary = Vocabulary()
        var engine = RuleEngine(book: book, vocabulary: &vocabulary)
        var detection = Detection(vocabulary: vocabulary)
        detection.serve(engine.needs)
        var directory = Directory()
        let found = engine.program.feeds.first { $0.kind == .steady }
        let feed = try #require(found)
        let power = Metric.powerDraw
        var now: Int64 = 1_763_700_000_000
        for device in 0..<3 {
            _ = directory.register(
                "nvidia/d\(device)", labels: Labels(), origin: Partition(topic: "t", number: 0),
                at: Instant(milliseconds: now))
        }
        var values = [[(time: Int64, value: Float)]](repeating: [], count: 3)
        for _ in 0..<300 {
            var batch = SampleBatch()
            batch.partitions = [Partition(topic: "t", number: 0)]
            for _ in 0..<1 + random.below(4) {
                // Slices are 8.6 s long, and eight of them a hole.
                now += [500, 4_000, 10_000, 30_000, 90_000][random.below(5)]
                let device = random.below(3)
                let value = Float(random.below(1_000))
                var lanes = SIMD16<Float>(repeating: .nan)
                if random.below(3) == 0 { lanes[Metric.tempCore.lane] = 50 }
                if random.below(8) > 0 {
                    lanes[power.lane] = value
                    values[device].append((now, value))
                }
                batch.rows.append(
                    SampleBatch.Row(
                        device: DeviceIndex(UInt32(device)), group: UInt16(power.group),
                        partition: 0, time: Instant(milliseconds: now), offset: 0, points: 1))
                batch.lanes.append(lanes)
            }
            _ = engine.process(&batch, detection: &detection, directory: &directory)
            for device in 0..<3 {
                guard let last = values[device].last else { continue }
                let newest = last.time / feed.every
                let pool = engine.devicePool
                let time = device * pool.timeStride + Int(feed.time)
                #expect(pool.times[time] == newest, "seed \(seed)")
                var began = values[device][0].time
                for (before, after) in zip(values[device], values[device].dropFirst())
                where after.time / feed.every - before.time / feed.every >= 8 {
                    began = after.time
                }
                #expect(pool.times[time + 1] == began, "seed \(seed)")
                for slice in newest - 7...newest {
                    let inside = values[device].filter { $0.time / feed.every == slice }
                    let place =
                        device * pool.numberStride + Int(feed.number) + 2 * Int(slice % 8)
                    let (least, most) = (pool.numbers[place], pool.numbers[place + 1])
                    #expect(least.isNaN ? inside.isEmpty : least == inside.map(\.value).min())
                    #expect(most.isNaN ? inside.isEmpty : most == inside.map(\.value).max())
                }
            }
        }
    }
}
