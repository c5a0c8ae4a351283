import Detection
import Fleet
import Telemetry

// The anomaly score over several metrics of one device.
extension RuleEngine {
    /// Whether a device is as unlike itself as it takes, or was so a short while ago.
    mutating func anomaly(
        ofMetrics leaf: CompiledLeaf, _ device: Int, _ now: Int64, _ detection: borrowing Detection
    ) -> Truth {
        let asked = program.leafMetrics[Int(leaf.metrics.lowerBound)..<Int(leaf.metrics.upperBound)]
        let base = device * program.registerGroups * 16
        var ever = false
        // The loader lets no more metrics stand together than a vector has lanes.
        var present = SIMD16<Float>(repeating: .nan)
        for (lane, item) in asked.enumerated() {
            let place = base + item.register
            let value = valueAt(place)
            guard !value.isNaN else { continue }
            ever = true
            // What does not come any more is no value of now.
            guard seenAt(place) + staleAfter(item.isSlow, device, detection) >= now else {
                continue
            }
            present[lane] = value
        }
        guard ever else {
            return detection.devices[device].gates.contains(.warm) ? .no : .unknown
        }
        let count = asked.count
        let test = leaf.anomaly
        let calendar = program.calendar(of: leaf)
        let learns = !isHeld(nil, device, detection)
        let found = deviceWatches.update(
            leaf.season, device, group: -1, series: count + 1, name: { "" },
            make: {
                AnomalyDeviceWatch(metrics: count, AnomalyProfile(test), every: test.every)
            },
            feed: { watch -> Bool? in
                guard watch.advance(to: now, learns: learns, calendar: calendar) else {
                    return watch.holds
                }
                for metric in 0..<count { watch.add(present[metric], metric: metric, at: now) }
                return watch.holds
            })
        guard let holds = found ?? nil else { return .unknown }
        return Truth(holds)
    }

    /// The metrics that made a device unlike itself, the weightiest first, each with its reasons.
    func reasons(ofMetrics leaf: CompiledLeaf, _ device: Int) -> [Finding.Evidence] {
        guard let alert = deviceWatches[leaf: leaf.season, device]?.alert else { return [] }
        var found: [(metric: Int?, evidence: Finding.Evidence)] = []
        for part in alert.parts {
            let unit = unit(of: part.metric, in: leaf)
            let words = part.part.words { Wording.quantity($0, unit ?? "") }
            if let twin = found.firstIndex(where: { $0.metric == part.metric }) {
                found[twin].evidence.against += "; \(words)"
                found[twin].evidence.share = (found[twin].evidence.share ?? 0) + part.share
                continue
            }
            let value = part.metric.map { alert.values[$0] } ?? alert.unexplained ?? .nan
            let name = part.metric.flatMap { asked(leaf, $0) }.map { metricName($0.metric) }
            found.append(
                (
                    part.metric,
                    Finding.Evidence(
                        name: name ?? RuleEngine.apart, value: value,
                        unit: unit ?? "times as usual",
                        against: part.metric == nil ? mostApart(alert, leaf) + words : words,
                        share: part.share)
                ))
        }
        return found.map { item in
            var evidence = item.evidence
            evidence.against = "\(Wording.share(evidence.share ?? 0)): \(evidence.against)"
            return evidence
        }
    }

    private func asked(_ leaf: CompiledLeaf, _ metric: Int) -> LeafMetric? {
        let place = Int(leaf.metrics.lowerBound) + metric
        return place < Int(leaf.metrics.upperBound) ? program.leafMetrics[place] : nil
    }

    /// Nil for what the metrics leave unexplained: that is counted in what each usually keeps to
    /// itself.
    private func unit(of metric: Int?, in leaf: CompiledLeaf) -> String? {
        guard let metric else { return nil }
        let asked = asked(leaf, metric)
        return Vocabulary.canonical.first { $0.metric == asked?.metric }?.unit ?? ""
    }

    /// Up to two metrics that follow the others least: of two that part, neither may be to blame.
    private func mostApart(_ alert: AnomalyDeviceAlert, _ leaf: CompiledLeaf) -> String {
        let order = alert.apart.indices.sorted { alert.apart[$0] > alert.apart[$1] }
        let named = order.prefix(2).filter { alert.apart[$0] >= 0.2 }.compactMap { place in
            asked(leaf, place).map {
                "\(metricName($0.metric)) \(Wording.percent(alert.apart[place]))"
            }
        }
        return named.isEmpty ? "" : "\(named.joined(separator: " and ")) of it; "
    }

    /// What stands in place of a metric where none is new by itself.
    private static let apart = "metrics apart"
}

extension AnomalyDeviceWatch {
    /// Whether an alert stands; nil before there is a score.
    fileprivate var holds: Bool? { score == nil ? nil : alert != nil }
}

extension AnomalyProfile {
    /// The profile that a rule asks for, in the local time that it names.
    init(_ test: AnomalyTest) {
        self = test.isSensitive ? .sensitive : .paging
        offsetMilliseconds = test.offset
    }
}
