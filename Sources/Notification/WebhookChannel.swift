package import Escalation
package import Fleet
import HTTP

/// Posts each delivery as JSON to one URL, signed where a secret is shared.
///
/// The signature is HMAC-SHA-256 over `<timestamp>.<body>`, so that neither can be replayed with the
/// other; a receiver refuses timestamps older than a few minutes.
package final class WebhookChannel: Channel {
    /// What intermediaries of CloudEvents forward; most receivers take far more.
    package static let bodyBytesMax = 61_440
    /// A body for a receiver that called the first one too large: the headline and the ids.
    private static let bodyBytesMin = 4_096

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
        let attempt = post(delivery, WebhookChannel.bodyBytesMax, now)
        guard attempt.code == 413 else { return attempt }
        return post(delivery, WebhookChannel.bodyBytesMin, now)
    }

    private func post(_ delivery: Delivery, _ bytesMax: Int, _ now: Instant) -> Attempt {
        guard let url = settings.urls.first else {
            return .permanent(code: 0, reason: "\(settings.name) has no URL")
        }
        let json = PageJSON(delivery, from: instance)
        let body =
            settings.usesCloudEvents
            ? json.cloudEvent(bytesMax: bytesMax) : json.webhookBody(bytesMax: bytesMax)
        return Attempt(poster.post(body, to: url, headers: headers(delivery, body, now)))
    }

    private func headers(_ delivery: Delivery, _ body: [UInt8], _ now: Instant) -> [String] {
        var headers = [
            settings.usesCloudEvents
                ? "Content-Type: application/cloudevents+json; charset=UTF-8"
                : "Content-Type: application/json",
            "Idempotency-Key: \(plain(delivery.id, max: 200))",
            "X-Tocsin-Delivery: \(plain(delivery.id, max: 200))",
        ]
        if delivery.mayRepeat { headers.append("X-Tocsin-Repeat: maybe") }
        if !settings.secret.isEmpty {
            let timestamp = String(now.milliseconds / 1_000)
            headers.append("X-Tocsin-Timestamp: \(timestamp)")
            headers.append(
                "X-Tocsin-Signature: "
                    + WebhookChannel.signature(of: body, at: timestamp, key: settings.secret))
        }
        return headers
    }

    /// `v1=` and the hexadecimal HMAC-SHA-256 of `<timestamp>.<body>`.
    package static func signature(
        of body: [UInt8], at timestamp: String, key: [UInt8]
    ) -> String {
        "v1=\(hex(HTTP.signature(Array("\(timestamp).".utf8) + body, key: key)))"
    }
}
