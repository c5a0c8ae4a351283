import Detection
import Fleet
import Telemetry

/// An event rule on a device.
struct EventKey: Hashable, Comparable {
    let rule: Int
    let device: Int

    static func < (left: EventKey, right: EventKey) -> Bool {
        (left.rule, left.device) < (right.rule, right.device)
    }
}

/// What came of events on one device.
struct EventState {
    struct Seen {
        let code: Int32
        var at: Int64
        var text: String
        var severity: Severity
        let offset: Int64
        /// The device it was said of, which is another one of the host in a cascade.
        let device: Int
    }

    /// Oldest first; at most `seenMax`.
    var seen: [Seen] = []
    /// Tells of another event; waits whether one comes.
    var deferred: [Seen] = []
    var since: Int64 = .min
    var lastAt: Int64 = .min
    var isFiring = false
    var root: Int32 = 0

    static let seenMax = 16
}

/// Faults of the past day, for rules that count them; only devices that had any are here.
struct FaultHistory: Sendable {
    struct Entry: Sendable {
        let code: Int32
        let at: Int64
        let job: String
    }

    /// Per device, newest last; at most `entriesMax`.
    var faults: [Int: [Entry]] = [:]
    static let entriesMax = 32

    mutating func add(_ entry: Entry, to device: Int) {
        faults[device, default: []].append(entry)
        if faults[device, default: []].count > FaultHistory.entriesMax {
            faults[device]?.removeFirst()
        }
    }

    func count(
        _ test: CompiledCount, _ codes: Set<Int32>, _ device: Int, _ now: Int64
    ) -> Int {
        guard let entries = faults[device] else { return 0 }
        let matching = entries.filter {
            (codes.isEmpty || codes.contains($0.code)) && now - $0.at <= test.window
        }
        guard test.distinctJobs else {
            // What comes within a minute is one cascade, and one fault.
            var count = 0
            var last = Int64.min
            for entry in matching where count == 0 || entry.at - last > 60_000 {
                count += 1
                last = entry.at
            }
            return count
        }
        return Set(matching.map(\.job).filter { !$0.isEmpty }).count
    }
}

extension RuleEngine {
    /// Takes the faults that stand in the stream before row `index`, or all that are left.
    mutating func takeFaults(
        of batch: SampleBatch, upTo index: Int?, _ cursor: inout Cursor,
        _ detection: borrowing Detection, _ directory: Directory
    ) {
        while cursor.fault < batch.faults.count {
            let fault = batch.faults[cursor.fault]
            if let index {
                let row = batch.rows[index]
                guard fault.partition == row.partition, fault.offset <= row.offset else { return }
            }
            cursor.fault += 1
            let device = Int(fault.device.value)
            guard device < deviceCount, Int(fault.partition) < batch.partitions.count,
                fault.time >= .distantPast, fault.time <= .distantFuture
            else {
                continue
            }
            let clock = detection.clockOfBatch[Int(fault.partition)]
            if program.countsEvents { remember(fault, device, directory) }
            for rule in program.events {
                take(fault, rule, device, clock, detection, directory)
            }
        }
    }

    private mutating func remember(
        _ fault: SampleBatch.Fault, _ device: Int, _ directory: Directory
    ) {
        let now = fault.time.milliseconds
        // The same code within five minutes is one fault told twice.
        let isRepeat = history.faults[device]?.contains {
            $0.code == fault.code && now - $0.at < 300_000
        }
        guard isRepeat != true else { return }
        let job = directory.devices[device].labels[.job]
        history.add(FaultHistory.Entry(code: fault.code, at: now, job: job), to: device)
        for mark in program.countMarks { setMark(mark, device) }
    }

    private mutating func take(
        _ fault: SampleBatch.Fault, _ index: Int, _ device: Int, _ clock: Int32,
        _ detection: borrowing Detection, _ directory: Directory
    ) {
        guard let policy = policy(of: index) else { return }
        let now = fault.time.milliseconds
        let entry = policy[fault.code]
        let text = String(fault.text.unicodeScalars.prefix(200))
        var seen = EventState.Seen(
            code: fault.code, at: now, text: text, severity: entry.severity, offset: fault.offset,
            device: device)
        let lower = text.lowercased()
        for worse in entry.worse where contains(lower, worse.word) {
            seen.severity = min(seen.severity, worse.severity)
        }
        let own = EventKey(rule: index, device: device)
        let key = cascade(own, seen, policy, detection)
        var state = eventStates[key] ?? EventState()
        let isRepeat = (state.seen + state.deferred).contains {
            $0.code == seen.code && $0.device == device && now - $0.at < policy.dedup
        }
        guard !isRepeat else { return }
        if entry.follows, !state.isFiring {
            state.deferred.append(seen)
            if state.deferred.count > EventState.seenMax { state.deferred.removeFirst() }
            eventStates[key] = state
            return
        }
        let moment = Moment(time: now, clock: clock, offset: fault.offset)
        add([seen], to: key, &state, policy, moment, detection, directory)
    }

    /// Where an event belongs: to the device, or to the one on its host from which it follows.
    private func cascade(
        _ own: EventKey, _ seen: EventState.Seen, _ policy: EventPolicy,
        _ detection: borrowing Detection
    ) -> EventKey {
        let host = detection.devices[own.device][.host]
        guard eventStates[own]?.isFiring != true, host >= 0 else { return own }
        for member in detection.cohorts.members(.host, host) {
            let key = EventKey(rule: own.rule, device: Int(member.value))
            guard key != own, let state = eventStates[key], state.isFiring,
                abs(seen.at - state.since) <= policy.cascade
            else { continue }
            // What is nearer to the cause, or worse, speaks for itself.
            let worst = state.seen.map(\.severity).min() ?? .low
            guard policy.rank(of: seen.code) >= policy.rank(of: state.root),
                seen.severity >= worst
            else { return own }
            return key
        }
        return own
    }

    private mutating func add(
        _ new: [EventState.Seen], to key: EventKey, _ state: inout EventState,
        _ policy: EventPolicy, _ moment: Moment, _ detection: borrowing Detection,
        _ directory: Directory
    ) {
        let before = state.seen.map(\.severity).min() ?? .low
        let rootBefore = state.root
        let devicesBefore = Set(state.seen.map(\.device))
        let isNew = new.contains { item in !state.seen.contains { $0.code == item.code } }
        state.seen += new + state.deferred
        state.deferred = []
        if state.seen.count > EventState.seenMax {
            state.seen.removeFirst(state.seen.count - EventState.seenMax)
        }
        state.lastAt = state.seen.map(\.at).max() ?? moment.time
        let root = state.seen.min {
            (policy.rank(of: $0.code), $0.at) < (policy.rank(of: $1.code), $1.at)
        }
        state.root = root?.code ?? 0
        let wasFiring = state.isFiring
        if !wasFiring {
            state.isFiring = true
            state.since = state.seen.map(\.at).min() ?? moment.time
        }
        eventStates[key] = state
        let worst = state.seen.map(\.severity).min() ?? .low
        let isMore =
            worst != before || state.root != rootBefore || isNew
            || Set(state.seen.map(\.device)) != devicesBefore
        guard !wasFiring || isMore else { return }
        var finding = eventFinding(key, state, policy, moment, detection, directory)
        finding.edge = spoken[finding.key] == nil ? .fired : .changed
        spoken[finding.key] = finding
        let rule = program.rules[key.rule]
        say(finding, isShadow: rule.isShadow)
        silenceTargets(
            of: key.rule, key.device, moment, detection, directory, symptom: finding.symptom)
    }

    func policy(of index: Int) -> EventPolicy? {
        policyName(book.rules[program.rules[index].rule].condition).flatMap { book.policies[$0] }
    }

    private func policyName(_ condition: Condition) -> String? {
        switch condition {
        case .leaf(let leaf):
            guard case .event(let name) = leaf.test else { return nil }
            return name
        case .all(let children), .any(let children), .atLeast(_, let children):
            for child in children {
                if let name = policyName(child) { return name }
            }
            return nil
        case .not(let child), .held(_, let child), .gated(_, let child), .members(_, let child):
            return policyName(child)
        }
    }

    func isEventActive(_ source: Int, _ device: Int, for target: Int) -> Bool {
        guard let state = eventStates[EventKey(rule: source, device: device)], state.isFiring,
            let policy = policy(of: source)
        else { return false }
        return covers(source, target, symptom: policy[state.root].symptom)
    }

    /// Events that waited for another speak for themselves; events of long ago are over.
    mutating func stepEvents(
        _ now: Int64, _ detection: borrowing Detection, _ directory: Directory
    ) {
        guard !eventStates.isEmpty else { return }
        for key in eventStates.keys.sorted() {
            guard var state = eventStates[key], let policy = policy(of: key.rule) else { continue }
            let clock = detection.devices[key.device].clock
            guard clock >= 0 else { continue }
            if let first = state.deferred.first, now - first.at >= policy.cascade {
                let moment = Moment(time: now, clock: clock, offset: first.offset)
                let waiting = state.deferred
                state.deferred = []
                add(waiting, to: key, &state, policy, moment, detection, directory)
                continue
            }
            let rule = program.rules[key.rule]
            // Over only where the device was heard of since and had nothing more to tell.
            guard state.isFiring, now - state.lastAt >= rule.clearHold,
                detection.devices[key.device].lastSeen > state.lastAt,
                detection.age(of: key.device, at: now) < 300_000
            else { continue }
            let moment = Moment(time: now, clock: clock, offset: -1)
            eventStates[key] = nil
            clear(key.rule, key.device, moment, "", detection, directory)
        }
    }

    mutating func clearEvents(
        _ device: Int, _ moment: Moment, _ detection: borrowing Detection, _ directory: Directory
    ) {
        for index in program.events {
            let key = EventKey(rule: index, device: device)
            guard eventStates.removeValue(forKey: key) != nil else { continue }
            clear(
                index, device, moment, "nothing was heard of it for a day; no longer expected",
                detection, directory)
        }
    }

    /// Whether `text` has the word, standing by itself: `nonfatal` is not `fatal`.
    private func contains(_ text: String, _ word: String) -> Bool {
        let (haystack, needle) = (Array(text.utf8), Array(word.utf8))
        guard !needle.isEmpty, haystack.count >= needle.count else { return false }
        func isLetter(_ place: Int) -> Bool {
            haystack.indices.contains(place) && (97...122).contains(haystack[place])
        }
        for start in 0...haystack.count - needle.count
        where haystack[start..<start + needle.count].elementsEqual(needle) {
            if !isLetter(start - 1), !isLetter(start + needle.count) { return true }
        }
        return false
    }
}
