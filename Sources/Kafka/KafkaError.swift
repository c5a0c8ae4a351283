import CRdKafka

/// What librdkafka or a broker refused: what was asked, what happened, and what to do about it.
package struct KafkaError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What a caller does differently; the exact code stays beside it.
    package enum Kind: String, Sendable, CaseIterable {
        case configuration, unreachable, authentication, notAuthorized, unknownTopic
        case unknownPartition, ownershipLost, offsetOutOfRange, queueFull, messageTooLarge
        case timedOut, corrupt, fatal, other
    }

    package let kind: Kind
    package let code: Int32
    /// librdkafka's own name of the code, for searching: `_TRANSPORT`, `ILLEGAL_GENERATION`.
    package let name: String
    /// What we asked for, as the end of "cannot …".
    package let asked: String
    package let reason: String

    init(_ code: rd_kafka_resp_err_t, asked: String, reason: String? = nil) {
        self.init(Self.kind(of: code), code, asked: asked, reason: reason)
    }

    init(_ kind: Kind, _ code: rd_kafka_resp_err_t, asked: String, reason: String?) {
        self.kind = kind
        self.code = code.rawValue
        self.asked = asked
        name = unsafe Text.string(rd_kafka_err2name(code))
        self.reason = unsafe reason ?? Text.string(rd_kafka_err2str(code))
    }

    package var isFatal: Bool { kind == .fatal }

    package var description: String {
        let said = "cannot \(asked): \(reason) (\(name))"
        return advice.isEmpty ? said : "\(said); \(advice)"
    }

    /// What a person does next; empty where the reason says it all.
    package var advice: String {
        switch kind {
        case .configuration: "correct the setting and start again"
        case .unreachable:
            "check bootstrap.servers, the network, and the broker's advertised.listeners"
        case .authentication: "check the user, the secret, the mechanism and the certificates"
        case .notAuthorized: "grant the right on the broker with kafka-acls"
        case .unknownTopic: "create the topic, or correct its name in the settings"
        case .unknownPartition: "the topic has fewer partitions than was assumed"
        case .ownershipLost: "drop the state of these partitions; another member owns them"
        case .offsetOutOfRange: "retention was faster than this reader"
        case .queueFull: "poll for delivery reports, then try again"
        case .messageTooLarge:
            "make the message smaller, or raise message.max.bytes here and on the topic"
        case .timedOut: "the broker may be overloaded; it will be tried again"
        case .corrupt: "the log segment on the broker is damaged"
        case .fatal: "this client cannot go on; open a new one"
        case .other: ""
        }
    }

    static func kind(of code: rd_kafka_resp_err_t) -> Kind {
        switch code {
        case RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,
            RD_KAFKA_RESP_ERR__RESOLVE, RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE,
            RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION, RD_KAFKA_RESP_ERR__WAIT_COORD,
            RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, RD_KAFKA_RESP_ERR__NODE_UPDATE:
            .unreachable
        case RD_KAFKA_RESP_ERR__AUTHENTICATION, RD_KAFKA_RESP_ERR__SSL,
            RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
            RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM,
            RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
            .authentication
        case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
            RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
            RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
            RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
            .notAuthorized
        case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
            RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
            .unknownTopic
        case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION: .unknownPartition
        case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
            RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID,
            RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST, RD_KAFKA_RESP_ERR__FENCED:
            .ownershipLost
        case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
            .offsetOutOfRange
        case RD_KAFKA_RESP_ERR__QUEUE_FULL: .queueFull
        case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
            RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
            .messageTooLarge
        case RD_KAFKA_RESP_ERR__TIMED_OUT, RD_KAFKA_RESP_ERR__MSG_TIMED_OUT,
            RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
            .timedOut
        case RD_KAFKA_RESP_ERR__BAD_MSG, RD_KAFKA_RESP_ERR__BAD_COMPRESSION,
            RD_KAFKA_RESP_ERR_INVALID_MSG:
            .corrupt
        case RD_KAFKA_RESP_ERR__FATAL: .fatal
        case RD_KAFKA_RESP_ERR__INVALID_ARG: .configuration
        default: .other
        }
    }

    /// Takes over an error object: reads it and frees it.
    static func take(_ error: OpaquePointer?, asked: String) -> KafkaError? {
        guard let error = unsafe error else { return nil }
        defer { unsafe rd_kafka_error_destroy(error) }
        let code = unsafe rd_kafka_error_code(error)
        let kind = unsafe rd_kafka_error_is_fatal(error) != 0 ? Kind.fatal : Self.kind(of: code)
        return KafkaError(
            kind, code, asked: asked, reason: unsafe Text.string(rd_kafka_error_string(error)))
    }
}

/// C strings of librdkafka, which may be absent and need not be UTF-8, as text.
enum Text {
    static func string(_ text: UnsafePointer<CChar>?) -> String {
        guard let text = unsafe text else { return "" }
        return unsafe String(cString: text)
    }

    static func string(_ buffer: [CChar]) -> String {
        String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
