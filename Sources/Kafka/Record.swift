import CRdKafka

/// One record, on loan for the length of a call; its payload travels beside it.
@safe
package struct Record: ~Copyable {
    /// Index into ``Consumer/partitions``.
    package let partition: Int
    package let offset: Int64
    /// When the producer or the broker stamped it, in milliseconds since 1970.
    package let timestampMilliseconds: Int64?
    private let message: UnsafeMutablePointer<rd_kafka_message_t>

    init(
        _ message: UnsafeMutablePointer<rd_kafka_message_t>, partition: Int, timestamp: Int64?
    ) {
        unsafe self.message = message
        self.partition = partition
        offset = unsafe message.pointee.offset
        timestampMilliseconds = timestamp
    }

    /// Lends the key, nil where there is none.
    package borrowing func withKey<Result>(_ body: (Span<UInt8>?) -> Result) -> Result {
        guard let bytes = unsafe message.pointee.key else { return body(nil) }
        return unsafe body(
            Span(
                _unsafeStart: UnsafePointer(bytes.assumingMemoryBound(to: UInt8.self)),
                count: message.pointee.key_len))
    }

    /// Copies the headers; allocates, so not for every record of a busy topic.
    package borrowing func headers() -> [(name: String, value: [UInt8]?)] {
        var list: OpaquePointer?
        guard
            unsafe rd_kafka_message_headers(message, &list) == RD_KAFKA_RESP_ERR_NO_ERROR,
            let list = unsafe list
        else { return [] }
        let count = unsafe rd_kafka_header_cnt(list)
        var found: [(name: String, value: [UInt8]?)] = []
        found.reserveCapacity(count)
        for index in 0..<count {
            var name: UnsafePointer<CChar>?
            var value: UnsafeRawPointer?
            var size = 0
            guard
                unsafe rd_kafka_header_get_all(list, index, &name, &value, &size)
                    == RD_KAFKA_RESP_ERR_NO_ERROR
            else { break }
            let bytes: [UInt8]? =
                if let value = unsafe value {
                    unsafe [UInt8](UnsafeRawBufferPointer(start: value, count: size))
                } else { nil }
            found.append((unsafe Text.string(name), bytes))
        }
        return found
    }
}
