import Fleet
import Kafka
import Observability
import Synchronization
import Telemetry

/// Writes what could not be decoded to the dead-letter topic, with where it came from and why.
///
/// Used by the intake's thread alone; its lock is never contended. `flush` is called before the
/// step that carries the messages' positions, and where it says no, the positions wait: so a message
/// is either read, or a dead letter, or read again. One that the broker does not take within
/// `message.timeout.ms` is counted and lost, so that its topic never stops telemetry.
final class DeadLetters: Sendable {
    private let producer: Mutex<Producer>
    private let topic: String
    private let board: Board
    private let log: Log
    /// What is left of this turn's patience.
    private let patience = Mutex(DeadLetters.patienceMilliseconds)

    /// A payload is cut at this many bytes, with a header that says so: the topic has a limit too.
    static let payloadBytesMax = 512 << 10
    /// Longer than this no turn of the intake waits for its dead letters: a flood of garbage while
    /// their topic is away must not look like an intake that is stuck (30 s).
    private static let patienceMilliseconds: Int32 = 5_000
    private static let waitMilliseconds: Int32 = 100

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
        // A full local queue empties as the broker answers; one that stays full is given up.
        while true {
            do throws(KafkaError) {
                try producer.withLock { producer throws(KafkaError) in
                    try producer.produce(
                        topic: topic, key: keyBytes, value: value, headers: headers, token: 0)
                }
                return
            } catch {
                let mayWait = patience.withLock { left in
                    left -= Self.waitMilliseconds
                    return left >= 0
                }
                guard error.kind == .queueFull, mayWait else { return fail(error) }
                settle(waiting: Self.waitMilliseconds)
            }
        }
    }

    /// Waits a little for the dead letters so far; true where each is written, or failed and counted.
    ///
    /// At the end of a turn: the next has all its patience again.
    func flush(milliseconds: Int32 = 500) -> Bool {
        patience.withLock { $0 = Self.patienceMilliseconds }
        if producer.withLock({ $0.waiting }) > 0 {
            _ = producer.withLock { $0.flush(milliseconds: milliseconds) }
        }
        settle(waiting: 0)
        return producer.withLock { $0.waiting } == 0
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
