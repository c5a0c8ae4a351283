import Detection
import Fleet
import RollingStatistics
import Telemetry

// Conditions of one device.
extension RuleEngine {
    /// What is known of condition `index` on `device` at `now`.
    mutating func evaluate(
        _ index: Int, device: Int, now: Int64, gates: Gates, isFiring: Bool,
        _ detection: borrowing Detection
    ) -> Truth {
        let node = program.nodes[index]
        switch node.kind {
        case .leaf:
            return evaluate(
                leaf: Int(node.leaf), device: device, now: now, gates: gates, isFiring: isFiring,
                detection)
        case .all, .any, .atLeast:
            var tally = TruthTally()
            for child in Int(node.first)..<Int(node.first) + Int(node.count) {
                let truth = evaluate(
                    child, device: device, now: now, gates: gates, isFiring: isFiring, detection)
                tally.add(truth)
                // The first answer that decides is enough, unless a later child counts time.
                if !node.isExhaustive, let early = tally.early(node) { return early }
            }
            return tally.result(node)
        case .not:
            let truth = evaluate(
                Int(node.first), device: device, now: now, gates: gates, isFiring: isFiring,
                detection)
            return truth.inverted
        case .gated:
            let gate = node.gate
            guard gates.isSuperset(of: gate.required), gates.isDisjoint(with: gate.refused) else {
                return .no
            }
            return evaluate(
                Int(node.first), device: device, now: now, gates: gates, isFiring: isFiring,
                detection)
        case .held:
            let place = device * devicePool.timeStride + Int(node.time)
            let held =
                devicePool.times[place] != .min && now - devicePool.times[place] >= node.hold
            let truth = evaluate(
                Int(node.first), device: device, now: now, gates: gates,
                isFiring: isFiring || held, detection)
            return RuleEngine.hold(truth, &devicePool.times[place], now, node.hold)
        case .members:
            // The loader lets no condition on members stand inside a condition on a device.
            return .no
        }
    }

    /// A longer silence begins a count anew: nobody saw the value stay.
    static let gapSeconds: Int32 = 300

    static func hold(_ truth: Truth, _ since: inout Int64, _ now: Int64, _ hold: Int64) -> Truth {
        switch truth {
        case .yes:
            if since == .min { since = now }
            return Truth(now - since >= hold)
        case .no, .dropped:
            since = .min
            return truth
        case .unknown:
            return .unknown
        }
    }

    private mutating func evaluate(
        leaf index: Int, device: Int, now: Int64, gates: Gates, isFiring: Bool,
        _ detection: borrowing Detection
    ) -> Truth {
        // A leaf is 200 bytes: looked at in place, copied only where it is unusual.
        let kind = program.leaves[index].kind
        guard program.leaves[index].register >= 0 else {
            return evaluate(silent: program.leaves[index], device, now, isFiring, detection)
        }
        let register = Int(program.leaves[index].register)
        let place = device * program.registerGroups * 16 + register
        let value = valueAt(place)
        guard !value.isNaN else {
            guard gates.contains(.warm) else { return .unknown }
            return program.leaves[index].isOptional ? .dropped : .no
        }
        if kind == .absence {
            return absence(of: program.leaves[index], at: place, device, now, detection)
        }
        let isStale =
            seenAt(place) + staleAfter(program.leaves[index].isSlow, device, detection)
            < now
        if isStale { return .unknown }
        switch kind {
        case .threshold:
            if program.leaves[index].relative == -1 {
                return Truth(program.leaves[index].bound.holds(value, isFiring: isFiring))
            }
            let leaf = program.leaves[index]
            guard let base = base(of: leaf, device, detection) else {
                guard gates.contains(.warm) else { return .unknown }
                return leaf.isOptional ? .dropped : .no
            }
            return Truth(leaf.bound.holds(value / base, isFiring: isFiring))
        case .state:
            return Truth(program.leaves[index].state.holds(value))
        case .rate:
            let leaf = program.leaves[index]
            return Truth(leaf.bound.holds(value * leaf.amount, isFiring: isFiring))
        default:
            let truth = evaluate(
                keeping: program.leaves[index], at: place, value, device, now, isFiring, detection)
            // Peers are marked and unmarked as they move apart.
            if truth != .yes, kind != .peer { clearMark(program.leaves[index].mark, device) }
            return truth
        }
    }

    /// Leaves that look at what they kept.
    private mutating func evaluate(
        keeping leaf: CompiledLeaf, at place: Int, _ value: Float, _ device: Int, _ now: Int64,
        _ isFiring: Bool, _ detection: borrowing Detection
    ) -> Truth {
        let time = device * devicePool.timeStride + Int(leaf.time)
        let number = device * devicePool.numberStride + Int(leaf.number)
        switch leaf.kind {
        case .delta:
            let rise = devicePool.sum(
                at: now, window: leaf.window, timeAt: time, numbersAt: number)
            // Increases of whole counts come as Floats: a millionth less is no less.
            return Truth(rise >= leaf.amount * 0.999_999)
        case .zscore:
            let z = devicePool.numbers[number]
            guard !z.isNaN else { return .unknown }
            let limit = isFiring ? leaf.amount * 0.8 : leaf.amount
            switch leaf.direction {
            case .up: return Truth(z > limit)
            case .down: return Truth(z < -limit)
            case .both: return Truth(abs(z) > limit)
            }
        case .flatline:
            if leaf.fractional && value == value.rounded() { return .no }
            // Up to the last sample: of the time since nobody knows.
            return Truth(
                registers[place].seen &- registers[place].since
                    >= Int32(clamping: leaf.window / 1_000))
        case .steady:
            return steady(leaf, now, time, number)
        case .usual:
            guard let usual = devicePool.usual(numbersAt: number) else { return .unknown }
            return Truth(value < usual)
        case .cusum:
            return Drift.truth(leaf.cusum, devicePool, at: number, isFiring: isFiring)
        case .peer:
            return peer(leaf, value, device, now, isFiring, detection)
        case .forecast:
            let slice = leaf.slice(of: device, in: devicePool)
            return Forecast.truth(leaf.forecast, &devicePool, slice, at: number)
        case .duration:
            return duration(leaf, value, now, timeAt: time, at: number, inDevice: true, isFiring)
        case .seasonal:
            return seasonal(leaf, nil, device, value, now, isFiring, detection)
        case .anomaly:
            return anomaly(leaf, nil, device, value, now, detection)
        default:
            return .unknown
        }
    }

    private func steady(_ leaf: CompiledLeaf, _ now: Int64, _ time: Int, _ number: Int) -> Truth {
        guard devicePool.times[time + 1] != .min,
            now - devicePool.times[time + 1] >= leaf.window
        else { return .no }
        var least = Float.infinity
        var most = -Float.infinity
        for place in Swift.stride(from: number, to: number + 2 * Pool.slices, by: 2)
        where !devicePool.numbers[place].isNaN {
            least = min(least, devicePool.numbers[place])
            most = max(most, devicePool.numbers[place + 1])
        }
        guard least <= most else { return .unknown }
        return Truth(most - least <= leaf.amount * abs(most + least))
    }

    /// Leaves that ask no metric.
    private mutating func evaluate(
        silent leaf: CompiledLeaf, _ device: Int, _ now: Int64, _ isFiring: Bool,
        _ detection: borrowing Detection
    ) -> Truth {
        switch leaf.kind {
        case .absence: return absence(leaf.absence, device, now, isFiring, detection)
        case .completeness: return completeness(leaf, device, now, detection)
        case .count:
            guard faultCount(leaf, device, now) < leaf.count.least else { return .yes }
            clearMark(leaf.mark, device)
            return .no
        case .mismatch: return mismatch(leaf, device, isFiring)
        case .anomaly: return anomaly(ofMetrics: leaf, device, now, detection)
        default: return .unknown
        }
    }

    func faultCount(_ leaf: CompiledLeaf, _ device: Int, _ now: Int64) -> Int {
        guard leaf.count.codes >= 0, !history.faults.isEmpty else { return 0 }
        return history.count(leaf.count, program.codeSets[Int(leaf.count.codes)], device, now)
    }

    /// For how long a value may be taken for the present one, milliseconds.
    @inline(__always)
    func staleAfter(
        _ isSlow: Bool, _ device: Int, _ detection: borrowing Detection
    )
        -> Int64
    {
        let least = RuleEngine.staleAfterMin(isSlow)
        return isSlow ? least : max(least, Int64(detection.devices[device].interval * 4_000))
    }

    /// The same of a device that sends often.
    @inline(__always)
    static func staleAfterMin(_ isSlow: Bool) -> Int64 { isSlow ? 900_000 : 90_000 }

    /// What a value is a share of; nil where it is one of nothing, or that is not known.
    func base(
        of leaf: CompiledLeaf, _ device: Int, _ detection: borrowing Detection
    ) -> Float? {
        let base: Float
        if leaf.relative == -2 {
            guard let mean = detection.slowMean(of: device, leaf.metric) else { return nil }
            base = mean
        } else if leaf.relative < 0 {
            return nil
        } else {
            base = valueAt(device * program.registerGroups * 16 + Int(leaf.relative))
        }
        return base > 0 ? base : nil
    }
}

// Silence, and what is usual.
extension RuleEngine {
    func absence(
        _ test: AbsenceTest, _ device: Int, _ now: Int64, _ isFiring: Bool,
        _ detection: borrowing Detection
    ) -> Truth {
        let state = detection.devices[device]
        guard !state.isRetired, state.lastSeen != .min else { return .no }
        let age = detection.age(of: device, at: now)
        let after = max(test.after, Int64(test.intervals * state.interval * 1_000))
        guard age >= after else { return .no }
        if test.recent > 0, !isFiring, age > test.recent + after - test.after { return .no }
        return Truth(!state.idleIsSilent || wasAtWork(device, now, detection))
    }

    /// One metric does not come any more, while the device itself does.
    private func absence(
        of leaf: CompiledLeaf, at place: Int, _ device: Int, _ now: Int64,
        _ detection: borrowing Detection
    ) -> Truth {
        let interval = Int64(leaf.absence.intervals * detection.devices[device].interval * 1_000)
        let after = max(leaf.absence.after, interval)
        // A device that is silent itself is missed by another rule.
        guard detection.age(of: device, at: now) < after else { return .unknown }
        let silent =
            detection.devices[device].lastSeen - max(seenAt(place), detection.resumedAt(device))
        guard silent >= after else { return .no }
        let isOld = leaf.absence.recent > 0 && silent > leaf.absence.recent
        // Its exporter sends no metrics of work while there is none.
        return isOld
            || detection.devices[device].idleIsSilent
                && !detection.devices[device].gates.contains(.running)
            ? .no : .yes
    }

    /// Looked at once a minute: it asks all that the device ever sent.
    ///
    /// Kept are the minute, and until when nothing can be missing; the share, and the groups of metrics
    /// that it is of.
    private mutating func completeness(
        _ leaf: CompiledLeaf, _ device: Int, _ now: Int64, _ detection: borrowing Detection
    ) -> Truth {
        let time = device * devicePool.timeStride + Int(leaf.time)
        let number = device * devicePool.numberStride + Int(leaf.number)
        if devicePool.times[time] != now / 60_000 {
            devicePool.times[time] = now / 60_000
            let found = detection.completeness(of: device, window: leaf.window)
            let share =
                found.known < 4 ? 1 : 1 - Float(found.missing.count) / Float(found.known)
            let isHeard = detection.age(of: device, at: now) < leaf.window
            devicePool.numbers[number] = isHeard ? share : .nan
            devicePool.times[time + 1] = found.lasts
            devicePool.numbers[number + 1] = Float(found.groups)
        }
        let share = devicePool.numbers[number]
        return share.isNaN ? .unknown : Truth(share < leaf.amount)
    }

    /// Whether a device certainly sends all that it sent before.
    func isComplete(
        _ leaf: borrowing CompiledLeaf, _ device: Int, _ detection: borrowing Detection
    ) -> Bool {
        let time = device &* devicePool.timeStride &+ Int(leaf.time)
        let groups = devicePool.numbers[device &* devicePool.numberStride &+ Int(leaf.number) &+ 1]
        guard !groups.isNaN else { return false }
        return detection.isComplete(
            device, groups: UInt16(groups), lasts: devicePool.times[time &+ 1])
    }

    /// Whether a device whose silence means idleness fell silent in the midst of work.
    ///
    /// It ran less than five minutes before its last sign, and others of its job still run: a job
    /// that ends takes all of its devices with it.
    private func wasAtWork(
        _ device: Int, _ now: Int64, _ detection: borrowing Detection
    ) -> Bool {
        let state = detection.devices[device]
        guard state.lastRan != .min, state.lastSeen - state.lastRan < 300_000,
            state[.job] >= 0
        else { return false }
        var others = 0
        var alive = 0
        for member in detection.cohorts.members(.job, state[.job]) {
            let other = Int(member.value)
            guard other != device, !detection.devices[other].isRetired else { continue }
            others += 1
            let isHeard =
                detection.age(of: other, at: now)
                < Int64(detection.devices[other].interval * 3_000)
            if isHeard && detection.devices[other].gates.contains(.running) { alive += 1 }
        }
        return alive * 2 > others
    }

    /// Whether a device, or half of a group, is in an incident or a maintenance.
    func isHeld(
        _ group: CohortKind?, _ subject: Int, _ detection: borrowing Detection
    ) -> Bool {
        guard let group else { return detection.isHeld(subject) }
        let members = detection.cohorts.range(group, Int32(subject))
        var held = 0
        for place in members where detection.isHeld(detection.cohorts.member(at: place)) {
            held += 1
        }
        return held * 2 >= members.count
    }

    /// Whether the last mean lies far from what is usual at this hour.
    mutating func seasonal(
        _ leaf: CompiledLeaf, _ group: CohortKind?, _ subject: Int, _ value: Float, _ now: Int64,
        _ isFiring: Bool, _ detection: borrowing Detection
    ) -> Truth {
        let test = leaf.seasonal
        let calendar = program.calendar(of: leaf)
        let learns = !isHeld(group, subject, detection)
        if group == nil, test.season == .workday {
            return workday(leaf, subject, value, now, isFiring, learns: learns)
        }
        let z = seasons.update(
            leaf.season, subject, group: group?.rawValue ?? -1,
            name: { group.map { detection.cohorts.name($0, Int32(subject)) } ?? "" },
            make: { Season(every: test.every, test.season, floor: test.floor) },
            feed: { season -> Float? in
                season.feed(value, at: now, learns: learns, calendar: calendar)
                return season.z
            })
        guard let z = z ?? nil else { return .unknown }
        return leaf.seasonal.truth(z, isFiring: isFiring)
    }

    /// Whether the series is as unlike itself as it takes, or was so a short while ago.
    mutating func anomaly(
        _ leaf: CompiledLeaf, _ group: CohortKind?, _ subject: Int, _ value: Float, _ now: Int64,
        _ detection: borrowing Detection
    ) -> Truth {
        let test = leaf.anomaly
        let calendar = program.calendar(of: leaf)
        let learns = !isHeld(group, subject, detection)
        let holds = watches.update(
            leaf.season, subject, group: group?.rawValue ?? -1,
            name: { group.map { detection.cohorts.name($0, Int32(subject)) } ?? "" },
            make: {
                AnomalyWatch(AnomalyProfile(test), every: test.every)
            },
            feed: { watch -> Bool? in
                watch.feed(value, at: now, learns: learns, calendar: calendar)
                return watch.score == nil ? nil : watch.alert != nil
            })
        guard let holds = holds ?? nil else { return .unknown }
        return Truth(holds)
    }

    mutating func duration(
        _ leaf: CompiledLeaf, _ value: Float, _ now: Int64, timeAt: Int, at number: Int,
        inDevice: Bool, _ isFiring: Bool, group: Int = 0
    ) -> Truth {
        let test = leaf.duration
        return withPool(inDevice, group) { pool in
            guard test.bound.holds(value, isFiring: isFiring) else {
                let since = pool.times[timeAt]
                pool.times[timeAt] = .min
                guard since != .min, now - since < test.least else { return .no }
                // An honest phase, such as a checkpoint: this is how long they last.
                let count = pool.numbers[number].isNaN ? 0 : pool.numbers[number]
                pool.numbers[number + 1 + Int(count) % (Pool.durations - 1)] =
                    Float(now - since) * 0.001
                pool.numbers[number] = count + 1
                return .no
            }
            if pool.times[timeAt] == .min { pool.times[timeAt] = now }
            let lasted = now - pool.times[timeAt]
            guard lasted >= test.least else { return .no }
            guard test.times > 0, pool.numbers[number] >= 3 else { return .yes }
            var usual: Float = 0
            for place in number + 1..<number + Pool.durations where !pool.numbers[place].isNaN {
                usual = max(usual, pool.numbers[place])
            }
            return Truth(Float(lasted) * 0.001 >= test.times * usual)
        }
    }

    private mutating func withPool<R>(
        _ inDevice: Bool, _ group: Int, _ body: (inout Pool) -> R
    ) -> R {
        inDevice ? body(&devicePool) : body(&groupPools[group])
    }
}

/// Counts the answers of children.
private struct TruthTally {
    private var yes: Int32 = 0
    private var no: Int32 = 0
    private var unknown: Int32 = 0

    mutating func add(_ truth: Truth) {
        switch truth {
        case .yes: yes += 1
        case .no: no += 1
        case .unknown: unknown += 1
        case .dropped: break
        }
    }

    func early(_ node: CompiledNode) -> Truth? {
        switch node.kind {
        case .all: no > 0 ? .no : nil
        case .any: yes > 0 ? .yes : nil
        default: yes >= node.least ? .yes : nil
        }
    }

    func result(_ node: CompiledNode) -> Truth {
        if yes + no + unknown == 0 { return .dropped }
        switch node.kind {
        case .all: return no > 0 ? .no : unknown > 0 ? .unknown : .yes
        case .any: return yes > 0 ? .yes : unknown > 0 ? .unknown : .no
        default:
            if yes >= node.least { return .yes }
            return yes + unknown >= node.least ? .unknown : .no
        }
    }
}

extension TruthTally {
    /// For groups, which combine in the same way.
    static func combine(_ node: CompiledNode, _ truths: [Truth]) -> Truth {
        var tally = TruthTally()
        for truth in truths { tally.add(truth) }
        return tally.result(node)
    }
}

extension Truth {
    var inverted: Truth {
        switch self {
        case .yes: .no
        case .no: .yes
        case .unknown, .dropped: self
        }
    }
}

extension CompiledNode {
    func combine(_ truths: [Truth]) -> Truth { TruthTally.combine(self, truths) }
}

extension StateTest {
    func holds(_ value: Float) -> Bool {
        if !equals.isNaN && value != equals { return false }
        guard value >= 0, value < 16_777_216 else { return false }
        let bits = UInt32(value)
        return (anyOf == 0 || bits & anyOf != 0) && bits & allOf == allOf && bits & noneOf == 0
    }
}
