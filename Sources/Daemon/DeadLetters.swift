import Fleet
import Kafka
import Observability
import Synchronization
import Telemetry

/// Writes what could not be decoded to the dead-letter topic, with where it came from and why.
///
/// Used by the intake's thread alone; its lock is never contended. `flush` is called before the
/// step that carries the messages' positions, so a message is either read, or a dead letter, or
/// read again.
final class DeadLetters: Sendable {
    private let producer: Mutex<Producer>
    private let topic: String
    private let board: Board
    private let log: Log
    private let sequence = Mutex<UInt64>(0)

    /// A payload is cut at this many bytes, with a header that says so: the topic has a limit too.
    static let payloadBytesMax = 512 << 10

    init(
        _ properties: [String: String], topic: String, board: Board, log: Log
    ) throws(KafkaError) {
        self.topic = topic
        self.board = board
        self.log = log
        producer = Mutex(try Producer.open(properties))
    }

    func add(
        _ payload: Span<UInt8>, key: Span<UInt8>?, from partition: Partition, offset: Int64,
        because reason: Undecodable
    ) {
        board.dead(reason.reason)
        let count = min(payload.count, DeadLetters.payloadBytesMax)
        let value = [UInt8](capacity: count) { bytes in
            for index in 0..<count { bytes.append(payload[index]) }
        }
        var headers = [
            ("tocsin_topic", Array(partition.topic.utf8)),
            ("tocsin_partition", Array(String(partition.number).utf8)),
            ("tocsin_offset", Array(String(offset).utf8)),
            ("tocsin_reason", Array(reason.reason.rawValue.utf8)),
            ("tocsin_position", Array(String(reason.position).utf8)),
        ]
        if count < payload.count {
            headers.append(("tocsin_truncated_from", Array(String(payload.count).utf8)))
        }
        var keyBytes: [UInt8]?
        if let key {
            keyBytes = [UInt8](capacity: min(key.count, 1_024)) { bytes in
                for index in 0..<min(key.count, 1_024) { bytes.append(key[index]) }
            }
        }
        // A full local queue empties as the broker answers; one that stays full is given up below.
        for attempt in 0..<100 {
            do throws(KafkaError) {
                try producer.withLock { producer throws(KafkaError) in
                    try producer.produce(
                        topic: topic, key: keyBytes, value: value, headers: headers, token: 0)
                }
                return
            } catch {
                guard error.kind == .queueFull, attempt < 99 else { return fail(error) }
                settle(waiting: 100)
            }
        }
    }

    /// Waits until every dead letter of this turn is written, or failed and counted.
    func flush() {
        guard producer.withLock({ $0.waiting }) > 0 else { return settle(waiting: 0) }
        _ = producer.withLock { $0.flush(milliseconds: 5_000) }
        settle(waiting: 0)
    }

    private func settle(waiting milliseconds: Int32) {
        for report in producer.withLock({ $0.poll(milliseconds: milliseconds) }) {
            if let error = report.error { fail(error) }
        }
    }

    private func fail(_ error: KafkaError) {
        board.deadLettersLost.add()
        log.error(
            "a dead letter could not be written; it is counted and lost",
            ["topic": topic, "why": error.description])
    }
}
