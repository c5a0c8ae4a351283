import Detection

/// The seasons of all leaves that ask for one, made at the first value.
///
/// A profile takes weeks to learn, so a service that scales to nothing at night finds its own
/// again: what is forgotten is parked by name, until room is needed.
struct SeasonTable {
    struct Key: Hashable {
        let season: Int32
        let subject: Int32
    }

    private struct Parked {
        let name: String
        let group: Int
        let season: Int32
        let profile: Season
    }

    /// 64 MiB, at 2 KB each.
    ///
    /// All services and jobs of a site fit; the devices of a large fleet do not, and the later ones
    /// stay unknown.
    static let entriesMax = 32_768

    private var seasons: [Key: Season] = [:]
    private var parked: [Parked] = []
    /// Series that have no season because the table is full.
    private(set) var refused: UInt64 = 0

    var bytes: Int { (seasons.count + parked.count) * 2_200 }

    subscript(leaf season: Int32, subject: Int) -> Season? {
        seasons[Key(season: season, subject: Int32(truncatingIfNeeded: subject))]
    }

    /// Feeds the season of a subject; `name` is asked once, when there is none.
    ///
    /// - Returns: how far its last mean lay from what is usual; nil where that is not known.
    mutating func feed(
        _ test: SeasonalTest, _ season: Int32, _ subject: Int, _ value: Float, at time: Int64,
        learns: Bool, group: Int, name: () -> String
    ) -> Float? {
        let key = Key(season: season, subject: Int32(truncatingIfNeeded: subject))
        if seasons[key] == nil {
            guard let found = unpark(season, group, name) ?? make(test) else {
                refused &+= 1
                return nil
            }
            seasons[key] = found
        }
        seasons[key]?.feed(value, at: time, learns: learns)
        return seasons[key]?.z
    }

    private mutating func make(_ test: SeasonalTest) -> Season? {
        if seasons.count + parked.count >= SeasonTable.entriesMax {
            let oldest = parked.indices.min {
                parked[$0].profile.fedAt < parked[$1].profile.fedAt
            }
            guard let oldest else { return nil }
            parked.remove(at: oldest)
        }
        return Season(every: test.every, daily: test.isDaily, floor: test.floor)
    }

    private mutating func unpark(_ season: Int32, _ group: Int, _ name: () -> String) -> Season? {
        guard !parked.isEmpty else { return nil }
        let name = name()
        let found = parked.firstIndex {
            $0.season == season && $0.group == group && $0.name == name
        }
        return found.map { parked.remove(at: $0).profile }
    }

    /// The group gives its index back; its seasons wait for its return.
    mutating func park(_ subject: Int, leaves: [Int32], group: Int, name: String) {
        for season in leaves {
            let key = Key(season: season, subject: Int32(truncatingIfNeeded: subject))
            guard let profile = seasons.removeValue(forKey: key) else { continue }
            parked.append(Parked(name: name, group: group, season: season, profile: profile))
        }
    }

    /// Takes over the seasons of a leaf whose definition did not change.
    mutating func copy(from old: borrowing SeasonTable, leaf: Int32, to season: Int32) {
        for (key, profile) in old.seasons where key.season == leaf {
            seasons[Key(season: season, subject: key.subject)] = profile
        }
        for item in old.parked where item.season == leaf {
            parked.append(
                Parked(name: item.name, group: item.group, season: season, profile: item.profile))
        }
    }
}
