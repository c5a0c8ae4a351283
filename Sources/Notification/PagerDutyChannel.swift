package import Escalation
package import Fleet

/// Sends each page to PagerDuty's Events API v2 (reference, wire formats 4.3).
///
/// One PagerDuty alert stands for one episode of an incident: its key makes a repeat harmless, and
/// acknowledge and resolve find it again. The integration key is the secret of the settings.
package final class PagerDutyChannel: Channel {
    package static let url = "https://events.pagerduty.com/v2/enqueue"

    private let settings: DestinationSettings
    private let instance: Instance
    private let poster: Poster

    package init(_ settings: DestinationSettings, from instance: Instance) {
        self.settings = settings
        self.instance = instance
        poster = Poster(settings, from: instance)
    }

    package func cancel() { poster.cancel() }

    package func send(_ delivery: Delivery, at now: Instant) -> Attempt {
        Attempt(
            poster.post(
                body(delivery), to: settings.urls.first ?? PagerDutyChannel.url,
                headers: ["Content-Type: application/json"]))
    }

    private func body(_ delivery: Delivery) -> [UInt8] {
        let page = delivery.page
        return JSONWriter.object { writer in
            writer.member(
                "routing_key", plain(String(decoding: settings.secret, as: UTF8.self), max: 64))
            writer.member("event_action", page.kind.eventAction)
            writer.member("dedup_key", key(page))
            // Acknowledge and resolve take the key and nothing else.
            guard page.kind.eventAction == "trigger" else { return }
            writer.member("client", "tocsin")
            let link = instance.link(to: page.incident)
            if !link.isEmpty { writer.member("client_url", link) }
            writer.object("payload") { payload(delivery, &$0) }
        }
    }

    private func payload(_ delivery: Delivery, _ writer: inout JSONWriter) {
        let brief = delivery.page.brief
        // Their bound is 1,024 characters; the headline has 200 but for a very long name.
        writer.member(
            "summary", plain(PageText(delivery.page, from: instance).headline, max: 1_000))
        writer.member("source", plain(brief.blame.description, max: 300))
        writer.member("severity", brief.severity.eventSeverity)
        writer.member("timestamp", brief.since.rfc3339)
        writer.member("component", plain(brief.blame.name, max: 300))
        writer.member("group", plain(brief.labels[.cluster], max: 300))
        writer.member("class", plain(brief.symptom, max: 300))
        writer.name("custom_details")
        // Far below their 512 KB for the whole event.
        writer.raw(PageJSON(delivery, from: instance).webhookBody(bytesMax: 61_440))
    }

    /// At most 255 characters: what is long here is the cluster's name.
    private func key(_ page: Page) -> String {
        "tocsin-\(plain(instance.cluster, max: 100))-\(plain(page.incident, max: 100))-\(page.generation)"
    }
}

extension Page.Kind {
    fileprivate var eventAction: String {
        switch self {
        case .page, .update, .reminder: "trigger"
        case .acknowledged: "acknowledge"
        case .resolved: "resolve"
        }
    }
}

extension Severity {
    fileprivate var eventSeverity: String {
        switch self {
        case .critical: "critical"
        case .high: "error"
        case .medium: "warning"
        case .low: "info"
        }
    }
}
