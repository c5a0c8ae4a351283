import Fleet
package import Telemetry

/// Everything that an operator decides, read once at start.
///
/// Detection rules, people and prices are not here: they live in the rules folder and are reloaded
/// while the daemon runs.
package struct Settings: Sendable, Equatable {
    /// Names the fleet in ids and messages.
    package var cluster = "default"
    /// Names this process among several; the host name where nothing is written.
    package var instance = ""
    package var stateDirectory = "/var/lib/tocsin"
    package var rulesDirectory = "/etc/tocsin/rules"
    package var kafka = Kafka()
    package var telemetry = Telemetry()
    package var api = API()
    package var destinations: [Destination] = []
    package var log = Log()
    /// A page about something older than this says so; it is news of the past.
    package var staleAfter: Duration = .seconds(600)
    /// How long closed incidents and finished deliveries are kept.
    package var retention: Duration = .seconds(90 * 86_400)

    package struct Kafka: Sendable, Equatable {
        package var bootstrap: [String] = []
        package var group = "tocsin"
        /// How long a start may wait for the first broker.
        package var patience: Duration = .seconds(60)
        package var startAt = StartAt.latest
        package var topics: [Topic] = []
        package var deadLetters = "tocsin.dlq"
        package var alerts = "tocsin.alerts"
        /// librdkafka's own keys, checked by librdkafka.
        package var properties: [String: String] = [:]
        /// librdkafka key to the name of the file that holds its value.
        package var secretFiles: [String: String] = [:]
    }

    /// Where a partition is read from that neither this ledger nor the group has read before.
    package enum StartAt: String, CaseIterable, Sendable { case latest, earliest }

    package struct Topic: Sendable, Equatable {
        package var name: String
        package var format: WireFormat
    }

    package struct Telemetry: Sendable, Equatable {
        package var devicesMax = 100_000
        package var messageBytesMax = 1 << 20
        package var futureSkew: Duration = .seconds(60)
        /// A topic from which nothing came for so long, after something had, is news for tier 3.
        package var silenceAfter: Duration = .seconds(300)
    }

    package struct API: Sendable, Equatable {
        package var address = "127.0.0.1"
        package var port: UInt16 = 9469
    }

    package struct Destination: Sendable, Equatable {
        package enum Kind: String, CaseIterable, Sendable { case stdout, webhook, alertmanager }
        package var name: String
        package var kind: Kind
        package var urls: [String] = []
        /// File with the HMAC key of a webhook.
        package var secretFile = ""
        /// File with a bearer token.
        package var tokenFile = ""
        package var timeout: Duration = .seconds(10)
    }

    package struct Log: Sendable, Equatable {
        package enum Format: String, CaseIterable, Sendable { case auto, text, json }
        package enum Level: String, CaseIterable, Sendable { case debug, info, warning, error }
        package var format = Format.auto
        package var level = Level.info
    }

    package init() {}
}
