import Daemon
import Fleet
import Foundation
import Kafka
import Observability

/// `tocsin demo`: a simulated fleet breaks, and the real daemon pages for it.
///
/// The daemon is a child process with its ordinary command line and the shipped rules; time is
/// compressed only in what is published and in the policy's timeouts.
package enum Demo {
    private static let topic = "accel.telemetry.v1"
    private static let alerts = "tocsin.alerts"

    /// - Returns: 0, or 1 where a fault that must page was missed.
    package static func run(
        seconds: Int, seed: UInt64, rules: String?, keep: String?,
        _ say: @escaping (String) -> Void
    ) throws -> Int32 {
        let started = Log.wallClock()
        let root =
            keep
            ?? FileManager.default.temporaryDirectory.appending(
                path: "tocsin-demo-\(ProcessInfo.processInfo.processIdentifier)"
            ).path
        try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
        defer { if keep == nil { try? FileManager.default.removeItem(atPath: root) } }

        // One partition: two that are read a third of a second apart would be half a minute apart in
        // the fleet's time, which is too far to compare peers.
        let broker = try ChildProcess(
            "tocsin-mockbroker",
            ["--topic", "\(topic):1", "--topic", "\(alerts):1", "--topic", "tocsin.dlq:1"],
            errors: "\(root)/mockbroker.log")
        defer { broker.end() }
        guard let ready = broker.line(), ready.hasPrefix("READY ") else {
            throw SimulationError("the mock broker did not start; see \(root)/mockbroker.log")
        }
        let bootstrap = String(ready.dropFirst(6))
        let files = try DemoFiles(
            root: root, rules: rules ?? defaultRules, bootstrap: bootstrap)
        let daemon = try ChildProcess(
            "tocsin", ["run", "--settings", files.settings], errors: files.daemonLog)
        defer { daemon.end() }
        say("64 simulated GPUs on 8 hosts, \(seconds) s for 50 minutes and 7 hours before them")
        say("broker \(bootstrap), daemon is process \(daemon.identifier), rules as shipped\n")

        let scenario = DemoScenario(
            seed: seed, liveStart: started - DemoScenario.length)
        let stage = try Stage(
            scenario: scenario, bootstrap: bootstrap, files: files, daemon: daemon, say: say)
        defer { stage.close() }
        let end = started + .seconds(seconds)
        try stage.publishHistory(until: end)
        try stage.publishLive(until: end - .seconds(2))
        try stage.linger(until: end)

        let scorecard = stage.scorecard
        say("\n" + scorecard.text)
        let reached = stage.received.values.map(\.highestTier).max() ?? .one
        let acked = stage.received.values.filter(\.isAcknowledged)
        say(
            "tiers: the highest reached is \(reached.name); acknowledged and stopped: "
                + (acked.isEmpty ? "none" : acked.map(\.id).sorted().joined(separator: ", ")))
        guard scorecard.missedPageClass.isEmpty, reached >= .three, !acked.isEmpty else {
            if keep == nil {
                say("the last lines of the daemon's log:")
                let log = (try? String(contentsOfFile: files.daemonLog, encoding: .utf8)) ?? ""
                for line in log.split(separator: "\n").suffix(20) { say("  \(line)") }
            }
            return 1
        }
        return 0
    }

    private static var defaultRules: String {
        FileManager.default.fileExists(atPath: "rules/escalation.yaml")
            ? "rules" : "/etc/tocsin/rules"
    }
}

/// The demonstration under way: a publisher, a reader of the alerts, and one who acknowledges.
private final class Stage {
    private let scenario: DemoScenario
    private var simulator: FleetSimulator
    private var producer: Producer?
    private let reader: AlertReader
    private let files: DemoFiles
    private let daemon: ChildProcess
    private let say: (String) -> Void
    private var batch = MessageBatch()
    private var published: Int64 = 0
    private var pacer = Pacer(wallStart: .distantPast, eventStart: .distantPast, compression: 1)
    private var started = Log.wallClock()
    private(set) var received: [String: ReceivedPage] = [:]
    private var order: [String] = []
    private var acknowledged: String?

    /// The broker keeps 5 MiB of a partition, as compressed: more than twice this many messages.
    private static let inFlightMax: Int64 = 15_000

    init(
        scenario: DemoScenario, bootstrap: String, files: DemoFiles, daemon: ChildProcess,
        say: @escaping (String) -> Void
    ) throws {
        self.scenario = scenario
        self.files = files
        self.daemon = daemon
        self.say = say
        simulator = try FleetSimulator(scenario.plan)
        producer = try Producer.open(["bootstrap.servers": bootstrap])
        reader = AlertReader(bootstrap: bootstrap, topic: "tocsin.alerts")
    }

    func close() {
        if let producer = producer.take() { _ = producer.close(milliseconds: 1_000) }
        reader.stop()
    }

    /// The seven hours before, as fast as they are read: what the baselines learn from.
    func publishHistory(until end: Instant) throws {
        say("publishing seven quiet hours, so that baselines have something to learn from …")
        try publish(upTo: scenario.liveStart, until: end)
        while try lag() > 0, Log.wallClock() < end { Thread.sleep(forTimeInterval: 0.05) }
        let took = (Log.wallClock() - started).milliseconds / 100
        say("\(published) messages read after \(took / 10).\(took % 10) s; now things break\n")
    }

    /// Fifty minutes of faults, compressed into what is left.
    func publishLive(until end: Instant) throws {
        let now = Log.wallClock()
        let left = max(1, (end - now).seconds - 6)
        let compression = DemoScenario.length.seconds / left
        pacer = Pacer(wallStart: now, eventStart: scenario.liveStart, compression: compression)
        started = now
        say("one second is now \(Int(compression)) s of the fleet's time")
        while Log.wallClock() < end {
            try publish(upTo: pacer.eventTime(atWall: Log.wallClock()), until: end)
            try watch()
            Thread.sleep(forTimeInterval: 0.03)
        }
    }

    /// The last pages are still on their way when the last fault is published.
    func linger(until end: Instant) throws {
        while Log.wallClock() < end {
            try watch()
            Thread.sleep(forTimeInterval: 0.05)
        }
    }

    var scorecard: Scorecard {
        Scorecard(
            labels: simulator.labels, pages: order.compactMap { received[$0] },
            topology: simulator.topology,
            // One turn of the daemon, a quarter of a second, is this much of the fleet's time.
            interval: .seconds(10 + pacer.compression / 2))
    }

    private func publish(upTo limit: Instant, until end: Instant) throws {
        var more = true
        while more, Log.wallClock() < end {
            batch.removeAll()
            more = simulator.next(upTo: limit, messagesMax: 5_000, into: &batch)
            for message in batch.messages {
                try write(message)
                published += 1
            }
            _ = producer?.poll(milliseconds: 0)
            guard batch.messages.count == 5_000 else { continue }
            while try published - consumed() > Self.inFlightMax, Log.wallClock() < end {
                _ = producer?.poll(milliseconds: 10)
            }
        }
    }

    private func write(_ message: SimulatedMessage) throws {
        let key = Array(batch.bytes[message.key])
        let payload = Array(batch.bytes[message.payload])
        while true {
            do throws(KafkaError) {
                try producer?.produce(
                    topic: "accel.telemetry.v1", key: key, value: payload, token: 0)
                return
            } catch {
                guard error.kind == .queueFull else { throw error }
                _ = producer?.poll(milliseconds: 10)
            }
        }
    }

    /// A demonstration of a dead daemon would only show what it missed.
    private func checkDaemon() throws {
        guard !daemon.isRunning else { return }
        let log = (try? String(contentsOfFile: files.daemonLog, encoding: .utf8)) ?? ""
        throw SimulationError("the daemon ended; its last words:\n\(log.suffix(2_000))")
    }

    private func consumed() throws -> Int64 {
        try checkDaemon()
        return
            (try? IncidentClient(state: files.state, settings: nil).consumed("accel.telemetry.v1"))
            ?? 0
    }

    private func lag() throws -> Int64 { published - (try consumed()) }

    /// Shows what came, and acknowledges the second incident that pages.
    private func watch() throws {
        try checkDaemon()
        for alert in reader.take() {
            note(alert)
            show(alert)
        }
        let paged = order.filter { received[$0]?.severity.isPage == true }
        guard acknowledged == nil, paged.count > 1 else { return }
        let incident = paged[1]
        let client = try IncidentClient(state: files.state, settings: nil)
        say("\(stamp())  $ tocsin incident ack \(incident) --by ana")
        say("          \(try client.act("ack", on: incident, ["by": "ana"]))\n")
        acknowledged = incident
    }

    private func note(_ alert: Alert) {
        if received[alert.incident] == nil {
            order.append(alert.incident)
            received[alert.incident] = ReceivedPage(
                id: alert.incident, rules: alert.rules, entity: alert.blame,
                devices: alert.devices, firstEvent: pacer.eventTime(atWall: alert.at),
                firstWall: alert.at, severity: alert.severity)
        }
        guard var page = received[alert.incident] else { return }
        for rule in alert.rules where !page.rules.contains(rule) { page.rules.append(rule) }
        if alert.kind == "page" { page.highestTier = max(page.highestTier, alert.tier) }
        if alert.kind == "acknowledged" { page.isAcknowledged = true }
        page.costPerHour = max(page.costPerHour, alert.costPerHour)
        page.severity = min(page.severity, alert.severity)
        received[alert.incident] = page
    }

    private func show(_ alert: Alert) {
        switch (alert.kind, alert.reason) {
        case ("page", _):
            let who = alert.recipients.joined(separator: ", ")
            let why = alert.reason == "first" ? "" : " (\(alert.reason))"
            say("\(stamp())  \(alert.tier.name.uppercased()) pages \(who)\(why)  \(alert.incident)")
        case ("update", "first") where alert.recipients.isEmpty:
            say("\(stamp())  TICKET, nobody is woken  \(alert.incident)")
        case ("resolved", _):
            return say("\(stamp())  RESOLVED  \(alert.incident)  \(alert.title)\n")
        default: return
        }
        say("          \(alert.title)")
        // The later tiers read the same page; here it would only hide what is new.
        guard alert.kind != "page" || alert.reason == "first" else { return say("") }
        for line in alert.evidence.prefix(3) { say("            \(line)") }
        say(
            "          \(alert.severity.name), since \(alert.since.timeOfDay) UTC, "
                + "\(alert.costPerHour) per hour")
        say("          first: \(alert.runbook)\n")
    }

    private func stamp() -> String {
        let tenths = (Log.wallClock() - started).milliseconds / 100
        let text = "\(tenths / 10).\(tenths % 10)s"
        return String(repeating: " ", count: max(0, 7 - text.count)) + "+" + text
    }
}
