/// What is usual for one series at this hour of the week.
///
/// Each visit to a bin is averaged and then folded into the bin, so that a busy producer counts no
/// more than a slow one. Between the middles of two bins the baseline is a straight line: steps at
/// the edges would cost more than half of what the profile gives (reference, detection 2.5). A bin
/// speaks after two visits. Times are UTC; a site that lives by local time adds its offset.
package struct SeasonalProfile: Equatable, Sendable, Codable {
    package struct Settings: Equatable, Sendable, Codable {
        /// Wider than an hour costs quality.
        package var binMilliseconds: Int64 = 3_600_000
        /// 168 is the hours of a week, 24 those of a day.
        package var bins: Int = 168
        /// Bins after which the hours begin anew, as those of a day; 0 for all of them.
        ///
        /// Neighbours are of one ring.
        package var ring: Int = 0
        /// The share of a new visit, once there were three.
        package var weight: Float = 0.3
        /// The deviation below which nothing counts as unusual, in the metric's unit.
        package var floor: Float = 0

        package init() {}

        /// The visit clip, in deviations: one bad week moves a bin by less than two deviations,
        /// and a lasting change is learnt in a few.
        static let clip: Float = 6

        func slot(_ milliseconds: Int64) -> Int64 {
            let width = max(binMilliseconds, 1)
            let whole = milliseconds / width
            return milliseconds % width < 0 ? whole - 1 : whole
        }

        func bin(_ slot: Int64) -> Int {
            let count = Int64(max(bins, 1))
            let rest = slot % count
            return Int(rest < 0 ? rest + count : rest)
        }

        /// The bin that shares this moment, and how much of the moment is its.
        func neighbour(_ milliseconds: Int64, of slot: Int64) -> (bin: Int, share: Float) {
            let width = max(binMilliseconds, 1)
            let into = milliseconds &- slot &* width
            let offset = Float(into) / Float(width) - 0.5
            guard ring > 0, ring < bins else {
                return (bin(offset < 0 ? slot &- 1 : slot &+ 1), abs(offset))
            }
            let own = bin(slot)
            let first = own / ring * ring
            return (first + (own - first + (offset < 0 ? ring - 1 : 1)) % ring, abs(offset))
        }
    }

    package struct Baseline: Equatable, Sendable {
        package var mean: Float
        package var variance: Float
    }

    private struct Bin: Equatable, Sendable, Codable {
        var mean: Float = 0
        var variance: Float = 0
        /// Up to 3: after that they all weigh alike.
        var visits: UInt8 = 0
    }

    package let settings: Settings
    private var bins: [Bin]
    private var slot: Int64 = .min
    private var visit = Visit()

    package init(_ settings: Settings) {
        self.settings = settings
        bins = [Bin](repeating: Bin(), count: max(settings.bins, 1))
    }

    /// What is usual at this moment; nil until its bin was visited twice.
    package func baseline(at milliseconds: Int64) -> Baseline? {
        let slot = settings.slot(milliseconds)
        let own = bins[settings.bin(slot)]
        guard own.visits >= 2 else { return nil }
        let (bin, share) = settings.neighbour(milliseconds, of: slot)
        guard bins[bin].visits >= 2 else {
            return Baseline(mean: own.mean, variance: own.variance)
        }
        return Baseline(
            mean: own.mean + share * (bins[bin].mean - own.mean),
            variance: own.variance + share * (bins[bin].variance - own.variance))
    }

    /// How many deviations `value` lies above what is usual at this moment; nil until known.
    package func score(_ value: Float, at milliseconds: Int64) -> Float? {
        guard value.isFinite, let usual = baseline(at: milliseconds) else { return nil }
        let floor = settings.floor
        let deviation = (usual.variance + (floor * floor + LaneParameters.varianceMin)).squareRoot()
        return (value - usual.mean) / deviation
    }

    /// Scores one value, then learns from it.
    ///
    /// What comes after its bin was left, or is not finite, is not learnt from.
    package mutating func update(_ value: Float, at milliseconds: Int64) -> Float? {
        let slot = settings.slot(milliseconds)
        // More than a bin back, the clock was set back, and the visit is another one.
        let late = slot < self.slot && slot >= self.slot - 1
        if slot != self.slot && !late {
            fold()
            self.slot = slot
        }
        let score = score(value, at: milliseconds)
        guard abs(value) <= LaneParameters.valueMax, !late else { return score }
        visit.add(value, usual: baseline(at: milliseconds)?.mean)
        return score
    }

    /// Closes the visit that is under way, as the first value of the next bin does.
    package mutating func fold() {
        guard visit.count > 0 else { return }
        let index = settings.bin(slot)
        let old = bins[index]
        let floor = settings.floor
        let limit =
            Settings.clip
            * (old.variance + (floor * floor + LaneParameters.varianceMin)).squareRoot()
        let within = visit.squares / visit.count
        let away = visit.mean - old.mean
        switch old.visits {
        case 0:
            bins[index] = Bin(mean: visit.mean, variance: 0, visits: 1)
        case 1:
            bins[index] = Bin(
                mean: old.mean + 0.5 * away, variance: within + away * away, visits: 2)
        default:
            let step = min(max(away, -limit), limit)
            let spread = min(within, limit * limit)
            bins[index] = Bin(
                mean: old.mean + settings.weight * step,
                variance: old.variance + settings.weight * (spread - old.variance), visits: 3)
        }
        visit = Visit()
    }

    /// One stay in one bin.
    private struct Visit: Equatable, Sendable, Codable {
        var count: Float = 0
        var mean: Float = 0
        /// Of the distances from what was usual, where that was known; else from the mean so far.
        var squares: Float = 0

        mutating func add(_ value: Float, usual: Float?) {
            count += 1
            let before = value - mean
            mean += before / count
            let residual = usual.map { (value - $0) * (value - $0) }
            squares += residual ?? before * (value - mean)
        }
    }
}
