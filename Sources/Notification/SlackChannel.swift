package import Escalation
package import Fleet
import HTTP

/// Posts each page to a Slack incoming webhook (reference, wire formats 4.4).
///
/// Slack has no key against doubles: a repeat says that it may be one.
package final class SlackChannel: Channel {
    /// Slack takes 3,000 characters a section; escaping may make five of one.
    private static let sectionCharacters = 2_900

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
        guard let url = settings.urls.first else {
            return .permanent(code: 0, reason: "\(settings.name) has no URL")
        }
        let result = poster.post(
            SlackChannel.body(delivery, from: instance), to: url,
            headers: ["Content-Type: application/json"])
        let attempt = Attempt(result)
        // A proxy or a login page also answers 200: only `ok` says that Slack took it.
        if case .delivered(let code) = attempt, case .success(let answer) = result,
            answer.body != Array("ok".utf8)
        {
            let words = plain(String(decoding: answer.body.prefix(400), as: UTF8.self), max: 200)
            return .permanent(code: code, reason: "the answer is not Slack's 'ok': \(words)")
        }
        return attempt
    }

    /// The headline for the notification, and the whole page as fixed-width text.
    package static func body(_ delivery: Delivery, from instance: Instance) -> [UInt8] {
        let text = PageText(delivery.page, from: instance, mayRepeat: delivery.mayRepeat)
        return JSONWriter.object { writer in
            writer.member("text", escaped(text.headline, max: sectionCharacters))
            writer.array("blocks") { writer in
                section(escaped(text.headline, max: sectionCharacters), &writer)
                // A backquote would end the block.
                let fixed = escaped(
                    String(text.details.map { $0 == "`" ? "'" : $0 }), max: sectionCharacters)
                section("```\(fixed)```", &writer)
            }
        }
    }

    private static func section(_ text: String, _ writer: inout JSONWriter) {
        writer.object { writer in
            writer.member("type", "section")
            writer.object("text") { writer in
                writer.member("type", "mrkdwn")
                writer.member("text", text)
            }
        }
    }

    /// Escapes what starts a link or a mention, and cuts between two characters, never in an escape.
    private static func escaped(_ text: String, max: Int) -> String {
        var escaped = ""
        var count = 0
        for character in text {
            let part =
                switch character {
                case "&": "&amp;"
                case "<": "&lt;"
                case ">": "&gt;"
                default: String(character)
                }
            count += part.count
            guard count < max else { return escaped + "…" }
            escaped += part
        }
        return escaped
    }
}
