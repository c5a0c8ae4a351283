import Console
import Escalation
import Fleet
import HTTP
import Incidents
import Ledger
import Rules
import Synchronization

func at(_ seconds: Int) -> Instant {
    Instant(milliseconds: 1_780_000_000_000 + Int64(seconds) * 1_000)
}

/// Script, quotes, an escape sequence, and a mark that turns the direction of the text.
let hostile = "<script>alert('x')</script>\"&\u{1B}[31m\u{202E}\u{0}"

func record(
    _ id: String, _ severity: Severity = .critical, _ phase: Episode.Phase = .open,
    host: String = "node-1", dollars: Double = 12.5, since: Instant = at(-600)
) -> CaseRecord {
    var finding = Finding(
        key: Finding.Key(
            rule: "gpu-off-bus", subject: Entity(kind: .device, name: "nvidia/GPU-\(id)")),
        edge: .fired, since: since, at: since, severity: severity, tier: .one, symptom: "off-bus",
        devices: ["nvidia/GPU-\(id)"], labels: Labels([.host: host, .team: "ml"]),
        summary: "GPU is silent for 93 s on \(host)", partition: Partition(topic: "t", number: 3),
        offset: 17)
    finding.runbook = "Drain the node, then read dmesg."
    finding.evidence = [
        Finding.Evidence(name: "age", value: 93.5, unit: "s", against: "threshold 60"),
        Finding.Evidence(name: "power", value: .nan, unit: "W", against: ""),
    ]
    var incident = Incident(
        id: id, route: "default", blame: Entity(kind: .host, name: host), symptom: "off-bus",
        finding: finding, heardAt: since)
    incident.title = "off-bus on \(host)"
    incident.costPerHour = Money(dollars: dollars)
    incident.costTotal = Money(dollars: 2)
    incident.acceleratorsLost = 8
    var episode = Episode()
    episode.phase = phase
    episode.generation = 1
    return CaseRecord(incident: incident, episode: episode)
}

func page(_ incident: String) -> Delivery {
    let brief = Brief(
        title: "t", summary: "s", blame: Entity(kind: .host, name: "node-1"), symptom: "off-bus",
        severity: .critical, since: at(-600))
    var delivery = Delivery(
        destination: "pager",
        page: Page(
            id: "P1", kind: .page, reason: .first, incident: incident, generation: 1, round: 0,
            tier: .one, at: at(-590), recipients: [Recipient(name: "ana", channels: ["pager"])],
            brief: brief))
    delivery.state = .failed
    delivery.attempts = 3
    delivery.lastCode = 503
    delivery.lastError = "upstream is down"
    return delivery
}

/// What the engine would be told, and what it answers.
final class Engine: Sendable {
    private let heard = Mutex<[ConsoleCommand]>([])
    private let reply: ConsoleReply

    init(_ reply: ConsoleReply = .done("as you wish")) { self.reply = reply }

    var commands: [ConsoleCommand] { heard.withLock { $0 } }

    func take(_ command: ConsoleCommand) -> ConsoleReply {
        heard.withLock { $0.append(command) }
        return reply
    }
}

struct Fixture {
    static let token = "s3cret-token"

    var view = ConsoleView(
        version: "1.2.3", instance: "alarm-1", at: at(0), startedAt: at(-7_200),
        engineAliveAt: at(-1))
    var closed: [CaseRecord] = []
    var rows: [AuditRow] = []
    var deliveries: [Delivery] = []
    var ledgerError: LedgerError?
    var engine = Engine()
    var token = Fixture.token

    func console() -> Console {
        let (view, closed, rows, deliveries, failure, engine) =
            (view, closed, rows, deliveries, ledgerError, engine)
        return Console(
            view: { view },
            history: ConsoleHistory(
                audit: { incident, limit throws(LedgerError) in
                    if let failure { throw failure }
                    let found = rows.filter { incident == nil || $0.entry.incident == incident }
                    return Array(found.suffix(limit).reversed())
                },
                deliveries: { incident, limit throws(LedgerError) in
                    Array(deliveries.filter { $0.page.incident == incident }.prefix(limit))
                },
                recentCases: { limit throws(LedgerError) in
                    if let failure { throw failure }
                    return Array(closed.prefix(limit))
                },
                cases: { prefix, limit throws(LedgerError) in
                    Array(closed.filter { $0.id.hasPrefix(prefix) }.prefix(limit))
                }),
            command: { engine.take($0) },
            exposition: { accept in
                accept.contains("openmetrics")
                    ? ("application/openmetrics-text", "# EOF\n") : ("text/plain", "up 1\n")
            },
            token: token)
    }

    func get(_ path: String, _ query: [String: String] = [:]) -> (status: UInt32, text: String) {
        let response = console().answer(Request(method: "GET", path: path, query: query))
        return (response.status, String(decoding: response.body, as: UTF8.self))
    }

    func post(
        _ path: String, _ body: String = "", authorization: String? = "Bearer \(Fixture.token)"
    ) -> (status: UInt32, text: String) {
        let headers = authorization.map { ["authorization": $0] } ?? [:]
        let response = console().answer(
            Request(method: "POST", path: path, headers: headers, body: Array(body.utf8)))
        return (response.status, String(decoding: response.body, as: UTF8.self))
    }
}

func row(_ seq: Int64, _ incident: String, _ detail: String) -> AuditRow {
    AuditRow(
        seq: seq,
        entry: AuditEntry(
            at: at(Int(seq)), actor: "engine", via: "stream", type: "incident.opened",
            incident: incident, detail: detail),
        hash: [UInt8](repeating: 7, count: 32))
}
