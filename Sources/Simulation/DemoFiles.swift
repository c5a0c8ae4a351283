import Foundation

/// The files of a demonstration: the shipped rules, a policy whose minutes are seconds, settings.
struct DemoFiles {
    let root: String
    var settings: String { "\(root)/settings.yaml" }
    var state: String { "\(root)/state" }
    var daemonLog: String { "\(root)/tocsin.log" }
    var brokerLog: String { "\(root)/mockbroker.log" }

    /// Lays the files out under `root`, with the rules of `rules` but for its people.
    init(root: String, rules: String, bootstrap: String) throws(SimulationError) {
        self.root = root
        let files = FileManager.default
        do {
            for folder in ["state", "rules"] {
                try files.createDirectory(
                    atPath: "\(root)/\(folder)", withIntermediateDirectories: true)
            }
            let names = try files.contentsOfDirectory(atPath: rules)
                .filter { $0.hasSuffix(".yaml") && $0 != "escalation.yaml" }
            for name in names {
                let text = try String(contentsOfFile: "\(rules)/\(name)", encoding: .utf8)
                try text.write(
                    toFile: "\(root)/rules/\(name)", atomically: true, encoding: .utf8)
            }
            try Self.policy.write(
                toFile: "\(root)/rules/escalation.yaml", atomically: true, encoding: .utf8)
            try Self.settings(root, bootstrap).write(
                toFile: settings, atomically: true, encoding: .utf8)
        } catch {
            throw SimulationError(
                "cannot lay out the demonstration in \(root) with the rules of \(rules): "
                    + error.localizedDescription)
        }
    }

    private static func settings(_ root: String, _ bootstrap: String) -> String {
        """
        cluster: demo
        instance: demo-1
        state: \(root)/state
        rules: \(root)/rules
        # The simulated hours are over when the demonstration begins.
        stale_after: 2d
        kafka:
          bootstrap: [\(bootstrap.replacing(",", with: ", "))]
          group: tocsin
          start_at: earliest
          topics: [{name: accel.telemetry.v1, format: native}]
        api: {listen: 127.0.0.1:0}
        destinations: []

        """
    }

    /// People, tiers and routes as in the shipped policy, with seconds for minutes.
    private static let policy = """
        version: 1
        people:
          ana: {zone: Europe/Berlin, channels: [feed]}
          bo: {zone: Europe/Berlin, channels: [feed]}
          chi: {zone: America/Los_Angeles, channels: [feed]}
          hub-manager: {zone: America/Los_Angeles, channels: [feed]}
        schedules:
          on-call: {zone: Europe/Berlin, handoff: "Mon 09:30", since: 2026-01-05, people: [ana]}
          hub: {zone: America/Los_Angeles, handoff: "Mon 09:00", since: 2026-01-05, people: [chi]}
        teams: {platform: {leads: [bo]}}
        policies:
          platform:
            tier1: {page: [schedule: on-call], timeout: 6s}
            tier2: {page: [team_leads: platform], timeout: 6s}
            tier3: {page: [schedule: hub], timeout: 20s}
            rounds: 2
            backstop: {page: [user: hub-manager], repeat: 60s}
        routes:
          - {default: true, policy: platform}
        timings:
          group_wait: 300ms
          min_level: 2s

        """
}
