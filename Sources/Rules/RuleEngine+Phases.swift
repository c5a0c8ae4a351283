import Detection
import Fleet

extension RuleEngine {
    /// Moves one rule on one subject by what is now known of its condition.
    mutating func drive(
        _ index: Int, _ subject: Int, _ truth: Truth, _ moment: Moment,
        _ detection: borrowing Detection, _ directory: Directory
    ) {
        let rule = program.rules[index]
        let place = subject * stride(of: rule) + rule.local
        switch (phase(rule, place), truth) {
        case (.idle, .yes):
            setSince(rule, place, moment.time)
            if rule.hold == 0 {
                fire(index, subject, moment, detection, directory)
            } else {
                setPhase(rule, place, .pending)
            }
        case (.pending, .yes):
            guard moment.time - since(rule, place) >= rule.hold else { return }
            fire(index, subject, moment, detection, directory)
        case (.pending, .no), (.pending, .dropped), (.held, .no), (.held, .dropped):
            setPhase(rule, place, .idle)
        case (.held, .yes):
            guard inhibitor(of: index, subject, detection) == nil,
                !isExplainedBelow(index, subject, moment.time, detection)
            else { return }
            // What explained it is over: now it must hold by itself. A device that comes back is
            // heard before its host counts it again.
            setSince(rule, place, moment.time)
            setPhase(rule, place, .pending)
            guard rule.hold == 0 else { return }
            fire(index, subject, moment, detection, directory)
        case (.firing, .no), (.firing, .dropped):
            setTurned(rule, place, moment.time)
            setPhase(rule, place, .clearing)
            if rule.clearHold == 0 {
                clear(index, subject, moment, "", detection, directory)
            }
        case (.clearing, .no), (.clearing, .dropped):
            guard moment.time - turned(rule, place) >= rule.clearHold else { return }
            clear(index, subject, moment, "", detection, directory)
        case (.clearing, .yes):
            setPhase(rule, place, .firing)
        case (.firing, .yes):
            if rule.group != nil { update(index, subject, moment, detection, directory) }
        // What is not known neither fires nor clears.
        case (_, .unknown), (.idle, _): break
        }
    }

    private mutating func fire(
        _ index: Int, _ subject: Int, _ moment: Moment, _ detection: borrowing Detection,
        _ directory: Directory
    ) {
        let rule = program.rules[index]
        let place = subject * stride(of: rule) + rule.local
        guard inhibitor(of: index, subject, detection) == nil,
            !isExplainedBelow(index, subject, moment.time, detection)
        else {
            setPhase(rule, place, .held)
            return
        }
        setPhase(rule, place, .firing)
        setTurned(rule, place, moment.time)
        let finding = finding(index, subject, moment, detection, directory)
        // Restored and not yet matched to a subject: it was said before.
        guard spoken[finding.key] == nil else { return }
        spoken[finding.key] = finding
        say(finding, isShadow: rule.isShadow)
        silenceTargets(of: index, subject, moment, detection, directory)
    }

    /// Says again what fires where other devices have come to suffer; once a minute at most.
    private mutating func update(
        _ index: Int, _ subject: Int, _ moment: Moment, _ detection: borrowing Detection,
        _ directory: Directory
    ) {
        let rule = program.rules[index]
        let place = subject * stride(of: rule) + rule.local
        guard rule.blamesSilent || !offenders.isEmpty,
            moment.time - turned(rule, place) >= 60_000
        else { return }
        let key = key(index, subject, detection, directory)
        guard let last = spoken[key] else { return }
        let suffering =
            rule.blamesSilent
            ? missing(index, subject, moment.time, detection).devices : offenders
        let devices = suffering.map { directory.devices[$0].id }
        guard devices.contains(where: { !last.devices.contains($0) }) else { return }
        setTurned(rule, place, moment.time)
        var next = finding(index, subject, moment, detection, directory)
        next.edge = .changed
        spoken[key] = next
        say(next, isShadow: rule.isShadow)
    }

    /// Says that it is over; `reason` stands in place of the sentence said before.
    mutating func clear(
        _ index: Int, _ subject: Int, _ moment: Moment, _ reason: String,
        _ detection: borrowing Detection, _ directory: Directory,
        into phase: StateTable.Phase = .idle
    ) {
        let rule = program.rules[index]
        let place = subject * stride(of: rule) + rule.local
        setPhase(rule, place, phase)
        let key = key(index, subject, detection, directory)
        guard var finding = spoken.removeValue(forKey: key) else { return }
        finding.edge = .cleared
        finding.at = Instant(milliseconds: moment.time)
        finding.partition = detection.partition(of: moment.clock)
        finding.offset = moment.offset
        if !reason.isEmpty { finding.summary = reason }
        say(finding, isShadow: rule.isShadow)
    }

    mutating func say(_ finding: Finding, isShadow: Bool) {
        guard isShadow else {
            edges.append(finding)
            unheld.append(finding)
            return
        }
        if shadowEdges.count >= RuleEngine.shadowMax {
            shadowEdges.removeFirst(RuleEngine.shadowMax / 2)
        }
        shadowEdges.append(finding)
    }
}

// What fires above keeps quiet what it explains below.
extension RuleEngine {
    /// The rule that explains `subject` away now, if one does.
    func inhibitor(of index: Int, _ subject: Int, _ detection: borrowing Detection) -> Int? {
        for source in program.sources[index] where source != index {
            let group = program.rules[source].group
            guard let above = ancestor(of: index, subject, group, detection) else { continue }
            if isActive(source, above, for: index) { return source }
        }
        return nil
    }

    /// The subject of scope `group` that `subject` lies in.
    private func ancestor(
        of index: Int, _ subject: Int, _ group: CohortKind?, _ detection: borrowing Detection
    ) -> Int? {
        guard let own = program.rules[index].group else {
            guard let group else { return subject }
            let above = detection.devices[subject][group]
            return above < 0 ? nil : Int(above)
        }
        if own == group { return subject }
        guard let group, let first = detection.cohorts.members(own, Int32(subject)).first else {
            return nil
        }
        let above = detection.devices[Int(first.value)][group]
        return above < 0 ? nil : Int(above)
    }

    /// Whether the source holds on `subject`, or is about to: its condition is true, and waits.
    func isActive(_ source: Int, _ subject: Int, for target: Int) -> Bool {
        let rule = program.rules[source]
        guard !rule.isShadow || program.rules[target].isShadow else { return false }
        if rule.isEvent { return isEventActive(source, subject, for: target) }
        let table = rule.group.map { groupStates[$0.rawValue] } ?? deviceStates
        let place = subject * table.stride + rule.local
        guard place < table.phases.count else { return false }
        switch table.phase(place) {
        case .pending, .firing, .clearing:
            return covers(source, target, symptom: book.rules[rule.rule].symptom)
        case .idle, .held: return false
        }
    }

    /// Whether an inhibition of `source` on `target` applies to a finding with this symptom.
    func covers(_ source: Int, _ target: Int, symptom: String) -> Bool {
        let own = book.rules[program.rules[source].rule]
        let id = book.rules[program.rules[target].rule].id
        return own.inhibits.contains {
            $0.covers(id) && ($0.symptom.isEmpty || $0.symptom == symptom)
        }
    }

    /// Takes back what was said below and is now explained.
    mutating func silenceTargets(
        of source: Int, _ subject: Int, _ moment: Moment, _ detection: borrowing Detection,
        _ directory: Directory, symptom: String? = nil
    ) {
        let rule = program.rules[source]
        guard !program.targets[source].isEmpty else { return }
        let symptom = symptom ?? book.rules[rule.rule].symptom
        let members: [Int] =
            rule.group.map {
                detection.cohorts.members($0, Int32(subject)).map { Int($0.value) }
            } ?? [subject]
        let why =
            "explained by \(book.rules[rule.rule].id) on "
            + entity(rule.group, subject, detection, directory).description
        for target in program.targets[source]
        where target != source && covers(source, target, symptom: symptom) {
            var done: Set<Int> = []
            for member in members {
                let below: Int
                if let group = program.rules[target].group {
                    below = Int(detection.devices[member][group])
                } else {
                    below = member
                }
                guard below >= 0, done.insert(below).inserted else { continue }
                // One device explains what is said of its host only where nothing else is missing.
                if rule.group == nil, program.rules[target].group != nil,
                    !isExplainedBelow(target, below, moment.time, detection)
                {
                    continue
                }
                silence(target, below, moment, why, detection, directory)
            }
        }
    }

    private mutating func silence(
        _ target: Int, _ subject: Int, _ moment: Moment, _ why: String,
        _ detection: borrowing Detection, _ directory: Directory
    ) {
        let rule = program.rules[target]
        guard !rule.isEvent else { return }
        let place = subject * stride(of: rule) + rule.local
        switch phase(rule, place) {
        case .firing, .clearing:
            clear(target, subject, moment, why, detection, directory, into: .held)
        case .idle, .pending, .held: break
        }
    }
}

extension RuleEngine {
    func stride(of rule: CompiledRule) -> Int {
        rule.group.map { groupStates[$0.rawValue].stride } ?? deviceStates.stride
    }

    func phase(_ rule: CompiledRule, _ place: Int) -> StateTable.Phase {
        rule.group.map { groupStates[$0.rawValue].phase(place) } ?? deviceStates.phase(place)
    }

    func since(_ rule: CompiledRule, _ place: Int) -> Int64 {
        rule.group.map { groupStates[$0.rawValue].since[place] } ?? deviceStates.since[place]
    }

    func turned(_ rule: CompiledRule, _ place: Int) -> Int64 {
        rule.group.map { groupStates[$0.rawValue].turned[place] } ?? deviceStates.turned[place]
    }

    mutating func setPhase(_ rule: CompiledRule, _ place: Int, _ phase: StateTable.Phase) {
        if let group = rule.group {
            let wasIdle = groupStates[group.rawValue].phases[place] == 0
            groupStates[group.rawValue].phases[place] = phase.rawValue
            if wasIdle != (phase == .idle) {
                groupStates[group.rawValue].busy[rule.local] += wasIdle ? 1 : -1
            }
        } else {
            let wasIdle = deviceStates.phases[place] == 0
            deviceStates.phases[place] = phase.rawValue
            if wasIdle != (phase == .idle) { admit(place / deviceStates.stride) }
        }
    }

    mutating func setSince(_ rule: CompiledRule, _ place: Int, _ time: Int64) {
        if let group = rule.group {
            groupStates[group.rawValue].since[place] = time
        } else {
            deviceStates.since[place] = time
        }
    }

    mutating func setTurned(_ rule: CompiledRule, _ place: Int, _ time: Int64) {
        if let group = rule.group {
            groupStates[group.rawValue].turned[place] = time
        } else {
            deviceStates.turned[place] = time
        }
    }
}
