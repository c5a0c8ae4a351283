import Configuration
@testable import Daemon
import Fleet
import Foundation
import Testing

private func load(_ text: String) -> (Settings?, String) {
    let problems = Problems()
    let settings = Settings.load(text, file: "settings.yaml", problems: problems)
    return (settings, problems.sorted.map(\.description).joined(separator: "\n"))
}

@Suite struct SettingsTests {
    @Test func `the shipped example loads`() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
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
}

@Suite struct MailboxTests {
    @Test func `a full box refuses and an emptied one takes again`() {
        let box = Mailbox<Int>(bound: 2)
        #expect(box.offer(1) && box.offer(2) && !box.offer(3))
        #expect(box.take(waiting: 0) == [1, 2])
        #expect(box.take(waiting: 0).isEmpty)
        #expect(box.offer(3) && box.take(waiting: 0) == [3])
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
