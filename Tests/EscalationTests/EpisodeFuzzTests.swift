import Escalation
import Fleet
import Foundation
import TestSupport
import Testing

/// The transition function under test, or one with a fault built in.
typealias Stepper =
    @Sendable (inout Episode, Episode.Event, Instant, (Tier) -> Bool) -> [Episode.Effect]

let honest: Stepper = { episode, event, time, staffed in
    episode.step(event, at: time, staffed: staffed)
}

/// Plays one seeded life of an episode: signals, people, masks, dead channels, gaps, crashes.
struct Trace {
    struct Page: Hashable {
        let generation, round, sequence: Int
        let tier: Tier
    }

    private struct Entry {
        let event: Episode.Event
        let at: Instant
    }

    private let step: Stepper
    private var generator: SeededGenerator
    private var log: [Entry] = []
    private var gaps: [Tier: [Range<Int>]] = [:]
    private var keys: Set<Page> = []
    private var last: (at: Instant, generation: Int)?
    private var refused: [(at: Instant, sequence: Int)] = []
    private let failures: Double
    private let length: Int
    private let first: Episode
    private(set) var episode: Episode
    private(set) var violations: [String] = []
    private(set) var events = 0
    private(set) var pages = 0
    private(set) var crashes = 0

    init(seed: UInt64, step: @escaping Stepper) {
        var generator = SeededGenerator(seed: seed)
        let length = (generator.chance(0.5) ? 6 : 24) * 3_600
        for tier in [Tier.one, .two, .three] {
            gaps[tier] = (0..<generator.pick(0..<3)).map { _ in
                let start = generator.pick(0..<length)
                return start..<(start + generator.pick(1..<4 * 3_600))
            }
        }
        // Nobody at all: the backstop must carry.
        if generator.chance(0.1) { for tier in gaps.keys { gaps[tier] = [0..<(4 * length)] } }
        failures = [0, 0.1, 0.5][generator.pick(0..<3)]
        var plan = Plan.empty
        let level = Plan.Level(page: [], timeout: BySeverity(.seconds(300)))
        plan.levels = [level, level, level]
        plan.levels[1].timeout = BySeverity(.seconds(600))
        plan.levels[2].timeout = BySeverity(.seconds(900))
        // Shorter than `min_level`: only that keeps these pages apart.
        if generator.chance(0.3) { plan.levels[0].timeout = BySeverity(.seconds(20)) }
        plan.timings.ackTTL = BySeverity(.seconds(3_600))
        var episode = Episode(plan: plan)
        episode.severity = generator.chance(0.8) ? .high : .medium
        first = episode
        self.episode = episode
        self.step = step
        self.length = length
        self.generator = generator
    }

    private func isStaffed(_ tier: Tier, _ time: Instant) -> Bool {
        let second = Int((time - Stage.start).milliseconds / 1_000)
        return !(gaps[tier] ?? []).contains { $0.contains(second) }
    }

    mutating func play() {
        var time = 0
        var outside: [(Int, Int)] = []
        while time < length {
            time += generator.pick(1..<[60, 600, 3_600][generator.pick(0..<3)])
            outside.append((time, generator.pick(0..<200)))
        }
        var clock = Stage.start
        var masks: [Mask] = []
        var severity = episode.severity
        var next = 0
        while violations.count < 3 {
            var due: [(at: Instant, order: Int)] = []
            if let timer = episode.nextTimer { due.append((max(timer.at, clock), 0)) }
            if next < outside.count {
                due.append((max(Stage.start + .seconds(outside[next].0), clock), 1))
            }
            if let soonest = refused.map(\.at).min() { due.append((max(soonest, clock), 2)) }
            guard let turn = due.min(by: { ($0.at, $0.order) < ($1.at, $1.order) }),
                turn.at <= Stage.start + .seconds(length * 3 / 2)
            else { break }
            check(until: turn.at, nextIsTimer: turn.order == 0)
            clock = turn.at
            switch turn.order {
            case 0:
                guard let timer = episode.nextTimer else { break }
                apply(.timer(timer.timer), at: clock)
            case 2:
                guard let index = refused.indices.min(by: { refused[$0].at < refused[$1].at })
                else { break }
                apply(.undelivered(refused.remove(at: index).sequence), at: clock)
            default:
                let dice = outside[next].1
                next += 1
                if dice < 12 {
                    clock += .seconds(generator.pick(1..<7_200))
                    crash()
                } else {
                    act(dice, &masks, &severity, at: clock)
                }
            }
            if episode.phase == .closed {
                // Its successor is another incident; the history of pages goes on.
                let plan = episode.plan
                let generation = episode.generation
                episode = Episode(plan: plan)
                episode.severity = .high
                episode.generation = generation
                for mask in masks { apply(.masked(mask), at: clock) }
                log = []
                restartPoint = episode
            }
        }
    }

    private var restartPoint: Episode?

    private mutating func act(
        _ dice: Int, _ masks: inout [Mask], _ severity: inout Severity, at clock: Instant
    ) {
        switch dice {
        case ..<72: apply(.fired(severity), at: clock)
        case ..<118: apply(.cleared, at: clock)
        case ..<142: apply(.acknowledged(by: "ana"), at: clock)
        case ..<154: apply(.unacknowledged, at: clock)
        case ..<160:
            apply(.snoozed(by: "bo", for: .seconds(generator.pick(60..<7_200))), at: clock)
        case ..<164: apply(.resolved(by: "ana"), at: clock)
        case ..<172:
            let mask = Mask.silence("\(masks.count)")
            masks.append(mask)
            apply(.masked(mask), at: clock)
        case ..<182:
            guard let mask = masks.popLast() else { return }
            apply(.unmasked(mask), at: clock)
        case ..<187:
            guard episode.signal == .firing, severity > .critical else { return }
            severity = Severity(rawValue: severity.rawValue - 1) ?? .critical
            apply(.worsened(severity), at: clock)
        case ..<191: apply(.grown, at: clock)
        case ..<195: apply(.escalated(to: [.two, .three, .backstop][dice % 3]), at: clock)
        default: apply(.active(by: "ana"), at: clock)
        }
    }

    private mutating func apply(_ event: Episode.Event, at time: Instant) {
        let gaps = self.gaps
        let effects = step(&episode, event, time) { tier in
            let second = Int((time - Stage.start).milliseconds / 1_000)
            return !(gaps[tier] ?? []).contains { $0.contains(second) }
        }
        log.append(Entry(event: event, at: time))
        events += 1
        for case .page(let reason, let tier, let round, let sequence, let audience) in effects {
            pages += 1
            check(reason, audience, at: time)
            let key = Page(
                generation: episode.generation, round: round, sequence: sequence, tier: tier)
            if !keys.insert(key).inserted { violations.append("I2: \(key) twice") }
            last = (time, episode.generation)
            if generator.chance(failures) {
                refused.append((time + .seconds(generator.pick(1..<45)), sequence))
            } else {
                apply(.delivered(sequence), at: time)
            }
        }
    }

    /// I3: nobody is paged who should not be; I4: time-outs leave people their minute.
    private mutating func check(
        _ reason: Escalation.Page.Reason, _ audience: Episode.Audience, at time: Instant
    ) {
        var isFair = episode.phase == .open && episode.masks.isEmpty && episode.severity.isPage
        if case .holder(let name) = audience {
            isFair = isFair && episode.response.holder == name
        } else {
            isFair = isFair && episode.response == .unacked
        }
        if !isFair {
            violations.append("I3: \(reason) while \(episode.response), \(episode.masks)")
        }
        if let last, reason == .timeout, last.generation == episode.generation,
            time - last.at < .seconds(60)
        {
            violations.append("I4: \((time - last.at).short) after the last page")
        }
    }

    /// I1: where the clock should run, a timer is armed, not too far; I7: no long freeze.
    private mutating func check(until next: Instant, nextIsTimer: Bool) {
        if episode.isRunning {
            guard let deadline = episode.levelDeadline else {
                violations.append("I1: no timer, after \(log.suffix(3).map(\.event))")
                return
            }
            if deadline - episode.updatedAt > .seconds(3_600) {
                violations.append("I1: the next page is \((deadline - next).short) away")
            }
        }
        guard let since = episode.freezeSince else { return }
        let frozen = episode.freezeUsed + (next - since).milliseconds
        // While the process was down nobody could thaw; the overdue timer is the next to fire.
        let thawsNow = nextIsTimer && (episode.freezeDeadline ?? .distantFuture) <= next
        if frozen > 600_000, !thawsNow {
            violations.append("I7: frozen for \(frozen / 1_000)s")
        }
    }

    /// I5: the log alone, and the stored record alone, give the same state.
    private mutating func crash() {
        crashes += 1
        var folded = restartPoint ?? first
        for entry in log {
            _ = step(&folded, entry.event, entry.at) { isStaffed($0, entry.at) }
        }
        if folded != episode { violations.append("I5: the log folds to another state") }
        guard let data = try? JSONEncoder().encode(episode),
            let stored = try? JSONDecoder().decode(Episode.self, from: data)
        else { return violations.append("I5: the state cannot be stored") }
        if stored != episode { violations.append("I5: the stored state differs") }
        episode = stored
    }
}

/// Every invariant of the executable model, over random lives; and faults that it must find.
@Suite("Episode, fuzzed") struct EpisodeFuzzTests {
    @Test func `no random life breaks an invariant`() {
        var events = 0
        var pages = 0
        var crashes = 0
        for seed in 0..<500 as Range<UInt64> {
            var trace = Trace(seed: seed, step: honest)
            trace.play()
            #expect(trace.violations.isEmpty, "seed \(seed): \(trace.violations)")
            events += trace.events
            pages += trace.pages
            crashes += trace.crashes
        }
        print("500 traces, \(events) events, \(pages) pages, \(crashes) crashes")
        #expect(events > 20_000 && pages > 3_000 && crashes > 500, "the traces are too tame")
    }

    /// A fault, built in around the real function so that the product carries none.
    struct Mutant: Sendable, CustomTestStringConvertible {
        let name: String
        let invariant: String
        let before: @Sendable (inout Episode, Episode.Event) -> Void
        let after: @Sendable (Episode, Episode.Event, inout Episode, inout [Episode.Effect]) -> Void
        var testDescription: String { name }

        static let all: [Mutant] = [
            Mutant(name: "unack does not re-arm the timer", invariant: "I1") {
                was, event, now, effects in
                guard event == .unacknowledged, was.response != .unacked else { return }
                effects.removeAll(where: \.isPage)
                now.levelDeadline = nil
            },
            Mutant(name: "the end of a mask does not resume", invariant: "I1") {
                was, event, now, effects in
                guard case .unmasked = event, !effects.contains(where: \.isPage) else { return }
                now.levelDeadline = was.levelDeadline
            },
            Mutant(name: "a page's key is used again", invariant: "I2") { was, _, now, effects in
                effects = effects.map { effect in
                    guard case .page(let reason, let tier, let round, _, let who) = effect else {
                        return effect
                    }
                    return .page(reason, tier, round: round, sequence: 0, who)
                }
            },
            Mutant(name: "something hidden decides", invariant: "I5") { _, _, now, _ in
                now.sequence += Int.random(in: 0...1)
            },
            Mutant(
                name: "nothing keeps time-outs apart", invariant: "I4",
                before: { now, event in if event == .timer(.level) { now.lastPaged = nil } }),
            Mutant(name: "the last round ends in silence", invariant: "I1") {
                _, _, now, effects in
                if now.tier == .backstop, effects.contains(where: \.isPage) {
                    now.levelDeadline = nil
                }
            },
            Mutant(name: "an ack leaves the timer armed", invariant: "I3") { was, event, now, _ in
                if case .acknowledged = event { now.levelDeadline = was.levelDeadline }
            },
            Mutant(name: "the end of a snooze pages nobody", invariant: "I1") {
                _, event, now, effects in
                guard event == .timer(.snooze), effects.contains(where: \.isPage) else { return }
                effects.removeAll(where: \.isPage)
                now.levelDeadline = nil
            },
            Mutant(name: "firing again does not resume", invariant: "I1") { was, event, now, _ in
                if case .fired = event, was.freezeSince != nil {
                    now.levelDeadline = nil
                    now.remaining = was.remaining
                }
            },
            Mutant(name: "a freeze has no end", invariant: "I7") { _, event, now, _ in
                if event == .cleared { now.freezeDeadline = nil }
            },
        ]

        init(
            name: String, invariant: String,
            after:
                @escaping @Sendable (
                    Episode, Episode.Event, inout Episode, inout [Episode.Effect]
                ) -> Void = { _, _, _, _ in },
            before: @escaping @Sendable (inout Episode, Episode.Event) -> Void = { _, _ in }
        ) {
            self.name = name
            self.invariant = invariant
            self.before = before
            self.after = after
        }

        var step: Stepper {
            { episode, event, time, staffed in
                before(&episode, event)
                let was = episode
                var effects = episode.step(event, at: time, staffed: staffed)
                after(was, event, &episode, &effects)
                return effects
            }
        }
    }

    @Test(arguments: Mutant.all)
    func `every seeded fault is found within 300 lives`(_ mutant: Mutant) {
        for seed in 0..<300 as Range<UInt64> {
            var trace = Trace(seed: seed, step: mutant.step)
            trace.play()
            if trace.violations.contains(where: { $0.hasPrefix(mutant.invariant) }) { return }
        }
        Issue.record("nothing noticed that \(mutant.name)")
    }
}

extension Episode.Effect {
    var isPage: Bool { if case .page = self { true } else { false } }
}
