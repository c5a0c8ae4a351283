import Configuration
import Escalation
import Fleet
import Foundation
import Incidents
import Rules
import Testing

/// A desk with a small policy, played against a clock, that writes down what it says.
struct Stage {
    enum Channels { case deliver, refuse, silent }

    static let start = Instant(milliseconds: 1_795_248_000_000)  // 2026-11-21T08:00:00Z

    var desk: Desk
    var clock = Stage.start
    var channels = Channels.deliver
    var lines: [String] = []
    /// Also write down what is only for the record.
    var showsAudit = false
    var pages: [Page] = []
    var cancelled: [String] = []

    static let policyText = """
        version: 1
        people:
          ana: {zone: UTC, channels: [hook]}
          bo: {zone: UTC, channels: [hook, stdout]}
          chi: {zone: UTC, channels: [chat]}
          mia: {zone: UTC, channels: [hook]}
        rooms: {noc: {channels: [alertmanager]}}
        teams: {all: {leads: [bo]}}
        schedules:
          first: {zone: UTC, handoff: "00:00", since: 2026-01-01, people: [ana]}
          hub: {zone: UTC, handoff: "00:00", since: 2026-01-01, people: [chi]}
        policies:
          only:
            tier1: {page: [schedule: first]}
            tier2: {page: [team_leads: all]}
            tier3: {page: [schedule: hub]}
            backstop: {page: [user: mia, room: noc]}
            inform_leads: false
        routes: [{default: true, policy: only}]
        """

    static let pricesText = """
        version: 1
        book: "test"
        unknown: {price: 1, source: assumption}
        prices:
          h100: {match: ["(nvidia )?h100.*"], low: 2, price: 6.88, high: 12.29, source: list}
        """

    init(_ policy: String = Stage.policyText) throws {
        desk = Desk(policy: try loadPolicy(policy), prices: try loadPrices(Stage.pricesText))
    }

    /// Minutes and seconds since the start.
    var time: String {
        let seconds = (clock - Stage.start).milliseconds / 1_000
        let (minutes, rest) = (seconds / 60, seconds % 60)
        return "\(minutes < 10 ? "0" : "")\(minutes):\(rest < 10 ? "0" : "")\(rest)"
    }

    var log: String { lines.joined(separator: "\n") }

    /// Lets the clock run to `minutes` after the start, timer by timer.
    mutating func run(to minutes: Double) {
        let end = Stage.start + .milliseconds(Int64(minutes * 60_000))
        while let deadline = desk.nextDeadline, deadline <= end {
            clock = max(clock, deadline)
            write(desk.tick(at: clock))
        }
        clock = max(clock, end)
    }

    mutating func take(_ findings: [Finding], members: (Entity) -> [String] = { _ in [] }) {
        write(desk.take(findings, members: members, at: clock))
    }

    mutating func command(_ command: Command, by actor: String = "ana") {
        do throws(Refusal) {
            let outcome = try desk.command(command, by: actor, via: "cli", at: clock)
            write(outcome)
        } catch {
            lines.append("\(time) refused: \(error.description)")
        }
    }

    mutating func write(_ outcome: Outcome) {
        pages += outcome.pages
        cancelled += outcome.cancelled
        for page in outcome.pages {
            let names = page.recipients.map(\.name).joined(separator: ", ")
            lines.append(
                "\(time) \(page.kind) \(page.tier.name) \(page.reason.rawValue)"
                    + (names.isEmpty ? "" : " → \(names)"))
        }
        if showsAudit {
            for entry in outcome.audit where !entry.type.hasPrefix("delivery") {
                let detail = entry.detail.isEmpty ? "" : " \(entry.detail)"
                lines.append("\(time)   \(entry.type)\(detail)")
            }
        }
        guard channels != .silent else { return }
        for delivery in outcome.deliveries where delivery.destination != Desk.feed {
            write(
                desk.delivered(
                    id: delivery.id,
                    result: channels == .deliver ? .delivered : .failed("410 Gone"), at: clock))
        }
    }

    /// The id of the only case.
    var id: String { desk.cases.first?.id ?? "" }
}

func zoneBytes(_ name: String) -> [UInt8]? {
    (try? Data(contentsOf: URL(filePath: "/usr/share/zoneinfo/\(name)"))).map { Array($0) }
}

func loadPolicy(_ text: String, file: String = "escalation.yaml") throws -> EscalationPolicy {
    let problems = Problems()
    let policy = EscalationPolicy.load(
        text, file: file, zones: ZoneDatabase(bytes: zoneBytes), into: problems)
    #expect(problems.isEmpty, "\(problems.sorted.map(\.description).joined(separator: "\n"))")
    return try #require(policy)
}

func loadPrices(_ text: String) throws -> PriceBook {
    let problems = Problems()
    let book = PriceBook.load(text, file: "prices.yaml", into: problems)
    #expect(problems.isEmpty, "\(problems.sorted.map(\.description).joined(separator: "\n"))")
    return try #require(book)
}

/// A finding on one device of a small fleet.
func finding(
    _ edge: Finding.Edge = .fired, rule: String = "thm-hw-slowdown", device: String = "gpu-1",
    host: String = "node-1", rack: String = "", job: String = "", symptom: String = "thermal",
    severity: Severity = .critical, at time: Instant = Stage.start,
    edit: (inout Finding) -> Void = { _ in }
) -> Finding {
    var labels = Labels([.host: host, .model: "NVIDIA H100 80GB HBM3"])
    labels[.rack] = rack
    labels[.job] = job
    var finding = Finding(
        key: .init(rule: rule, subject: Entity(kind: .device, name: device)), edge: edge,
        since: time, at: time, severity: severity, tier: .one, symptom: symptom,
        devices: [device], labels: labels, summary: "HBM 97 °C (threshold 95 °C)",
        partition: Partition(topic: "gpu", number: 0), offset: 1)
    finding.runbook = "Check airflow and drain the host"
    finding.cost = .throttle
    finding.lostFraction = 0.5
    edit(&finding)
    return finding
}
