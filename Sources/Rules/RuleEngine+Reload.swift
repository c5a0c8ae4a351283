package import Detection
package import Fleet
import RollingStatistics
package import Telemetry

// Rules come and go, and so does the process; what fires stays.
extension RuleEngine {
    /// Puts back what fired before a restart, without saying it again.
    ///
    /// Each stays firing until its condition was seen to be over for its `clear_for`.
    package mutating func restore(
        firing: [Finding], detection: inout Detection, directory: inout Directory
    ) {
        detection.refresh(&directory)
        grow(detection)
        awaited += firing
        resumeAwaited(&detection, directory)
    }

    /// Matches restored findings with subjects that have come to be known.
    mutating func resumeAwaited(_ detection: inout Detection, _ directory: Directory) {
        guard !awaited.isEmpty else { return }
        var rest: [Finding] = []
        for finding in awaited where !resume(finding, &detection, directory) {
            rest.append(finding)
        }
        awaited = rest
    }

    /// A subject that did not come back within a day, such as a job that ended meanwhile, is over.
    mutating func giveUpAwaited(_ now: Int64, _ detection: borrowing Detection) {
        guard !awaited.isEmpty else {
            awaitedSince = .min
            return
        }
        if awaitedSince == .min { awaitedSince = now }
        guard now - awaitedSince >= detection.settings.retireAfter else { return }
        for var finding in awaited {
            finding.edge = .cleared
            finding.at = Instant(milliseconds: now)
            finding.summary = "\(finding.key.subject) was not heard of again since the restart"
            say(finding, isShadow: book[finding.key.rule]?.mode == .shadow)
        }
        awaited = []
    }

    private mutating func resume(
        _ finding: Finding, _ detection: inout Detection, _ directory: Directory
    ) -> Bool {
        let kind = finding.key.subject.kind
        let found = program.rules.indices.first {
            let rule = program.rules[$0]
            return book.rules[rule.rule].id == finding.key.rule && rule.group == CohortKind(kind)
        }
        // A rule that is gone is for `replace` to speak of.
        guard let index = found else { return false }
        let rule = program.rules[index]
        let subject: Int
        if let group = rule.group {
            guard let known = detection.cohorts[group].index(of: finding.key.subject.name) else {
                return false
            }
            subject = Int(known)
        } else {
            guard let device = directory.index(of: finding.key.subject.name),
                Int(device.value) < deviceCount
            else { return false }
            subject = Int(device.value)
        }
        // From a store that may be damaged: no time beyond what arithmetic can bear.
        var finding = finding
        finding.since = min(max(finding.since, .distantPast), .distantFuture)
        finding.at = min(max(finding.at, .distantPast), .distantFuture)
        spoken[finding.key] = finding
        if !rule.isShadow { hold(finding, &detection, directory) }
        if rule.isEvent {
            var state = EventState()
            state.isFiring = true
            state.since = finding.since.milliseconds
            state.lastAt = finding.at.milliseconds
            state.seen = finding.evidence.map {
                EventState.Seen(
                    code: Int32(clampedToCode($0.value)), at: finding.at.milliseconds,
                    text: $0.against, severity: finding.severity, offset: finding.offset,
                    device: subject)
            }
            if let policy = policy(of: index) {
                state.root =
                    state.seen.map(\.code).min { policy.rank(of: $0) < policy.rank(of: $1) } ?? 0
            }
            eventStates[EventKey(rule: index, device: subject)] = state
            return true
        }
        let place = subject * stride(of: rule) + rule.local
        setPhase(rule, place, .firing)
        setSince(rule, place, finding.since.milliseconds)
        setTurned(rule, place, finding.at.milliseconds)
        return true
    }

    private func clampedToCode(_ value: Double) -> Double {
        value.isFinite ? min(max(value, -1e9), 1e9) : 0
    }

    /// Takes over another set of rules at the boundary of a batch.
    ///
    /// A rule whose definition did not change keeps all that it counted. One that changed begins
    /// anew, except that what it said stays said until it is seen to be over.
    ///
    /// - Returns: `.ruleRemoved` for what fired under rules that are gone.
    package mutating func replace(
        book next: RuleBook, vocabulary: inout Vocabulary, detection: inout Detection,
        directory: inout Directory, at now: Instant
    ) -> [Finding] {
        var engine = RuleEngine(book: next, vocabulary: &vocabulary)
        detection.refresh(&directory)
        engine.grow(detection)
        engine.lastStep = lastStep
        engine.holding = holding
        engine.unheld = unheld
        engine.history = history
        engine.groupEmptySince = groupEmptySince
        engine.shadowEdges = shadowEdges
        engine.copyRegisters(of: self)
        detection.serve(engine.needs)
        var kept: [Int: Int] = [:]
        for old in program.rules.indices {
            let rule = program.rules[old]
            let same = engine.program.rules.indices.first {
                engine.program.rules[$0].group == rule.group
                    && next.rules[engine.program.rules[$0].rule].id == book.rules[rule.rule].id
                    && next.rules[engine.program.rules[$0].rule].hash == book.rules[rule.rule].hash
            }
            guard let same else { continue }
            kept[old] = same
            engine.copyState(of: old, from: self, to: same)
        }
        engine.markAll()
        var removed: [Finding] = []
        for key in spoken.keys.sorted(by: { ($0.rule, $0.subject) < ($1.rule, $1.subject) }) {
            guard var finding = spoken[key] else { continue }
            let heir = next[key.rule]
            let isHeir = heir?.scopes.contains(key.subject.kind) == true
            if isHeir, let heir, kept.values.contains(where: { engine.is($0, heir.id) }) {
                engine.spoken[key] = finding
            } else if isHeir {
                engine.awaited.append(finding)
            } else {
                finding.edge = .ruleRemoved
                finding.at = now
                let wasShadow = book[key.rule]?.mode == .shadow
                if !wasShadow { removed.append(finding) }
            }
        }
        engine.awaited += awaited.filter { next[$0.key.rule] != nil }
        for var finding in awaited where next[finding.key.rule] == nil {
            finding.edge = .ruleRemoved
            finding.at = now
            removed.append(finding)
        }
        engine.resumeAwaited(&detection, directory)
        for finding in removed { engine.hold(finding, &detection, directory) }
        engine.takeSeasons(of: &self, kept: kept)
        self = engine
        return removed
    }

    private func `is`(_ index: Int, _ id: String) -> Bool {
        book.rules[program.rules[index].rule].id == id
    }

    private mutating func copyRegisters(of old: borrowing RuleEngine) {
        for group in 0..<Vocabulary.groupsMax {
            let (from, to) = (old.program.registerGroup[group], program.registerGroup[group])
            guard from >= 0, to >= 0 else { continue }
            for device in 0..<min(deviceCount, old.deviceCount) {
                let source = (device * old.program.registerGroups + from) * 16
                let target = (device * program.registerGroups + to) * 16
                registers.copy(block: source, of: old.registers, to: target)
            }
        }
    }

    /// Equal definitions compile into equal shapes: places in pools match one by one.
    private mutating func copyState(of from: Int, from old: borrowing RuleEngine, to: Int) {
        let (source, target) = (old.program.rules[from], program.rules[to])
        copyPhases(source, target, old)
        if source.isEvent {
            for (key, state) in old.eventStates where key.rule == from {
                eventStates[EventKey(rule: to, device: key.device)] = state
            }
        }
        let a = old.program.places(of: source)
        let b = program.places(of: target)
        guard a.count == b.count else { return }
        for (one, other) in zip(a, b) { copyPlace(one, other, old) }
        let before = old.program.seasons.indices.filter {
            old.program.seasons[$0].root == source.root
        }
        let after = program.seasons.indices.filter { program.seasons[$0].root == target.root }
        for (one, other) in zip(before, after) {
            seasons.copy(from: old.seasons, leaf: Int32(one), to: Int32(other))
            watches.copy(from: old.watches, leaf: Int32(one), to: Int32(other))
            deviceWatches.copy(from: old.deviceWatches, leaf: Int32(one), to: Int32(other))
        }
    }

    private mutating func copyPhases(
        _ source: CompiledRule, _ target: CompiledRule, _ old: borrowing RuleEngine
    ) {
        let kind = source.group?.rawValue
        let before = kind.map { old.groupStates[$0] } ?? old.deviceStates
        var after = kind.map { groupStates[$0] } ?? deviceStates
        for subject in 0..<min(before.count, after.count) {
            let (a, b) = (
                subject * before.stride + source.local, subject * after.stride + target.local
            )
            after.phases[b] = before.phases[a]
            after.since[b] = before.since[a]
            after.turned[b] = before.turned[a]
            if before.phases[a] != 0 { after.busy[target.local] += 1 }
        }
        if let kind { groupStates[kind] = after } else { deviceStates = after }
    }

    private mutating func copyPlace(
        _ one: Program.Place, _ other: Program.Place, _ old: borrowing RuleEngine
    ) {
        guard one.count == other.count, one.isTime == other.isTime else { return }
        let before = one.group.map { old.groupPools[$0.rawValue] } ?? old.devicePool
        var after = other.group.map { groupPools[$0.rawValue] } ?? devicePool
        for subject in 0..<min(before.count, after.count) {
            for offset in 0..<one.count {
                if one.isTime {
                    after.times[subject * after.timeStride + other.first + offset] =
                        before.times[subject * before.timeStride + one.first + offset]
                } else {
                    after.numbers[subject * after.numberStride + other.first + offset] =
                        before.numbers[subject * before.numberStride + one.first + offset]
                }
            }
        }
        if let group = other.group {
            groupPools[group.rawValue] = after
        } else {
            devicePool = after
        }
    }
}

extension Program {
    /// Some of what a rule remembers: a run of times or numbers in the pool of a scope.
    struct Place {
        let group: CohortKind?
        let isTime: Bool
        let first: Int
        let count: Int
    }

    /// All that a rule remembers, in the order of its condition.
    func places(of rule: CompiledRule) -> [Place] {
        takings.filter { $0.rule == rule.root }.map(\.place)
    }
}
