import Console
import Fleet
import Foundation
import Simulation

/// Two devices fall off the bus; one page is acknowledged, and over the other the daemon is killed.
struct EscalationScenario {
    /// The topics of one run; a cluster that others use too may keep old ones.
    struct Names {
        var telemetry = "telemetry"
        var alerts = "tocsin.alerts"
        var deadLetters = "tocsin.dlq"
        var group = "tocsin"
    }

    let bootstrap: String
    var names = Names()

    private static let first = 1
    private static let second = 6

    func play(on site: Site) throws {
        let hook = try Webhook()
        defer { hook.stop() }
        try configure(site, hook)
        var daemon = try site.start()
        var feed = try Feed(bootstrap, topic: names.alerts)
        try daemon.waitUntilReady()

        // Twelve GPUs on three hosts; what happened in the last four minutes is published at once.
        let start = wallClock() - .seconds(240)
        var fleet = try FleetSimulator(Self.plan(start))
        let lost = [Self.first, Self.second].map { fleet.identities[$0].id }
        var publisher = try Publisher(bootstrap, topic: names.telemetry)

        try publish(&fleet, upTo: start + .seconds(110), &publisher)
        let one = try feed.first("the page for \(lost[0])", within: 30) {
            $0.page.kind == "page" && $0.page.devices == [lost[0]]
        }
        try check(one, isFirstPageFor: lost[0])
        try eventually("the webhook's copy of it", within: 30) {
            hook.calls.contains { $0.incident == one.page.incident && $0.tier == 1 } ? true : nil
        }
        try acknowledge(one.page.incident, site, daemon)
        let told = try feed.first("the word that it is acknowledged", within: 30) {
            $0.page.kind == "acknowledged" && $0.page.incident == one.page.incident
        }
        try require(told.key == one.page.incident, "the key of an alert is its incident")

        hook.hold()
        try publish(&fleet, upTo: start + .seconds(190), &publisher)
        let two = try feed.first("the page for \(lost[1])", within: 30) {
            $0.page.kind == "page" && $0.page.devices == [lost[1]]
        }
        try check(two, isFirstPageFor: lost[1])
        let held = try eventually("the webhook is called for it", within: 30) {
            hook.calls.last { $0.incident == two.page.incident && $0.kind == "page" }
        }
        daemon.kill9()
        hook.release()

        daemon = try site.start()
        let up = try eventually("the daemon is back", within: 30) {
            try daemon.get("/healthz").status == 200 ? wallClock() : nil
        }
        let again = try eventually("the page under way is sent again", within: 30) {
            hook.calls.last { $0.incident == two.page.incident && $0.mayRepeat }
        }
        try require(again.id == held.id, "sent again as \(again.id), not as \(held.id)")

        let next = try feed.first("tier 2", within: 40) {
            $0.page.kind == "page" && $0.page.tier > 1
        }
        try require(
            next.page.incident == two.page.incident && next.page.tier == 2
                && next.page.reason == "timeout" && next.page.recipients == ["bo"],
            "the second to be called is \(next.page)")
        let due = two.page.time + .seconds(Site.tierOneSeconds)
        // Whole seconds on the wire, one turn of the engine, and a busy machine; a time that began
        // anew with the process would be up later still.
        try require(
            next.page.time >= due - .seconds(1) && next.page.time <= max(due, up) + .seconds(8),
            "tier 2 at \(next.page.at), due \(due.rfc3339), up \(up.rfc3339)")

        try publish(&fleet, upTo: wallClock(), &publisher)
        let published = Int64(publisher.published)
        try eventually("everything published is stored", within: 60) {
            try daemon.stored(names.telemetry) == published ? true : nil
        }
        let quiet = one.page.time + .seconds(Site.tierOneSeconds + 3)
        try eventually("the time of the acknowledged one is up", within: 30) {
            try feed.poll()
            return wallClock() > quiet ? true : nil
        }
        try conclude(site, daemon, feed.pages, hook.calls, [one, two])
        feed.close()
        daemon.signal(SIGTERM)
        try daemon.requireOrderlyEnd()
    }

    private func configure(_ site: Site, _ hook: Webhook) throws {
        try site.write(Site.policy(channel: "hook"), to: "rules/escalation.yaml")
        try site.write(Webhook.secret, to: "hook.key")
        unsafe chmod("\(site.root)/hook.key", 0o600)
        var wishes = Site.Wishes()
        wishes.topics = [(names.telemetry, "native")]
        wishes.alerts = names.alerts
        wishes.deadLetters = names.deadLetters
        wishes.group = names.group
        wishes.destinations =
            "[{name: hook, kind: webhook, url: \"\(hook.url)\", "
            + "secret_file: \(site.root)/hook.key}]"
        try site.configure(bootstrap, wishes)
    }

    private static func plan(_ start: Instant) -> FleetPlan {
        var plan = FleetPlan(seed: 7, hosts: 3, start: start)
        plan.devicesPerHost = 4
        plan.hostsPerRack = 1
        plan.delivery = .perfect
        plan.workloads = [Workload("chat-api", .inference, team: "serving", devices: 0..<12)]
        plan.faults = [
            Fault(
                .offBus(announced: true), of: .device(first), at: .seconds(60),
                for: .seconds(3_600)),
            Fault(
                .offBus(announced: true), of: .device(second), at: .seconds(150),
                for: .seconds(3_600)),
        ]
        return plan
    }

    private func publish(
        _ fleet: inout FleetSimulator, upTo limit: Instant, _ publisher: inout Publisher
    ) throws {
        var batch = MessageBatch()
        while fleet.next(upTo: limit, messagesMax: 1_000, into: &batch) {
            try publisher.publish(batch)
            batch.removeAll()
        }
        try publisher.publish(batch)
        try publisher.flush()
    }

    private func check(_ event: Event, isFirstPageFor device: String) throws {
        let page = event.page
        try require(
            page.tier == 1 && page.reason == "first" && page.severity == 1
                && page.recipients == ["ana"] && page.rules == ["evt-xid"]
                && page.blame.name == device && event.id == "\(page.id).feed" && !page.mayRepeat,
            "the first page is \(event)")
    }

    private func acknowledge(_ incident: String, _ site: Site, _ daemon: DaemonProcess) throws {
        // An unambiguous beginning of the name is enough.
        let answer = try site.tocsin("incident", "ack", String(incident.prefix(9)), "--by", "ana")
        try require(
            answer.code == 0 && answer.output.contains("acknowledged by ana"),
            "tocsin incident ack: \(answer)")
        let known = try daemon.incident(incident).escalation
        try require(known.response == "acked" && known.holder == "ana", "\(known)")
    }

    /// What must hold at the end, whatever happened in between.
    private func conclude(
        _ site: Site, _ daemon: DaemonProcess, _ pages: [Event], _ calls: [Webhook.Call],
        _ firsts: [Event]
    ) throws {
        let complaints = Set(calls.map(\.complaint)).subtracting([""])
        try require(complaints.isEmpty, "the webhook got \(complaints)")
        let acked = firsts[0].page
        let louder = pages.filter { $0.page.incident == acked.incident && $0.page.tier > 1 }
        try require(louder.isEmpty, "acknowledged, and yet paged: \(louder)")

        let listed = try daemon.incidents()
        try require(
            listed.map(\.id).sorted() == firsts.map(\.page.incident).sorted(),
            "two devices were lost, and there are \(listed)")
        // One call has one id, however often it was sent.
        for (call, group) in Dictionary(
            grouping: pages, by: { "\($0.page.incident) \($0.page.round) \($0.page.tier)" })
        {
            try require(Set(group.map(\.id)).count == 1, "\(call) was called as \(group.map(\.id))")
        }
        let audit = try site.tocsin("audit", "verify")
        try require(
            audit.code == 0 && audit.output.contains("the audit trail is whole"),
            "tocsin audit verify: \(audit)")
    }
}

/// Throws where `condition` does not hold, so that the log is shown.
func require(_ condition: Bool, _ otherwise: @autoclosure () -> String) throws {
    guard condition else { throw Trouble(otherwise()) }
}
