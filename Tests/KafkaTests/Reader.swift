import Kafka

/// One record, copied out of its loan, for comparison.
struct Copied: Equatable {
    var partition: Int32
    var offset: Int64
    var key: String?
    var payload: String?
    var headers: [String] = []
}

/// A consumer that remembers everything it saw, read until something is true.
struct Reader: ~Copyable {
    var consumer: Consumer
    private(set) var records: [Copied] = []
    private(set) var events: [ConsumerEvent] = []
    private(set) var errors: [KafkaError] = []

    init(
        _ bootstrap: String, topics: [String], group: String = "g", batchMax: Int = 1_000,
        _ more: [String: String] = [:], start: @escaping (TopicPartition) -> StartOffset
    ) throws {
        var properties = [
            "bootstrap.servers": bootstrap, "group.id": group, "session.timeout.ms": "6000",
            "heartbeat.interval.ms": "500",
        ]
        properties.merge(more) { $1 }
        consumer = try Consumer.open(properties, topics: topics, batchMax: batchMax, start: start)
    }

    /// One poll and its events.
    mutating func step(
        milliseconds: Int32 = 50, headers: Bool = false,
        onEvent: (inout Consumer, ConsumerEvent) throws -> Void = { _, _ in }
    ) throws {
        let names = consumer.partitions
        var batch: [Copied] = []
        _ = try consumer.poll(milliseconds: milliseconds) { record, payload, _ in
            batch.append(
                Copied(
                    partition: names[record.partition].number, offset: record.offset,
                    key: record.withKey { $0.map(text) }, payload: payload.map(text),
                    headers: headers
                        ? record.headers().map {
                            "\($0.name)=\($0.value.map { String(decoding: $0, as: UTF8.self) } ?? "nil")"
                        } : []))
        }
        records += batch
        while let event = consumer.nextEvent() {
            events.append(event)
            try onEvent(&consumer, event)
        }
    }

    /// Polls until `done`, and answers whether it came to that within `seconds`.
    mutating func read(
        seconds: Int = 20, headers: Bool = false,
        onEvent: (inout Consumer, ConsumerEvent) throws -> Void = { _, _ in },
        until done: (borrowing Reader) -> Bool
    ) throws -> Bool {
        let end = ContinuousClock.now + .seconds(seconds)
        while !done(self) {
            guard ContinuousClock.now < end else { return false }
            try step(headers: headers, onEvent: onEvent)
        }
        return true
    }

    var isAssigned: Bool { !consumer.assignment.isEmpty }

    consuming func close() -> CloseOutcome { consumer.close() }
}

/// An optional span has no map of its own.
extension Optional where Wrapped == Span<UInt8> {
    func map(_ body: (Span<UInt8>) -> String) -> String? {
        guard let span = self else { return nil }
        return body(span)
    }
}

func text(_ span: Span<UInt8>) -> String {
    var bytes: [UInt8] = []
    for index in span.indices { bytes.append(span[index]) }
    return String(decoding: bytes, as: UTF8.self)
}

/// Writes records and waits for every report.
struct Writer: ~Copyable {
    var producer: Producer
    private var token: UInt64 = 0

    init(_ bootstrap: String, _ more: [String: String] = [:]) throws {
        var properties = ["bootstrap.servers": bootstrap]
        properties.merge(more) { $1 }
        producer = try Producer.open(properties)
    }

    mutating func write(
        _ topic: String, partition: Int32? = 0, key: String? = nil, _ value: String?,
        headers: [(String, [UInt8])] = []
    ) throws {
        token += 1
        while true {
            do throws(KafkaError) {
                try producer.produce(
                    topic: topic, partition: partition, key: key.map { Array($0.utf8) },
                    value: value.map { Array($0.utf8) }, headers: headers, token: token)
                return
            } catch {
                guard error.kind == .queueFull else { throw error }
                _ = producer.poll(milliseconds: 10)
            }
        }
    }

    /// Every report of what was written so far, the failed ones first.
    mutating func reports(seconds: Int = 20) -> [DeliveryReport] {
        let end = ContinuousClock.now + .seconds(seconds)
        var reports: [DeliveryReport] = []
        while producer.waiting > 0, ContinuousClock.now < end {
            reports += producer.poll(milliseconds: 20)
        }
        return reports.filter { $0.error != nil } + reports.filter { $0.error == nil }
    }
}
