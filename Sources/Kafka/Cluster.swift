import CRdKafka

/// What the brokers say of themselves and of topics.
package struct Cluster: Sendable, Equatable {
    package let brokers: Int
    /// The number of partitions of every topic that answered.
    package let topics: [String: Int]
    /// Why the others did not: no such topic, no right to see it.
    package let failures: [String: KafkaError]

    /// Asks the cluster once, and waits at most `milliseconds` for it.
    ///
    /// A probe for `check` and for the start: a client of its own that joins no group and creates
    /// no topic. Without names every topic that may be seen is answered.
    package static func metadata(
        _ properties: [String: String], topics: [String] = [], milliseconds: Int32
    ) throws(KafkaError) -> Cluster {
        var client = try Client.open(.consumer, properties.filter { $0.key != "group.id" })
        let end = Monotonic.milliseconds &+ Int64(max(1, milliseconds))
        let answer = ask(client, topics, until: end, milliseconds)
        _ = client.end(milliseconds: 1_000)
        return try answer.get()
    }

    private static func ask(
        _ client: borrowing Client, _ topics: [String], until end: Int64, _ milliseconds: Int32
    ) -> Result<Cluster, KafkaError> {
        var brokers = 0
        var found: [String: Int] = [:]
        var failures: [String: KafkaError] = [:]
        for name in topics.isEmpty ? [nil] : topics.map(Optional.some) {
            let left = Int32(clamping: max(1, end &- Monotonic.milliseconds))
            if let failure = one(client, name, left, &brokers, &found, &failures) {
                return .failure(explain(failure, client, milliseconds))
            }
        }
        return .success(Cluster(brokers: brokers, topics: found, failures: failures))
    }

    private static func one(
        _ client: borrowing Client, _ name: String?, _ milliseconds: Int32, _ brokers: inout Int,
        _ found: inout [String: Int], _ failures: inout [String: KafkaError]
    ) -> rd_kafka_resp_err_t? {
        let topic = unsafe name.flatMap { unsafe rd_kafka_topic_new(client.handle, $0, nil) }
        defer { if let topic = unsafe topic { unsafe rd_kafka_topic_destroy(topic) } }
        if let name, unsafe topic == nil {
            failures[name] = KafkaError(
                rd_kafka_last_error(), asked: "look up the topic \(name)")
            return nil
        }
        var answer: UnsafePointer<rd_kafka_metadata>?
        let code = unsafe rd_kafka_metadata(
            client.handle, name == nil ? 1 : 0, topic, &answer, milliseconds)
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let answer = unsafe answer else { return code }
        defer { unsafe rd_kafka_metadata_destroy(answer) }
        brokers = max(brokers, Int(unsafe answer.pointee.broker_cnt))
        guard let entries = unsafe answer.pointee.topics else { return nil }
        for index in 0..<Int(unsafe answer.pointee.topic_cnt) {
            let entry = unsafe entries[index]
            let said = unsafe Text.string(entry.topic)
            if unsafe entry.err == RD_KAFKA_RESP_ERR_NO_ERROR {
                found[said] = Int(unsafe entry.partition_cnt)
            } else {
                failures[said] = KafkaError(
                    unsafe entry.err, asked: "look up the topic \(said)")
            }
        }
        return nil
    }

    /// Adds what went wrong underneath to a wait that was broken off.
    private static func explain(
        _ code: rd_kafka_resp_err_t, _ client: borrowing Client, _ milliseconds: Int32
    ) -> KafkaError {
        // Refused connections and logins wait as callbacks.
        unsafe rd_kafka_poll(client.handle, 0)
        let asked = "ask the cluster for its topics"
        let waited = "no broker answered within \(milliseconds) ms"
        let troubles = client.events.takeTroubles()
        // A login that fails says more than the outage that follows from it.
        let cause =
            troubles.first { $0.kind == .authentication }
            ?? troubles.last { $0.code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN.rawValue }
            ?? troubles.last
        guard let cause else {
            return KafkaError(.unreachable, code, asked: asked, reason: waited)
        }
        return KafkaError(
            cause.kind, rd_kafka_resp_err_t(rawValue: cause.code), asked: asked,
            reason: "\(waited): \(cause.reason)")
    }
}
