import Detection
import Fleet
import RollingStatistics
import Telemetry

// Whether a rule need be evaluated.
extension RuleEngine {
    /// Works out anew which rules a device's marks, gates and phases let through.
    ///
    /// A bit of a rule on devices says that it may hold here, or that it is not idle; one of a rule
    /// on groups, that this member may be a reason for it to hold. Asked whenever any of the three
    /// changed, which is seldom.
    mutating func admit(_ device: Int) {
        for word in 0..<program.words { admit(device, to: .max, in: word) }
    }

    /// The same after marks of some lanes of a metric group changed.
    mutating func admit(_ device: Int, lanes: UInt16, of group: Int) {
        for word in 0..<program.words {
            admit(device, to: program.reach.rules(lanes: lanes, of: group, in: word), in: word)
        }
    }

    /// The same after a gate was opened or shut.
    mutating func setGates(_ new: UInt16, _ device: Int) {
        let changed = gates[device] ^ new
        gates[device] = new
        for word in 0..<program.words {
            admit(device, to: program.reach.rules(gates: changed, in: word), in: word)
        }
    }

    /// The same for one rule.
    mutating func admit(_ device: Int, to rule: Int) {
        admit(device, to: 1 << UInt64(rule % 64), in: rule / 64)
    }

    private mutating func admit(_ device: Int, marks changed: Marks.Bits) {
        for word in 0..<program.words {
            admit(device, to: program.reach.rules(marks: changed, in: word), in: word)
        }
    }

    /// The same for some rules of a word; those that are not there let nothing through.
    private mutating func admit(_ device: Int, to rules: UInt64, in word: Int) {
        var left = rules & program.reach.all[word]
        guard left != 0 else { return }
        let gates = gates[device]
        let bits = marks[device]
        let phases = device * deviceStates.stride
        var found = ready[device * program.words + word] & ~left
        while left != 0 {
            let rule = program.admissions[word * 64 + left.trailingZeroBitCount]
            let isBusy = rule.local >= 0 && deviceStates.phases[phases + Int(rule.local)] != 0
            let isOpen = gates & rule.required == rule.required && gates & rule.refused == 0
            if isBusy || isOpen && mayHold(rule, bits, device) { found |= left & (0 &- left) }
            left &= left - 1
        }
        guard found != ready[device * program.words + word] else { return }
        ready[device * program.words + word] = found
        readiness.note(device)
    }

    /// Whether an idle condition may hold on a device, as far as its marks tell.
    @inline(__always)
    func mayHold(_ admission: Admission, _ bits: Marks.Bits, _ device: Int) -> Bool {
        guard admission.kind == .byMarks else { return admission.kind == .always }
        for clause in Int(admission.firstClause)..<Int(admission.clauseEnd)
        where !has(clause, bits) {
            // What was true for a while must be seen to end.
            return isHeld(admission, device)
        }
        return true
    }

    @inline(__always)
    func has(_ clause: Int, _ bits: Marks.Bits) -> Bool {
        let common = bits & program.clauses[clause]
        return common[0] | common[1] | common[2] | common[3] != 0
    }

    /// Whether something that the rule waits for has begun on a device.
    func isHeld(_ admission: Admission, _ device: Int) -> Bool {
        guard admission.isHeld else { return false }
        for held in Int(admission.firstHeld)..<Int(admission.heldEnd) {
            let place = device * devicePool.timeStride + Int(program.heldTimes[held])
            if devicePool.times[place] != .min { return true }
        }
        return false
    }

    /// Asks for what `isHeld` reads of a device soon.
    @inline(__always)
    func prefetch(_ admission: Admission, _ device: Int) {
        guard admission.isHeld else { return }
        let first = Int(program.heldTimes[Int(admission.firstHeld)])
        devicePool.times.prefetch(device &* devicePool.timeStride &+ first)
    }

    func isHeld(_ reject: Reject, _ group: CohortKind, _ subject: Int) -> Bool {
        for held in reject.heldInGroup {
            let place =
                subject * groupPools[group.rawValue].timeStride + Int(program.heldTimes[held])
            if groupPools[group.rawValue].times[place] != .min { return true }
        }
        return false
    }

    mutating func setMark(_ place: Int16, _ device: Int) {
        guard place >= 0, !Marks.has(place, marks[device]) else { return }
        marks[device] |= Marks.bit(place)
        admit(device, marks: Marks.bit(place))
    }

    /// The leaf was asked and said no, and will until it is fed again.
    mutating func clearMark(_ place: Int16, _ device: Int) {
        guard place >= 0, Marks.has(place, marks[device]) else { return }
        marks[device] &= ~Marks.bit(place)
        admit(device, marks: Marks.bit(place))
    }

    /// Takes over the registers of all devices, as after another set of rules came.
    mutating func markAll() {
        // Of what stayed the same nobody knows for how long: each value twice, ages apart.
        var copy = LaneRegisters()
        copy.grow(to: 16)
        for device in 0..<deviceCount {
            for group in 0..<Vocabulary.groupsMax where program.plans[group].register >= 0 {
                let base = device * program.registerGroups * 16 + program.plans[group].register
                let lanes = registers.vector(at: base)
                let planes = program.marks.planes[group]
                for second in [-Int32.max, 0] {
                    _ = copy.store(
                        lanes, lanes.presence, second: second, gapMax: .max, at: 0,
                        planes: planes.span, marks: &marks[device])
                }
            }
            admit(device)
        }
    }
}

/// What a step has to look at, asked rule by rule.
struct Agenda {
    struct Entry {
        let device: Int32
        let word: Int32
        let rules: UInt64
    }

    /// Rules to judge on devices, in order of devices.
    var entries: [Entry] = []
    /// Devices that were not heard of for as long as the least patient rule waits.
    var silent: [Int32] = []
    /// By clock: its devices, and before when none but those is silent for as long.
    private(set) var byClock: [[Int32]] = []
    var silentFrom: [Int64] = []
    /// When they were listed by clock.
    private(set) var clockChanges: UInt64 = .max
    /// Subjects of the rule in work.
    var subjects: [Int] = []
    /// All subjects there may be: 0, 1, 2 and so on.
    private var everyone: [Int] = []
    /// Rules that look once a minute look at this step.
    var isNewMinute = true
    var minute: Int64 = .min

    mutating func listAll(_ count: Int) {
        while everyone.count < count { everyone.append(everyone.count) }
        subjects.append(contentsOf: everyone[..<count])
    }

    /// Whether another device may have fallen silent, as a clock may judge it by `now`.
    func isDue(_ clock: Int32, _ now: Int64, _ detection: borrowing Detection) -> Bool {
        min(now, detection.clocks[Int(clock)].effective) >= silentFrom[Int(clock)]
    }

    /// Lists devices by their clocks anew, all of them to be looked at.
    mutating func group(_ detection: borrowing Detection) {
        clockChanges = detection.clockChanges
        silent.removeAll(keepingCapacity: true)
        silentFrom = [Int64](repeating: .min, count: detection.clocks.count)
        byClock = [[Int32]](repeating: [], count: detection.clocks.count)
        for device in detection.devices.indices {
            let clock = Int(detection.devices[device].clock)
            if clock >= 0 { byClock[clock].append(Int32(device)) }
        }
    }
}

extension RuleEngine {
    mutating func prepareAgenda(
        _ now: Int64, isTurn: Bool, _ detection: borrowing Detection
    ) {
        agenda.isNewMinute = agenda.minute != now / 60_000
        agenda.minute = now / 60_000
        // What a row changes of gates is seen with it; labels change them as well.
        if isTurn {
            for device in 0..<deviceCount {
                let present = detection.devices[device].gates.rawValue
                if gates[device] != present { setGates(present, device) }
            }
        }
        if program.silenceMin < .max { listSilent(now, detection) }
        watchPeers(now, isTurn: isTurn, detection)
        gatherReady(detection)
    }

    /// Lists the devices that have been silent for as long as the least patient rule waits, by the
    /// clocks of their own partitions.
    ///
    /// Those of a clock are looked at only when another one may have fallen silent: who was heard of
    /// is heard of for a while.
    mutating func listSilent(_ now: Int64, _ detection: borrowing Detection) {
        if agenda.clockChanges != detection.clockChanges { agenda.group(detection) }
        let wait = program.silenceMin
        for device in exchange(&agenda.silent, with: [])
        where !agenda.isDue(detection.devices[Int(device)].clock, now, detection) {
            look(at: device, now, wait, detection)
        }
        for clock in agenda.byClock.indices where agenda.isDue(Int32(clock), now, detection) {
            agenda.silentFrom[clock] = .max
            for device in agenda.byClock[clock] { look(at: device, now, wait, detection) }
        }
    }

    private mutating func look(
        at device: Int32, _ now: Int64, _ wait: Int64, _ detection: borrowing Detection
    ) {
        if detection.ageMax(of: Int(device), at: now) >= wait {
            agenda.silent.append(device)
        } else {
            // One that was never heard of may turn out to be long silent.
            let lastSeen = detection.devices[Int(device)].lastSeen
            let clock = Int(detection.devices[Int(device)].clock)
            agenda.silentFrom[clock] = min(
                agenda.silentFrom[clock], lastSeen == .min ? .min : lastSeen + wait)
        }
    }

    /// Fills `agenda.subjects` with the devices on which a rule must be judged, in their order.
    mutating func listDevices(_ index: Int, _ now: Int64, _ detection: borrowing Detection) {
        agenda.subjects.removeAll(keepingCapacity: true)
        let reject = program.rejects[index]
        if reject.isAlways {
            agenda.listAll(deviceCount)
            return
        }
        if reject.isByMinute, agenda.isNewMinute {
            listIncomplete(index, detection)
            return
        }
        if readiness.has(index) {
            let bit = UInt64(1) << UInt64(index % 64)
            for entry in agenda.entries
            where Int(entry.word) == index / 64 && entry.rules & bit != 0 {
                agenda.subjects.append(Int(entry.device))
            }
        }
        guard reject.silence > 0, !agenda.silent.isEmpty else { return }
        for device in agenda.silent where isSilent(Int(device), now, reject, detection) {
            agenda.subjects.append(Int(device))
        }
        sortSubjects()
    }

    /// The same for a rule that asks once a minute whether metrics are missing.
    private mutating func listIncomplete(_ index: Int, _ detection: borrowing Detection) {
        let rule = program.rules[index]
        let leaf = program.leaves[Int(program.nodes[rule.root].leaf)]
        for device in 0..<deviceCount
        where deviceStates.phases[device * deviceStates.stride + rule.local] != 0
            || !isComplete(leaf, device, detection)
        {
            agenda.subjects.append(device)
        }
    }

    /// The same for a rule on groups.
    mutating func listGroups(
        _ index: Int, _ kind: CohortKind, _ now: Int64, _ detection: borrowing Detection
    ) {
        agenda.subjects.removeAll(keepingCapacity: true)
        let count = detection.cohorts.count(kind)
        if program.rejects[index].isAlways {
            agenda.listAll(count)
            return
        }
        if program.rejects[index].silence > 0, !agenda.silent.isEmpty {
            let reject = program.rejects[index]
            for device in agenda.silent where isSilent(Int(device), now, reject, detection) {
                let group = Int(detection.devices[Int(device)][kind])
                if group >= 0 { agenda.subjects.append(group) }
            }
        }
        let (stride, local) = (groupStates[kind.rawValue].stride, program.rules[index].local)
        let isAsked = readiness.has(index)
        let isBusy = groupStates[kind.rawValue].busy[local] > 0
        let mayBeHeld = !program.rejects[index].heldInGroup.isEmpty
        if isAsked || isBusy || mayBeHeld {
            for group in 0..<count
            where isAsked && readiness.members[kind.rawValue][group * stride + local] > 0
                || isBusy && groupStates[kind.rawValue].phases[group * stride + local] != 0
                || mayBeHeld && isHeld(program.rejects[index], kind, group)
            {
                agenda.subjects.append(group)
            }
        }
        if program.rejects[index].silence > 0 { sortSubjects() }
    }

    private mutating func sortSubjects() {
        agenda.subjects.sort()
        var kept = 0
        for subject in agenda.subjects
        where kept == 0 || agenda.subjects[kept - 1] != subject {
            agenda.subjects[kept] = subject
            kept += 1
        }
        agenda.subjects.removeLast(agenda.subjects.count - kept)
    }

    /// Silence by any clock is at most that since the last sample.
    private func isSilent(
        _ device: Int, _ now: Int64, _ reject: Reject, _ detection: borrowing Detection
    ) -> Bool {
        let silence = detection.ageMax(of: device, at: now)
        guard silence >= reject.silence, !detection.devices[device].isRetired else { return false }
        guard reject.silenceRecent > 0 else { return true }
        let patience = Int64(reject.silenceIntervals * detection.devices[device].interval * 1_000)
        return detection.age(of: device, at: now) <= reject.silenceRecent + patience
    }
}
