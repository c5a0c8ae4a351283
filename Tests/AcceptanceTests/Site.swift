import Fleet
import Foundation

/// One installation for one test: a folder with state, rules and settings, and what runs there.
///
/// Everything that was started ends with `run`, whatever happens in it.
final class Site {
    let root: String
    var state: String { "\(root)/state" }
    var rules: String { "\(root)/rules" }
    var settings: String { "\(root)/settings.yaml" }
    private var daemons: [DaemonProcess] = []

    /// Makes a folder, does `body` there, and takes all away again; a failure shows the log's end.
    static func run(_ body: (Site) throws -> Void) throws {
        let site = try Site()
        defer { site.clear() }
        do {
            try body(site)
        } catch {
            for daemon in site.daemons { print(daemon.lastWords) }
            throw error
        }
    }

    private init() throws {
        root =
            FileManager.default.temporaryDirectory
            .appending(path: "tocsin-\(UUID().uuidString.prefix(8))").path
        for folder in ["state", "rules"] {
            try FileManager.default.createDirectory(
                atPath: "\(root)/\(folder)", withIntermediateDirectories: true)
        }
        let shipped = Site.repository.appending(path: "rules").path
        for name in try FileManager.default.contentsOfDirectory(atPath: shipped)
        where name.hasSuffix(".yaml") && !name.hasSuffix(".test.yaml") {
            // Not FileManager's copy, which gives it the owner of the original.
            try Data(contentsOf: URL(filePath: "\(shipped)/\(name)"))
                .write(to: URL(filePath: "\(rules)/\(name)"))
        }
        try write(Site.policy(channel: "feed"), to: "rules/escalation.yaml")
    }

    private func clear() {
        for daemon in daemons { daemon.kill9() }
        try? FileManager.default.removeItem(atPath: root)
    }

    static let repository = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    /// A folder under `shared/` beside the checkout, where there is one.
    static func shared(_ path: String) -> URL? {
        var folder = repository
        while folder.path != "/" {
            let candidate = folder.appending(path: "shared/\(path)")
            if FileManager.default.fileExists(atPath: candidate.path) { return candidate }
            folder = folder.deletingLastPathComponent()
        }
        return nil
    }

    func write(_ text: String, to path: String) throws {
        try text.write(toFile: "\(root)/\(path)", atomically: true, encoding: .utf8)
    }

    /// How the settings of one test differ from the least that must be said.
    struct Wishes {
        var topics: [(name: String, format: String)] = [("telemetry", "native")]
        var alerts = "tocsin.alerts"
        var deadLetters = "tocsin.dlq"
        var group = "tocsin"
        var patience = "30s"
        var listen = "127.0.0.1:0"
        var destinations = "[]"
        var telemetry = "{}"
        var properties: [String: String] = [:]
    }

    func configure(_ bootstrap: String, _ wishes: Wishes = Wishes()) throws {
        let topics = wishes.topics.map { "{name: \($0.name), format: \($0.format)}" }
        // A member that was killed is forgotten after its session, not after 45 s.
        let properties = ["session.timeout.ms": "6000", "heartbeat.interval.ms": "1000"]
            .merging(wishes.properties) { $1 }
            .map { "\($0.key): \"\($0.value)\"" }.sorted()
        let text = """
            cluster: acceptance
            instance: acceptance-1
            state: \(state)
            rules: \(rules)
            kafka:
              bootstrap: [\(bootstrap.replacing(",", with: ", "))]
              group: \(wishes.group)
              patience: \(wishes.patience)
              start_at: earliest
              alerts: \(wishes.alerts)
              dead_letters: \(wishes.deadLetters)
              topics: [\(topics.joined(separator: ", "))]
              properties: {\(properties.joined(separator: ", "))}
            telemetry: \(wishes.telemetry)
            api: {listen: "\(wishes.listen)"}
            destinations: \(wishes.destinations)

            """
        try text.write(toFile: settings, atomically: true, encoding: .utf8)
    }

    /// People and tiers as shipped, with seconds for minutes.
    static let tierOneSeconds = 12

    static func policy(channel: String) -> String {
        """
        version: 1
        people:
          ana: {zone: Europe/Berlin, channels: [\(channel)]}
          bo: {zone: Europe/Berlin, channels: [\(channel)]}
          chi: {zone: America/Los_Angeles, channels: [\(channel)]}
        schedules:
          on-call: {zone: Europe/Berlin, handoff: "Mon 09:30", since: 2026-01-05, people: [ana]}
          hub: {zone: America/Los_Angeles, handoff: "Mon 09:00", since: 2026-01-05, people: [chi]}
        teams: {platform: {leads: [bo]}}
        policies:
          platform:
            tier1: {page: [schedule: on-call], timeout: \(tierOneSeconds)s}
            tier2: {page: [team_leads: platform], timeout: 5m}
            tier3: {page: [schedule: hub], timeout: 5m}
            rounds: 2
            backstop: {page: [user: chi], repeat: 5m}
        routes:
          - {default: true, policy: platform}
        timings:
          group_wait: 300ms
          min_level: 2s

        """
    }

    /// Starts the daemon on these settings; it is not ready yet.
    func start(_ environment: [String: String] = [:]) throws -> DaemonProcess {
        let daemon = try DaemonProcess(
            ["run", "--settings", settings], state: state,
            log: "\(root)/daemon-\(daemons.count).log", environment)
        daemons.append(daemon)
        return daemon
    }

    /// Runs the command line to its end.
    func tocsin(_ words: String...) throws -> Outcome {
        let command = try DaemonProcess(
            words + ["--state", state], state: state, log: "\(root)/command.log", [:])
        let code = try command.exitCode(within: 20)
        return Outcome(code: code, output: command.output, errors: command.log)
    }

    struct Outcome {
        let code: Int32
        let output: String
        let errors: String
    }
}
