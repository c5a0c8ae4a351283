import Console
import Escalation
import Fleet
import Incidents
import Testing

@Suite struct IncidentTextTests {
    @Test func `the table is aligned and keeps the order it was given`() {
        let incidents = [
            record("INC-7QX2M40ZKD", dollars: 1_234),
            record("INC-B", .low, host: "gpu-node-0017", dollars: 0, since: at(-90_000)),
        ].map { IncidentDocument($0) }
        #expect(
            IncidentText.table(incidents, at: at(0)) == """
                ID              SEVERITY  WHERE               SINCE     $/H  WHO     WHAT
                INC-7QX2M40ZKD  critical  host node-1           10m  $1,234  nobody  off-bus on node-1
                INC-B           low       host gpu-node-0017  1d01h   $0.00  nobody  off-bus on gpu-node-0017

                """)
        #expect(IncidentText.table([], at: at(0)) == "no incident\n")
    }

    @Test func `the detail says what, what first, where, since, how bad, who and why`() {
        let shown = record("INC-A")
        var document = IncidentDocument(shown)
        document.escalation.response = "acked"
        document.escalation.holder = "ana"
        document.escalation.until = Timestamp(at(3_600))
        document.escalation.paged = ["ana", "bo"]
        document.history = .init(
            shown, timeline: [row(2, "INC-A", "second"), row(1, "INC-A", "first")],
            deliveries: [page("INC-A")])
        #expect(
            IncidentText.detail(document, at: at(0)) == """
                INC-A  CRITICAL  off-bus on node-1

                GPU is silent for 93 s on node-1

                First: Drain the node, then read dmesg.

                Where:    host node-1
                Labels:   host=node-1 team=ml
                Since:    2026-05-28T20:16:40Z, 10m ago
                Cost:     $12.50 per hour, $2.00 so far, 8 accelerators lost
                Who:      ana until 21:26
                Paged:    ana, bo
                Phase:    open
                Rules:    gpu-off-bus
                Devices:  nvidia/GPU-INC-A

                Evidence
                  GPU is silent for 93 s on node-1 (gpu-off-bus, t[3]@17)
                      age 93.5 s (threshold 60)
                      power no number

                Timeline
                  2026-05-28T20:26:41Z  incident.opened  engine  first
                  2026-05-28T20:26:42Z  incident.opened  engine  second

                Sent
                  2026-05-28T20:16:50Z  pager  page, first  ana  failed after 3 attempts, code 503: upstream is down

                """)
    }

    @Test func `no label moves the cursor, turns the text or adds a line`() {
        var shown = record("INC-A", host: hostile + "\nINC-FAKE critical")
        shown.incident.runbook = "rm -rf /\r\u{9B}2J"
        var document = IncidentDocument(shown)
        document.escalation.paged = ["a\u{2028}b"]
        document.history = .init(shown, timeline: [row(1, "INC-A", hostile)], deliveries: [])
        let table = IncidentText.table([document], at: at(0))
        let detail = IncidentText.detail(document, at: at(0))
        for scalar in (table + detail).unicodeScalars where scalar != "\n" {
            let category = scalar.properties.generalCategory
            #expect(![.control, .format, .lineSeparator].contains(category), "U+\(scalar.value)")
        }
        #expect(table.split(separator: "\n").count == 2)
    }

    @Test func `who has it, until when and who is next come out of the episode`() {
        var shown = record("INC-A")
        shown.episode.tier = .two
        shown.episode.levelDeadline = at(300)
        shown.episode.paged = ["ana", "bo"]
        shown.episode.isFlapping = true
        shown.episode.masks = [.silence("s-1")]
        let paged = EscalationDocument(shown.episode)
        #expect(paged.response == "unacked" && paged.holder.isEmpty && paged.until == nil)
        #expect(paged.tier == 2 && paged.nextPageAt == Timestamp(at(300)))
        #expect(paged.paged == ["ana", "bo"] && paged.flapping && paged.masks == ["silence:s-1"])

        shown.episode.response = .acked(by: "ana")
        shown.episode.levelDeadline = nil
        shown.episode.ackDeadline = at(3_600)
        let acked = EscalationDocument(shown.episode)
        #expect(acked.response == "acked" && acked.holder == "ana" && acked.nextPageAt == nil)
        #expect(acked.until == Timestamp(at(3_600)))

        shown.episode.response = .snoozed(by: "bo")
        shown.episode.snoozeDeadline = at(60)
        let snoozed = EscalationDocument(shown.episode)
        #expect(snoozed.response == "snoozed" && snoozed.holder == "bo")
        #expect(snoozed.until == Timestamp(at(60)))
    }

    @Test func `who has it is said in the words of the case`() {
        var escalation = EscalationDocument(phase: "open", generation: 1)
        #expect(escalation.who() == "nobody")
        escalation.tier = 2
        #expect(escalation.who() == "tier 2 paged")
        escalation.tier = 4
        #expect(escalation.who() == "backstop paged")
        escalation.masks = ["silence:s-1"]
        #expect(escalation.who() == "silenced")
        escalation.response = "snoozed"
        escalation.holder = "ana"
        #expect(escalation.who() == "snoozed by ana")
        escalation.phase = "resolved"
        escalation.response = "unacked"
        #expect(escalation.who() == "resolved")
        #expect(EscalationDocument(phase: "held", generation: 0).who() == "held")
    }

    @Test func `no number and no time is too wild to be written`() {
        for value in [0, -0.0, 1e308, -1e308, .infinity, -.infinity, .nan, 0.05, 7.96] as [Double] {
            #expect(!Plain.money(value).isEmpty && !Plain.number(value).isEmpty)
        }
        #expect(Plain.number(7.96) == "8" && Plain.number(7.5) == "7.5")
        let wild = [Int64.min, .max, 0].map { Instant(milliseconds: $0) }
        for since in wild {
            for now in wild { #expect(!Plain.age(since, at: now).isEmpty) }
            #expect(Timestamp(since).instant.rfc3339.utf8.count == 20)
        }
        #expect(Plain.age(at(0), at: at(59)) == "59s" && Plain.age(at(0), at: at(60)) == "1m")
        #expect(
            Plain.age(at(0), at: at(3_599)) == "59m" && Plain.age(at(0), at: at(3_600)) == "1h00m")
        #expect(Plain.age(at(5), at: at(0)) == "0s")
    }

    @Test func `an incident of extremes is still an answer`() throws {
        var fixture = Fixture()
        var wild = record("INC-A", since: Instant(milliseconds: .min))
        wild.incident.acceleratorsLost = .infinity
        wild.incident.acceleratorHoursLost = .nan
        wild.incident.costPerHour = Money(microdollars: .max)
        wild.incident.costTotal = Money(microdollars: .min)
        wild.incident.heardAt = Instant(milliseconds: .max)
        fixture.view.cases = [wild]
        for path in ["/", "/incidents/INC-A", "/api/v1/incidents/INC-A", "/api/v1/status"] {
            #expect(fixture.get(path).status == 200)
        }
        let text = fixture.get("/api/v1/incidents/INC-A").text
        let document = try APIJSON.decode(IncidentDocument.self, Array(text.utf8))
        #expect(document.cost.acceleratorsLost == 0)
        #expect(IncidentText.detail(document, at: at(0)).contains("0 accelerators lost"))
    }
}
