import Detection
import Fleet
import Telemetry

// Evidence: the numbers that decided.
extension RuleEngine {
    mutating func gather(
        _ index: Int, _ group: CohortKind?, _ subject: Int, _ suffering: [Int], _ now: Int64,
        _ detection: borrowing Detection, _ found: inout [Finding.Evidence]
    ) {
        let node = program.nodes[index]
        guard node.kind == .leaf else {
            let inner = node.kind == .members
            let below = inner ? (node.ofHosts ? .host : nil) : group
            // Of many members the first that suffers stands as the example.
            let example = inner ? suffering.first ?? subject : subject
            for child in speaking(node, below, example, now, detection) {
                gather(child, below, example, suffering, now, detection, &found)
            }
            return
        }
        if !program.leaves[Int(node.leaf)].metrics.isEmpty {
            found += reasons(ofMetrics: program.leaves[Int(node.leaf)], subject)
            return
        }
        guard
            let item = evidence(
                program.leaves[Int(node.leaf)], group, subject, suffering, now, detection)
        else { return }
        let twin = found.firstIndex {
            $0.name == item.name && $0.value == item.value && $0.unit == item.unit
        }
        guard let twin else { return found.append(item) }
        // One number that several conditions asked is told once.
        if !item.against.isEmpty, found[twin].against != item.against {
            found[twin].against += (found[twin].against.isEmpty ? "" : "; ") + item.against
        }
    }

    /// The children that the decision rests on: of alternatives, those that hold.
    private mutating func speaking(
        _ node: CompiledNode, _ group: CohortKind?, _ subject: Int, _ now: Int64,
        _ detection: borrowing Detection
    ) -> [Int] {
        let all = (0..<Int(node.count)).map { Int(node.first) + $0 }
        guard node.kind == .any, group == nil, subject < detection.devices.count else { return all }
        var holding: [Int] = []
        for child in all where !program.nodes[child].isExhaustive {
            let truth = evaluate(
                child, device: subject, now: now, gates: detection.devices[subject].gates,
                isFiring: false, detection)
            if truth == .yes { holding.append(child) }
        }
        return holding.isEmpty ? all : holding
    }

    private mutating func evidence(
        _ leaf: CompiledLeaf, _ group: CohortKind?, _ subject: Int, _ suffering: [Int],
        _ now: Int64, _ detection: borrowing Detection
    ) -> Finding.Evidence? {
        if leaf.kind == .completeness { return completeness(leaf, subject, detection) }
        if leaf.kind == .mismatch { return difference(leaf, subject, detection) }
        if leaf.kind == .absence, leaf.register >= 0 {
            let device = group == nil ? subject : suffering.first ?? subject
            let place = device * program.registerGroups * 16 + Int(leaf.register)
            let seconds = Double(detection.devices[device].lastSeen - seenAt(place)) / 1_000
            return Finding.Evidence(
                name: "silence of \(metricName(leaf.metric))", value: seconds, unit: "s",
                against: "limit \(Wording.duration(leaf.absence.after))")
        }
        if leaf.kind == .absence {
            let device = suffering.first ?? subject
            guard device < detection.devices.count else { return nil }
            let seconds = Double(detection.age(of: device, at: now)) / 1_000
            return Finding.Evidence(
                name: "silence", value: seconds, unit: "s",
                against: "limit \(Wording.duration(leaf.absence.after))")
        }
        let window = "within \(Wording.duration(leaf.window))"
        if leaf.kind == .count {
            guard group == nil else {
                return Finding.Evidence(
                    name: "stops", value: Double(leaf.count.least), unit: "", against: window)
            }
            return Finding.Evidence(
                name: "faults", value: Double(faultCount(leaf, subject, now)), unit: "",
                against: window)
        }
        guard leaf.register >= 0 else { return nil }
        let name = metricName(leaf.metric)
        let unit = Vocabulary.canonical.first { $0.metric == leaf.metric }?.unit ?? ""
        if let group {
            return evidence(leaf, of: group, subject, now, "\(group)", name, unit, detection)
        }
        if leaf.kind == .anomaly { return reasons(leaf, subject, name, unit) }
        if leaf.kind == .seasonal {
            guard let season = reading(leaf, nil, subject) else { return nil }
            return Finding.Evidence(
                name: name, value: Double(season.mean), unit: unit,
                against: Wording.usual(season, unit))
        }
        let value = valueAt(subject * program.registerGroups * 16 + Int(leaf.register))
        guard !value.isNaN else { return nil }
        if leaf.kind == .delta {
            let rise = devicePool.sum(
                at: now, window: leaf.window,
                timeAt: subject * devicePool.timeStride + Int(leaf.time),
                numbersAt: subject * devicePool.numberStride + Int(leaf.number))
            return Finding.Evidence(
                name: "increase of \(name)", value: Double(rise), unit: unit, against: window)
        }
        if leaf.kind == .rate {
            return Finding.Evidence(
                name: name, value: Double(value * leaf.amount), unit: Wording.per(leaf.amount),
                against: Wording.limit(leaf, unit: ""))
        }
        let against: String =
            switch leaf.kind {
            case .threshold: Wording.limit(leaf, unit, of: base(of: leaf, subject, detection))
            case .peer: peers(leaf, value, subject, now, unit, detection)
            case .forecast:
                Wording.course(
                    leaf.forecast, unit,
                    Forecast.line(devicePool, at: subject, leaf, now))
            default: Wording.limit(leaf, unit: unit)
            }
        return Finding.Evidence(name: name, value: Double(value), unit: unit, against: against)
    }

    /// The share of its metrics that a device sends, and up to three that it does not.
    private func completeness(
        _ leaf: CompiledLeaf, _ device: Int, _ detection: borrowing Detection
    ) -> Finding.Evidence? {
        guard device < detection.devices.count else { return nil }
        let found = detection.completeness(of: device, window: leaf.window)
        guard found.known > 0 else { return nil }
        let names = found.missing.map { metricName($0) }.sorted()
        let more = names.count > 3 ? " and \(names.count - 3) more" : ""
        return Finding.Evidence(
            name: "metrics sent",
            value: Double(found.known - found.missing.count) / Double(found.known), unit: "ratio",
            against: "missing: \(names.prefix(3).joined(separator: ", "))\(more)")
    }

    /// What a condition on a group rests on.
    private mutating func evidence(
        _ leaf: CompiledLeaf, of group: CohortKind, _ subject: Int, _ now: Int64, _ whose: String,
        _ metric: String, _ unit: String, _ detection: borrowing Detection
    ) -> Finding.Evidence? {
        let name = "\(whose) \(leaf.aggregate?.rawValue ?? "median") \(metric)"
        let kind = group.rawValue
        let number = subject * groupPools[kind].numberStride + Int(leaf.number)
        switch leaf.kind {
        case .cusum:
            let change = Drift.departure(groupPools[kind], at: number)
            return Finding.Evidence(
                name: name, value: Double(change), unit: leaf.cusum.isRelative ? "change" : unit,
                against: Wording.limit(leaf, unit: unit))
        case .seasonal:
            guard let season = reading(leaf, group, subject) else { return nil }
            return Finding.Evidence(
                name: name, value: Double(season.mean), unit: unit,
                against: Wording.usual(season, unit))
        case .anomaly: return reasons(leaf, subject, name, unit)
        default: break
        }
        let found = aggregate(
            leaf.aggregate, of: Int(leaf.register), isSlow: leaf.isSlow, group, Int32(subject), now,
            detection)
        guard let value = found else { return nil }
        var against = Wording.limit(leaf, unit: unit)
        if leaf.kind == .forecast {
            against = Wording.course(
                leaf.forecast, unit, Forecast.line(groupPools[kind], at: subject, leaf, now))
        }
        if leaf.kind == .usual, let usual = groupPools[kind].usual(numbersAt: number) {
            against = "usual \(Wording.quantity(Double(usual), unit))"
        }
        return Finding.Evidence(name: name, value: Double(value), unit: unit, against: against)
    }

    /// The value that was unlike its series, and why.
    private func reasons(
        _ leaf: CompiledLeaf, _ subject: Int, _ name: String, _ unit: String
    ) -> Finding.Evidence? {
        guard let alert = watches[leaf: leaf.season, subject]?.alert else { return nil }
        return Finding.Evidence(
            name: name, value: alert.value, unit: unit, against: Wording.reasons(alert, unit))
    }

    /// What its peers show instead.
    private mutating func peers(
        _ leaf: CompiledLeaf, _ value: Float, _ device: Int, _ now: Int64, _ unit: String,
        _ detection: borrowing Detection
    ) -> String {
        guard let median = peerMedian(leaf, device, now, detection) else {
            return Wording.limit(leaf, unit: unit)
        }
        let share =
            median > 0 && leaf.peer.z.isNaN && value >= 0
            ? ", \(Wording.number(Double(100 * value / median).rounded())) % of that" : ""
        return "its peers \(Wording.quantity(Double(median), unit))\(share)"
    }

    func metricName(_ metric: Metric) -> String {
        if let known = Vocabulary.canonical.first(where: { $0.metric == metric }) {
            return known.name
        }
        return program.opaqueNames[metric] ?? "metric \(metric.rawValue)"
    }
}
