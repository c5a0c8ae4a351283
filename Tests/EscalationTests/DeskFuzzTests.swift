import Escalation
import Fleet
import Foundation
import Incidents
import Rules
import TestSupport
import Testing

/// Random fleets, people and channels against the whole desk.
@Suite("Desk, fuzzed") struct DeskFuzzTests {
    enum Input: Sendable {
        case findings([Finding])
        case tick
        case command(Command, String)
        case delivered(String, DeliveryOutcome)
    }

    /// What two desks must agree on.
    private func digest(_ outcome: Outcome) -> [String] {
        outcome.pages.map { "\($0.id) \($0.kind) \($0.reason) \($0.brief.summary)" }
            + outcome.deliveries.map(\.id) + outcome.cancelled + outcome.removed
            + outcome.audit.map { "\($0.type) \($0.incident) \($0.detail)" }
            + outcome.changed.map { "\($0.id) \($0.incident.title) \($0.incident.costTotal)" }
    }

    private func apply(_ input: Input, to desk: inout Desk, at time: Instant) -> Outcome? {
        switch input {
        case .findings(let findings):
            desk.take(findings, members: MergeTests.members, at: time)
        case .tick: desk.tick(at: time)
        case .command(let command, let actor):
            try? desk.command(command, by: actor, via: "cli", at: time)
        case .delivered(let id, let result): desk.delivered(id: id, result: result, at: time)
        }
    }

    private func randomFindings(
        _ generator: inout SeededGenerator, _ firing: inout [String: Finding], at time: Instant
    ) -> [Finding] {
        let symptoms = [("thermal", "thm"), ("idle", "eff"), ("ecc", "evt-xid")]
        return (0..<generator.pick(1..<6)).map { _ in
            let number = generator.pick(1..<9)
            let (symptom, rule) = symptoms[generator.pick(0..<3)]
            let isHang = generator.chance(0.1)
            var next = finding(
                rule: isHang ? "job-hang" : rule, device: "gpu-\(number)",
                host: number < 5 ? "node-1" : "node-2", rack: "r1", job: "llm",
                symptom: isHang ? "hang" : symptom,
                severity: [.critical, .high, .high, .medium][generator.pick(0..<4)], at: time)
            if isHang {
                next.key = .init(rule: "job-hang", subject: Entity(kind: .job, name: "llm"))
                next.devices = (1...8).map { "gpu-\($0)" }
            }
            let key = next.key.description
            if firing[key] != nil, generator.chance(0.7) {
                next.edge = .cleared
                firing[key] = nil
            } else {
                firing[key] = next
            }
            return next
        }
    }

    private func randomCommand(
        _ generator: inout SeededGenerator, _ desk: Desk, at time: Instant
    ) -> Input {
        let ids = desk.cases.map(\.id)
        let id = ids.isEmpty ? "INC-0000000000" : ids[generator.pick(0..<ids.count)]
        let actor = ["ana", "bo", "stranger"][generator.pick(0..<3)]
        let matcher = (try? Matcher("symptom=thermal")).map { [[$0]] } ?? []
        let commands: [Command] = [
            .acknowledge(id), .acknowledge(id), .unacknowledge(id), .resolve(id),
            .snooze(id, for: .seconds(generator.pick(1..<3_600))), .note(id, "looking"),
            .escalate(id, to: .three, reason: "worse"),
            .silence(
                SilenceRequest(
                    matchers: matcher, ends: time + .seconds(generator.pick(60..<7_200)),
                    reason: "work")),
        ]
        return .command(commands[generator.pick(0..<commands.count)], actor)
    }

    /// Also: no id comes twice, nobody is paged for what is hidden, nothing open stands still.
    ///
    /// These seeds found something once; the rest of the first 200 found nothing.
    @Test(arguments: [87, 133, 136, 156, 179, 186, 4, 9] as [UInt64])
    func `a desk that restarts all the time says the same as one that never does`(
        _ seed: UInt64
    ) throws {
        var generator = SeededGenerator(seed: seed)
        let policy = try loadPolicy(Stage.policyText)
        let prices = try loadPrices(Stage.pricesText)
        var steady = Desk(policy: policy, prices: prices)
        var restarted = Desk(policy: policy, prices: prices)
        var firing: [String: Finding] = [:]
        var waiting: [String] = []
        var seen: Set<String> = []
        var clock = Stage.start
        var pages = 0
        for turn in 0..<250 {
            clock += .milliseconds(Int64(generator.pick(1..<120_000)))
            if let due = steady.nextDeadline, due < clock {
                clock = max(due, clock - .seconds(119))
            }
            let input: Input
            switch generator.pick(0..<10) {
            case 0..<3: input = .findings(randomFindings(&generator, &firing, at: clock))
            case 3 where !waiting.isEmpty:
                let id = waiting.remove(at: generator.pick(0..<waiting.count))
                input = .delivered(id, generator.chance(0.7) ? .delivered : .failed("410"))
            case 4: input = randomCommand(&generator, steady, at: clock)
            default: input = .tick
            }
            let first = apply(input, to: &steady, at: clock)
            let second = apply(input, to: &restarted, at: clock)
            #expect(
                first.map(digest) == second.map(digest), "seed \(seed), turn \(turn): \(input)")
            guard let outcome = first else { continue }
            for delivery in outcome.deliveries {
                #expect(seen.insert(delivery.id).inserted, "seed \(seed): \(delivery.id) twice")
                if delivery.destination != Desk.feed { waiting.append(delivery.id) }
            }
            pages += outcome.pages.count
            check(steady, outcome, "seed \(seed), turn \(turn)")
            guard turn % 5 == 0 else { continue }
            let data = try JSONEncoder().encode(restarted.cases)
            let stored = try JSONDecoder().decode([CaseRecord].self, from: data)
            let silences = try JSONDecoder().decode(
                [Silence].self, from: JSONEncoder().encode(restarted.silences))
            restarted = Desk(policy: policy, prices: prices)
            let outcomeOfRestart = restarted.restore(stored, silences: silences, at: clock)
            let outcomeOfTick = steady.tick(at: clock)
            #expect(digest(outcomeOfRestart) == digest(outcomeOfTick), "seed \(seed), turn \(turn)")
            for delivery in outcomeOfTick.deliveries { seen.insert(delivery.id) }
        }
        #expect(pages > 20, "seed \(seed) is too tame")
    }

    private func check(_ desk: Desk, _ outcome: Outcome, _ place: String) {
        for page in outcome.pages where page.kind == .page {
            guard let record = desk.find(page.incident) else { continue }
            #expect(record.episode.masks.isEmpty, "\(place): paged while hidden")
        }
        for record in desk.cases {
            let episode = record.episode
            #expect(
                !episode.isRunning || episode.levelDeadline != nil,
                "\(place): \(record.id) stands still")
            #expect(
                episode.phase != .open || episode.signal == .firing || episode.holdDeadline != nil,
                "\(place): \(record.id) will never resolve")
            #expect(
                (episode.signal == .firing) == record.incident.isFiring,
                "\(place): \(record.id) and its findings disagree")
            for inhibitor in episode.masks.compactMap(\.inhibitor)
            where [.open, .held].contains(desk.find(inhibitor)?.episode.phase) == false {
                #expect(
                    episode.recheckDeadline != nil,
                    "\(place): \(record.id) is hidden by \(inhibitor), which is gone")
            }
        }
        if let next = desk.nextDeadline {
            let earliest = desk.cases.compactMap(\.episode.nextTimer?.at).min()
            #expect(earliest.map { next <= $0 } ?? true, "\(place): a timer is forgotten")
        }
    }
}
