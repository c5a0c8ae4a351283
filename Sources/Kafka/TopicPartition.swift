import CRdKafka

/// One partition by its name.
package struct TopicPartition: Hashable, Sendable, CustomStringConvertible {
    package let topic: String
    package let number: Int32

    package init(topic: String, number: Int32) {
        self.topic = topic
        self.number = number
    }

    package var description: String { "\(topic)[\(number)]" }
}

/// librdkafka's lists of partitions, made and read here only.
enum PartitionList {
    static func read(
        _ list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>
    ) -> [TopicPartition] {
        let count = Int(unsafe list.pointee.cnt)
        guard let elements = unsafe list.pointee.elems else { return [] }
        return (0..<count).map { index in
            TopicPartition(
                topic: unsafe Text.string(elements[index].topic),
                number: unsafe elements[index].partition)
        }
    }

    /// Lends a list of partitions, each with an offset.
    static func with<R>(
        _ entries: [(partition: TopicPartition, offset: Int64)],
        _ body: (UnsafeMutablePointer<rd_kafka_topic_partition_list_t>) -> R
    ) -> R {
        guard let list = unsafe rd_kafka_topic_partition_list_new(Int32(entries.count)) else {
            fatalError("out of memory")
        }
        defer { unsafe rd_kafka_topic_partition_list_destroy(list) }
        for (partition, offset) in entries {
            let element = unsafe rd_kafka_topic_partition_list_add(
                list, partition.topic, partition.number)
            unsafe element?.pointee.offset = offset
        }
        return unsafe body(list)
    }

    static func firstError(
        _ list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?, asked: String
    ) -> KafkaError? {
        guard let list = unsafe list, let elements = unsafe list.pointee.elems else { return nil }
        for index in 0..<Int(unsafe list.pointee.cnt) {
            let code = unsafe elements[index].err
            guard code != RD_KAFKA_RESP_ERR_NO_ERROR else { continue }
            let topic = unsafe Text.string(elements[index].topic)
            return KafkaError(
                code, asked: "\(asked) of \(topic)[\(unsafe elements[index].partition)]")
        }
        return nil
    }

    static func commitError(
        _ code: rd_kafka_resp_err_t,
        _ list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?
    ) -> KafkaError? {
        let asked = "commit positions"
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR__NO_OFFSET else {
            return KafkaError(code, asked: asked)
        }
        return unsafe firstError(list, asked: asked)
    }
}
