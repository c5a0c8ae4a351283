import Configuration
import Daemon
import Fleet
import Kafka
import Rules
import Simulation
import Telemetry

/// Messages per second through the whole pipeline, against a loop that only counts them.
///
/// Both sides read the same preloaded topic from its beginning to its end with the daemon's own
/// consumer. The whole is what the intake's thread does for each poll: decode, detect, judge by the
/// shipped rules. Writing to the ledger and paging happen on other threads and are not part of it.
enum EndToEnd {
    static func run(_ settings: Settings) throws(BenchError) -> [Row] {
        let book = try rules(settings.rules)
        let topic = try PreloadedTopic()
        print(
            "\nend-to-end: \(topic.messages) messages of \(topic.bytes / topic.messages) B, "
                + "\(PreloadedTopic.devices) devices, \(PreloadedTopic.partitions) partitions, "
                + "lz4, \(book.rules.count) rules")
        var whole: [Double] = []
        var bare: [Double] = []
        var passages = 0
        let repetitions = max(5, settings.repetitions / 3)
        // The first pair is not measured: it fills the broker's and the allocator's memory.
        for repetition in 0...repetitions {
            let (judged, findings) = try judge(topic, book)
            let counted = try count(topic)
            passages = findings
            guard repetition > 0 else { continue }
            whole.append(judged)
            bare.append(counted)
        }
        print("  \(passages) findings a passage")
        return [
            Row(
                name: "end-to-end", unit: "messages/s",
                ours: Rates(name: "Tocsin: consume, decode, detect, judge", rates: whole),
                denominator: Rates(name: "count-only consume loop", rates: bare))
        ]
    }

    private static func rules(_ folder: String) throws(BenchError) -> RuleBook {
        let problems = Problems()
        guard let read = RuleFolder.load(folder, destinations: nil, problems: problems) else {
            throw BenchError("the rules in \(folder) are not good:\n\(problems.report)")
        }
        return read.book
    }

    private static func count(_ topic: PreloadedTopic) throws(BenchError) -> Double {
        var passage = try Passage(topic)
        var bytes = 0
        while !passage.isOver {
            try passage.turn { _, payload in bytes &+= payload.count }
            _ = try passage.newPartitions()
        }
        guard bytes == topic.bytes else {
            throw BenchError("\(bytes) of \(topic.bytes) bytes came back from the broker")
        }
        return passage.close()
    }

    private static func judge(
        _ topic: PreloadedTopic, _ book: RuleBook
    ) throws(BenchError) -> (rate: Double, findings: Int) {
        var pipeline = Pipeline(
            book: book, formats: [PreloadedTopic.name: .native], decoding: DecoderSettings(),
            devicesMax: 1_000_000, roster: [], firing: [])
        var passage = try Passage(topic)
        var findings = 0
        var undecodable = 0
        var applied: UInt64 = 0
        let now = topic.end
        while !passage.isOver {
            pipeline.begin()
            try passage.turn { record, payload in
                do throws(Undecodable) {
                    try pipeline.read(
                        payload, partition: record.partition, offset: record.offset,
                        recordTime: now, now: now)
                } catch {
                    undecodable += 1
                }
            }
            if let known = try passage.newPartitions() {
                pipeline.know(known.map { Partition(topic: $0.topic, number: $0.number) })
            }
            let judged = pipeline.judge(caughtUp: [], upTo: nil)
            findings += judged.findings.count
            applied += judged.tally.applied
        }
        guard undecodable == 0, pipeline.directory.count == PreloadedTopic.devices,
            applied > UInt64(topic.messages)
        else {
            throw BenchError(
                "the pipeline saw \(pipeline.directory.count) devices and \(applied) values and "
                    + "refused \(undecodable) messages")
        }
        return (passage.close(), findings)
    }
}

/// One reading of the topic, from the first record that arrives to the last.
private struct Passage: ~Copyable {
    private var consumer: Consumer
    private let total: Int
    private var seen = 0
    private var started: Int64 = 0

    var isOver: Bool { seen >= total }

    init(_ topic: PreloadedTopic) throws(BenchError) {
        total = topic.messages
        do throws(KafkaError) {
            consumer = try Consumer.open(
                [
                    "bootstrap.servers": topic.bootstrap,
                    "group.id": "bench-\(monotonicNanoseconds())",
                ], topics: [PreloadedTopic.name], start: { _ in .earliest })
        } catch {
            throw BenchError(error.description)
        }
    }

    /// One poll; joining the group is not timed, so the clock starts with the first record.
    mutating func turn(
        _ body: (borrowing Record, Span<UInt8>) -> Void
    ) throws(BenchError) {
        var first = started
        do throws(KafkaError) {
            seen += try consumer.poll(milliseconds: 100) { record, _, payload in
                if first == 0 { first = monotonicNanoseconds() }
                if let payload { body(record, payload) }
            }
        } catch {
            throw BenchError(error.description)
        }
        started = first
    }

    /// The partitions that are ours, where that changed in the last turn.
    mutating func newPartitions() throws(BenchError) -> [TopicPartition]? {
        var isNew = false
        while let event = consumer.nextEvent() {
            switch event {
            case .assigned: isNew = true
            case .caughtUp: continue
            default: throw BenchError("the broker disturbed the run: \(event)")
            }
        }
        return isNew ? consumer.partitions : nil
    }

    /// Messages per second up to now.
    consuming func close() -> Double {
        let elapsed = monotonicNanoseconds() - started
        _ = consumer.close(milliseconds: 2_000)
        return Double(total) * 1e9 / Double(max(elapsed, 1))
    }
}

/// A topic of the mock cluster, filled once with what a quiet fleet says in forty minutes.
private struct PreloadedTopic {
    static let name = "accel.telemetry.v1"
    static let devices = 4_096
    /// The mock keeps 5 MiB of each partition: room for 32 devices' 256 ticks in every one.
    static let partitions = 128
    private static let ticks = 256

    private(set) var messages = 0
    private(set) var bytes = 0
    private(set) var end = Instant(milliseconds: 0)
    let bootstrap: String
    private let broker: ChildProcess

    init() throws(BenchError) {
        do {
            broker = try ChildProcess(
                "tocsin-mockbroker", ["--topic", "\(Self.name):\(Self.partitions)"],
                errors: "/dev/null")
        } catch {
            throw BenchError("\(error)")
        }
        guard let ready = broker.line(), ready.hasPrefix("READY ") else {
            throw BenchError("tocsin-mockbroker did not start")
        }
        bootstrap = String(ready.dropFirst(6))
        do {
            try fill(FleetSimulator.quiet(devices: Self.devices))
        } catch {
            throw BenchError("\(error)")
        }
    }

    private mutating func fill(_ fleet: FleetSimulator) throws(KafkaError) {
        // Batches of a megabyte, as a busy agent's producer makes them.
        var producer = try Producer.open([
            "bootstrap.servers": bootstrap, "linger.ms": "100", "batch.size": "1000000",
            "queue.buffering.max.messages": "1000000", "queue.buffering.max.kbytes": "1048576",
        ])
        var simulator = fleet
        var batch = MessageBatch()
        var partitionOf: [String: Int32] = [:]
        let last = simulator.plan.start + .seconds(10 * Self.ticks)
        var more = true
        while more {
            batch.removeAll()
            more = simulator.next(upTo: last, messagesMax: 10_000, into: &batch)
            for message in batch.messages {
                let next = Int32(partitionOf.count % Self.partitions)
                let partition = partitionOf[batch.keyText(of: message), default: next]
                partitionOf[batch.keyText(of: message)] = partition
                try write(
                    batch.bytes.span.extracting(message.key),
                    batch.bytes.span.extracting(message.payload), partition, &producer)
                messages += 1
                bytes += message.payload.count
                end = max(end, message.deliveryTime)
            }
            for report in producer.poll(milliseconds: 0) { try check(report) }
        }
        let rest = producer.close(milliseconds: 60_000)
        for report in rest.reports { try check(report) }
    }

    private func write(
        _ key: Span<UInt8>, _ payload: Span<UInt8>, _ partition: Int32,
        _ producer: inout Producer
    ) throws(KafkaError) {
        while true {
            do throws(KafkaError) {
                return try producer.produce(
                    topic: Self.name, partition: partition, key: key, value: payload, token: 0)
            } catch {
                guard error.kind == .queueFull else { throw error }
                for report in producer.poll(milliseconds: 10) { try check(report) }
            }
        }
    }

    private func check(_ report: DeliveryReport) throws(KafkaError) {
        if let error = report.error { throw error }
    }
}

extension FleetSimulator {
    /// Half of the devices train, the rest serves or waits; nothing breaks.
    fileprivate static func quiet(devices: Int) throws(SimulationError) -> FleetSimulator {
        var plan = FleetPlan(
            seed: 7, hosts: devices / 8, start: Instant(milliseconds: 1_763_700_000_000))
        for job in 0..<devices / 512 {
            let first = job * 256
            plan.workloads.append(
                Workload(
                    "train-llm-\(job)", .train, team: "foundation", devices: first..<first + 256))
        }
        plan.workloads.append(
            Workload(
                "chat-api", .inference, team: "serving",
                devices: devices / 2..<devices / 4 * 3))
        return try FleetSimulator(plan)
    }
}
