import Escalation
import Fleet
import Foundation
import HTTP
import Notification
import Testing

@Suite struct SlackTests {
    private struct Message: Decodable {
        struct Block: Decodable {
            struct Text: Decodable {
                let type: String
                let text: String
            }
            let text: Text
        }
        let text: String
        let blocks: [Block]
    }

    private func message(_ edit: (inout Brief) -> Void) throws -> Message {
        let delivery = Delivery(destination: "slack", page: samplePage(edit: edit))
        return try JSONDecoder().decode(
            Message.self, from: Data(SlackChannel.body(delivery, from: bell)))
    }

    @Test func `a message mentions nobody, keeps its block and stays within Slack's limits`() throws
    {
        let hostile = "<!channel> ``` & <http://evil|click>"
        let message = try message { brief in
            brief.title = hostile
            brief.summary = String(repeating: hostile, count: 500)
            brief.runbook = String(repeating: "&", count: 5_000)
            brief.devices = Array(repeating: hostile, count: 500)
        }
        #expect(message.text.hasPrefix("SEV1 &lt;!channel&gt; "))
        #expect(message.blocks.count == 2)
        for text in message.blocks.map(\.text.text) + [message.text] {
            #expect(text.count <= 3_000 && !text.contains("<") && !text.contains(">"))
        }
        let fixed = message.blocks[1].text.text
        #expect(fixed.hasPrefix("```What ") && fixed.hasSuffix("…```"))
        #expect(fixed.components(separatedBy: "```").count == 3)
    }

    @Test(arguments: [("ok", true), ("", false), ("<html>log in</html>", false)])
    func `only the word ok is a success`(_ body: String, _ isTaken: Bool) throws {
        let server = try Server(port: 0) { _ in
            Response(contentType: "text/plain", body: Array(body.utf8))
        }
        let channel = SlackChannel(
            DestinationSettings(
                name: "slack", kind: .slack, urls: ["http://127.0.0.1:\(server.port)/services/x"]),
            from: bell)
        switch channel.send(sampleDelivery(1), at: start) {
        case .delivered: #expect(isTaken)
        case .permanent(200, let reason): #expect(!isTaken && reason.contains("not Slack's 'ok'"))
        case let other: Issue.record("\(other)")
        }
    }
}

@Suite struct PagerDutyTests {
    private struct Event: Decodable {
        struct Payload: Decodable {
            let summary: String
            let source: String
            let severity: String
            let timestamp: String
        }
        let routing_key: String
        let event_action: String
        let dedup_key: String
        let payload: Payload?
    }

    @Test func `one key stands for one episode from its page to its resolve`() throws {
        let seen = Collector<Request>()
        let server = try Server(port: 0) { request in
            seen.add(request)
            return Response(status: 202, body: Array(#"{"status":"success"}"#.utf8))
        }
        var settings = DestinationSettings(
            name: "pd", kind: .pagerduty, urls: ["http://127.0.0.1:\(server.port)/v2/enqueue"])
        settings.secret = Array("R0UTINGKEY00000000000000000000AB\n".utf8)
        let channel = PagerDutyChannel(settings, from: bell)
        for kind in Page.Kind.allOfThem {
            #expect(channel.send(sampleDelivery(1, kind), at: start) == .delivered(code: 202))
        }
        let events = try seen.all.map { try JSONDecoder().decode(Event.self, from: Data($0.body)) }
        #expect(
            events.map(\.event_action)
                == ["trigger", "trigger", "trigger", "resolve", "acknowledge"])
        #expect(Set(events.map(\.dedup_key)) == ["tocsin-dc 1-INC-7K2M9QXW4E-1"])
        #expect(Set(events.map(\.routing_key)) == ["R0UTINGKEY00000000000000000000AB"])
        let payload = try #require(events[0].payload)
        #expect(payload.severity == "critical" && payload.summary.count <= 1_024)
        #expect(payload.source.hasPrefix("device nvidia/GPU-6b0d549b"))
        #expect(payload.timestamp == "2026-11-21T08:00:00Z" && events[3].payload == nil)
    }
}
