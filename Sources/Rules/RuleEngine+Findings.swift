import Detection
import Fleet
import Telemetry

// What is said of a subject: one sentence, its numbers, and what to do.
extension RuleEngine {
    func entity(
        _ group: CohortKind?, _ subject: Int, _ detection: borrowing Detection,
        _ directory: Directory
    ) -> Entity {
        guard let group else { return directory.devices[subject].entity }
        return Entity(
            kind: group.entity ?? .cluster, name: detection.cohorts.name(group, Int32(subject)))
    }

    func key(
        _ index: Int, _ subject: Int, _ detection: borrowing Detection, _ directory: Directory
    ) -> Finding.Key {
        let rule = program.rules[index]
        return Finding.Key(
            rule: book.rules[rule.rule].id,
            subject: entity(rule.group, subject, detection, directory))
    }

    mutating func finding(
        _ index: Int, _ subject: Int, _ moment: Moment, _ detection: borrowing Detection,
        _ directory: Directory
    ) -> Finding {
        let compiled = program.rules[index]
        let rule = book.rules[compiled.rule]
        let members = members(compiled.group, subject, detection)
        var missing = Missing()
        if compiled.blamesSilent { missing = self.missing(index, subject, moment.time, detection) }
        let suffering =
            compiled.blamesSilent
            ? missing.devices
            : compiled.group == nil || offenders.isEmpty ? members : offenders.sorted()
        let labels = labels(of: suffering.isEmpty ? members : suffering, directory)
        let place = subject * stride(of: compiled) + compiled.local
        var since = since(compiled, place)
        if offenderSince != .max, compiled.group != nil { since = min(since, offenderSince) }
        since = absentSince(compiled, suffering, since, detection)
        var finding = Finding(
            key: key(index, subject, detection, directory), edge: .fired,
            since: Instant(milliseconds: since), at: Instant(milliseconds: moment.time),
            severity: rule.severity, tier: rule.tier, symptom: rule.symptom,
            devices: suffering.map { directory.devices[$0].id }, labels: labels, summary: "",
            partition: detection.partition(of: moment.clock), offset: moment.offset)
        // Nobody knows its name, and yet one is lost: what it costs must not read as nothing.
        for number in 0..<missing.unnamed {
            finding.devices.append("unknown/\(finding.key.subject.name)-\(number + 1)")
        }
        for (key, value) in rule.labels { finding.labels[key] = value }
        var gathered: [Finding.Evidence] = []
        gather(
            compiled.root, compiled.group, subject, suffering, moment.time, detection, &gathered)
        finding.evidence = Array(gathered.prefix(8))
        finding.cost = rule.cost
        finding.lostFraction = lost(rule.cost, suffering, gathered, compiled)
        if rule.costsAllMembers {
            finding.blocked = blocked(suffering, compiled, subject, detection, directory)
        }
        var words = words(
            finding, rule, suffering, members.count, since, moment.time, directory)
        if compiled.blamesSilent { name(missing, &words) }
        finding.summary =
            rule.summary.isEmpty
            ? sentence(finding, words, compiled, suffering, since, moment.time)
            : Template.fill(rule.summary, words)
        finding.runbook = Template.fill(rule.runbook, words)
        return finding
    }

    /// The members of a group that are still expected; a device is its own.
    private func members(
        _ group: CohortKind?, _ subject: Int, _ detection: borrowing Detection
    ) -> [Int] {
        guard let group else { return [subject] }
        let all = detection.cohorts.members(group, Int32(subject)).map { Int($0.value) }
        let living = all.filter { !detection.devices[$0].isRetired }
        return living.isEmpty ? all : living
    }

    private func name(_ missing: Missing, _ words: inout [String: String]) {
        words["usual"] = missing.usual.map { Wording.number(Double($0)) }
        let others = missing.devices.isEmpty ? "not known which" : "\(missing.unnamed) not known"
        guard missing.unnamed > 0 else { return }
        let known = missing.devices.isEmpty ? "" : (words["devices"] ?? "") + " and "
        words["devices"] = known + others
        words["offenders"] = words["devices"]
        words["count"] = "\(missing.devices.count + missing.unnamed)"
    }

    /// A silence began with the last sample, not when it was noticed.
    private func absentSince(
        _ rule: CompiledRule, _ suffering: [Int], _ since: Int64, _ detection: borrowing Detection
    ) -> Int64 {
        guard isAbsence(rule.root), let first = suffering.first else { return since }
        // The last sign of the group, or of the device.
        var last = detection.silentSince(first)
        for device in suffering.dropFirst() { last = max(last, detection.silentSince(device)) }
        return last == .min ? since : last
    }

    func isAbsence(_ node: Int) -> Bool {
        let node = program.nodes[node]
        if node.kind == .leaf {
            let leaf = program.leaves[Int(node.leaf)]
            return leaf.kind == .absence && leaf.register < 0
        }
        return (0..<Int(node.count)).contains { isAbsence(Int(node.first) + $0) }
    }

    /// What all of them share; of one device, what it says of itself.
    private func labels(of devices: [Int], _ directory: Directory) -> Labels {
        guard let first = devices.first else { return Labels() }
        var shared = directory.devices[first].labels
        for device in devices.dropFirst() {
            let labels = directory.devices[device].labels
            for (key, value) in shared.pairs where labels[key] != value { shared[key] = "" }
        }
        return shared
    }

    /// The others of a synchronous job, who wait.
    func blocked(
        _ suffering: [Int], _ rule: CompiledRule, _ subject: Int,
        _ detection: borrowing Detection, _ directory: Directory
    ) -> [String] {
        var jobs: Set<Int32> = []
        for device in suffering
        where detection.devices[device].gates.contains(.train)
            && detection.devices[device][.job] >= 0
        {
            jobs.insert(detection.devices[device][.job])
        }
        let own = Set(suffering)
        var ids: [String] = []
        for job in jobs.sorted() {
            for member in detection.cohorts.members(.job, job)
            where !own.contains(Int(member.value))
                && !detection.devices[Int(member.value)].isRetired
            {
                ids.append(directory.devices[Int(member.value)].id)
            }
        }
        return ids
    }

    private func lost(
        _ cost: CostClass, _ devices: [Int], _ evidence: [Finding.Evidence], _ rule: CompiledRule
    ) -> Double {
        switch cost {
        case .none, .prevent: 0
        case .hard, .hang: 1
        case .idle: 1 - min(max(mean(.utilBusy, devices) ?? 0, 0), 1)
        case .throttle: throttled(devices)
        case .straggler:
            // Without a measured loss of the job, what the slowest lacks in clock.
            evidence.first { $0.name.hasPrefix("job") && $0.unit == "change" }.map {
                min(max(-$0.value, 0), 1)
            } ?? throttled(devices)
        case .opportunity: max(0, 1 - (mean(.utilTensor, devices) ?? 0) / 0.4)
        }
    }

    private func throttled(_ devices: [Int]) -> Double {
        guard let clock = mean(.clockCore, devices), let most = mean(.clockCoreMax, devices),
            most > 0
        else { return 0.5 }
        return min(max(1 - clock / most, 0), 1)
    }

    private func mean(_ metric: Metric, _ devices: [Int]) -> Double? {
        guard program.registerGroup[metric.group] >= 0 else { return nil }
        let register = program.registerGroup[metric.group] * 16 + metric.lane
        var sum = 0.0
        var count = 0
        for device in devices {
            let value = valueAt(device * program.registerGroups * 16 + register)
            guard !value.isNaN else { continue }
            sum += Double(value)
            count += 1
        }
        return count > 0 ? sum / Double(count) : nil
    }
}

// Words.
extension RuleEngine {
    func words(
        _ finding: Finding, _ rule: Rule, _ suffering: [Int], _ members: Int, _ since: Int64,
        _ now: Int64, _ directory: Directory
    ) -> [String: String] {
        let labels = finding.labels
        let names = suffering.map { Wording.name(of: directory.devices[$0]) }
        var words = [
            "subject": Wording.subject(finding.key.subject, names.first ?? ""),
            "device": names.first ?? "", "devices": Wording.list(names),
            "offenders": Wording.list(names), "members": "\(members)",
            "count": "\(suffering.count)", "rule": rule.id,
            "since": Wording.time(since),
            "duration": Wording.duration(now - since), "action": "", "code": "", "meaning": "",
        ]
        for key in [
            LabelKey.host, .rack, .cluster, .job, .service, .slot, .model, .team, .user, .region,
            .zone,
        ] { words[key.name] = labels[key] }
        // What it does not say of itself is still its own.
        for key in [LabelKey.host, .rack, .job, .service, .team, .user] where labels[key].isEmpty {
            words[key.name] = "its \(key.name)"
        }
        // The subject is what it is about, whatever its members say of themselves.
        words[finding.key.subject.kind.rawValue] =
            finding.key.subject.kind == .device
            ? names.first ?? "" : finding.key.subject.name
        if let first = finding.evidence.first {
            words["value"] = Wording.value(first)
        }
        let loss = finding.lostFraction
        let gain = loss > 0 && loss < 1 ? (100 * loss / (1 - loss)).rounded() : 0
        words["gain_pct"] = gain >= 1 ? Wording.number(gain) : "a few"
        return words
    }

    private func sentence(
        _ finding: Finding, _ words: [String: String], _ rule: CompiledRule, _ suffering: [Int],
        _ since: Int64, _ now: Int64
    ) -> String {
        let subject = words["subject"] ?? ""
        if isAbsence(rule.root) {
            let who = rule.group == nil ? subject : "\(subject): \(suffering.count) devices"
            return "\(who) sent nothing for \(Wording.duration(now - since)); "
                + "last sample \(Wording.time(since))"
        }
        let numbers = finding.evidence.prefix(4).map(\.phrase).joined(separator: ", ")
        let example =
            rule.group != nil && suffering.count < (Int(words["members"] ?? "") ?? 0)
            ? " on \(words["devices"] ?? "")" : ""
        return "\(subject): \(numbers)\(example), since \(Wording.time(since))"
    }

    mutating func eventFinding(
        _ key: EventKey, _ state: EventState, _ policy: EventPolicy, _ moment: Moment,
        _ detection: borrowing Detection, _ directory: Directory
    ) -> Finding {
        let compiled = program.rules[key.rule]
        let rule = book.rules[compiled.rule]
        let entry = policy[state.root]
        let devices =
            [key.device] + Set(state.seen.map(\.device)).subtracting([key.device]).sorted()
        let worst = state.seen.map(\.severity).min() ?? entry.severity
        let isHard = state.seen.contains { policy[$0.code].cost == .hard }
        var finding = Finding(
            key: self.key(key.rule, key.device, detection, directory), edge: .fired,
            since: Instant(milliseconds: state.since), at: Instant(milliseconds: moment.time),
            severity: worst, tier: state.seen.map { policy[$0.code].tier }.min() ?? entry.tier,
            symptom: entry.symptom, devices: devices.map { directory.devices[$0].id },
            labels: directory.devices[key.device].labels, summary: "",
            partition: detection.partition(of: moment.clock), offset: moment.offset)
        for (key, value) in rule.labels { finding.labels[key] = value }
        finding.cost = isHard ? .hard : entry.cost
        finding.lostFraction = finding.cost == .hard || finding.cost == .hang ? 1 : 0
        if rule.costsAllMembers, finding.cost == .hard {
            finding.blocked = blocked(devices, compiled, key.device, detection, directory)
        }
        finding.evidence = state.seen.suffix(8).map { seen in
            Finding.Evidence(
                name: "\(policy.name.uppercased()) \(seen.code)", value: Double(seen.code),
                unit: Finding.Evidence.eventUnit,
                against: seen.text.isEmpty ? policy[seen.code].meaning : seen.text)
        }
        var words = words(
            finding, rule, devices, 1, state.since, moment.time, directory)
        words["code"] = "\(state.root)"
        words["meaning"] = entry.meaning
        words["action"] = Template.fill(entry.action, words)
        finding.runbook = Template.fill(
            rule.runbook.isEmpty ? "{{action}}" : rule.runbook, words)
        finding.summary =
            rule.summary.isEmpty
            ? eventSentence(state, policy, entry, words) : Template.fill(rule.summary, words)
        return finding
    }

    private func eventSentence(
        _ state: EventState, _ policy: EventPolicy, _ entry: EventPolicy.Entry,
        _ words: [String: String]
    ) -> String {
        let others = state.seen.map(\.code).reduce(into: [Int32]()) { list, code in
            if code != state.root, !list.contains(code) { list.append(code) }
        }
        let name = policy.name.uppercased()
        let more =
            others.isEmpty ? "" : ", then \(others.map(String.init).joined(separator: ", "))"
        return "\(words["device"] ?? ""): \(name) \(state.root), \(entry.meaning)\(more), "
            + "at \(Wording.time(state.since))"
    }
}
