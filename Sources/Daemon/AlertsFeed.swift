import Escalation
import Fleet
import Kafka
import Notification
import Synchronization

/// The topic of alerts: every page, update, acknowledgement and resolution as a CloudEvent.
///
/// Structured mode of the CloudEvents Kafka binding 1.0: the event is the value, and the key is the
/// incident, so that what is said of one incident stays in order.
final class AlertsFeed: Channel {
    private let producer: Mutex<Producer?>
    private let topic: String
    private let instance: Instance
    private let sequence = Atomic<UInt64>(0)
    private let isCancelled = Atomic<Bool>(false)

    /// What the broker may take for one message before the attempt counts as unanswered.
    private static let waitMilliseconds: Int32 = 8_000
    /// How soon a wait notices that the daemon stops.
    private static let sliceMilliseconds: Int32 = 200

    init(
        _ properties: [String: String], topic: String, instance: Instance
    ) throws(KafkaError) {
        self.topic = topic
        self.instance = instance
        // Given up by the client before we do: what it kept would leave beside its own repetition.
        let own = ["message.timeout.ms": String(Self.waitMilliseconds - 1_000)]
        producer = Mutex(try Producer.open(properties.merging(own) { $1 }))
    }

    /// Ends a wait for the broker; what was under way may have arrived.
    func cancel() { isCancelled.store(true, ordering: .relaxed) }

    deinit { close() }

    /// Gives the producer back; every later send answers that it is closed.
    func close() {
        if let producer = producer.withLock({ $0.take() }) {
            _ = producer.close(milliseconds: 2_000)
        }
    }

    func send(_ delivery: Delivery, at now: Instant) -> Attempt {
        let token = sequence.wrappingAdd(1, ordering: .relaxed).newValue
        let event = PageJSON(delivery, from: instance).cloudEvent()
        let headers = [("content-type", Array("application/cloudevents+json; charset=UTF-8".utf8))]
        return producer.withLock { producer in
            guard producer != nil else {
                return .retry(after: nil, code: 0, reason: "the producer is closed")
            }
            do throws(KafkaError) {
                try producer?.produce(
                    topic: topic, key: Array(delivery.page.incident.utf8), value: event,
                    headers: headers, token: token)
            } catch {
                return Self.attempt(error)
            }
            for _ in 0..<Self.waitMilliseconds / Self.sliceMilliseconds {
                _ = producer?.flush(milliseconds: Self.sliceMilliseconds)
                let reports = producer?.poll(milliseconds: 0) ?? []
                if let report = reports.first(where: { $0.token == token }) {
                    return report.error.map(Self.attempt) ?? .delivered(code: 0)
                }
                if isCancelled.load(ordering: .relaxed) { break }
            }
            return .retry(
                after: nil, code: 0, reason: "no answer from the broker", mayHaveArrived: true)
        }
    }

    private static func attempt(_ error: KafkaError) -> Attempt {
        switch error.kind {
        case .messageTooLarge: .permanent(code: Int(error.code), reason: error.description)
        // It may have been written, and only the answer be missing.
        case .timedOut:
            .retry(
                after: nil, code: Int(error.code), reason: error.description, mayHaveArrived: true)
        default:
            // A topic that is missing or forbidden may be mended while we wait.
            .retry(after: nil, code: Int(error.code), reason: error.description)
        }
    }
}
