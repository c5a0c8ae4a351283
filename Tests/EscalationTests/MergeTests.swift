import Escalation
import Fleet
import Foundation
import Incidents
import Rules
import TestSupport
import Testing

/// Many findings, few pages: blame moves up, and what it explains falls silent.
@Suite("Merging") struct MergeTests {
    /// Hosts of four devices, racks of two hosts; one job over both hosts of rack r1.
    static let members: @Sendable (Entity) -> [String] = { node in
        switch node {
        case Entity(kind: .host, name: "node-1"): (1...4).map { "gpu-\($0)" }
        case Entity(kind: .host, name: "node-2"): (5...8).map { "gpu-\($0)" }
        case Entity(kind: .rack, name: "r1"), Entity(kind: .job, name: "llm"):
            (1...8).map { "gpu-\($0)" }
        default: []
        }
    }

    private func hot(
        _ number: Int, _ edge: Finding.Edge = .fired, at time: Instant = Stage.start,
        symptom: String = "thermal", rule: String = "thm-hw-slowdown",
        severity: Severity = .critical, edit: (inout Finding) -> Void = { _ in }
    ) -> Finding {
        finding(
            edge, rule: rule, device: "gpu-\(number)", host: number < 5 ? "node-1" : "node-2",
            rack: "r1", symptom: symptom, severity: severity, at: time, edit: edit)
    }

    private func jobFinding(_ edge: Finding.Edge = .fired, at time: Instant) -> Finding {
        var labels = Labels([.job: "llm", .model: "h100"])
        labels[.cluster] = "prod"
        var finding = Finding(
            key: .init(rule: "job-hang", subject: Entity(kind: .job, name: "llm")), edge: edge,
            since: time, at: time, severity: .critical, tier: .one, symptom: "hang",
            devices: (1...8).map { "gpu-\($0)" }, labels: labels, summary: "llm computes nothing",
            partition: Partition(topic: "gpu", number: 0), offset: 2)
        finding.cost = .hang
        return finding
    }

    private func titles(_ stage: Stage) -> String {
        stage.desk.cases.map { record in
            let masks = record.episode.masks.isEmpty ? "" : ", masked"
            return
                "\(record.episode.phase) \(record.incident.title), "
                + "\(record.incident.costPerHour)/h\(masks)"
        }.sorted().joined(separator: "\n")
    }

    @Test func `devices of one host that fall together are one page`() throws {
        var stage = try Stage()
        for number in 1...4 {
            stage.clock = Stage.start + .seconds(number)
            stage.take([hot(number, at: stage.clock)], members: Self.members)
        }
        stage.run(to: 2)
        try expectSnapshot(
            stage.log + "\n" + titles(stage),
            """
            00:11 page tier 1 first → ana
            open thermal on host node-1, 4 of 4 devices, $13.76/h
            """)
    }

    @Test func `two of four devices stay two incidents until the turning point`() throws {
        var stage = try Stage()
        stage.take([hot(1), hot(2), hot(3)], members: Self.members)
        #expect(stage.desk.cases.count == 3)
        stage.take([hot(4)], members: Self.members)
        #expect(stage.desk.cases.count == 1)
    }

    @Test func `blame that moves up after the first page masks what was open`() throws {
        var stage = try Stage()
        stage.showsAudit = true
        stage.take([hot(1)], members: Self.members)
        stage.run(to: 1)
        stage.take((2...4).map { hot($0, at: stage.clock) }, members: Self.members)
        stage.run(to: 2)
        stage.command(.acknowledge(stage.desk.find(stage.id)?.id ?? ""), by: "bo")
        stage.lines.append(titles(stage))
        let cleared = (1...4).map { hot($0, .cleared, at: stage.clock) }
        stage.take(cleared, members: Self.members)
        stage.run(to: 30)
        stage.lines = stage.lines.map {
            $0.replacingOccurrences(
                of: "INC-[0-9A-Z]{10}", with: "INC", options: .regularExpression)
        }
        try expectSnapshot(
            stage.log,
            """
            00:00   incident.held HBM 97 °C (threshold 95 °C)
            00:10 page tier 1 first → ana
            00:10   incident.opened generation 1
            00:10   page.created tier 1, round 1, first: ana
            01:00 update tier 1 changed → ana
            01:00   incident.merged explained by INC
            01:00   incident.held thermal on host node-1, 4 of 4 devices
            01:10 page tier 1 first → ana
            01:10   incident.opened generation 1
            01:10   page.created tier 1, round 1, first: ana
            02:00 acknowledged tier 1 acknowledged → ana
            02:00 acknowledged tier 1 acknowledged → ana
            02:00   response.ack bo
            02:00   response.ack bo
            open HBM 97 °C (threshold 95 °C), $0.00/h, masked
            open thermal on host node-1, 4 of 4 devices, $13.76/h
            02:00   incident.recovering
            02:00   incident.recovering
            04:00 resolved tier 1 resolved → ana
            04:00 resolved tier 1 resolved → ana
            04:00   incident.resolved by source
            04:00   incident.resolved by source
            05:00   mask.inhibit.off INC
            19:00   incident.closed
            19:00   incident.closed
            """)
        #expect(stage.desk.cases.isEmpty)
    }

    @Test func `a whole rack is blamed rather than its two hosts`() throws {
        var stage = try Stage()
        stage.take((1...8).map { hot($0) }, members: Self.members)
        stage.run(to: 1)
        try expectSnapshot(
            stage.log + "\n" + titles(stage),
            """
            00:10 page tier 1 first → ana
            open thermal on rack r1, 8 of 8 devices, $27.52/h
            """)
    }

    @Test func `a hang explains idle devices of its job and lets them go when it ends`() throws {
        var stage = try Stage()
        let idle = hot(
            1, at: Stage.start, symptom: "idle", rule: "eff-idle", severity: .high
        ) {
            $0.labels[.job] = "llm"
            $0.cost = .idle
        }
        stage.take([idle], members: Self.members)
        stage.run(to: 1)
        stage.take([jobFinding(at: stage.clock)], members: Self.members)
        let late = hot(
            2, at: stage.clock, symptom: "idle", rule: "eff-idle", severity: .high
        ) { $0.labels[.job] = "llm" }
        stage.take([late], members: Self.members)
        stage.lines.append(titles(stage))
        stage.run(to: 3)
        var lateEnd = late
        lateEnd.edge = .cleared
        stage.take([jobFinding(.cleared, at: stage.clock), lateEnd], members: Self.members)
        stage.run(to: 10)
        stage.lines.append(titles(stage))
        try expectSnapshot(
            stage.log,
            """
            00:30 page tier 1 first → ana
            01:00 update tier 1 changed → ana
            held llm computes nothing, $55.04/h
            open HBM 97 °C (threshold 95 °C), $0.00/h, masked
            01:10 page tier 1 first → ana
            05:00 resolved tier 1 resolved → ana
            06:00 update tier 1 changed → ana
            open HBM 97 °C (threshold 95 °C), $3.44/h
            resolved llm computes nothing, $0.00/h
            """)
    }

    @Test func `xids of one host within a minute are one incident`() throws {
        var stage = try Stage()
        func xid(_ number: Int, _ symptom: String, at time: Instant) -> Finding {
            hot(number, at: time, symptom: symptom, rule: "evt-xid")
        }
        stage.take([xid(1, "ecc", at: Stage.start)])
        stage.take([xid(2, "off-bus", at: Stage.start + .seconds(59))])
        #expect(stage.desk.cases.map(\.incident.title) == ["ecc on host node-1, 2 devices"])
        stage.take([xid(3, "off-bus", at: Stage.start + .seconds(119))])
        #expect(stage.desk.cases.count == 1, "a minute after the second")
        stage.take([xid(4, "off-bus", at: Stage.start + .seconds(180))])
        #expect(stage.desk.cases.count == 2, "more than a minute after the third")
        stage.take([xid(5, "off-bus", at: Stage.start + .seconds(181))])
        #expect(stage.desk.cases.count == 3, "another host is another incident")
    }

    @Test func `a full desk folds what comes into the route's storm and counts it`() throws {
        var stage = try Stage(Stage.policyText + "\nlimits: {incidents: 10}")
        let many = (0..<30).map { finding(device: "gpu-\($0)", host: "node-\($0)") }
        stage.take(many)
        #expect(stage.desk.cases.count == 11)
        #expect(stage.desk.counters.folded == 20)
        let storm = stage.desk.cases.first { $0.incident.symptom == "storm" }
        #expect(storm?.incident.devices.count == 20)
        let cleared = (0..<30).map { finding(.cleared, device: "gpu-\($0)", host: "node-\($0)") }
        stage.take(cleared)
        #expect(stage.desk.cases.isEmpty, "nothing leaks")
    }
}
