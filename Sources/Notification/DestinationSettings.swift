import HTTP
package import Observability

/// One place that pages go to, as the settings name it.
package struct DestinationSettings: Sendable {
    package enum Kind: String, Sendable, CaseIterable {
        case stdout, webhook, alertmanager, slack, pagerduty
        /// Made by whoever owns a producer; not here.
        case kafka
    }

    package var name: String
    package var kind: Kind
    /// One for a webhook and Slack, every peer for Alertmanager; none for PagerDuty's own.
    package var urls: [String] = []
    /// Signs the body of a webhook, or is PagerDuty's integration key; from a file, never shown.
    package var secret: [UInt8] = []
    /// Further header lines, such as `Authorization: Bearer …`; never shown.
    package var headers: [String] = []
    /// Of one exchange, connecting included.
    package var timeout: Duration = .seconds(10)
    /// The shortest time between two deliveries, for receivers that count.
    package var pace: Duration = .zero
    /// Send CloudEvents in structured mode instead of the plain body.
    package var usesCloudEvents = false
    /// PEM files; empty for the system's authorities and no certificate of ours.
    package var authorityFile = ""
    package var certificateFile = ""
    package var keyFile = ""
    /// The proxy to go through; the environment's is never used.
    package var proxy = ""

    package init(name: String, kind: Kind, urls: [String] = []) {
        self.name = name
        self.kind = kind
        self.urls = urls
    }

    /// The channel that these settings describe; nil for a kind that is made elsewhere.
    package func channel(from instance: Instance, log: Log) -> (any Channel)? {
        switch kind {
        case .stdout: StandardOutputChannel(from: instance)
        case .webhook: WebhookChannel(self, from: instance)
        case .alertmanager: AlertmanagerChannel(self, from: instance, log: log)
        case .slack: SlackChannel(self, from: instance)
        case .pagerduty: PagerDutyChannel(self, from: instance)
        case .kafka: nil
        }
    }

    func clientSettings(_ instance: Instance, _ cancellation: Cancellation) -> ClientSettings {
        var settings = ClientSettings()
        settings.userAgent = instance.userAgent
        settings.authorityFile = authorityFile
        settings.certificateFile = certificateFile
        settings.keyFile = keyFile
        settings.proxy = proxy
        settings.cancellation = cancellation
        return settings
    }

    var timeoutMilliseconds: Int {
        let (seconds, attoseconds) = timeout.components
        return Int(clamping: min(max(0, seconds), 600)) * 1_000
            + Int(attoseconds / 1_000_000_000_000_000)
    }
}

extension DestinationSettings: CustomStringConvertible {
    /// Without path, secret and header values.
    package var description: String {
        let places = urls.map { origin(of: $0) }.joined(separator: ", ")
        let signed = secret.isEmpty ? "" : ", signed"
        return "\(name) (\(kind.rawValue)\(places.isEmpty ? "" : " to \(places)")\(signed))"
    }
}
