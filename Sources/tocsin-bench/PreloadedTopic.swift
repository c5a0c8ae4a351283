import Daemon
import Fleet
import Kafka
import Simulation

/// One reading of the topic, from the first record that arrives to the last.
struct Passage: ~Copyable {
    private var consumer: Consumer
    private let total: Int
    private var seen = 0
    private var started: Int64 = 0

    var isOver: Bool { seen >= total }

    /// With the settings that the daemon ships, but for `properties`; the daemon says `freesAside`.
    init(
        _ topic: PreloadedTopic, _ properties: [String: String] = [:], freesAside: Bool
    ) throws(BenchError) {
        total = topic.messages
        let own = [
            "bootstrap.servers": topic.bootstrap, "group.id": "bench-\(monotonicNanoseconds())",
        ]
        do throws(KafkaError) {
            consumer = try Consumer.open(
                own.merging(properties) { $1 }, topics: [PreloadedTopic.name],
                batchMax: Pipeline.batchMax, freesAside: freesAside, start: { _ in .at(0) })
        } catch {
            throw BenchError(error.description)
        }
    }

    /// One poll; joining the group is not timed, so the clock starts with the first record.
    ///
    /// - Returns: how many records came.
    mutating func turn(
        waiting milliseconds: Int32 = 100,
        _ body: (borrowing Record, Span<UInt8>, _ coming: Span<UInt8>?) -> Void
    ) throws(BenchError) -> Int {
        var first = started
        var count = 0
        do throws(KafkaError) {
            count = try consumer.poll(milliseconds: milliseconds) { record, payload, coming in
                if first == 0 { first = monotonicNanoseconds() }
                if let payload { body(record, payload, coming) }
            }
        } catch {
            throw BenchError(error.description)
        }
        started = first
        seen += count
        return count
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

/// The one topic that all benchmarks of a run read; filled when the first asks for it.
final class PreloadedTopics {
    private var made: PreloadedTopic?

    func topic() throws(BenchError) -> PreloadedTopic {
        if let made { return made }
        let topic = try PreloadedTopic()
        made = topic
        return topic
    }
}

/// A topic of the mock cluster, filled once with what a quiet fleet says in forty minutes.
final class PreloadedTopic {
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

    private func fill(_ fleet: FleetSimulator) throws(KafkaError) {
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
    static func quiet(devices: Int) throws(SimulationError) -> FleetSimulator {
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
