package import Fleet

/// The wire format of a topic, as written in the settings.
package enum WireFormat: String, CaseIterable, Sendable {
    /// Any of the text formats below, recognised message by message.
    case auto
    case native
    case telegrafJSON = "telegraf-json"
    case influx
    case vector
    case prometheusAdapter = "prometheus-kafka-adapter"
}

/// Why a message could not be decoded; it goes to the dead-letter topic with this reason.
package struct Undecodable: Error, Equatable, Sendable {
    package enum Reason: String, CaseIterable, Sendable {
        case empty, tooLarge = "too_large", unknownFormat = "unknown_format", malformed
        case notUTF8 = "not_utf8", tooDeep = "too_deep", missingField = "missing_field"
        case badTimestamp = "bad_timestamp", unsupportedVersion = "unsupported_version"
    }

    package let reason: Reason
    /// Byte offset in the message where reading stopped.
    package let position: Int

    package init(_ reason: Reason, at position: Int) {
        self.reason = reason
        self.position = position
    }
}

/// One message as it came out of Kafka, on loan for the length of a call.
package struct MessageOrigin: Sendable {
    /// Index into the batch's `partitions`.
    package let partition: UInt16
    package let offset: Int64
    /// The record's own timestamp: the event time where the payload has none.
    package let recordTime: Instant

    package init(partition: UInt16, offset: Int64, recordTime: Instant) {
        self.partition = partition
        self.offset = offset
        self.recordTime = recordTime
    }
}
