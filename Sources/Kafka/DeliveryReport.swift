import CRdKafka

/// What became of one produced record.
package struct DeliveryReport: Sendable, Equatable {
    /// The token that the record was produced with.
    package let token: UInt64
    /// Nil where the record was written, and will be read exactly once.
    package let error: KafkaError?
    package let partition: Int32
    /// Negative where the record was not written, or it is not known.
    package let offset: Int64

    init(_ message: UnsafePointer<rd_kafka_message_t>) {
        token = unsafe UInt64(UInt(bitPattern: message.pointee._private))
        partition = unsafe message.pointee.partition
        offset = unsafe message.pointee.offset
        let code = unsafe message.pointee.err
        guard code != RD_KAFKA_RESP_ERR_NO_ERROR else {
            error = nil
            return
        }
        let topic = unsafe message.pointee.rkt.map { unsafe Text.string(rd_kafka_topic_name($0)) }
        error = KafkaError(code, asked: "write a record to \(topic ?? "a topic")")
    }
}
