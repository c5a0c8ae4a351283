import Console
import Fleet
import Foundation
import Ledger
import Rules
import Simulation
import Telemetry
import Testing

/// Reloads, stops and outages: what an operator does to a running daemon, and a network.
@Suite(.serialized, .ownThread) struct OperationTests {
    private func broker(_ brokers: Int = 1) throws -> BrokerProcess {
        try BrokerProcess(
            brokers: brokers, topics: ["telemetry:4", "tocsin.alerts:1", "tocsin.dlq:1"])
    }

    @Test func `a bad rule file leaves the old rules running and a good one takes over`() throws {
        let broker = try broker()
        defer { broker.stop() }
        try Site.run { site in
            try site.configure(broker.bootstrap)
            let manager = try NotifySocket("\(site.root)/notify")
            let daemon = try site.start(["NOTIFY_SOCKET": manager.path])
            var feed = try Feed(broker.bootstrap)
            try daemon.waitUntilReady()
            try eventually("READY=1", within: 30) { manager.hears("READY=1") ? true : nil }
            var publisher = try Publisher(broker.bootstrap, topic: "telemetry")
            // Each on a host of its own, so that each is an incident of its own.
            let agents = (1...4).map { Agent($0, on: "acc-\($0)") }
            let start = wallClock() - .seconds(100)
            func say(_ second: Int, fault: Int? = nil, hot: Int? = nil) throws {
                var batch = MessageBatch()
                for (number, agent) in agents.enumerated() {
                    agent.say(
                        at: start + .seconds(second), fault: number == fault ? 79 : nil, in: &batch
                    ) { if number == hot { $0[.tempInlet] = 70 } }
                }
                try publisher.publish(batch)
                try publisher.flush()
            }
            for second in stride(from: 0, to: 50, by: 10) { try say(second) }
            try say(50, fault: 0)
            let first = try feed.first("the page for the first GPU", within: 30) {
                $0.page.kind == "page" && $0.page.devices == [agents[0].id]
            }

            try site.write(SiteRule.broken, to: "rules/site.yaml")
            daemon.signal(SIGHUP)
            let place = "\(site.rules)/site.yaml:5:13: "
            try eventually("status says what is wrong, and where", within: 30) {
                try daemon.status().reloadFailure?.contains(place) == true ? true : nil
            }
            try require(
                try daemon.metrics()["tocsin_config_last_reload_successful"] == 0, "the metric")
            try require(
                daemon.log.split(separator: "\n").contains {
                    $0.contains("the rules were not reloaded") && $0.contains(place)
                }, "the log does not name \(place)")
            try eventually("systemctl status says it", within: 30) {
                manager.hears("LAST RELOAD FAILED: \(place)") ? true : nil
            }
            try require(manager.hears("RELOADING=1"), "the manager was not told of the reload")

            // The old rules are at work, and the new one is not.
            try say(60, fault: 1, hot: 3)
            let second = try feed.first("the page for the second GPU", within: 30) {
                $0.page.kind == "page" && $0.page.devices == [agents[1].id]
            }

            try site.write(SiteRule.hot, to: "rules/site.yaml")
            daemon.signal(SIGHUP)
            try eventually("the good rules are in force", within: 30) {
                try daemon.metrics()["tocsin_config_last_reload_successful"] == 1 ? true : nil
            }
            try require(try daemon.status().reloadFailure == nil, "status still complains")
            try say(70)
            try say(80, hot: 3)
            let third = try feed.first("the page of the new rule", within: 30) {
                $0.page.kind == "page" && $0.page.rules == ["site-hot-inlet"]
            }
            try require(third.page.devices == [agents[3].id], "\(third)")
            let calls = feed.pages.filter { $0.page.tier == 1 }.map(\.page.incident)
            try require(
                calls == [first, second, third].map(\.page.incident), "paged again: \(calls)")
            try require(daemon.isRunning, "the daemon ended")
            feed.close()

            daemon.signal(SIGTERM)
            try daemon.requireOrderlyEnd()
            try eventually("the manager is told of the stop", within: 30) {
                manager.hears("STOPPING=1") ? true : nil
            }
        }
    }

    @Test func `SIGTERM in the middle of a burst stores what was read and reads none twice`() throws
    {
        let broker = try broker()
        defer { broker.stop() }
        try Site.run { site in
            try site.configure(broker.bootstrap)
            var daemon = try site.start()
            try daemon.waitUntilReady()
            var publisher = try Publisher(broker.bootstrap, topic: "telemetry")
            let agents = (0..<40).map { Agent($0, on: "acc-\($0 / 8)") }
            let start = wallClock() - .seconds(600)
            for second in 0..<500 {
                var batch = MessageBatch()
                for agent in agents { agent.say(at: start + .seconds(second), in: &batch) }
                try publisher.publish(batch)
            }
            try eventually("a part of it is read", within: 60) {
                try daemon.metrics().sum("tocsin_messages_total") >= 2_000 ? true : nil
            }
            daemon.signal(SIGTERM)
            try daemon.requireOrderlyEnd()
            try publisher.flush()

            let stored = try site.stored("telemetry")
            try require(stored >= 2_000, "read and not stored: \(stored)")
            daemon = try site.start()
            let published = Int64(publisher.published)
            try eventually("all of it is read", within: 60) {
                try daemon.stored("telemetry") == published ? true : nil
            }
            let again = try daemon.metrics().sum("tocsin_messages_total")
            try require(
                Int64(again) + stored == published,
                "\(stored) before the stop and \(again) after it, of \(published)")

            // With nothing on its way, everything published is stored when it ends.
            daemon.signal(SIGTERM)
            try daemon.requireOrderlyEnd()
            try require(try site.stored("telemetry") == published, "not all is stored")
        }
    }

    @Test func `a daemon that is killed twice in a backlog misses no fault`() throws {
        let broker = try broker()
        defer { broker.stop() }
        try Site.run { site in
            try site.configure(broker.bootstrap)
            // Each device breaks once, in one message of its own among many: who stores a position
            // before what was found up to there is stored will miss it.
            var publisher = try Publisher(broker.bootstrap, topic: "telemetry")
            let agents = (0..<400).map { Agent($0, on: "acc-\($0)") }
            let start = wallClock() - .seconds(120)
            for second in 0..<100 {
                var batch = MessageBatch()
                for (number, agent) in agents.enumerated() {
                    let isBroken = number % 100 == second
                    agent.say(
                        at: start + .seconds(second), fault: isBroken ? 79 : nil, in: &batch)
                }
                try publisher.publish(batch)
            }
            try publisher.flush()
            let published = Int64(publisher.published)

            var kills = 0
            for share in 1...2 {
                let daemon = try site.start()
                try eventually("a part of it is stored", within: 60) {
                    let stored = try? daemon.stored("telemetry")
                    return stored ?? 0 >= published * Int64(share) / 4 ? true : nil
                }
                daemon.kill9()
                let stored = try site.stored("telemetry")
                if stored < published { kills += 1 }
            }
            try require(kills > 0, "nothing was left to read when it was killed")
            let daemon = try site.start()
            try eventually("all of it is stored", within: 60) {
                try daemon.stored("telemetry") == published ? true : nil
            }
            daemon.signal(SIGTERM)
            try daemon.requireOrderlyEnd()
            let firing = Set(
                try Ledger.open(directory: site.state).load().firing
                    .filter { $0.key.rule == "evt-xid" }.map(\.key.subject.name))
            let missing = agents.map(\.id).filter { !firing.contains($0) }
            try require(missing.isEmpty, "\(missing.count) are missed, such as \(missing[0])")
        }
    }

    @Test func `a broker that is away for a while costs nothing and pages nobody`() throws {
        let broker = try broker(2)
        defer { broker.stop() }
        try Site.run { site in
            // The last partition and what it carries, one host of eight, live on a broker alone.
            for number in 0..<4 { try broker.send("leader telemetry \(number) \(number / 3 + 1)") }
            for topic in ["tocsin.alerts", "tocsin.dlq"] { try broker.send("leader \(topic) 0 1") }
            try broker.send("coord group tocsin 1")
            try site.configure(broker.bootstrap)
            let daemon = try site.start()
            try daemon.waitUntilReady()
            var feed = try Feed(broker.bootstrap)
            var publisher = try Publisher(broker.bootstrap, topic: "telemetry")
            let start = wallClock() - .seconds(400)
            func say(_ hosts: Range<Int>, _ seconds: StrideTo<Int>) throws {
                for second in seconds {
                    for number in hosts.lowerBound * 3..<hosts.upperBound * 3 {
                        let agent = Agent(number, on: "acc-\(number / 3)")
                        var batch = MessageBatch()
                        agent.say(at: start + .seconds(second), in: &batch)
                        let partition = number / 3 == 7 ? 3 : Int32(number / 3 % 3)
                        try publisher.publish(batch, partition: partition)
                    }
                }
                try publisher.flush()
            }
            func isAllRead() throws -> Bool? {
                try daemon.stored("telemetry") == Int64(publisher.published) ? true : nil
            }
            try say(0..<8, stride(from: 0, to: 200, by: 10))
            try eventually("all of it is read", within: 60) { try isAllRead() }

            // So long that every partition counts as read to its end.
            for number in 1...2 { try broker.send("down \(number)") }
            func wait(seconds: Int, _ what: String) throws {
                let end = ContinuousClock.now + .seconds(seconds)
                try eventually(what, within: 60) {
                    try require(try daemon.get("/healthz").status == 200, "not alive")
                    return ContinuousClock.now > end ? true : nil
                }
            }
            try wait(seconds: 6, "six seconds without brokers")
            // Two minutes went by for the fleet, and its agents kept nothing of them. Seven hosts
            // are heard again; that of the eighth nothing is heard says nothing of it.
            try broker.send("up 1")
            for second in stride(from: 320, to: 400, by: 10) {
                try say(0..<7, stride(from: second, to: second + 1, by: 1))
                try eventually("the seven are read", within: 60) { try isAllRead() }
            }
            let early = try daemon.incidents()
            try require(early.isEmpty, "a broker is away, and: \(early)")
            try broker.send("up 2")
            try say(7..<8, stride(from: 320, to: 400, by: 10))
            try eventually("all of the rest is read", within: 60) { try isAllRead() }
            let published = Int64(publisher.published)

            let metrics = try daemon.metrics()
            try require(
                Int64(metrics.sum("tocsin_messages_total")) == published
                    && metrics.sum("tocsin_offset_gaps_total") == 0
                    && metrics.sum("tocsin_records_expired_total") == 0
                    && metrics.samples["tocsin_records_repeated_total"] == 0
                    && metrics.samples["tocsin_consumer_events_dropped_total"] == 0
                    && metrics.samples["tocsin_batches_freed_by_reader_total"] == 0,
                "lost or doubled: \(metrics.samples)")
            try feed.poll()
            try require(feed.events.isEmpty, "told: \(feed.events)")
            let found = try daemon.incidents()
            try require(found.isEmpty, "found: \(found)")
            feed.close()
        }
    }
}

extension Site {
    /// What the ledger of an ended daemon says is read and stored.
    func stored(_ topic: String) throws -> Int64 {
        try Ledger.open(directory: state).load().positions
            .filter { $0.key.topic == topic }.reduce(0) { $0 + $1.value }
    }
}
