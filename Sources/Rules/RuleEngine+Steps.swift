import Detection
import Fleet
import RollingStatistics

// What is judged as time passes: silence, peers and groups.
extension RuleEngine {
    mutating func step(_ detection: inout Detection, _ directory: Directory) {
        guard detection.frontier != .min else { return }
        let width = detection.settings.stepMilliseconds
        let target = detection.frontier / width
        guard lastStep != .min, target > lastStep else {
            if lastStep == .min { lastStep = target }
            return
        }
        grow(detection)
        var next = max(lastStep + 1, target - RuleEngine.stepsMax + 1)
        while next <= target {
            take(step: next * width, &detection, directory)
            next += 1
        }
        lastStep = target
        settleHolds(&detection, directory)
    }

    mutating func settleHolds(_ detection: inout Detection, _ directory: Directory) {
        for finding in unheld { hold(finding, &detection, directory) }
        unheld.removeAll(keepingCapacity: true)
    }

    private mutating func take(
        step now: Int64, _ detection: inout Detection, _ directory: Directory
    ) {
        peers.begin(step: now, detection.settings.retireAfter)
        retire(now, &detection, directory)
        giveUpAwaited(now, detection)
        lookAtLabels(now, detection, directory)
        let isTurn = isTurn(now, detection)
        prepareAgenda(now, isTurn: isTurn, detection)
        for index in program.steps where isTurn || !program.rules[index].isPatient {
            if let group = program.rules[index].group {
                listGroups(index, group, now, detection)
                for place in agenda.subjects.indices {
                    let subject = Int32(agenda.subjects[place])
                    judge(index, group, subject, now, detection, directory)
                }
            } else {
                listDevices(index, now, detection)
                for place in agenda.subjects.indices {
                    let device = agenda.subjects[place]
                    judge(index, device, moment(now, device, detection), detection, directory)
                }
            }
        }
        stepEvents(now, detection, directory)
        releaseEmptyGroups(now, &detection, directory)
    }

    /// Whether what can wait is judged at this step.
    private func isTurn(_ now: Int64, _ detection: borrowing Detection) -> Bool {
        let last = now - detection.settings.stepMilliseconds
        return now / RuleEngine.turnMilliseconds != last / RuleEngine.turnMilliseconds
    }

    private func moment(
        _ now: Int64, _ device: Int, _ detection: borrowing Detection
    ) -> Moment {
        Moment(time: now, clock: detection.devices[device].clock, offset: -1)
    }

    /// Whether another device of the host was heard of within two of its intervals.
    func isHostPresent(
        _ device: Int, _ now: Int64, _ detection: borrowing Detection
    ) -> Bool {
        let host = detection.devices[device][.host]
        guard host >= 0 else { return true }
        for member in detection.cohorts.members(.host, host) {
            let other = Int(member.value)
            guard other != device, !detection.devices[other].isRetired else { continue }
            let limit = Int64(detection.devices[other].interval * 2_000) + 5_000
            if detection.age(of: other, at: now) <= limit { return true }
        }
        return false
    }

    private mutating func judge(
        _ index: Int, _ group: CohortKind, _ subject: Int32, _ now: Int64,
        _ detection: borrowing Detection, _ directory: Directory
    ) {
        let rule = program.rules[index]
        let members = detection.cohorts.range(group, subject)
        guard let first = members.first else { return }
        let place = Int(subject) * groupStates[group.rawValue].stride + rule.local
        let phase = groupStates[group.rawValue].phases[place]
        if phase == 0 {
            // Each condition on the group needs a member of its own.
            for clause in program.rejects[index].others
            where !has(clause, members, detection) { return }
        }
        let isOpen = isOpen(rule, members, now, detection)
        guard isOpen || phase != 0 else { return }
        offenders.removeAll(keepingCapacity: true)
        offenderSince = .max
        isIdleInWork = phase == 0
        let truth =
            isOpen
            ? evaluate(rule.root, group, subject, now, isFiring: phase >= 2, detection) : .no
        isIdleInWork = false
        if phase == 0 && truth != .yes { return }
        drive(
            index, Int(subject), truth,
            moment(now, detection.cohorts.member(at: first), detection), detection, directory)
    }

    private func has(
        _ clause: Int, _ members: Range<Int>, _ detection: borrowing Detection
    ) -> Bool {
        for place in members where has(clause, marks[detection.cohorts.member(at: place)]) {
            return true
        }
        return false
    }

    /// A gate of a group is open when half of the members that are there pass it.
    private mutating func isOpen(
        _ rule: CompiledRule, _ members: Range<Int>, _ now: Int64,
        _ detection: borrowing Detection
    ) -> Bool {
        guard rule.required | rule.refused != 0 || rule.membersMin > 0 || rule.membersMax < .max
        else { return true }
        let found = count(
            members, required: rule.required, refused: rule.refused, now, detection)
        let count = rule.group == .pipeline ? hosts(of: members, detection) : found.present
        guard count >= rule.membersMin, count <= rule.membersMax else { return false }
        return rule.required | rule.refused == 0
            || (found.present > 0 && found.passing * 2 >= found.present)
    }

    /// How many of the members are there, and how many of these pass a gate.
    private func count(
        _ members: Range<Int>, required: UInt16, refused: UInt16, _ now: Int64,
        _ detection: borrowing Detection
    ) -> (present: Int, passing: Int) {
        var found = (present: 0, passing: 0)
        for place in members {
            if let next = detection.cohorts.memberAhead(of: place) {
                detection.devices.prefetch(next, lines: 2)
            }
            let device = detection.cohorts.member(at: place)
            guard isCounted(device, now, detection) else { continue }
            found.present += 1
            let gates = gates[device]
            if gates & required == required && gates & refused == 0 { found.passing += 1 }
        }
        return found
    }

    /// How many hosts the members are on; all that say none count as one.
    private mutating func hosts(of members: Range<Int>, _ detection: borrowing Detection) -> Int {
        beginHosts(detection)
        var count = 0
        var hasNone = false
        for place in members {
            let device = detection.cohorts.member(at: place)
            guard !detection.devices[device].isRetired else { continue }
            let host = detection.devices[device][.host]
            if host < 0 { hasNone = true } else if isNew(host: host) { count += 1 }
        }
        return hasNone ? count + 1 : count
    }

    /// Begins a count of hosts.
    private mutating func beginHosts(_ detection: borrowing Detection) {
        stamp += 1
        while hostStamps.count < detection.cohorts.count(.host) { hostStamps.append(0) }
    }

    /// Whether a host was not met since the count began.
    private mutating func isNew(host: Int32) -> Bool {
        guard hostStamps[Int(host)] != stamp else { return false }
        hostStamps[Int(host)] = stamp
        return true
    }

    /// A silent device counts to its job for five minutes.
    @inline(__always)
    private func isCounted(
        _ device: Int, _ now: Int64, _ detection: borrowing Detection
    ) -> Bool {
        // Silence by any clock is at most that since the last sample.
        if now &- detection.devices[device].lastSeen < detection.settings.carryJobFor {
            return !detection.devices[device].isRetired
        }
        return !detection.devices[device].isRetired
            && detection.age(of: device, at: now) < detection.settings.carryJobFor
    }
}

// Conditions of a group.
extension RuleEngine {
    private mutating func evaluate(
        _ index: Int, _ group: CohortKind, _ subject: Int32, _ now: Int64, isFiring: Bool,
        _ detection: borrowing Detection
    ) -> Truth {
        let node = program.nodes[index]
        switch node.kind {
        case .leaf:
            return evaluate(
                leaf: Int(node.leaf), group, subject, now, isFiring, detection)
        case .all, .any, .atLeast:
            var truths: [Truth] = []
            for child in Int(node.first)..<Int(node.first) + Int(node.count) {
                truths.append(
                    evaluate(child, group, subject, now, isFiring: isFiring, detection))
            }
            return node.combine(truths)
        case .not:
            return evaluate(
                Int(node.first), group, subject, now, isFiring: isFiring, detection
            ).inverted
        case .gated:
            return evaluate(Int(node.first), group, subject, now, isFiring: isFiring, detection)
        case .held:
            let stride = groupPools[group.rawValue].timeStride
            let place = Int(subject) * stride + Int(node.time)
            let truth = evaluate(
                Int(node.first), group, subject, now, isFiring: isFiring, detection)
            return RuleEngine.hold(
                truth, &groupPools[group.rawValue].times[place], now, node.hold)
        case .members:
            return node.ofHosts
                ? hosts(node, group, subject, now, isFiring, detection)
                : members(node, group, subject, now, isFiring, detection)
        }
    }

    private mutating func members(
        _ node: CompiledNode, _ group: CohortKind, _ subject: Int32, _ now: Int64,
        _ isFiring: Bool, _ detection: borrowing Detection
    ) -> Truth {
        let members = detection.cohorts.range(group, subject)
        let admission = node.reject < 0 ? nil : program.memberAdmissions[Int(node.reject)]
        // Of an idle rule that asks for a number of members, the others are of no interest.
        let filter = isIdleInWork && node.fraction.isNaN ? admission : nil
        if isIdleInWork, filter == nil, let admission {
            let isAsked = members.contains { place in
                let device = detection.cohorts.member(at: place)
                return mayHold(admission, marks[device], device)
            }
            guard isAsked else { return .no }
        }
        var tally = MemberTally()
        let held = heldTime(of: Int(node.first))
        // A second condition on members may name the same ones.
        let named = Set(offenders)
        for place in members {
            if let filter, let next = detection.cohorts.memberAhead(of: place) {
                marks.prefetch(next)
                prefetch(filter, next)
            }
            let device = detection.cohorts.member(at: place)
            if let filter, !mayHold(filter, marks[device], device) {
                tally.add(.no)
                continue
            }
            guard isCounted(device, now, detection) else { continue }
            let wasHeld = admission.map { isHeld($0, device) }
            let truth = evaluate(
                Int(node.first), device: device, now: now,
                gates: detection.devices[device].gates, isFiring: false, detection)
            if let admission, isHeld(admission, device) != wasHeld { admit(device) }
            tally.add(truth)
            guard truth == .yes else { continue }
            if !named.contains(device) { offenders.append(device) }
            guard let held else { continue }
            offenderSince = min(
                offenderSince, devicePool.times[device * devicePool.timeStride + held])
        }
        return tally.result(node, isFiring: isFiring)
    }

    /// Where a member's condition keeps since when it holds.
    private func heldTime(of node: Int) -> Int? {
        let child = program.nodes[node]
        return child.kind == .held ? Int(child.time) : nil
    }

    private mutating func hosts(
        _ node: CompiledNode, _ group: CohortKind, _ subject: Int32, _ now: Int64,
        _ isFiring: Bool, _ detection: borrowing Detection
    ) -> Truth {
        var tally = MemberTally()
        beginHosts(detection)
        for member in detection.cohorts.members(group, subject) {
            let host = detection.devices[Int(member.value)][.host]
            guard host >= 0, isNew(host: host) else { continue }
            let truth = evaluate(
                Int(node.first), .host, host, now, isFiring: isFiring, detection)
            tally.add(truth)
            guard truth == .yes else { continue }
            offenders += detection.cohorts.members(.host, host).map { Int($0.value) }
        }
        return tally.result(node, isFiring: isFiring)
    }

    private mutating func evaluate(
        leaf index: Int, _ group: CohortKind, _ subject: Int32, _ now: Int64, _ isFiring: Bool,
        _ detection: borrowing Detection
    ) -> Truth {
        // A leaf is 370 bytes: looked at in place, copied only where it is unusual.
        let kind = program.leaves[index].kind
        if kind == .absence {
            return silence(
                program.leaves[index].absence, group, subject, now, isFiring, detection)
        }
        let time =
            Int(subject) * groupPools[group.rawValue].timeStride + Int(program.leaves[index].time)
        let number =
            Int(subject) * groupPools[group.rawValue].numberStride
            + Int(program.leaves[index].number)
        if kind == .count {
            return stops(program.leaves[index], group, subject, now, timeAt: time, detection)
        }
        let found = aggregate(
            program.leaves[index].aggregate, of: Int(program.leaves[index].register),
            isSlow: program.leaves[index].isSlow, group, subject, now, detection)
        guard let value = found else { return .unknown }
        if kind == .usual {
            let usual = groupPools[group.rawValue].usual(
                with: value, at: now, window: program.leaves[index].window, timeAt: time,
                numbersAt: number)
            return usual.map { Truth(value < $0) } ?? .unknown
        }
        let leaf = program.leaves[index]
        switch kind {
        case .threshold: return Truth(leaf.bound.holds(value, isFiring: isFiring))
        case .rate: return Truth(leaf.bound.holds(value * leaf.amount, isFiring: isFiring))
        case .cusum:
            let slice = leaf.slice(of: Int(subject), in: groupPools[group.rawValue])
            Drift.feed(
                value, at: now, leaf.cusum, &groupPools[group.rawValue], slice, at: number)
            return Drift.truth(
                leaf.cusum, groupPools[group.rawValue], at: number, isFiring: isFiring)
        case .duration:
            return duration(
                leaf, value, now, timeAt: time, at: number, inDevice: false, isFiring,
                group: group.rawValue)
        case .forecast:
            let kind = group.rawValue
            let slice = leaf.slice(of: Int(subject), in: groupPools[kind])
            Forecast.feed(
                value, now, every: Forecast.slice(of: leaf.forecast), &groupPools[kind], slice,
                at: number)
            return Forecast.truth(leaf.forecast, &groupPools[kind], slice, at: number)
        case .seasonal:
            return seasonal(leaf, group, Int(subject), value, now, isFiring, detection)
        case .anomaly:
            return anomaly(leaf, group, Int(subject), value, now, detection)
        default: return .unknown
        }
    }

    /// Every device of the group that can be missed is silent.
    private func silence(
        _ test: AbsenceTest, _ group: CohortKind, _ subject: Int32, _ now: Int64,
        _ isFiring: Bool, _ detection: borrowing Detection
    ) -> Truth {
        var silent = 0
        for member in detection.cohorts.members(group, subject) {
            let device = Int(member.value)
            let state = detection.devices[device]
            guard !state.isRetired, state.lastSeen != .min else { continue }
            switch absence(test, device, now, isFiring, detection) {
            case .yes: silent += 1
            default:
                let after = max(test.after, Int64(test.intervals * state.interval * 1_000))
                // Idle and silent is neither here nor missed.
                guard detection.age(of: device, at: now) >= after else { return .no }
            }
        }
        return Truth(silent > 0)
    }

    /// Ends of work of a group: half of it ran, and then less than half did.
    private mutating func stops(
        _ leaf: CompiledLeaf, _ group: CohortKind, _ subject: Int32, _ now: Int64, timeAt: Int,
        _ detection: borrowing Detection
    ) -> Truth {
        let found = count(
            detection.cohorts.range(group, subject), required: Gates.running.rawValue, refused: 0,
            now, detection)
        guard found.present > 0 else { return .unknown }
        let runs: Int64 = found.passing * 2 >= found.present ? 1 : 0
        let kind = group.rawValue
        let ring = min(leaf.count.least, 16)
        if groupPools[kind].times[timeAt] == 1, runs == 0 {
            for place in Swift.stride(from: timeAt + ring, to: timeAt + 1, by: -1) {
                groupPools[kind].times[place] = groupPools[kind].times[place - 1]
            }
            groupPools[kind].times[timeAt + 1] = now
        }
        groupPools[kind].times[timeAt] = runs
        let oldest = groupPools[kind].times[timeAt + ring]
        return Truth(oldest != .min && now - oldest <= leaf.window)
    }

    /// Whether a value of a member that is not of late may be taken for the present one.
    @inline(never)
    private func isKnown(
        _ isSlow: Bool, _ device: Int, _ seen: Int32, _ now: Int64, _ detection: borrowing Detection
    ) -> Bool {
        let age = now - (Int64(seen) + RuleEngine.firstSecond) * 1_000
        return isCounted(device, now, detection) && age <= staleAfter(isSlow, device, detection)
    }

    /// One value for the members that have one; nil where none has.
    mutating func aggregate(
        _ kind: Aggregate?, of register: Int, isSlow: Bool, _ group: CohortKind,
        _ subject: Int32, _ now: Int64, _ detection: borrowing Detection
    ) -> Float? {
        let kind = kind ?? .median
        guard kind.isOfAll else {
            var count = 0
            var sum: Float = 0
            var (least, most) = (Float.infinity, -Float.infinity)
            forEachPresent(register, isSlow, group, subject, now, detection) { value in
                count &+= 1
                least = value < least ? value : least
                most = value > most ? value : most
                sum += value
            }
            guard count > 0 else { return nil }
            return switch kind {
            case .sum: sum
            case .mean: sum / Float(count)
            case .min: least
            default: most
            }
        }
        var values = exchange(&scratch, with: [])
        defer { scratch = values }
        values.removeAll(keepingCapacity: true)
        forEachPresent(register, isSlow, group, subject, now, detection) { values.append($0) }
        guard !values.isEmpty else { return nil }
        guard kind != .median else { return Peers.median(of: &values) }
        values.sort()
        func quantile(_ share: Float) -> Float {
            let place = share * Float(values.count - 1)
            let low = Int(place)
            let high = min(low + 1, values.count - 1)
            return values[low] + (values[high] - values[low]) * (place - Float(low))
        }
        return switch kind {
        case .p10: quantile(0.1)
        case .p90: quantile(0.9)
        default: quantile(0.9) - quantile(0.1)
        }
    }

    /// Hands on the newest value of each member that has one which may be taken for the present one.
    @inline(__always)
    private func forEachPresent(
        _ register: Int, _ isSlow: Bool, _ group: CohortKind, _ subject: Int32, _ now: Int64,
        _ detection: borrowing Detection, _ body: (Float) -> Void
    ) {
        // Who brought a value so lately is counted and expected, and the value is not stale.
        let span = min(
            RuleEngine.staleAfterMin(isSlow), detection.settings.carryJobFor - 1,
            detection.settings.retireAfter - 1)
        let lately = RuleEngine.second(now - span + 999)
        forEachMember(of: group, subject, at: register, detection) { device, newest in
            guard newest.value == newest.value else { return }
            if newest.seen >= lately || isKnown(isSlow, device, newest.seen, now, detection) {
                body(newest.value)
            }
        }
    }
}

// Leaving the roster.
extension RuleEngine {
    /// Devices that nobody expects back; once a minute is often enough.
    private mutating func retire(
        _ now: Int64, _ detection: inout Detection, _ directory: Directory
    ) {
        guard now % 60_000 == 0 else { return }
        detection.adoptCandidates()
        for device in 0..<detection.devices.count {
            guard !detection.devices[device].isRetired, detection.devices[device].lastSeen != .min,
                detection.age(of: device, at: now) >= detection.settings.retireAfter,
                !hasLivingJob(device, now, detection)
            else { continue }
            detection.retire(device)
            let moment = moment(now, device, detection)
            for index in program.rules.indices where program.rules[index].group == nil {
                let rule = program.rules[index]
                let place = device * deviceStates.stride + rule.local
                guard deviceStates.phases[place] != 0 else { continue }
                clear(
                    index, device, moment, "nothing was heard of it for a day; no longer expected",
                    detection, directory)
            }
            clearEvents(device, moment, detection, directory)
        }
    }

    private func hasLivingJob(
        _ device: Int, _ now: Int64, _ detection: borrowing Detection
    ) -> Bool {
        let job = detection.devices[device][.job]
        guard job >= 0 else { return false }
        return detection.cohorts.members(.job, job).contains {
            isCounted(Int($0.value), now, detection)
        }
    }

    /// A group without members clears what fires on it after five minutes, and gives its place
    /// back.
    private mutating func releaseEmptyGroups(
        _ now: Int64, _ detection: inout Detection, _ directory: Directory
    ) {
        // Nobody left one, and none waits.
        guard emptyVersion != detection.cohorts.version || !groupEmptySince.isEmpty else { return }
        emptyVersion = detection.cohorts.version
        // Made anew: one that filled again meanwhile begins anew as well.
        var emptySince: [GroupPlace: Int64] = [:]
        for kind in CohortKind.allCases {
            for index in detection.cohorts[kind].empty {
                let place = GroupPlace(kind: kind.rawValue, index: index)
                let since = groupEmptySince[place] ?? now
                guard now - since >= detection.settings.carryJobFor else {
                    emptySince[place] = since
                    continue
                }
                forget(kind, index, now, detection, directory)
                detection.release(kind, index)
            }
        }
        groupEmptySince = emptySince
    }

    private mutating func forget(
        _ kind: CohortKind, _ index: Int32, _ now: Int64, _ detection: borrowing Detection,
        _ directory: Directory
    ) {
        let moment = Moment(time: now, clock: -1, offset: -1)
        for rule in program.rules.indices where program.rules[rule].group == kind {
            let place = Int(index) * groupStates[kind.rawValue].stride + program.rules[rule].local
            guard groupStates[kind.rawValue].phases[place] != 0 else { continue }
            clear(
                rule, Int(index), moment, "\(kind) \(detection.cohorts.name(kind, index)) is over",
                detection, directory)
        }
        groupPools[kind.rawValue].reset(Int(index))
        let asked = program.seasons.indices.filter { program.seasons[$0].group == kind }
        seasons.park(
            Int(index), leaves: asked.map(Int32.init), group: kind.rawValue,
            name: detection.cohorts.name(kind, index))
        watches.park(
            Int(index), leaves: asked.map(Int32.init), group: kind.rawValue,
            name: detection.cohorts.name(kind, index))
    }
}

extension Aggregate {
    /// It takes more than a sum and two extremes to find it.
    fileprivate var isOfAll: Bool {
        switch self {
        case .median, .p10, .p90, .spread: true
        case .sum, .mean, .min, .max: false
        }
    }
}

/// Counts what is known of members.
private struct MemberTally {
    private var yes = 0
    private var no = 0
    private var unknown = 0

    mutating func add(_ truth: Truth) {
        switch truth {
        case .yes: yes += 1
        case .no: no += 1
        case .unknown: unknown += 1
        case .dropped: break
        }
    }

    func result(_ node: CompiledNode, isFiring: Bool) -> Truth {
        guard yes + no > 0 else { return .unknown }
        guard node.fraction.isNaN else {
            // Half of them unknown: nobody can speak for the whole.
            guard unknown <= yes + no else { return .unknown }
            let limit = isFiring ? node.clearFraction : node.fraction
            return Truth(Float(yes) > limit * Float(yes + no))
        }
        return Truth(yes >= Int(node.least) && yes <= Int(node.most))
    }
}
