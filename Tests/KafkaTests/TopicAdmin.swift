import CRdKafka

/// The administrator's two acts that tests need: the daemon itself creates and deletes nothing.
@safe
final class TopicAdmin {
    private let client: OpaquePointer
    private let answers: OpaquePointer

    struct Failure: Error {}

    init(_ bootstrap: String) throws {
        guard let conf = unsafe rd_kafka_conf_new() else { throw Failure() }
        unsafe rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, nil, 0)
        guard let client = unsafe rd_kafka_new(RD_KAFKA_PRODUCER, conf, nil, 0) else {
            throw Failure()
        }
        guard let answers = unsafe rd_kafka_queue_new(client) else { throw Failure() }
        unsafe self.client = client
        unsafe self.answers = answers
    }

    deinit {
        unsafe rd_kafka_queue_destroy(answers)
        unsafe rd_kafka_destroy(client)
    }

    func create(_ topic: String, partitions: Int32) -> Bool {
        var text = [CChar](repeating: 0, count: 256)
        var request = unsafe rd_kafka_NewTopic_new(topic, partitions, -1, &text, text.count)
        guard unsafe request != nil else { return false }
        defer { unsafe rd_kafka_NewTopic_destroy(request) }
        unsafe rd_kafka_CreateTopics(client, &request, 1, nil, answers)
        return answered()
    }

    /// As retention would: everything before `offset` is gone.
    func deleteRecords(_ topic: String, partition: Int32, before offset: Int64) -> Bool {
        guard let list = unsafe rd_kafka_topic_partition_list_new(1) else { return false }
        defer { unsafe rd_kafka_topic_partition_list_destroy(list) }
        unsafe rd_kafka_topic_partition_list_add(list, topic, partition).pointee.offset = offset
        var request = unsafe rd_kafka_DeleteRecords_new(list)
        defer { unsafe rd_kafka_DeleteRecords_destroy(request) }
        unsafe rd_kafka_DeleteRecords(client, &request, 1, nil, answers)
        return answered()
    }

    private func answered() -> Bool {
        guard let event = unsafe rd_kafka_queue_poll(answers, 20_000) else { return false }
        defer { unsafe rd_kafka_event_destroy(event) }
        return unsafe rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR
    }
}
