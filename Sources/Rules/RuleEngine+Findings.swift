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
        let members: [Int] =
            compiled.group.map {
                detection.cohorts.members($0, Int32(subject)).map { Int($0.value) }
            } ?? [subject]
        let suffering = compiled.group == nil || offenders.isEmpty ? members : offenders.sorted()
        let labels = labels(of: suffering, compiled.group, directory)
        let place = subject * stride(of: compiled) + compiled.local
        var since = since(compiled, place)
        if offenderSince != .max, compiled.group != nil { since = min(since, offenderSince) }
        since = absentSince(compiled, suffering, since, detection)
        var finding = Finding(
            key: key(index, subject, detection, directory), edge: .fired,
            since: Instant(milliseconds: since), at: Instant(milliseconds: moment.time),
            severity: rule.severity, tier: rule.tier, symptom: rule.symptom,
            devices: suffering.map { directory.devices[$0].id }, labels: labels, summary: "",
            partition: moment.partition, offset: moment.offset)
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
        let words = words(
            finding, rule, suffering, members.count, since, moment.time, detection, directory)
        finding.summary =
            rule.summary.isEmpty
            ? sentence(finding, words, compiled, suffering, since, moment.time, directory)
            : Template.fill(rule.summary, words)
        finding.runbook = Template.fill(rule.runbook, words)
        return finding
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
        if node.kind == .leaf { return program.leaves[Int(node.leaf)].kind == .absence }
        return (0..<Int(node.count)).contains { isAbsence(Int(node.first) + $0) }
    }

    /// What all of them share; of one device, what it says of itself.
    private func labels(
        of devices: [Int], _ group: CohortKind?, _ directory: Directory
    ) -> Labels {
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
            let value = values[device * program.registerGroups * 16 + register]
            guard !value.isNaN else { continue }
            sum += Double(value)
            count += 1
        }
        return count > 0 ? sum / Double(count) : nil
    }
}

// Evidence: the numbers that decided.
extension RuleEngine {
    private mutating func gather(
        _ index: Int, _ group: CohortKind?, _ subject: Int, _ suffering: [Int], _ now: Int64,
        _ detection: borrowing Detection, _ found: inout [Finding.Evidence]
    ) {
        let node = program.nodes[index]
        guard node.kind == .leaf else {
            let inner = node.kind == .members
            for child in 0..<Int(node.count) {
                // Of many members the first that suffers stands as the example.
                gather(
                    Int(node.first) + child, inner ? (node.ofHosts ? .host : nil) : group,
                    inner ? (suffering.first ?? subject) : subject, suffering, now, detection,
                    &found)
            }
            return
        }
        if let item = evidence(
            program.leaves[Int(node.leaf)], group, subject, suffering, now, detection)
        {
            found.append(item)
        }
    }

    private mutating func evidence(
        _ leaf: CompiledLeaf, _ group: CohortKind?, _ subject: Int, _ suffering: [Int],
        _ now: Int64, _ detection: borrowing Detection
    ) -> Finding.Evidence? {
        if leaf.kind == .absence {
            let device = suffering.first ?? subject
            guard device < detection.devices.count else { return nil }
            let seconds = Double(detection.age(of: device, at: now)) / 1_000
            return Finding.Evidence(
                name: "silence", value: seconds, unit: "s",
                against: "limit \(Duration.milliseconds(leaf.absence.after).short)")
        }
        if leaf.kind == .count {
            guard group == nil else {
                return Finding.Evidence(
                    name: "stops", value: Double(leaf.count.least), unit: "",
                    against: "within \(Duration.milliseconds(leaf.window).short)")
            }
            return Finding.Evidence(
                name: "faults", value: Double(faultCount(leaf, subject, now)), unit: "",
                against: "within \(Duration.milliseconds(leaf.window).short)")
        }
        guard leaf.register >= 0 else { return nil }
        let known = Vocabulary.canonical.first { $0.metric == leaf.metric }
        let name = metricName(leaf.metric)
        let unit = known?.unit ?? ""
        if let group {
            if leaf.kind == .cusum {
                let number =
                    subject * groupPools[group.rawValue].numberStride + Int(leaf.number)
                let change = groupPools[group.rawValue].numbers[number + 6]
                return Finding.Evidence(
                    name: "\(group) \(leaf.aggregate?.rawValue ?? "") \(name)",
                    value: Double(change), unit: leaf.cusum.isRelative ? "change" : unit,
                    against: "deadband \(Wording.number(Double(leaf.cusum.deadband)))")
            }
            guard let value = aggregate(leaf, group, Int32(subject), now, detection) else {
                return nil
            }
            return Finding.Evidence(
                name: "\(group) \(leaf.aggregate?.rawValue ?? "median") \(name)",
                value: Double(value), unit: unit, against: Wording.limit(leaf))
        }
        let value = values[subject * program.registerGroups * 16 + Int(leaf.register)]
        guard !value.isNaN else { return nil }
        if leaf.kind == .delta {
            let rise = devicePool.sum(
                at: now, window: leaf.window,
                timeAt: subject * devicePool.timeStride + Int(leaf.time),
                numbersAt: subject * devicePool.numberStride + Int(leaf.number))
            return Finding.Evidence(
                name: "increase of \(name)", value: Double(rise), unit: unit,
                against: "within \(Duration.milliseconds(leaf.window).short)")
        }
        return Finding.Evidence(
            name: name, value: Double(value), unit: unit, against: Wording.limit(leaf))
    }

    func metricName(_ metric: Metric) -> String {
        if let known = Vocabulary.canonical.first(where: { $0.metric == metric }) {
            return known.name
        }
        return program.opaqueNames[metric] ?? "metric \(metric.rawValue)"
    }
}

// Words.
extension RuleEngine {
    func words(
        _ finding: Finding, _ rule: Rule, _ suffering: [Int], _ members: Int, _ since: Int64,
        _ now: Int64, _ detection: borrowing Detection, _ directory: Directory
    ) -> [String: String] {
        let labels = finding.labels
        let names = suffering.map { Wording.name(of: directory.devices[$0]) }
        var words = [
            "subject": Wording.subject(finding.key.subject, names.first ?? ""),
            "device": names.first ?? "", "devices": Wording.list(names),
            "offenders": Wording.list(names), "members": "\(members)",
            "count": "\(suffering.count)", "rule": rule.id,
            "since": Instant(milliseconds: since).timeOfDay + " UTC",
            "duration": Wording.duration(now - since), "action": "", "code": "", "meaning": "",
        ]
        for key in [
            LabelKey.host, .rack, .cluster, .job, .service, .slot, .model, .team, .user, .region,
            .zone,
        ] { words[key.name] = labels[key] }
        // The subject is what it is about, whatever its members say of themselves.
        words[finding.key.subject.kind.rawValue] =
            finding.key.subject.kind == .device
            ? names.first ?? "" : finding.key.subject.name
        if let first = finding.evidence.first {
            words["value"] = Wording.value(first)
        }
        let loss = finding.lostFraction
        words["gain_pct"] = loss > 0 && loss < 1 ? Wording.number(100 * loss / (1 - loss)) : ""
        return words
    }

    private func sentence(
        _ finding: Finding, _ words: [String: String], _ rule: CompiledRule, _ suffering: [Int],
        _ since: Int64, _ now: Int64, _ directory: Directory
    ) -> String {
        let subject = words["subject"] ?? ""
        if isAbsence(rule.root) {
            let last = Instant(milliseconds: since).timeOfDay
            let silent = Wording.duration(now - since)
            guard rule.group != nil else {
                return "\(subject) sent nothing for \(silent); last sample \(last) UTC"
            }
            return "\(subject): \(suffering.count) devices sent nothing for \(silent); "
                + "last sample \(last) UTC"
        }
        let numbers = finding.evidence.prefix(4).map(Wording.phrase).joined(separator: ", ")
        let example =
            rule.group != nil && suffering.count < (Int(words["members"] ?? "") ?? 0)
            ? " on \(words["devices"] ?? "")" : ""
        let held = now - since
        let time = held >= 1_000 ? " for \(Wording.duration(held))" : ""
        return "\(subject): \(numbers)\(example)\(time)"
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
            partition: moment.partition, offset: moment.offset)
        for (key, value) in rule.labels { finding.labels[key] = value }
        finding.cost = isHard ? .hard : entry.cost
        finding.lostFraction = finding.cost == .hard || finding.cost == .hang ? 1 : 0
        if rule.costsAllMembers, finding.cost == .hard {
            finding.blocked = blocked(devices, compiled, key.device, detection, directory)
        }
        finding.evidence = state.seen.suffix(8).map { seen in
            Finding.Evidence(
                name: "\(policy.name) \(seen.code)", value: Double(seen.code), unit: "",
                against: seen.text.isEmpty ? policy[seen.code].meaning : seen.text)
        }
        var words = words(
            finding, rule, devices, 1, state.since, moment.time, detection, directory)
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
        let at = Instant(milliseconds: state.since).timeOfDay
        return
            "\(words["device"] ?? ""): \(name) \(state.root), \(entry.meaning)\(more), at \(at) UTC"
    }
}

/// How numbers and names read at night.
enum Wording {
    /// `GPU 4 on gpu-node-0017`.
    static func name(of device: Device) -> String {
        let vendor = device.id.prefix { $0 != "/" }
        let kind: String
        switch vendor {
        case "nvidia", "amd": kind = "GPU"
        case "tpu", "google": kind = "TPU chip"
        case "neuron", "aws": kind = "NeuronCore"
        case "gaudi", "intel": kind = "Gaudi"
        default: kind = "device"
        }
        let slot = device.labels[.slot]
        let host = device.labels[.host]
        let which = slot.isEmpty ? String(device.id.drop { $0 != "/" }.dropFirst()) : slot
        return host.isEmpty ? "\(kind) \(which)" : "\(kind) \(which) on \(host)"
    }

    static func subject(_ entity: Entity, _ device: String) -> String {
        entity.kind == .device ? device : "\(entity.kind.rawValue) \(entity.name)"
    }

    /// The first four, and how many more.
    static func list(_ names: [String]) -> String {
        let shown = names.prefix(4).joined(separator: ", ")
        return names.count > 4 ? "\(shown) and \(names.count - 4) more" : shown
    }

    /// `72 s`, `4 min`, `2 h 5 min`.
    static func duration(_ milliseconds: Int64) -> String {
        let seconds = milliseconds / 1_000
        if seconds < 120 { return "\(seconds) s" }
        let minutes = seconds / 60
        if minutes < 120 { return "\(minutes) min" }
        return minutes % 60 == 0 ? "\(minutes / 60) h" : "\(minutes / 60) h \(minutes % 60) min"
    }

    /// Three digits that count.
    static func number(_ value: Double) -> String {
        guard value.isFinite else { return "?" }
        let size = abs(value)
        if size >= 1e15 { return "\(value)" }
        if size >= 100 || value == value.rounded() && size < 1e15 {
            return "\(Int64(value.rounded()))"
        }
        let scale: Double = size >= 10 ? 10 : size >= 0.01 ? 100 : 10_000
        let rounded = (value * scale).rounded() / scale
        return rounded == rounded.rounded() ? "\(Int64(rounded))" : "\(rounded)"
    }

    static func value(_ evidence: Finding.Evidence) -> String {
        switch evidence.unit {
        case "ratio": "\(number(evidence.value * 100)) %"
        case "change": "\(evidence.value > 0 ? "+" : "")\(number(evidence.value * 100)) %"
        case "bitmask": "0x" + String(Int64(max(0, min(evidence.value, 16_777_216))), radix: 16)
        case "B", "B/s": bytes(evidence.value) + (evidence.unit == "B" ? "" : "/s")
        case "", "count", "state", "code", "rows": number(evidence.value)
        default: "\(number(evidence.value)) \(evidence.unit)"
        }
    }

    static func phrase(_ evidence: Finding.Evidence) -> String {
        let against = evidence.against.isEmpty ? "" : " (\(evidence.against))"
        return "\(evidence.name) \(value(evidence))\(against)"
    }

    private static func bytes(_ value: Double) -> String {
        for (unit, size) in [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)]
        where abs(value) >= size { return "\(number(value / size)) \(unit)" }
        return "\(number(value)) B"
    }

    /// What a value was held against.
    static func limit(_ leaf: CompiledLeaf) -> String {
        switch leaf.kind {
        case .threshold, .rate, .duration: bound(leaf.bound, leaf)
        case .state: state(leaf.state)
        case .peer:
            leaf.peer.z.isNaN
                ? bound(leaf.bound, leaf) + " of its peers"
                : "beyond \(number(Double(leaf.peer.z))) deviations of its peers"
        case .zscore: "beyond \(number(Double(leaf.amount))) deviations of its own baseline"
        case .flatline: "the same value for \(Duration.milliseconds(leaf.window).short)"
        case .steady: "steady within \(number(Double(leaf.amount * 100))) %"
        case .usual: "below what is usual"
        case .forecast: "limit \(number(Double(leaf.forecast.limit)))"
        case .cusum: "deadband \(number(Double(leaf.cusum.deadband)))"
        case .delta, .absence, .event, .count: ""
        }
    }

    private static func bound(_ bound: Bound, _ leaf: CompiledLeaf) -> String {
        let share =
            leaf.relative == -2 ? " of its own hour" : leaf.relative >= 0 ? " of its limit" : ""
        if !bound.above.isNaN, !bound.below.isNaN {
            return
                "between \(number(Double(bound.above))) and \(number(Double(bound.below)))\(share)"
        }
        return bound.above.isNaN
            ? "limit below \(number(Double(bound.below)))\(share)"
            : "limit above \(number(Double(bound.above)))\(share)"
    }

    private static func state(_ state: StateTest) -> String {
        if !state.equals.isNaN { return "equals \(number(Double(state.equals)))" }
        var parts: [String] = []
        if state.anyOf != 0 { parts.append("any of 0x\(String(state.anyOf, radix: 16))") }
        if state.allOf != 0 { parts.append("all of 0x\(String(state.allOf, radix: 16))") }
        if state.noneOf != 0 { parts.append("none of 0x\(String(state.noneOf, radix: 16))") }
        return parts.joined(separator: ", ")
    }
}
