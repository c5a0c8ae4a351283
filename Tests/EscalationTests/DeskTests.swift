import Escalation
import Fleet
import Foundation
import Incidents
import Rules
import TestSupport
import Testing

@Suite("Desk") struct DeskTests {
    @Test func `a page carries all that a channel needs to write it out`() throws {
        var stage = try Stage()
        stage.take([
            finding(device: "nvidia/GPU-604ac76c-d9cf-fef3-62e9-d92044ab6e52", host: "gpu-node-17")
            {
                $0.evidence = [
                    Finding.Evidence(
                        name: "temp.mem", value: 97.123456, unit: "°C", against: "limit 95 °C")
                ]
            }
        ])
        stage.run(to: 1)
        let brief = try #require(stage.pages.first?.brief)
        #expect(brief.title == "HBM 97 °C (threshold 95 °C)" && brief.summary == brief.title)
        #expect(brief.blame.name == "nvidia/GPU-604ac76c-d9cf-fef3-62e9-d92044ab6e52")
        #expect(brief.evidence == ["temp.mem 97.1 °C (limit 95 °C)"])
        #expect(
            brief.notes == ["cost $1.00 to $6.15 per hour: throttle at $6.88/h (h100), prices test"]
        )
        #expect(brief.costPerHour.description == "$3.44" && !brief.isStale)
        #expect(brief.runbook == "Check airflow and drain the host")
    }

    @Test func `each destination gets one delivery and the feed gets every message`() throws {
        var stage = try Stage()
        stage.channels = .silent
        let outcome = stage.desk.take([finding()], at: stage.clock)
        #expect(outcome.pages.isEmpty && outcome.changed.map(\.episode.phase) == [.held])
        let opened = stage.desk.tick(at: stage.clock + .seconds(10))
        #expect(opened.deliveries.map(\.destination) == ["hook", "feed"])
        #expect(opened.deliveries.allSatisfy { $0.id == "\($0.page.id).\($0.destination)" })
        #expect(opened.pages.first?.id.count == 26)
        let acked = try stage.desk.command(
            .acknowledge(stage.id), by: "ana", via: "cli", at: stage.clock + .seconds(20))
        #expect(acked.cancelled == [opened.deliveries[0].id], "it was never sent")
        #expect(acked.pages.first?.brief.acknowledgedBy == "ana")
        #expect(acked.audit.first?.actor == "human:ana")
    }

    @Test func `an incident is found by its id, part of it, and not by less`() throws {
        var stage = try Stage()
        stage.take([finding()])
        let id = stage.id
        #expect(stage.desk.find(id)?.id == id)
        #expect(stage.desk.find(id.lowercased())?.id == id)
        #expect(stage.desk.find(String(id.dropFirst(4)))?.id == id)
        #expect(stage.desk.find(String(id.prefix(7)))?.id == id)
        #expect(stage.desk.find(String(id.prefix(6))) == nil)
        #expect(stage.desk.find("") == nil)
    }

    @Test func `the same findings make the same ids in every process`() throws {
        var first = try Stage()
        var second = try Stage()
        second.clock = Stage.start + .seconds(77)
        first.take([finding()])
        second.take([finding()])
        #expect(first.id == second.id)
        #expect(first.id.wholeMatch(of: /INC-[0-9A-HJKMNP-TV-Z]{10}/) != nil)
    }

    @Test func `a new policy leaves an open episode its plan and takes people at once`() throws {
        var stage = try Stage()
        stage.take([finding(severity: .high)])
        stage.run(to: 1)
        let other = Stage.policyText
            .replacingOccurrences(of: "people: [chi]", with: "people: [mia]")
            .replacingOccurrences(of: "[team_leads: all]", with: "[room: noc], timeout: 1m")
        let outcome = stage.desk.replace(
            policy: try loadPolicy(other), prices: try loadPrices(Stage.pricesText),
            at: stage.clock)
        #expect(outcome.audit.map(\.type) == ["config.activated"])
        stage.run(to: 40)
        try expectSnapshot(
            stage.log,
            """
            00:30 page tier 1 first → ana
            15:30 page tier 2 timeout → bo
            35:30 page tier 3 timeout → mia
            """)
    }

    @Test func `a tier whose people are gone from the file is called by the new file`() throws {
        var stage = try Stage()
        stage.take([finding(severity: .high)])
        stage.run(to: 1)
        let other = Stage.policyText
            .replacingOccurrences(of: "teams: {all: {leads: [bo]}}", with: "teams: {}")
            .replacingOccurrences(of: "[team_leads: all]", with: "[user: mia]")
        _ = stage.desk.replace(
            policy: try loadPolicy(other), prices: try loadPrices(Stage.pricesText),
            at: stage.clock)
        stage.showsAudit = true
        stage.run(to: 16)
        try expectSnapshot(
            stage.log,
            """
            00:30 page tier 1 first → ana
            15:30 page tier 2 timeout → mia
            15:30   config.rebased nobody of tier 2 is left in the policy
            15:30   page.created tier 2, round 1, timeout: mia
            """)
    }

    @Test func `new prices hold from the reload on`() throws {
        var stage = try Stage()
        stage.take([finding { $0.cost = .hard }])
        stage.run(to: 60)
        let dearer = Stage.pricesText.replacingOccurrences(of: "price: 6.88", with: "price: 10")
        _ = stage.desk.replace(
            policy: stage.desk.policy, prices: try loadPrices(dearer), at: stage.clock)
        let incident = try #require(stage.desk.cases.first?.incident)
        #expect(incident.costPerHour == Money(dollars: 10))
        #expect(incident.costTotal(at: stage.clock + .seconds(3_600)) == Money(dollars: 16.88))
    }

    @Test func `a rule that is gone resolves its incident`() throws {
        var stage = try Stage()
        stage.take([finding()])
        stage.run(to: 1)
        stage.take([finding(.ruleRemoved, at: stage.clock)])
        stage.run(to: 30)
        #expect(stage.lines.last == "03:00 resolved tier 1 resolved → ana")
        #expect(stage.desk.cases.isEmpty)
    }

    @Test func `a page made of old news says that it may be over`() throws {
        var stage = try Stage()
        stage.clock = Stage.start + .seconds(3_600)
        stage.take([finding()])
        stage.run(to: 61)
        #expect(stage.pages.first?.brief.isStale == true)
        var fresh = try Stage()
        fresh.take([finding()])
        fresh.run(to: 1)
        #expect(fresh.pages.first?.brief.isStale == false)
    }

    @Test func `time that runs backwards changes nothing that was decided`() throws {
        var stage = try Stage()
        stage.take([finding()])
        stage.run(to: 1)
        let before = stage.desk.nextDeadline
        let outcome = stage.desk.tick(at: Stage.start - .seconds(86_400))
        #expect(outcome.isEmpty)
        #expect(stage.desk.nextDeadline == before)
    }

    @Test func `a cluster that falls in one second is gathered in moments`() throws {
        var stage = try Stage()
        let findings = (0..<4_000).map { number in
            finding(device: "gpu-\(number)", host: "node-\(number / 8)")
        }
        let members: (Entity) -> [String] = { node in
            guard node.kind == .host, let number = Int(node.name.dropFirst(5)) else { return [] }
            return (0..<8).map { "gpu-\(number * 8 + $0)" }
        }
        let elapsed = ContinuousClock().measure {
            stage.take(findings, members: members)
            #expect(stage.desk.cases.count == 500)
            stage.run(to: 1)
            stage.take(
                findings.map { finding in
                    var end = finding
                    end.edge = .cleared
                    return end
                })
            stage.run(to: 60)
            #expect(stage.desk.cases.isEmpty)
        }
        print("4,000 findings, 500 incidents: \(elapsed)")
    }
}
