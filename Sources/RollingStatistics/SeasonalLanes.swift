/// Seasonal profiles of many series, in 4 B an hour.
///
/// The same arithmetic as `SeasonalProfile`, kept in half precision: not in the unit of the metric,
/// in which a mean of 650 with a deviation of 5 would stop to learn, but as the distance from a centre
/// of the series' own, in a scale of its own. Sixteen series make a block, and share the hour that
/// they are in. Memory is bin-major, so that the hour that is now lies side by side; it comes in
/// segments, of a file where one is given. With 48 bins a series takes 192 B there and 20.5 B beside.
package struct SeasonalLanes: ~Copyable {
    package let settings: SeasonalProfile.Settings
    package let blocksMax: Int
    /// Blocks that are in use.
    package private(set) var count = 0

    private let file: Int32?
    private var segments: SegmentList
    /// By block.
    private var visits: [Visit] = []
    private var frames: [Frame] = []
    private var slots: [Int64] = []
    private var folds: [UInt32] = []
    private var floors: [Float] = []
    private var free: [Int32] = []

    private struct Visit {
        var count = SIMD16<Float>()
        var mean = SIMD16<Float>()
        /// Of the distances from what was usual, where that was known; else from the mean so far.
        var squares = SIMD16<Float>()
    }

    /// What zero and one mean for each of sixteen series; a scale of 0 where nothing is known.
    private struct Frame {
        var centre = SIMD16<Float>()
        var scale = SIMD16<Float>()
    }

    private struct Bin {
        var mean: Float
        /// nil after one visit.
        var variance: Float?
    }

    /// 4,096 series, and 768 KiB of 48 bins: little for a small fleet, and 256 of them a million.
    package static let blocksPerSegment = 256
    private static let lanes = 16
    /// After a day and a week of visits the range of a series is known better than after the first.
    private static let reframedAfter: [UInt32] = [24, 168]

    /// - Parameters:
    ///   - settings: `floor` is not used.
    ///   - blocksMax: the bound on memory.
    ///   - file: an open descriptor; nil for memory of the process.
    package init(_ settings: SeasonalProfile.Settings, blocksMax: Int, file: Int32? = nil) {
        self.settings = settings
        self.blocksMax = max(blocksMax, 0)
        self.file = file
        segments = SegmentList()
    }

    /// Bytes that the profiles take, on disk or in memory.
    package var bytes: Int {
        segments.count * segmentBytes + slots.count * (3 * 64 + 2 * 64 + 8 + 4 + 4)
    }

    private var segmentBytes: Int {
        max(settings.bins, 1) * SeasonalLanes.blocksPerSegment * SeasonalLanes.lanes * 4
    }

    /// A block that knows nothing yet.
    ///
    /// - Parameter floor: the deviation below which nothing counts as unusual, of all its series.
    /// - Returns: nil where there is no room for another.
    package mutating func take(floor: Float) -> Int? {
        if let block = free.popLast() {
            floors[Int(block)] = floor
            count += 1
            return Int(block)
        }
        guard slots.count < blocksMax else { return nil }
        if slots.count == segments.count * SeasonalLanes.blocksPerSegment {
            guard segments.grow(bytes: segmentBytes, file: file) else { return nil }
        }
        visits.append(Visit())
        frames.append(Frame())
        slots.append(.min)
        folds.append(0)
        floors.append(floor)
        count += 1
        return slots.count - 1
    }

    /// Gives a block back, and forgets all that it knew.
    package mutating func release(_ block: Int) {
        for bin in 0..<max(settings.bins, 1) {
            for lane in 0..<SeasonalLanes.lanes {
                self[block, lane, bin, 0] = 0
                self[block, lane, bin, 1] = 0
            }
        }
        visits[block] = Visit()
        frames[block] = Frame()
        slots[block] = .min
        folds[block] = 0
        free.append(Int32(truncatingIfNeeded: block))
        count -= 1
    }

    /// What is usual for a series at this moment; nil until its bin was visited twice.
    package func baseline(
        _ block: Int, _ lane: Int, at milliseconds: Int64
    ) -> SeasonalProfile.Baseline? {
        let slot = settings.slot(milliseconds)
        guard let own = read(block, lane, settings.bin(slot)), let variance = own.variance else {
            return nil
        }
        let (bin, share) = settings.neighbour(milliseconds, of: slot)
        guard let other = read(block, lane, bin), let otherVariance = other.variance else {
            return SeasonalProfile.Baseline(mean: own.mean, variance: variance)
        }
        return SeasonalProfile.Baseline(
            mean: own.mean + share * (other.mean - own.mean),
            variance: variance + share * (otherVariance - variance))
    }

    /// How many deviations `value` lies above what is usual at this moment; nil until known.
    package func score(
        _ value: Float, _ block: Int, _ lane: Int, at milliseconds: Int64
    ) -> Float? {
        guard value.isFinite, let usual = baseline(block, lane, at: milliseconds) else {
            return nil
        }
        return (value - usual.mean) / (usual.variance + leastVariance(block)).squareRoot()
    }

    /// Learns one value of a series.
    ///
    /// The first value of the next hour closes the visit of all sixteen. What comes after its hour
    /// was left, or is not finite, is not learnt from.
    package mutating func learn(
        _ value: Float, _ block: Int, _ lane: Int, at milliseconds: Int64
    ) {
        let slot = settings.slot(milliseconds)
        let late = slot < slots[block] && slot >= slots[block] - 1
        if slot != slots[block] && !late {
            fold(block)
            slots[block] = slot
        }
        guard abs(value) <= LaneParameters.valueMax, !late else { return }
        let usual = baseline(block, lane, at: milliseconds)?.mean
        visits[block].count[lane] += 1
        let before = value - visits[block].mean[lane]
        visits[block].mean[lane] += before / visits[block].count[lane]
        let residual = usual.map { (value - $0) * (value - $0) }
        visits[block].squares[lane] += residual ?? before * (value - visits[block].mean[lane])
    }

    private func leastVariance(_ block: Int) -> Float {
        floors[block] * floors[block] + LaneParameters.varianceMin
    }

    /// Closes the visit that the series of a block are on.
    private mutating func fold(_ block: Int) {
        let visit = visits[block]
        var isVisited = false
        for lane in 0..<SeasonalLanes.lanes where visit.count[lane] > 0 {
            isVisited = true
            fold(
                block, lane, mean: visit.mean[lane],
                within: visit.squares[lane] / visit.count[lane])
        }
        guard isVisited else { return }
        visits[block] = Visit()
        if folds[block] < .max { folds[block] += 1 }
        guard SeasonalLanes.reframedAfter.contains(folds[block]) else { return }
        for lane in 0..<SeasonalLanes.lanes where frames[block].scale[lane] > 0 {
            reframe(block, lane, with: nil)
        }
    }

    /// As `SeasonalProfile` does it.
    private mutating func fold(_ block: Int, _ lane: Int, mean: Float, within: Float) {
        let bin = settings.bin(slots[block])
        if frames[block].scale[lane] == 0 {
            frames[block].centre[lane] = mean
            frames[block].scale[lane] = SeasonalLanes.scale(
                of: within.squareRoot(), mean, floors[block])
        }
        guard let old = read(block, lane, bin) else {
            return write(Bin(mean: mean, variance: nil), block, lane, bin)
        }
        let away = mean - old.mean
        guard let variance = old.variance else {
            let first = Bin(mean: old.mean + 0.5 * away, variance: within + away * away)
            return write(first, block, lane, bin)
        }
        let limit =
            SeasonalProfile.Settings.clip * (variance + leastVariance(block)).squareRoot()
        let step = min(max(away, -limit), limit)
        let spread = min(within, limit * limit)
        let next = Bin(
            mean: old.mean + settings.weight * step,
            variance: variance + settings.weight * (spread - variance))
        write(next, block, lane, bin)
    }

    /// A scale in which what is near `mean` and its deviations have room to both sides.
    private static func scale(of deviation: Float, _ mean: Float, _ floor: Float) -> Float {
        let least = max(deviation, floor, abs(mean) * 0x1p-12)
        return least.isFinite ? max(least, 1e-20) : 1e20
    }
}

// The numbers in the slabs.
extension SeasonalLanes {
    /// Of the deviation: it has no sign, and no bits mean that there was no visit.
    private static let onlyOnce: UInt16 = 0x8000

    /// Place 0 is the mean, place 1 the deviation.
    private subscript(block: Int, lane: Int, bin: Int, place: Int) -> UInt16 {
        get { segments[block / SeasonalLanes.blocksPerSegment, word(block, lane, bin, place)] }
        set {
            segments[block / SeasonalLanes.blocksPerSegment, word(block, lane, bin, place)] =
                newValue
        }
    }

    private func word(_ block: Int, _ lane: Int, _ bin: Int, _ place: Int) -> Int {
        let inSegment = block % SeasonalLanes.blocksPerSegment
        let slab = bin * SeasonalLanes.blocksPerSegment + inSegment
        return (slab * 2 + place) * SeasonalLanes.lanes + lane
    }

    private func read(_ block: Int, _ lane: Int, _ bin: Int) -> Bin? {
        let deviation = self[block, lane, bin, 1]
        guard deviation != 0 else { return nil }
        let (centre, scale) = (frames[block].centre[lane], frames[block].scale[lane])
        let mean = centre + HalfFloat.float(self[block, lane, bin, 0]) * scale
        guard deviation != SeasonalLanes.onlyOnce else { return Bin(mean: mean, variance: nil) }
        let root = HalfFloat.float(deviation) * scale
        return Bin(mean: mean, variance: root * root)
    }

    private mutating func write(_ found: Bin, _ block: Int, _ lane: Int, _ bin: Int) {
        let deviation = found.variance.map { max($0, 0).squareRoot() } ?? 0
        let (centre, scale) = (frames[block].centre[lane], frames[block].scale[lane])
        let most = max(abs(found.mean - centre), deviation) / scale
        if most > HalfFloat.greatest / 2 { reframe(block, lane, with: found) }
        put(found, block, lane, bin)
    }

    private mutating func put(_ found: Bin, _ block: Int, _ lane: Int, _ bin: Int) {
        let (centre, scale) = (frames[block].centre[lane], frames[block].scale[lane])
        self[block, lane, bin, 0] = HalfFloat.bits((found.mean - centre) / scale)
        self[block, lane, bin, 1] =
            found.variance.map { max(HalfFloat.bits($0.squareRoot() / scale) & 0x7FFF, 1) }
            ?? SeasonalLanes.onlyOnce
    }

    /// Chooses centre and scale anew by all that is known of a series, and what comes to it now.
    private mutating func reframe(_ block: Int, _ lane: Int, with new: Bin?) {
        let bins = (0..<max(settings.bins, 1)).map { read(block, lane, $0) }
        let all = bins.compactMap(\.self) + (new.map { [$0] } ?? [])
        guard let first = all.first else { return }
        var (low, high) = (first.mean, first.mean)
        var deviation: Float = 0
        for bin in all {
            low = min(low, bin.mean)
            high = max(high, bin.mean)
            deviation = max(deviation, (bin.variance ?? 0).squareRoot())
        }
        let centre = low / 2 + high / 2
        frames[block].centre[lane] = centre
        // A 256th of the range leaves half precision room for what is 200 times as far.
        frames[block].scale[lane] = SeasonalLanes.scale(
            of: max(high / 256 - low / 256, deviation / 256), centre, floors[block])
        for (bin, found) in bins.enumerated() {
            if let found { put(found, block, lane, bin) }
        }
    }
}

/// Segments of cold pages, one after the other.
private struct SegmentList: ~Copyable {
    private final class Segment {
        var pages: ColdPages

        init?(bytes: Int, file: Int32?) {
            guard let pages = ColdPages(bytes: bytes, file: file) else { return nil }
            self.pages = pages
        }
    }

    private var segments: [Segment] = []

    var count: Int { segments.count }

    mutating func grow(bytes: Int, file: Int32?) -> Bool {
        guard let segment = Segment(bytes: bytes, file: file) else { return false }
        segments.append(segment)
        return true
    }

    subscript(segment: Int, word: Int) -> UInt16 {
        get { segments[segment].pages[word] }
        set { segments[segment].pages[word] = newValue }
    }
}
