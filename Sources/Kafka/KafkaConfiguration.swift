import CRdKafka

/// Which side of a topic a client stands on.
package enum KafkaRole: String, Sendable, CaseIterable { case consumer, producer }

/// One librdkafka key that cannot be used, and why, in librdkafka's words where it has some.
package struct KafkaConfigurationProblem: Error, Equatable, Sendable, CustomStringConvertible {
    package let key: String
    /// What was written; a secret is shown as asterisks.
    package let value: String
    package let reason: String

    package var description: String { "\(key): \(reason)" }
}

/// The librdkafka keys that an operator may pass through, and those that are ours alone.
package enum KafkaConfiguration {
    /// Finds everything wrong with `pairs` at once, in the order of their keys.
    ///
    /// Nothing connects: each pair is offered to librdkafka itself, whose exact text comes back.
    package static func check(
        _ pairs: [String: String], role: KafkaRole
    ) -> [KafkaConfigurationProblem] {
        guard let conf = unsafe rd_kafka_conf_new() else { fatalError("out of memory") }
        defer { unsafe rd_kafka_conf_destroy(conf) }
        var problems: [KafkaConfigurationProblem] = []
        for (key, value) in pairs.sorted(by: { $0.key < $1.key }) {
            guard let reason = unsafe refusal(of: key, value, role, conf: conf) else { continue }
            problems.append(
                KafkaConfigurationProblem(
                    key: key, value: isSecret(key) ? "***" : value, reason: reason))
        }
        return problems
    }

    /// Every key that this librdkafka knows, for a "did you mean".
    package static func knownKeys() -> [String] {
        guard let conf = unsafe rd_kafka_conf_new() else { fatalError("out of memory") }
        defer { unsafe rd_kafka_conf_destroy(conf) }
        guard let topic = unsafe rd_kafka_topic_conf_new() else { fatalError("out of memory") }
        defer { unsafe rd_kafka_topic_conf_destroy(topic) }
        var count = 0
        var keys: Set<String> = []
        let global = unsafe rd_kafka_conf_dump(conf, &count)
        keys.formUnion(unsafe names(global, count))
        let perTopic = unsafe rd_kafka_topic_conf_dump(topic, &count)
        keys.formUnion(unsafe names(perTopic, count))
        return keys.sorted()
    }

    /// Whether a value must not be shown in a log, a page or a printed setting.
    package static func isSecret(_ key: String) -> Bool {
        [
            "sasl.password", "ssl.key.password", "ssl.keystore.password", "ssl.key.pem",
            "sasl.oauthbearer.client.secret", "sasl.oauthbearer.config",
        ].contains(key)
    }

    /// What works but will hurt somebody; to be logged at start and shown by `check`.
    package static func warnings(_ pairs: [String: String]) -> [String] {
        warnings(pairs, libraryNumber: KafkaLibrary.number, version: KafkaLibrary.version)
    }

    static func warnings(
        _ pairs: [String: String], libraryNumber: Int32, version: String
    ) -> [String] {
        var found: [String] = []
        let mechanism = pairs["sasl.mechanism"] ?? pairs["sasl.mechanisms"] ?? ""
        if mechanism.uppercased().hasPrefix("SCRAM-"), libraryNumber < 0x0206_0100 {
            found.append(
                """
                \(mechanism) with librdkafka \(version): versions before 2.6.1 send the client \
                nonce twice, and Kafka 4 refuses the login as "invalid credentials" even though \
                the password is right; use librdkafka 2.6.1 or later, or PLAIN over TLS, mutual \
                TLS or OAUTHBEARER
                """)
        }
        if pairs["enable.ssl.certificate.verification"].map(isFalse) == true {
            found.append(
                "enable.ssl.certificate.verification=false: anyone on the network path can read "
                    + "and alter what this client sends and receives")
        }
        if pairs["ssl.endpoint.identification.algorithm"]?.lowercased() == "none" {
            found.append(
                "ssl.endpoint.identification.algorithm=none: any certificate of the authority is "
                    + "taken for the broker's")
        }
        let network = (pairs["security.protocol"] ?? "plaintext").lowercased()
        if network == "sasl_plaintext", mechanism.uppercased() == "PLAIN" {
            found.append(
                "security.protocol=sasl_plaintext with PLAIN sends the password in the clear; use "
                    + "sasl_ssl")
        }
        if network == "plaintext", !mechanism.isEmpty {
            found.append(
                "sasl.mechanism is ignored because security.protocol is plaintext; use sasl_ssl")
        }
        return found
    }

    private static func isFalse(_ text: String) -> Bool {
        ["false", "f", "0", "no"].contains(text.lowercased())
    }

    private static func names(
        _ dump: UnsafeMutablePointer<UnsafePointer<CChar>?>?, _ count: Int
    ) -> [String] {
        guard let dump = unsafe dump else { return [] }
        defer { unsafe rd_kafka_conf_dump_free(dump, count) }
        return stride(from: 0, to: count, by: 2).map { unsafe Text.string(dump[$0]) }
    }

    private static func refusal(
        of key: String, _ value: String, _ role: KafkaRole, conf: OpaquePointer
    ) -> String? {
        if let reason = forbidden(key, role) { return "not allowed: \(reason)" }
        guard !key.utf8.contains(0), !value.utf8.contains(0) else { return "holds a zero byte" }
        return unsafe set(conf, key, value)
    }

    /// Sets one key; answers with librdkafka's own words where it refuses.
    static func set(_ conf: OpaquePointer, _ key: String, _ value: String) -> String? {
        var text = [CChar](repeating: 0, count: 512)
        let result = unsafe rd_kafka_conf_set(conf, key, value, &text, text.count)
        return result == RD_KAFKA_CONF_OK ? nil : Text.string(text)
    }
}
