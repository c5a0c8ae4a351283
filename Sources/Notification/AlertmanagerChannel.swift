package import Escalation
package import Fleet
import HTTP
package import Observability

/// Posts alerts to every peer of an Alertmanager cluster, as Prometheus does.
///
/// Peers do not pass alerts on to each other, so each is told. A delivery counts as made where one
/// peer took it: the others hear of it when the alert is sent again, which the caller does every
/// minute as long as the incident is open, and for five minutes after.
package final class AlertmanagerChannel: Channel {
    private let settings: DestinationSettings
    private let instance: Instance
    private let log: Log
    private let poster: Poster

    package init(_ settings: DestinationSettings, from instance: Instance, log: Log) {
        self.settings = settings
        self.instance = instance
        self.log = log
        poster = Poster(settings, from: instance)
    }

    package func cancel() { poster.cancel() }

    package func send(_ delivery: Delivery, at now: Instant) -> Attempt {
        send([delivery.page], at: now)
    }

    /// Sends many alerts at once, in batches: those that are open, once a minute.
    package func send(_ pages: [Page], at now: Instant) -> Attempt {
        guard !settings.urls.isEmpty else {
            return .permanent(code: 0, reason: "\(settings.name) has no URL")
        }
        var worst = Attempt.delivered(code: 200)
        var rest = pages[...]
        while !rest.isEmpty {
            let batch = rest.prefix(PostableAlerts.batchMax)
            rest = rest.dropFirst(batch.count)
            let attempt = post(PostableAlerts.json(batch, from: instance, at: now))
            if case .delivered = attempt { continue }
            if case .retry = worst { continue }
            worst = attempt
        }
        return worst
    }

    private func post(_ body: [UInt8]) -> Attempt {
        var taken: Attempt?
        var failed: Attempt?
        for url in settings.urls {
            let attempt = post(body, to: url)
            if case .delivered = attempt {
                taken = attempt
                continue
            }
            log.warning(
                "an Alertmanager peer did not take alerts",
                [
                    "destination": settings.name, "peer": origin(of: url),
                    "reason": attempt.reason,
                ])
            // One that may yet take it outweighs one that never will.
            if case .retry = failed { continue }
            failed = attempt
        }
        return taken ?? failed ?? .permanent(code: 0, reason: "no peer")
    }

    private func post(_ body: [UInt8], to url: String) -> Attempt {
        let slash = url.hasSuffix("/") ? "" : "/"
        return Attempt(
            poster.post(
                body, to: "\(url)\(slash)api/v2/alerts",
                headers: ["Content-Type: application/json"]))
    }
}
