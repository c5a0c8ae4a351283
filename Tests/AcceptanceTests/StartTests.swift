import Foundation
import HTTP
import Testing

/// One way in which a start must fail.
struct StartCase: Sendable, CustomTestStringConvertible {
    /// What stands around the start: ended and closed after it.
    struct Surroundings {
        var other: DaemonProcess?
        var port: Server?
    }

    let testDescription: String
    let code: Int32
    /// Must stand in what is said; `ROOT` is the folder of the installation.
    let says: [String]
    /// A mistake in a file is a line for each; all else is one line.
    var lines = 1
    let prepare: @Sendable (Site, BrokerProcess) throws -> Surroundings

    static let all: [StartCase] = [
        StartCase(
            testDescription: "two mistakes in the settings", code: 78,
            says: ["ROOT/settings.yaml:8:", "'telegraf'", "ROOT/settings.yaml:9:15: 'listen'"],
            lines: 2
        ) { site, _ in
            try site.write(
                """
                cluster: acceptance
                state: \(site.state)
                rules: \(site.rules)
                kafka:
                  bootstrap: [127.0.0.1:1]
                  group: tocsin
                  start_at: earliest
                  topics: [{name: telemetry, format: telegraf}]
                api: {listen: 0.0.0.0:80}

                """, to: "settings.yaml")
            return Surroundings()
        },
        StartCase(
            testDescription: "no settings at all", code: 78, says: ["cannot read ROOT/settings"]
        ) { _, _ in Surroundings() },
        StartCase(
            testDescription: "a mistake in a rule", code: 78,
            says: ["ROOT/rules/site.yaml:5:13: ", "'hihg'; did you mean 'high'?"]
        ) { site, broker in
            try site.configure(broker.bootstrap)
            try site.write(
                SiteRule.broken,
                to: "rules/site.yaml")
            return Surroundings()
        },
        StartCase(
            testDescription: "a channel that no destination has", code: 78,
            says: ["ROOT/rules/escalation.yaml:3:", "'pager'"]
        ) { site, broker in
            try site.configure(broker.bootstrap)
            try site.write(Site.policy(channel: "pager"), to: "rules/escalation.yaml")
            return Surroundings()
        },
        StartCase(
            testDescription: "a key that librdkafka does not know", code: 78,
            says: ["sesion.timeout.ms: No such configuration property"]
        ) { site, broker in
            var wishes = Site.Wishes()
            wishes.properties = ["sesion.timeout.ms": "6000"]
            try site.configure(broker.bootstrap, wishes)
            return Surroundings()
        },
        StartCase(
            testDescription: "no broker within its patience", code: 69,
            says: ["waited 2s for 127.0.0.1:1"]
        ) { site, _ in
            var wishes = Site.Wishes()
            wishes.patience = "2s"
            try site.configure("127.0.0.1:1", wishes)
            return Surroundings()
        },
        StartCase(
            testDescription: "a topic that does not exist", code: 69,
            says: ["waited 2s", "absent", "deploy/topics.sh"]
        ) { site, broker in
            try broker.send("terr absent 3")
            var wishes = Site.Wishes()
            wishes.patience = "2s"
            wishes.topics = [("absent", "native")]
            try site.configure(broker.bootstrap, wishes)
            return Surroundings()
        },
        StartCase(
            testDescription: "a port that is taken", code: 69, says: ["api: ", "127.0.0.1:"]
        ) { site, broker in
            let server = try Server(port: 0) { _ in Response(body: []) }
            var wishes = Site.Wishes()
            wishes.listen = "127.0.0.1:\(server.port)"
            try site.configure(broker.bootstrap, wishes)
            return Surroundings(port: server)
        },
        StartCase(
            testDescription: "a state directory that is a file", code: 73,
            says: ["ROOT/state is not a directory"]
        ) { site, broker in
            try FileManager.default.removeItem(atPath: site.state)
            try site.write("", to: "state")
            try site.configure(broker.bootstrap)
            return Surroundings()
        },
        StartCase(
            testDescription: "a state directory that is not there", code: 73,
            says: ["the state directory ROOT/state does not exist"]
        ) { site, broker in
            try FileManager.default.removeItem(atPath: site.state)
            try site.configure(broker.bootstrap)
            return Surroundings()
        },
        StartCase(
            testDescription: "a state directory that cannot be written", code: 73,
            says: ["ROOT/state cannot be written by uid"]
        ) { site, broker in
            try site.configure(broker.bootstrap)
            try FileManager.default.removeItem(atPath: site.state)
            // Not by a mode: root writes in spite of it, and into the kernel's own tree nobody does.
            try FileManager.default.createSymbolicLink(
                atPath: site.state, withDestinationPath: "/sys/kernel")
            return Surroundings()
        },
        StartCase(
            testDescription: "a second daemon on the same state directory", code: 73,
            says: ["ROOT/state is in use by", "Two daemons cannot share a state directory"]
        ) { site, broker in
            try site.configure(broker.bootstrap)
            let first = try site.start()
            try eventually("the first one has its ledger", within: 20) {
                try first.get("/healthz").status == 200 ? true : nil
            }
            return Surroundings(other: first)
        },
        StartCase(
            testDescription: "a ledger of a newer version", code: 65,
            says: ["ROOT/state/ledger.sqlite: it was written by a newer tocsin (schema 999)"]
        ) { site, broker in
            var wishes = Site.Wishes()
            wishes.patience = "1s"
            try site.configure("127.0.0.1:1", wishes)
            _ = try site.start().exitCode(within: 20)
            try StartCase.raiseSchema(of: "\(site.state)/ledger.sqlite", to: 999)
            try site.configure(broker.bootstrap)
            return Surroundings()
        },
    ]

    /// Overwrites the four bytes at 60 of SQLite's header, its `user_version`.
    private static func raiseSchema(of file: String, to version: UInt32) throws {
        let handle = try #require(FileHandle(forUpdatingAtPath: file))
        try handle.seek(toOffset: 60)
        let bytes = (0..<4).map { UInt8(truncatingIfNeeded: version >> (24 - 8 * $0)) }
        try handle.write(contentsOf: Data(bytes))
        try handle.close()
    }
}

@Suite(.serialized, .ownThread) struct StartTests {
    @Test(arguments: StartCase.all)
    func `a start that cannot succeed ends with its code and one line that says why`(
        _ wanted: StartCase
    ) throws {
        let broker = try BrokerProcess(topics: ["telemetry:4", "tocsin.alerts:1", "tocsin.dlq:1"])
        defer { broker.stop() }
        try Site.run { site in
            let surroundings = try wanted.prepare(site, broker)
            defer { surroundings.port?.stop() }
            let daemon = try site.start()
            let code = try daemon.exitCode(within: 30)
            let reason = daemon.log.split(separator: "\n").filter { $0.hasPrefix("tocsin: ") }
            try require(code == wanted.code, "ended with \(code): \(reason)")
            try require(reason.count == wanted.lines, "not \(wanted.lines) lines: \(reason)")
            for part in wanted.says {
                let text = part.replacing("ROOT", with: site.root)
                try require(
                    reason.contains { $0.contains(text) }, "nothing of '\(text)' in \(reason)")
            }
            if let other = surroundings.other {
                try require(other.isRunning, "the first daemon ended")
                try require(
                    reason[0].contains("\(other.identifier)"), "who holds it? \(reason)")
            }
        }
    }
}
