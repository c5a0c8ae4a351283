import Detection
import Fleet

// Labels beside those of peers.
extension RuleEngine {
    /// Compares labels once a minute, where some rule asks.
    mutating func lookAtLabels(
        _ now: Int64, _ detection: borrowing Detection, _ directory: Directory
    ) {
        guard !program.comparisons.isEmpty,
            labelModes.lookedAt == .min || now / 60_000 != labelModes.lookedAt / 60_000
        else { return }
        guard labelModes.isNew(at: now, detection) else { return }
        labelModes.look(program.comparisons, at: now, detection, directory)
        for (slot, comparison) in program.comparisons.enumerated() {
            for device in 0..<min(deviceCount, directory.count) {
                switch labelModes.verdict(slot, device) {
                case .differs, .differsStill: setMark(comparison.mark, device)
                case .same, .unknown: clearMark(comparison.mark, device)
                }
            }
        }
    }

    func mismatch(_ leaf: CompiledLeaf, _ device: Int, _ isFiring: Bool) -> Truth {
        switch labelModes.verdict(Int(leaf.comparison), device) {
        case .unknown: .unknown
        case .same: .no
        case .differsStill: isFiring ? .yes : .unknown
        case .differs: .yes
        }
    }

    /// The label that differs, and what the peers carry instead.
    func difference(
        _ leaf: CompiledLeaf, _ device: Int, _ detection: borrowing Detection
    ) -> Finding.Evidence? {
        let key = program.comparisons[Int(leaf.comparison)].key
        guard let found = labelModes.difference(Int(leaf.comparison), device) else { return nil }
        // A group whose last member left may have given its place to another since.
        let isThere = found.cohort < detection.cohorts.count(found.kind)
        let name = isThere ? detection.cohorts.name(found.kind, found.cohort) : ""
        return Finding.Evidence(
            name: "\(key.name) \(found.own)", value: Double(found.carriers) / Double(found.peers),
            unit: Finding.Evidence.labelUnit,
            against: "\(found.mode) on \(found.carriers) of \(found.peers) in \(found.kind) \(name)"
        )
    }
}
