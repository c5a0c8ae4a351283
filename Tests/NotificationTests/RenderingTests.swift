import Escalation
import Fleet
import Foundation
import Notification
import Testing

@Suite struct PageTextTests {
    @Test func `the first 200 characters say all that one needs at night`() {
        let headline = PageText(samplePage(), from: bell).headline
        #expect(
            headline == """
                SEV1 GPU fell off the bus | device nvidia/GPU-6b0d549b-1c2d-4e5f-8a9b-0c1d2e3f4a5b | \
                since 08:00Z | $55.04/h | tier 1, first page | Drain the node, then reset the… | \
                tocsin incident ack INC-7K2M9QXW4E
                """)
        #expect(headline.count <= 200)
    }

    @Test func `the rest says it in full`() {
        let text = PageText(samplePage(), from: bell, mayRepeat: true).full
        #expect(
            text.split(separator: "\n", maxSplits: 1)[1] == """

                This may be a repeat: an earlier attempt had no clear end.

                What     XID 79, then silence for 90 s (threshold 60 s)
                Where    device nvidia/GPU-6b0d549b-1c2d-4e5f-8a9b-0c1d2e3f4a5b, rack r17, \
                host gpu-node-0017, job llm-pretrain
                Since    2026-11-21T08:00:00Z (12m)
                Cost     $55.04/h, $11.01 so far, 8 accelerators lost
                Devices  8: nvidia/GPU-6b0d549b-1c2d-4e5f-8a9b-0c1d2e3f4a5b, nvidia/GPU-2 and 6 more
                Rules    gpu-off-bus
                Why you  tier 1, first page
                Do first Drain the node, then reset the GPU or power-cycle the host.
                Ack      tocsin incident ack INC-7K2M9QXW4E
                Open     https://tocsin.example/incidents/INC-7K2M9QXW4E
                Sent     2026-11-21T08:12:00Z by dc 1/a/b, page PAGE1

                """)
    }

    @Test func `who is told and not called is not said to have the first page`() {
        var page = samplePage(2, .update)
        page.reason = .informed
        page.tier = .two
        let text = PageText(page, from: bell)
        #expect(text.headline.contains(" | tier 2, for information | "))
        #expect(text.full.contains("\nWhy you  tier 2, for information\n"))
        #expect(!text.full.contains("first page"))
    }

    @Test func `a resolve says how long and how much and asks for nothing`() {
        let headline = PageText(samplePage(2, .resolved), from: bell).headline
        #expect(
            headline == """
                RESOLVED SEV1 GPU fell off the bus | device \
                nvidia/GPU-6b0d549b-1c2d-4e5f-8a9b-0c1d2e3f4a5b | lasted 12m | $11.01 in all
                """)
    }

    @Test(arguments: Page.Kind.allOfThem, Page.Reason.allCases)
    func `no headline is longer than 200 characters or cuts an id`(
        _ kind: Page.Kind, _ reason: Page.Reason
    ) {
        for (title, runbook) in [("", ""), ("x", "y"), (long, ""), ("", long), (long, long)] {
            var page = samplePage(1, kind) { brief in
                brief.title = title
                brief.runbook = runbook
                brief.acknowledgedBy = "ana"
                brief.costPerHour = Money(dollars: 12_345)
            }
            page.reason = reason
            let headline = PageText(page, from: bell).headline
            #expect(headline.count <= 200, "\(headline)")
            #expect(headline.contains("device nvidia/GPU-6b0d549b-1c2d-4e5f-8a9b-0c1d2e3f4a5b"))
            if kind == .page { #expect(headline.hasSuffix("ack INC-7K2M9QXW4E")) }
        }
    }

    private let long = String(repeating: "all is lost ", count: 500)

    @Test func `what comes from outside cannot forge a line`() {
        let hostile = "x\nAck      rm -rf /\r\u{1b}[2J\u{202e}\u{2028}y"
        let page = samplePage { brief in
            brief.title = hostile
            brief.summary = hostile
            brief.runbook = hostile
            brief.labels[.rack] = hostile
            brief.devices = [hostile]
            brief.rules = [hostile]
            brief.acknowledgedBy = hostile
        }
        let clean = PageText(samplePage { $0.acknowledgedBy = "ana" }, from: bell).full
        let text = PageText(page, from: bell).full
        #expect(text.split(separator: "\n").count == clean.split(separator: "\n").count)
        #expect(text.split(separator: "\n").filter { $0.hasPrefix("Ack ") }.count == 1)
        #expect(!text.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" })
        #expect(!text.unicodeScalars.contains { $0.value == 0x202e || $0.value == 0x2028 })
    }
}

extension Page.Kind {
    static let allOfThem: [Page.Kind] = [.page, .update, .reminder, .resolved, .acknowledged]
}

@Suite struct PageJSONTests {
    @Test func `a CloudEvent is that of its page`() {
        let event = PageJSON(sampleDelivery(), from: bell).cloudEvent(sequence: 42)
        #expect(
            String(decoding: event, as: UTF8.self) == """
                {"specversion":"1.0","id":"PAGE1.hook","source":"/tocsin/dc%201/a%2Fb",\
                "type":"io.tocsin.page.page.v1","subject":"INC-7K2M9QXW4E",\
                "time":"2026-11-21T08:12:00Z","datacontenttype":"application/json",\
                "partitionkey":"INC-7K2M9QXW4E","severitytext":"critical",\
                "sequence":"00000000000000000042","data":{"id":"PAGE1","kind":"page",\
                "reason":"first","incident":"INC-7K2M9QXW4E","generation":1,"round":1,"tier":1,\
                "severity":1,"at":"2026-11-21T08:12:00Z","since":"2026-11-21T08:00:00Z",\
                "headline":"SEV1 GPU fell off the bus | device \
                nvidia/GPU-6b0d549b-1c2d-4e5f-8a9b-0c1d2e3f4a5b | since 08:00Z | $55.04/h | tier 1, \
                first page | Drain the node, then reset the… | tocsin incident ack INC-7K2M9QXW4E",\
                "title":"GPU fell off the bus",\
                "summary":"XID 79, then silence for 90 s (threshold 60 s)","symptom":"off-bus",\
                "blame":{"kind":"device","name":"nvidia/GPU-6b0d549b-1c2d-4e5f-8a9b-0c1d2e3f4a5b"},\
                "labels":{"rack":"r17","host":"gpu-node-0017","job":"llm-pretrain"},\
                "rules":["gpu-off-bus"],"evidence":[],"notes":[],"recipients":["ana"],"acceleratorsLost":8,\
                "costPerHourDollars":55.04,"costTotalDollars":11.01,\
                "runbook":"Drain the node, then reset the GPU or power-cycle the host.",\
                "acknowledgedBy":"","isStale":false,\
                "url":"https://tocsin.example/incidents/INC-7K2M9QXW4E","deviceCount":8,\
                "devices":["nvidia/GPU-6b0d549b-1c2d-4e5f-8a9b-0c1d2e3f4a5b","nvidia/GPU-2"],\
                "mayRepeat":false}}
                """)
    }

    private struct Event: Decodable {
        struct Data: Decodable {
            let devices: [String]
            let deviceCount: Int
            let truncated: Bool?
            let incident: String
        }
        let id: String
        let data: Data
    }

    private func event(devices: Int, bytesMax: Int = 61_440) throws -> (Event, Int) {
        let page = samplePage { brief in
            brief.devices = (0..<devices).map { "nvidia/GPU-\($0)" }
            brief.deviceCount = devices
        }
        let bytes = PageJSON(Delivery(destination: "hook", page: page), from: bell)
            .cloudEvent(bytesMax: bytesMax)
        return (try JSONDecoder().decode(Event.self, from: Data(bytes)), bytes.count)
    }

    @Test func `past 60 KiB devices are left out from the end, and no more than needed`() throws {
        let (small, _) = try event(devices: 1_000)
        #expect(small.data.devices.count == 1_000 && small.data.truncated == nil)
        let (large, size) = try event(devices: 20_000)
        #expect(size <= 61_440 && size > 61_440 - 40)
        #expect(large.data.truncated == true && large.data.deviceCount == 20_000)
        #expect(large.data.devices.first == "nvidia/GPU-0" && large.id == "PAGE1.hook")
        #expect(large.data.devices == (0..<large.data.devices.count).map { "nvidia/GPU-\($0)" })

        let (_, exact) = try event(devices: 100)
        #expect(try event(devices: 100, bytesMax: exact).0.data.truncated == nil)
        #expect(try event(devices: 100, bytesMax: exact - 1).0.data.truncated == true)
    }

    @Test func `however long every text is, the event is whole and within its bound`() throws {
        let long = String(repeating: "\u{1}é\"", count: 20_000)
        let page = samplePage { brief in
            brief.title = long
            brief.summary = long
            brief.runbook = long
            brief.symptom = long
            brief.acknowledgedBy = long
            brief.blame = Entity(kind: .job, name: long)
            brief.rules = Array(repeating: long, count: 60)
            brief.devices = Array(repeating: long, count: 20)
            for key in LabelKey.allCases { brief.labels[key] = long }
        }
        let json = PageJSON(Delivery(destination: "hook", page: page), from: bell)
        for bytes in [json.cloudEvent(), json.webhookBody(bytesMax: 61_440)] {
            #expect(bytes.count <= 61_440)
            let read = try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
            let data = (read?["data"] ?? read?["page"]) as? [String: Any]
            #expect(data?["truncated"] as? Bool == true)
            #expect(data?["incident"] as? String == "INC-7K2M9QXW4E")
        }
    }
}

@Suite struct PostableAlertsTests {
    private struct Alert: Decodable {
        let labels: [String: String]
        let annotations: [String: String]
        let startsAt: String
        let endsAt: String
        let generatorURL: String?
    }

    private func alerts(_ pages: [Page], at now: Instant = start) throws -> [Alert] {
        try JSONDecoder().decode(
            [Alert].self, from: Data(PostableAlerts.json(pages, from: bell, at: now)))
    }

    @Test func `a firing alert lives four minutes and a resolved one has ended`() throws {
        let pages = [samplePage(), samplePage(2, .resolved)]
        let both = try alerts(pages, at: start + .seconds(30))
        #expect(
            both[0].startsAt == "2026-11-21T08:00:00Z" && both[0].endsAt == "2026-11-21T08:16:30Z")
        #expect(both[1].endsAt == "2026-11-21T08:12:00Z")
        #expect(both[0].generatorURL == "https://tocsin.example/incidents/INC-7K2M9QXW4E")
        #expect(
            both[0].labels == [
                "alertname": "TocsinOffBus", "incident": "INC-7K2M9QXW4E", "symptom": "off-bus",
                "severity": "critical", "source": "tocsin", "cluster": "dc 1",
                "blame": "nvidia/GPU-6b0d549b-1c2d-4e5f-8a9b-0c1d2e3f4a5b", "blame_kind": "device",
            ])
        #expect(both[0].annotations["cost_per_hour"] == "$55.04")
        #expect(try alerts([]).isEmpty)
    }

    @Test func `the identity of an incident stays while all else about it changes`() throws {
        var later = samplePage(2, .update) { brief in
            brief.title = "other"
            brief.labels = Labels()
            brief.devices = []
            brief.rules = []
            brief.costPerHour = .zero
            brief.acknowledgedBy = "ana"
        }
        later.tier = .three
        later.generation = 7
        let both = try alerts([samplePage(), later, samplePage(3, .resolved)])
        #expect(Set(both.map(\.labels)).count == 1)
        #expect(Set(both.map(\.annotations)).count == 3)
    }

    @Test func `an alert never ends before it starts nor carries an empty label`() throws {
        var page = samplePage(1, .resolved) { $0.symptom = "" }
        page.at = start - .seconds(86_400)
        let alert = try #require(try alerts([page]).first)
        #expect(alert.startsAt == alert.endsAt && alert.endsAt == page.at.rfc3339)
        #expect(alert.labels["symptom"] == nil && alert.labels["alertname"] == "Tocsin")
    }
}
