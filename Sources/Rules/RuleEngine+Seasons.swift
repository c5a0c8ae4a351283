import Detection
import Fleet

// Seasons of single devices, of working days and days of rest.
extension RuleEngine {
    /// Whether the last mean of a device lies far from what is usual at this hour.
    mutating func workday(
        _ leaf: CompiledLeaf, _ device: Int, _ value: Float, _ now: Int64, _ isFiring: Bool,
        learns: Bool
    ) -> Truth {
        let ask = DeviceSeasons.Ask(every: leaf.seasonal.every, floor: leaf.seasonal.floor)
        let z = deviceSeasons.feed(
            value, leaf: Int(leaf.season), device: device, at: now, learns: learns, ask,
            program.calendar(of: leaf) ?? .universal)
        return z.map { leaf.seasonal.truth($0, isFiring: isFiring) } ?? .unknown
    }

    /// What the season of a leaf last said of a subject.
    func reading(
        _ leaf: CompiledLeaf, _ group: CohortKind?, _ subject: Int
    ) -> SeasonReading? {
        group == nil && leaf.seasonal.season == .workday
            ? deviceSeasons.reading(leaf: Int(leaf.season), device: subject)
            : seasons[leaf: leaf.season, subject]?.reading
    }

    /// Takes over the seasons of devices of an engine whose rules were `kept`, by old place.
    mutating func takeSeasons(of old: inout RuleEngine, kept: [Int: Int]) {
        var leaves: [(from: Int, to: Int)] = []
        for (from, to) in kept.sorted(by: { $0.key < $1.key }) {
            let before = old.program.places(ofSeasonsIn: old.program.rules[from].root)
            let after = program.places(ofSeasonsIn: program.rules[to].root)
            for pair in zip(before, after) { leaves.append(pair) }
        }
        swap(&deviceSeasons, &old.deviceSeasons)
        deviceSeasons.keep(leaves)
    }
}

extension Program {
    fileprivate func places(ofSeasonsIn root: Int) -> [Int] {
        seasons.indices.filter { seasons[$0].root == root }
    }
}

extension SeasonalTest {
    func truth(_ z: Float, isFiring: Bool) -> Truth {
        let limit = isFiring ? self.z * 0.8 : self.z
        switch direction {
        case .up: return Truth(z > limit)
        case .down: return Truth(z < -limit)
        case .both: return Truth(abs(z) > limit)
        }
    }
}
