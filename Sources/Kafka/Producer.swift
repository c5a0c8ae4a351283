import CRdKafka

/// Writes records, each exactly once while it lives, through bounded queues.
///
/// One owner at a time: a thread, or whoever holds the caller's lock around it. Its callbacks run
/// only inside the owner's `poll`, `flush` and `close`, so a `Mutex<Producer>` is enough.
@safe
package struct Producer: ~Copyable {
    private var client: Client
    private let log: (KafkaLogLine) -> Void

    /// Connects in the background; nothing is checked against a broker yet.
    package static func open(
        _ properties: [String: String], log: @escaping (KafkaLogLine) -> Void = { _ in }
    ) throws(KafkaError) -> Producer {
        Producer(client: try Client.open(.producer, properties), log: log)
    }

    private init(client: consuming Client, log: @escaping (KafkaLogLine) -> Void) {
        self.client = client
        self.log = log
    }

    /// Queues one record; what became of it comes with `token` out of ``poll(milliseconds:)``.
    ///
    /// Everything is copied. A value of nil is a tombstone; a partition of nil is chosen by the key,
    /// as Java's producer would. Refuses at once, with an error of kind `queueFull` (poll, then try
    /// again), `messageTooLarge`, `unknownTopic`, `unknownPartition` or `fatal`.
    package mutating func produce(
        topic: String, partition: Int32? = nil, key: [UInt8]? = nil, value: [UInt8]?,
        headers: [(String, [UInt8])] = [], token: UInt64
    ) throws(KafkaError) {
        try unsafe Self.withBytes(key) { key throws(KafkaError) in
            try unsafe Self.withBytes(value) { value throws(KafkaError) in
                try unsafe produce(topic, partition, key, value, headers, token)
            }
        }
    }

    /// As above for the hot path: a record without headers, out of bytes that lie somewhere already.
    package mutating func produce(
        topic: String, partition: Int32? = nil, key: Span<UInt8>, value: Span<UInt8>, token: UInt64
    ) throws(KafkaError) {
        let refusal: KafkaError? = unsafe key.withUnsafeBytes { key in
            unsafe value.withUnsafeBytes { value in
                do throws(KafkaError) {
                    try unsafe produce(topic, partition, key, value, [], token)
                    return nil
                } catch {
                    return error
                }
            }
        }
        if let refusal { throw refusal }
    }

    /// Waits up to `milliseconds` for reports and answers those that came.
    ///
    /// Call it often: a record counts against the bounds of the queue until its report is taken.
    package mutating func poll(milliseconds: Int32) -> [DeliveryReport] {
        unsafe rd_kafka_poll(client.handle, max(0, milliseconds))
        for line in client.events.takeLines() { log(line) }
        return client.events.takeDeliveries()
    }

    /// Sends what waits, up to `milliseconds`; answers how many records are still on their way.
    ///
    /// The reports stay for the next ``poll(milliseconds:)``.
    package mutating func flush(milliseconds: Int32) -> Int {
        _ = unsafe rd_kafka_flush(client.handle, max(0, milliseconds))
        return waiting
    }

    /// Records queued or on their way, without a report so far.
    package var waiting: Int { Int(unsafe rd_kafka_outq_len(client.handle)) }

    /// Troubles with the cluster since the last call; librdkafka keeps trying by itself.
    package mutating func takeTroubles() -> [KafkaError] { client.events.takeTroubles() }

    /// Why nothing can be written any more; open another producer then.
    package var fatal: KafkaError? { client.events.fatal }

    /// Milliseconds since librdkafka's own thread last gave a sign of life, every ten seconds.
    package var statisticsAgeMilliseconds: Int64 {
        Monotonic.milliseconds &- client.events.statisticsAt
    }

    /// Flushes and ends within `milliseconds`; answers the last reports.
    ///
    /// A record without a report may or may not have been written.
    package consuming func close(
        milliseconds: Int64 = 5_000
    ) -> (outcome: CloseOutcome, reports: [DeliveryReport]) {
        let bound = max(milliseconds, 500)
        let end = Monotonic.milliseconds &+ bound
        let left = flush(milliseconds: Int32(clamping: bound / 3 * 2))
        let reports = poll(milliseconds: 0)
        guard client.end(milliseconds: max(100, end &- Monotonic.milliseconds)) else {
            return (.abandoned(reason: "librdkafka did not end its threads in time"), reports)
        }
        guard left == 0 else {
            return (.abandoned(reason: "\(left) records have no report"), reports)
        }
        return (.closed, reports)
    }

    private func produce(
        _ topic: String, _ partition: Int32?, _ key: UnsafeRawBufferPointer?,
        _ value: UnsafeRawBufferPointer?, _ headers: [(String, [UInt8])], _ token: UInt64
    ) throws(KafkaError) {
        let list = headers.isEmpty ? nil : unsafe Self.list(of: headers)
        let code = unsafe rd_kafka_produce_one(
            client.handle, topic, partition ?? -1, key?.baseAddress, key?.count ?? 0,
            value?.baseAddress, value?.count ?? 0, list,
            UnsafeMutableRawPointer(bitPattern: UInt(token)))
        guard code != RD_KAFKA_RESP_ERR_NO_ERROR else { return }
        // Refused headers are still ours; taken ones were librdkafka's.
        if let list = unsafe list { unsafe rd_kafka_headers_destroy(list) }
        let asked = "write a record to \(topic)"
        guard code != RD_KAFKA_RESP_ERR__FATAL else {
            throw unsafe ClientEvents.fatalError(of: client.handle, asked: asked)
        }
        guard code != RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE else {
            let size = unsafe (key?.count ?? 0) &+ (value?.count ?? 0)
            throw KafkaError(
                code, asked: asked, reason: "\(size) bytes are more than message.max.bytes")
        }
        throw KafkaError(code, asked: asked)
    }

    private static func list(of headers: [(String, [UInt8])]) -> OpaquePointer {
        guard let list = unsafe rd_kafka_headers_new(headers.count) else {
            fatalError("out of memory")
        }
        for (name, value) in headers {
            unsafe value.withUnsafeBytes { bytes in
                let start = unsafe bytes.baseAddress ?? empty.baseAddress
                _ = unsafe rd_kafka_header_add(list, name, -1, start, bytes.count)
            }
        }
        return unsafe list
    }

    /// Lends bytes, where nil stays nil and empty stays empty: they are not the same to Kafka.
    private static func withBytes(
        _ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) throws(KafkaError) -> Void
    ) throws(KafkaError) {
        guard let bytes else {
            try body(nil)
            return
        }
        let refusal: KafkaError? = unsafe bytes.withUnsafeBytes { bytes in
            do throws(KafkaError) {
                try unsafe body(bytes.baseAddress == nil ? Self.empty : bytes)
                return nil
            } catch {
                return error
            }
        }
        if let refusal { throw refusal }
    }

    /// A length of nothing needs an address, or librdkafka takes it for a tombstone.
    private static var empty: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: 1), count: 0)
    }
}
