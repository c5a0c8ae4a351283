import Detection
import Fleet
import RollingStatistics
import Rules
import Simulation
import Telemetry

/// All that the shipped rules need of one tick, against the lane kernel alone on the same ticks.
///
/// A tick is one row: one device's group of 16 metrics. Ours is `RuleEngine.process` over batches
/// that are decoded already: what is late, rates of counters, gates, the kernel, z, the rules' feeds
/// and marks, their evaluation, and every five seconds of event time the steps in which silence,
/// peers and groups are judged.
enum DetectorsBench {
    static func run(_ settings: Settings) throws(BenchError) -> [Row] {
        let book = try EndToEnd.rules(settings.rules)
        let subject = try DetectorSubject(book)
        let rates = try interleave(
            [subject.side, subject.bareKernel], repetitions: settings.repetitions)
        print(
            "\ndetectors-l2: \(DetectorSubject.devices) devices, \(subject.blocks) blocks of 16 "
                + "series, \(book.rules.count) rules, \(subject.findings) findings")
        print("  target 60 ns a tick, all included")
        print("  memory, bytes a series")
        for (what, bytes) in subject.memory {
            print("    \(what.padded(52)) \(fixed(bytes).padded(9, left: true))")
        }
        return [
            Row(
                name: "detectors-l2", unit: "ticks/s", ours: rates[0], denominator: rates[1],
                item: "16-lane tick")
        ]
    }
}

/// A quiet fleet, its messages decoded a chunk at a time, and both sides' state.
private final class DetectorSubject {
    static let devices = 256
    /// Messages of a poll, and the samples of each device in a chunk.
    private static let pollMax = 1_000
    private static let samples = 32

    private var simulator: FleetSimulator
    private var until: Instant
    private var messages = MessageBatch()
    private var decoder = MessageDecoder(format: .native, settings: DecoderSettings())
    private var vocabulary = Vocabulary()
    private var directory = Directory(devicesMax: 10_000)
    private var rules: RuleEngine
    private var detection: Detection
    private var batches: [SampleBatch] = []
    private(set) var findings = 0

    private var lanes = LaneBlocks(capacity: DetectorSubject.devices)
    private let parameters = LaneParameters()
    private var places: [Int: UInt32] = [:]
    private var columns: [Columns] = []
    private var flags: [TickFlags] = []

    private struct Columns {
        var blocks: [UInt32] = []
        var times: [Int32] = []
        var values: [SIMD16<Float>] = []
    }

    init(_ book: RuleBook) throws(BenchError) {
        do {
            simulator = try FleetSimulator.quiet(devices: DetectorSubject.devices)
        } catch {
            throw BenchError("\(error)")
        }
        until = simulator.plan.start
        rules = RuleEngine(book: book, vocabulary: &vocabulary)
        detection = Detection(vocabulary: vocabulary)
        detection.serve(rules.needs)
        // Past the warm-up of every gate, so that rules are judged as on any other day.
        for _ in 0..<4 {
            try prepare()
            _ = judge()
        }
        guard directory.count == DetectorSubject.devices else {
            throw BenchError("\(directory.count) devices were decoded")
        }
    }

    var side: Side {
        Side(name: "Tocsin, every detector and rule", prepare: prepare) {
            () throws(BenchError) in
            self.judge()
        }
    }

    /// On the ticks of ours, which went before.
    var bareKernel: Side {
        Side(name: "lane kernel alone") { () throws(BenchError) in self.update() }
    }

    var blocks: Int { places.count }

    /// Bytes a series, of what there is one of for each.
    var memory: [(String, Double)] {
        let series = Double(places.count * 16)
        // What a segment holds, each hour of it visited.
        let devices = SeasonalLanes.blocksPerSegment * 16
        var profiles = SeasonalLanes(
            DetectorSubject.halfWeek, blocksMax: SeasonalLanes.blocksPerSegment)
        while let block = profiles.take(floor: 1) {
            for bin in 0..<49 {
                for lane in 0..<16 {
                    profiles.learn(1, block, lane, at: Int64(bin) * 3_600_000)
                }
            }
        }
        var seasons = DeviceSeasons()
        let ask = DeviceSeasons.Ask(every: 3_600_000, floor: 1)
        for device in 0..<devices {
            for bin in 0..<49 {
                _ = seasons.feed(
                    1, leaf: 0, device: device, at: Int64(bin) * 3_600_000, learns: true, ask,
                    .universal)
            }
        }
        return [
            (
                "EWMA, slow baseline, z, CUSUM: the hot block",
                Double(LaneBlocks.bytesPerBlock) / 16
            ),
            ("detection, all of it", Double(detection.bytes()) / series),
            ("rules, all of it", Double(rules.bytes) / series),
            (
                "seasonal profile of 48 bins, where asked for",
                Double(profiles.bytes) / Double(devices)
            ),
            (
                "season of a device, the profile and its means",
                Double(seasons.bytes) / Double(devices)
            ),
        ]
    }

    private static var halfWeek: SeasonalProfile.Settings {
        var settings = SeasonalProfile.Settings()
        settings.bins = 48
        return settings
    }

    private func prepare() throws(BenchError) {
        until = until + .seconds(Int64(10 * DetectorSubject.samples))
        batches.removeAll(keepingCapacity: true)
        columns.removeAll(keepingCapacity: true)
        var more = true
        while more {
            messages.removeAll()
            more = simulator.next(
                upTo: until, messagesMax: DetectorSubject.pollMax, into: &messages)
            guard !messages.messages.isEmpty else { continue }
            try decode()
        }
    }

    private func decode() throws(BenchError) {
        var batch = SampleBatch()
        batch.partitions = [Partition(topic: PreloadedTopic.name, number: 0)]
        let bytes = messages.bytes
        for (offset, message) in messages.messages.enumerated() {
            let origin = MessageOrigin(
                partition: 0, offset: Int64(offset), recordTime: message.deliveryTime)
            do throws(Undecodable) {
                try decoder.decode(
                    bytes.span.extracting(message.payload), from: origin,
                    now: message.deliveryTime, into: &batch, directory: &directory,
                    vocabulary: &vocabulary)
            } catch {
                throw BenchError("the decoder refused a message: \(error)")
            }
        }
        var column = Columns()
        for (row, lane) in zip(batch.rows, batch.lanes) {
            let place = Int(row.device.value) * Vocabulary.groupsMax + Int(row.group)
            let block = places[place] ?? UInt32(places.count)
            places[place] = block
            column.blocks.append(block)
            column.times.append(Int32(truncatingIfNeeded: row.time.milliseconds))
            column.values.append(lane)
        }
        while flags.count < column.blocks.count { flags.append(TickFlags()) }
        lanes.grow(to: places.count)
        batches.append(batch)
        columns.append(column)
    }

    private func judge() -> Double {
        var ticks = 0
        for index in batches.indices {
            findings +=
                rules.process(
                    &batches[index], detection: &detection, directory: &directory
                ).count
            findings +=
                rules.advance(
                    watermarks: [], detection: &detection, directory: &directory
                ).count
            ticks += batches[index].rows.count
        }
        return Double(ticks)
    }

    private func update() -> Double {
        var ticks = 0
        for index in columns.indices {
            let column = columns[index]
            var raised = flags.mutableSpan
            lanes.update(
                blocks: column.blocks.span, times: column.times.span, values: column.values.span,
                parameters: parameters, flags: &raised)
            ticks += column.blocks.count
        }
        return Double(ticks)
    }
}
