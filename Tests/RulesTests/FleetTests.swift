import Detection
import Fleet
import Foundation
import Simulation
import TestSupport
import Testing

@testable import Rules
@testable import Telemetry

/// How many seeds are played; more of them with `TOCSIN_SEEDS=20`.
private let seeds = ProcessInfo.processInfo.environment["TOCSIN_SEEDS"].flatMap { UInt64($0) } ?? 3

/// The simulated fleet of the demonstration, decoded and judged in event time.
///
/// Five things go wrong in fifty minutes, on a background of checkpoints, evaluations, lost, late
/// and doubled messages and a service with a day of its own. Everything is a function of the seed.
@Suite("The simulated fleet", .serialized) struct FleetTests {
    /// What was said of one run, and how far the stream has come.
    private struct Run: ~Copyable {
        var vocabulary = Vocabulary()
        var directory = Directory()
        var engine: RuleEngine
        var detection: Detection
        var decoder: MessageDecoder
        var batch = SampleBatch()
        var offset: Int64 = 0
        var findings: [Finding] = []
        let partitions: Int

        init(_ book: RuleBook, partitions: Int = 1) {
            self.partitions = partitions
            engine = RuleEngine(book: book, vocabulary: &vocabulary)
            detection = Detection(vocabulary: vocabulary)
            detection.serve(engine.needs)
            decoder = MessageDecoder(format: .native, settings: DecoderSettings())
        }

        mutating func play(_ simulator: inout FleetSimulator, upTo limit: Instant) throws {
            var messages = MessageBatch()
            var more = true
            while more {
                messages.removeAll()
                more = simulator.next(upTo: limit, messagesMax: 512, into: &messages)
                try read(messages, messages.messages.indices)
            }
        }

        /// All of it at once from eight partitions, of each as much at a time as a fetch brings.
        mutating func playBacklog(
            _ simulator: inout FleetSimulator, upTo limit: Instant, seed: UInt64
        ) throws {
            var messages = MessageBatch()
            while simulator.next(upTo: limit, messagesMax: .max, into: &messages) {}
            var queues = [[Int]](repeating: [], count: 8)
            for (index, message) in messages.messages.enumerated() {
                queues[partition(of: messages, message)].append(index)
            }
            var read = [Int](repeating: 0, count: queues.count)
            var random = SeededGenerator(seed: seed)
            // The one that is furthest behind is next, and then up to two minutes ahead.
            while let next = queues.indices.max(by: {
                queues[$0].count - read[$0] < queues[$1].count - read[$1]
            }), read[next] < queues[next].count {
                let end = min(
                    read[next] + Int.random(in: 5...100, using: &random), queues[next].count)
                try self.read(messages, queues[next][read[next]..<end])
                read[next] = end
            }
        }

        private func partition(of batch: MessageBatch, _ message: SimulatedMessage) -> Int {
            Int(batch.bytes[message.key].reduce(0) { ($0 &* 31 &+ UInt32($1)) } % 8)
        }

        private mutating func read(
            _ messages: MessageBatch, _ indices: some Sequence<Int>
        ) throws {
            batch.removeAll()
            batch.partitions = (0..<8).map { Partition(topic: "accel", number: $0) }
            for index in indices {
                let message = messages.messages[index]
                let payload = Array(messages.bytes[message.payload])
                offset += 1
                try decoder.decode(
                    payload.span,
                    from: MessageOrigin(
                        partition: UInt16(partitions == 1 ? 0 : partition(of: messages, message)),
                        offset: offset, recordTime: message.deliveryTime),
                    now: message.deliveryTime, into: &batch, directory: &directory,
                    vocabulary: &vocabulary)
            }
            findings += engine.process(&batch, detection: &detection, directory: &directory)
        }
    }

    /// Seconds from when a fault can be known to when one of its rules must have fired.
    ///
    /// Reference, rules and simulator 5.5; the thermal ramp may be forecast before its top.
    private static let within = [
        "off_bus": 75, "hw_thermal": 90, "straggler": 1_200, "hang": 240, "idle_allocated": 2_100,
        "host_down": 120,
    ]

    @Test(arguments: 1...seeds)
    func `each fault is told in time by its rule, and nothing else wakes anyone`(
        _ seed: UInt64
    ) throws {
        try play(seed, isBacklog: false)
    }

    @Test(arguments: 1...max(1, seeds / 3))
    func `a past that was read from partitions far apart in time changes nothing of it`(
        _ seed: UInt64
    ) throws {
        try play(seed, isBacklog: true)
    }

    /// Where `isBacklog`, the past is read at once, and its partitions apart in time.
    private func play(_ seed: UInt64, isBacklog: Bool) throws {
        // Two hours of past are enough for each reference to speak.
        let history = Duration.seconds(7_200)
        // Noon, evening, and night in UTC: the service is another one at each.
        let live = Instant(milliseconds: 1_795_262_400_000 + Int64(seed - 1) * 6 * 3_600_000)
        let scenario = DemoScenario(seed: seed, liveStart: live, losesHost: true)
        var plan = scenario.plan
        // Every other card falls off the bus without a word.
        if seed % 2 == 0 {
            for index in plan.faults.indices where plan.faults[index].kind.catalogue.number == "F01"
            { plan.faults[index].kind = .offBus(announced: false) }
        }
        var simulator = try FleetSimulator(plan)
        simulator.jump(to: live - history)
        var run = Run(try Scenario.shipped(), partitions: isBacklog ? 8 : 1)
        if isBacklog { try run.playBacklog(&simulator, upTo: live, seed: seed) }
        try run.play(&simulator, upTo: scenario.liveEnd)
        let topology = simulator.topology
        let labels = simulator.labels
        for label in labels {
            let found = run.findings.first {
                $0.edge == .fired && label.expected.contains($0.key.rule)
                    && topology.isRelated($0.key.subject, label.entity)
            }
            let finding = try #require(found, "seed \(seed): \(label.id) was missed")
            let delay = Int((finding.at - label.detectable).milliseconds / 1_000)
            print("seed \(seed): \(label.name) by \(finding.key.rule) after \(delay) s")
            #expect(delay <= FleetTests.within[label.name] ?? 0, "seed \(seed): \(label.id)")
            if label.name == "off_bus" {
                #expect(finding.devices == label.members && (seed % 2 == 0 || delay <= 10))
            }
            #expect(!finding.summary.contains("?") && !finding.runbook.contains("?"))
            #expect(finding.evidence.allSatisfy { $0.text.count <= 60 }, "\(finding.evidence)")
        }
        let strangers = run.findings.filter { finding in
            finding.edge == .fired && finding.severity.isPage
                && !labels.contains { label in
                    label.accepts(finding.key.rule)
                        && topology.isRelated(finding.key.subject, label.entity)
                        && finding.since >= label.start - .seconds(10)
                        && finding.since <= label.end + .seconds(300)
                }
        }
        #expect(strangers.isEmpty, "\(strangers.map { "\($0.key) at \($0.at): \($0.summary)" })")
    }
}
