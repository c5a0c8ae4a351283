import CRdKafka
import Synchronization

/// One line of librdkafka's own log.
package struct KafkaLogLine: Sendable, Equatable {
    /// As in syslog: 0 is the worst, 7 is debug.
    package let level: Int
    /// librdkafka's word for the place, such as `FAIL` or `REBALANCE`.
    package let facility: String
    package let text: String
}

/// What librdkafka says through its callbacks, kept until the owner has time to look.
///
/// Callbacks run inside the owner's own poll, so everything is plain state of the owner's thread.
/// Only log lines may come from elsewhere, while a client is born or dies; they stand behind a lock.
final class ClientEvents {
    enum Rebalance {
        case assign([TopicPartition])
        case revoke([TopicPartition])
        case lose([TopicPartition])
    }

    /// A broker that flaps says two lines a second; a second of ten brokers fits several times.
    static let troublesMax = 64
    static let linesMax = 256

    private(set) var rebalances: [Rebalance] = []
    private(set) var troubles: [KafkaError] = []
    private(set) var troublesDropped: UInt64 = 0
    private(set) var failedCommits: [KafkaError] = []
    private(set) var deliveries: [DeliveryReport] = []
    private(set) var commitsAcknowledged: UInt64 = 0
    private(set) var fatal: KafkaError?
    /// While closing, a rebalance is answered on the spot: nobody will ask for it later.
    var isClosing = false
    /// Destroying now would end the process: leave the memory and the threads to its exit.
    var mustNotDestroy = false

    private(set) var statistics: [UInt8] = []
    private(set) var statisticsAt: Int64
    /// Where set, every broken-off wait is reported with the last trouble as its cause.
    private(set) var lastTrouble: KafkaError?

    private struct Lines {
        var lines: [KafkaLogLine] = []
        var dropped: UInt64 = 0
    }
    private let log = Mutex(Lines())
    /// Of a consumer that frees aside.
    let read: ReadRecords

    init(_ properties: [String: String]) {
        read = ReadRecords(properties)
        statisticsAt = Monotonic.milliseconds
    }

    func takeRebalances() -> [Rebalance] {
        defer { rebalances.removeAll(keepingCapacity: true) }
        return rebalances
    }

    func takeTroubles() -> [KafkaError] {
        defer { troubles.removeAll(keepingCapacity: true) }
        return troubles
    }

    func takeFailedCommits() -> [KafkaError] {
        defer { failedCommits.removeAll(keepingCapacity: true) }
        return failedCommits
    }

    func takeDeliveries() -> [DeliveryReport] {
        defer { deliveries = [] }
        return deliveries
    }

    /// Hands over the lines since the last call; the last one says how many did not fit.
    func takeLines() -> [KafkaLogLine] {
        log.withLock { log in
            guard !log.lines.isEmpty else { return [] }
            var lines = log.lines
            if log.dropped > 0 {
                lines.append(
                    KafkaLogLine(
                        level: 4, facility: "DROPPED", text: "\(log.dropped) more lines"))
            }
            log = Lines()
            return lines
        }
    }

    func note(line: KafkaLogLine) {
        log.withLock { log in
            if log.lines.count < Self.linesMax {
                log.lines.append(line)
            } else {
                log.dropped &+= 1
            }
        }
    }

    func note(trouble: KafkaError) {
        lastTrouble = trouble
        if trouble.isFatal { fatal = trouble }
        if troubles.count < Self.troublesMax {
            troubles.append(trouble)
        } else {
            troublesDropped &+= 1
        }
    }

    func note(rebalance: Rebalance) { rebalances.append(rebalance) }
    func note(delivery: DeliveryReport) { deliveries.append(delivery) }

    func note(commit error: KafkaError?) {
        guard let error else {
            commitsAcknowledged &+= 1
            return
        }
        // As troubles: each failed commit means the same drop of state.
        if failedCommits.count < Self.troublesMax { failedCommits.append(error) }
    }

    /// Copies a statistics report, about a kilobyte for each partition, every ten seconds.
    func note(statistics text: UnsafeRawBufferPointer) {
        unsafe statistics = [UInt8](text)
        statisticsAt = Monotonic.milliseconds
    }
}
