import Configuration
@testable import Daemon
import Fleet
import Foundation
import Kafka
import TestSupport
import Testing

private func load(_ text: String) -> (Settings?, String) {
    let problems = Problems()
    let settings = Settings.load(text, file: "settings.yaml", problems: problems)
    return (settings, problems.sorted.map(\.description).joined(separator: "\n"))
}

private let root = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

@Suite struct SettingsTests {
    @Test func `the shipped example loads`() throws {
        let text = try String(
            contentsOf: root.appending(path: "deploy/settings.yaml"), encoding: .utf8)
        let (settings, problems) = load(text)
        #expect(problems.isEmpty)
        #expect(settings?.kafka.topics.map(\.name) == ["accel.telemetry.v1", "telegraf"])
        #expect(settings?.destinations.map(\.name) == ["stdout"])
    }

    @Test func `the least that must be said is a broker and a topic`() {
        let (settings, problems) = load("kafka: {bootstrap: b:1, topics: [{name: t}]}")
        #expect(problems.isEmpty && settings?.kafka.bootstrap == ["b:1"])
        let (nothing, complaint) = load("cluster: x")
        #expect(nothing == nil && complaint == "settings.yaml:1:1: 'kafka' is missing")
    }

    @Test func `mistakes are named with their place and their remedy`() {
        let (settings, problems) = load(
            """
            kafka:
              bootstrap: b:1
              topics: [{name: t, format: telegraf}, {name: tocsin.dlq}]
              start_at: newest
            api: {listen: 0.0.0.0:80}
            destinations:
              - {name: feed, kind: stdout}
              - {name: hook, kind: webhook, url: ftp://x}
            """)
        #expect(settings == nil)
        #expect(
            problems == """
                settings.yaml:3:30: 'format' must be one of auto, native, telegraf-json, influx, \
                vector, prometheus-kafka-adapter, not 'telegraf'
                settings.yaml:3:41: 'tocsin.dlq' is named twice, or is one of our own output topics
                settings.yaml:4:13: 'start_at' must be one of latest, earliest, not 'newest'
                settings.yaml:5:15: 'listen' must be 127.0.0.1:PORT or [::1]:PORT, not '0.0.0.0:80': \
                the API has no TLS yet and stays on this host
                settings.yaml:7:5: 'feed' is the name of the topic of alerts; choose another
                settings.yaml:8:38: 'url' must begin with http:// or https://, not 'ftp://x'
                """)
    }

    @Test func `printed settings are settings, and the same ones`() throws {
        let texts = [
            "kafka: {bootstrap: b:1, topics: [{name: t}]}",
            try String(contentsOf: root.appending(path: "deploy/settings.yaml"), encoding: .utf8),
            """
            cluster: "dc 1: \\"east\\", 50 % # full"
            instance: "-"
            state: "/var/lib/a b"
            rules: /r
            stale_after: 1h30m
            retention: 30d
            kafka:
              bootstrap: ["[::1]:9092", "b:1"]
              group: "g\\ttab \\u2028"
              patience: 250ms
              start_at: earliest
              topics: [{name: a.b-c_d, format: influx}, {name: "yes"}]
              dead_letters: d
              alerts: "null"
              properties: {security.protocol: sasl_ssl, "client.rack": "{r}"}
              secret_files: {sasl.password: kafka.password}
            telemetry: {devices_max: 5, message_bytes_max: 2048, future_skew: 0s, silence_after: 90s}
            api: {listen: "[::1]:1"}
            destinations:
              - {name: "a, b", kind: alertmanager, url: ["http://a/?x={1}", "http://b"],
                 timeout: 1500ms, token_file: "/t"}
              - {name: hook, kind: webhook, url: "https://u:9/#x", secret_file: s}
              - {name: out, kind: stdout}
            log: {format: json, level: debug}
            """,
        ]
        for text in texts {
            let (settings, problems) = load(text)
            let first = try #require(settings, "\(problems)")
            let (again, complaints) = load(first.printed)
            #expect(complaints.isEmpty, "\(complaints)\n\(first.printed)")
            #expect(again == first)
        }
    }

    @Test func `no broker and no topic are mistakes of the settings`() {
        let (settings, problems) = load("kafka: {bootstrap: [], topics: []}")
        #expect(settings == nil)
        #expect(
            problems == """
                settings.yaml:1:20: 'bootstrap' names no broker
                settings.yaml:1:32: 'topics' names no topic
                """)
    }

    @Test func `a restarted process takes the place of the one that was killed`() throws {
        let (settings, _) = load("kafka: {bootstrap: b:1, topics: [{name: t}]}")
        var kafka = try #require(settings).kafka
        let standard = try kafka.clientProperties(instance: "a-1")
        #expect(standard.consumer["group.instance.id"] == "tocsin-a-1")
        #expect(standard.producer["group.instance.id"] == nil)
        kafka.properties["group.instance.id"] = "mine"
        #expect(try kafka.clientProperties(instance: "a").consumer["group.instance.id"] == "mine")
    }

    @Test func `a secret in the wrong place is not printed`() throws {
        let (settings, _) = load(
            """
            kafka:
              bootstrap: b:1
              topics: [{name: t}]
              properties: {sasl.password: hunter2}
            """)
        let printed = try #require(settings).printed
        #expect(!printed.contains("hunter2") && printed.contains("***"))
    }

    @Test(arguments: [("9s", false), ("10s", true), ("7d", true), ("169h", false)])
    func `silence_after has bounds`(_ text: String, _ isGood: Bool) {
        let (settings, _) = load(
            "kafka: {bootstrap: b:1, topics: [{name: t}]}\ntelemetry: {silence_after: \(text)}")
        #expect((settings != nil) == isGood)
    }
}

@Suite struct OutageTests {
    private func at(_ seconds: Int64) -> Instant { Instant(milliseconds: seconds * 1_000) }

    @Test func `silence is excused for a minute after the last trouble, and never for ten`() {
        var outage = Outage()
        #expect(!outage.excuses(heard: at(0), at: at(10)))
        outage.note(at: at(1_000))
        #expect(outage.excuses(heard: at(999), at: at(1_059)))
        #expect(!outage.excuses(heard: at(999), at: at(1_060)))
        // Heard since: what is silent now is silent by itself.
        #expect(!outage.excuses(heard: at(1_001), at: at(1_010)))
        for second in stride(from: Int64(1_030), through: 1_600, by: 30) {
            outage.note(at: at(second))
        }
        #expect(outage.excuses(heard: at(999), at: at(1_599)))
        #expect(!outage.excuses(heard: at(999), at: at(1_601)))
        // An hour later another one begins.
        outage.note(at: at(5_000))
        #expect(outage.excuses(heard: at(999), at: at(5_030)))
    }
}

/// `tocsin check` on a folder of rules.
@Suite("Check") struct CheckTests {
    /// A copy of the shipped rules, with one more file.
    private func said(_ extra: String) throws -> (code: Int32, lines: [String]) {
        let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let folder = FileManager.default.temporaryDirectory
            .appending(path: "tocsin-check-\(UUID().uuidString)")
        try copyFiles(of: root.appending(path: "rules"), to: folder)
        defer { try? FileManager.default.removeItem(at: folder) }
        try extra.write(
            to: folder.appending(path: "site.yaml"), atomically: true, encoding: .utf8)
        var lines: [String] = []
        let code = try Check.run(folder: folder.path, settings: nil) { lines.append($0) }
        return (code, lines)
    }

    @Test func `the zone of a calendar is looked up on the host, and a slip is told`() throws {
        let good = try said("calendars: {office: {time_zone: Europe/Berlin}}")
        #expect(good.code == 0 && good.lines.last?.contains(", calendars: 1") == true, "\(good)")
        let bad = try said("calendars: {office: {time_zone: Europe/Berln}}")
        #expect(bad.code != 0)
        let told =
            "site.yaml:1:33: there is no time zone 'Europe/Berln'; did you mean 'Europe/Berlin'?"
        #expect(bad.lines.contains { $0.contains(told) }, "\(bad.lines)")
        let city = try said("calendars: {office: {time_zone: singapore}}")
        #expect(city.lines.contains { $0.contains("'Asia/Singapore'") }, "\(city.lines)")
    }
}
