package import Fleet
import RollingStatistics

/// What is usual for series of single devices at this hour, of working days and of days of rest.
///
/// The seasons of a whole fleet: 48 bins of 4 B, which may lie in a file, and 60 B beside them. Means
/// are judged and learned as `Season` does.
package struct DeviceSeasons: ~Copyable {
    /// What a rule asks of a season.
    package struct Ask: Sendable {
        package let every: Int64
        package let floor: Float

        package init(every: Int64, floor: Float) {
            self.every = min(max(every, 1_000), 3_600_000)
            self.floor = floor
        }
    }

    private struct Series {
        var open = OpenInterval()
        var isHoliday = false
        var mean = Float.nan
        var gathered = RunningMean()
        var usual = Float.nan
        var z = Float.nan
    }

    private var lanes: SeasonalLanes
    /// By leaf and run of sixteen devices, their block; -1 for none.
    private var blocks: [[Int32]] = []
    /// By block and lane.
    private var series: [Series] = []
    /// Values that found no season because there are too many series with one.
    package private(set) var refused: UInt64 = 0
    /// Until then no room is looked for, milliseconds: on a full disk each look is a system call.
    private var nextLook: Int64 = .min

    /// A million series, 270 MB, of which 200 lie in the file; a quarter without one.
    package static let seriesMax = 1_048_576

    /// - Parameter file: a descriptor that stays open, of an empty file that is nobody else's.
    package init(file: Int32? = nil) {
        var settings = SeasonalProfile.Settings()
        settings.bins = 48
        settings.ring = 24
        let most = file == nil ? DeviceSeasons.seriesMax / 4 : DeviceSeasons.seriesMax
        lanes = SeasonalLanes(settings, blocksMax: most / 16, file: file)
    }

    /// Series that have room, sixteen at a time.
    package var count: Int { lanes.count * 16 }

    package var bytes: Int { lanes.bytes + series.count * MemoryLayout<Series>.stride }

    /// Adds a value; the first one of a new interval closes the one before it.
    ///
    /// An interval with one value that is not to be learned from is scored and not learned.
    ///
    /// - Returns: deviations of the last complete mean above what is usual; nil where it is not
    ///   known.
    package mutating func feed(
        _ value: Float, leaf: Int, device: Int, at milliseconds: Int64, learns: Bool, _ ask: Ask,
        _ calendar: SiteCalendar
    ) -> Float? {
        guard let block = block(leaf, device, at: milliseconds, ask) else {
            refused &+= 1
            return nil
        }
        let place = block * 16 + device % 16
        switch series[place].open.enter(milliseconds, every: ask.every, learns: learns) {
        case .late: break
        case .same, .next(nil): add(value, place)
        case .next(let closed?):
            if let mean = series[place].gathered.take() {
                close(Float(mean), closed, block, device % 16, ask, calendar)
            }
            // After a gap the last mean is one of long ago.
            if !closed.isFollowed {
                (series[place].mean, series[place].usual, series[place].z) = (.nan, .nan, .nan)
            }
            add(value, place)
        }
        return series[place].z.isNaN ? nil : series[place].z
    }

    private mutating func add(_ value: Float, _ place: Int) {
        if value.isFinite { series[place].gathered.add(value) }
    }

    /// The last complete mean of a device, and what was usual then; nil where either is unknown.
    package func reading(leaf: Int, device: Int) -> SeasonReading? {
        guard leaf < blocks.count, device / 16 < blocks[leaf].count, blocks[leaf][device / 16] >= 0
        else { return nil }
        let found = series[Int(blocks[leaf][device / 16]) * 16 + device % 16]
        guard !found.z.isNaN else { return nil }
        return SeasonReading(
            mean: found.mean, usual: found.usual, z: found.z, isHoliday: found.isHoliday)
    }

    private mutating func close(
        _ mean: Float, _ closed: OpenInterval.Closed, _ block: Int, _ lane: Int, _ ask: Ask,
        _ calendar: SiteCalendar
    ) {
        let instant = closed.number &* ask.every &+ ask.every / 2
        let (hour, isHoliday) = calendar.workdays(instant)
        let usual = lanes.baseline(block, lane, at: hour)?.mean
        let z = lanes.score(mean, block, lane, at: hour)
        let place = block * 16 + lane
        series[place].mean = mean
        series[place].usual = usual ?? .nan
        series[place].z = z ?? .nan
        series[place].isHoliday = isHoliday
        guard closed.learns else { return }
        lanes.learn(Season.learned(mean, usual: usual, z: z), block, lane, at: hour)
    }

    private mutating func block(
        _ leaf: Int, _ device: Int, at milliseconds: Int64, _ ask: Ask
    ) -> Int? {
        while blocks.count <= leaf { blocks.append([]) }
        let run = device / 16
        if run < blocks[leaf].count, blocks[leaf][run] >= 0 { return Int(blocks[leaf][run]) }
        guard milliseconds >= nextLook else { return nil }
        guard let block = lanes.take(floor: ask.floor) else {
            nextLook = milliseconds + 60_000
            return nil
        }
        while blocks[leaf].count <= run { blocks[leaf].append(-1) }
        blocks[leaf][run] = Int32(truncatingIfNeeded: block)
        while series.count < (block + 1) * 16 { series.append(Series()) }
        return block
    }

    /// After a change of rules: what leaf `from` learned is that of leaf `to`, and the rest is
    /// forgotten.
    package mutating func keep(_ leaves: [(from: Int, to: Int)]) {
        var next: [[Int32]] = []
        for (from, to) in leaves where from < blocks.count {
            while next.count <= to { next.append([]) }
            next[to] = blocks[from]
            blocks[from] = []
        }
        for block in blocks.joined() where block >= 0 {
            lanes.release(Int(block))
            for lane in 0..<16 { series[Int(block) * 16 + lane] = Series() }
        }
        blocks = next
    }
}
