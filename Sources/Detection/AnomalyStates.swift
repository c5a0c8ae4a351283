import CLanes

/// The five grids of a series, with their eight axes side by side.
///
/// Three pair the value with its past: six samples ago, its mean of 12, its mean of 48. Two pair
/// the value and its mean of 6 with the time of day.
struct AnomalyStates: Sendable {
    private var low = SIMD8<Double>(repeating: .infinity)
    private var high = SIMD8<Double>(repeating: -.infinity)
    private var lag = AnomalyGrid()
    private var short = AnomalyGrid()
    private var long = AnomalyGrid()
    private var day = AnomalyDayGrid()
    private var dayMean = AnomalyDayGrid()

    static let count = 5
    @inline(__always)
    private static var sides: SIMD8<Double> { SIMD8(64, 64, 64, 64, 64, 64, 32, 32) }
    /// Samples before each grid begins, so that its means mean something.
    private static var from: (lag: Int, short: Int, long: Int, day: Int, dayMean: Int) {
        (6, 12, 24, 2, 6)
    }
    /// So that no single leap is worth more than 4 to the sum.
    private static var noveltyMax: Double { 10 }

    /// Where a sample lies.
    struct Place {
        var cells = SIMD8<Int32>()
        /// Grids of which the axes must grow, bit i.
        var beyond: UInt8 = 0
        /// Grids in which the cell is new, bit i.
        var fresh: UInt8 = 0
    }

    /// Finds the cells, and adds what is new to the evidence.
    ///
    /// The eight values are, in pairs: value and lag, value and mean of 12, value and mean of 48,
    /// then value and mean of 6, which go with the time of day. Mutating because a grid that is not
    /// would be copied to be looked at.
    @inline(__always)
    mutating func place(
        _ values: SIMD8<Double>, slot: Int, samples: Int, _ novelty: inout SIMD16<Float>
    ) -> Place {
        var place = Place()
        guard samples >= 24, !lanes_leave(values, low, high) else {
            return placeSlowly(values, slot, samples, &novelty)
        }
        let range = high - low + AnomalyRecords.rangeMin
        let share = (values - low) / range * AnomalyStates.sides
        let most = AnomalyStates.sides - 1
        place.cells = lanes_truncate(lanes_smaller(lanes_larger(share, .zero), most))
        mark(&place, slot)
        if place.fresh != 0 { weigh(place, slot, &novelty) }
        return place
    }

    @inline(__always)
    private mutating func mark(_ place: inout Place, _ slot: Int) {
        let cells = place.cells
        var fresh: UInt8 = 0
        if !lag.hasVisited(Int(cells[0]), Int(cells[1])) { fresh |= 1 }
        if !short.hasVisited(Int(cells[2]), Int(cells[3])) { fresh |= 2 }
        if !long.hasVisited(Int(cells[4]), Int(cells[5])) { fresh |= 4 }
        if !day.hasVisited(Int(cells[6]), slot) { fresh |= 8 }
        if !dayMean.hasVisited(Int(cells[7]), slot) { fresh |= 16 }
        place.fresh = fresh & ~place.beyond
    }

    private mutating func weigh(_ place: Place, _ slot: Int, _ novelty: inout SIMD16<Float>) {
        let cells = place.cells
        for grid in 0..<AnomalyStates.count where place.fresh & (1 << UInt8(grid)) != 0 {
            let distance: Float
            switch grid {
            case 0: distance = Float(lag.distance(Int(cells[0]), Int(cells[1]))) / 64
            case 1: distance = Float(short.distance(Int(cells[2]), Int(cells[3]))) / 64
            case 2: distance = Float(long.distance(Int(cells[4]), Int(cells[5]))) / 64
            case 3: distance = Float(day.distance(Int(cells[6]), slot)) / 32
            default: distance = Float(dayMean.distance(Int(cells[7]), slot)) / 32
            }
            novelty[6 + grid] = distance * AnomalyScore.perRange
        }
    }

    /// The lanes of a grid's axes; both the same where the other axis is the time of day.
    private static func lanes(_ grid: Int) -> (first: Int, second: Int) {
        switch grid {
        case 3: (6, 6)
        case 4: (7, 7)
        default: (2 * grid, 2 * grid + 1)
        }
    }

    private static func begins(_ grid: Int) -> Int {
        switch grid {
        case 0: from.lag
        case 1: from.short
        case 2: from.long
        case 3: from.day
        default: from.dayMean
        }
    }

    func axis(_ lane: Int) -> AnomalyAxis { AnomalyAxis(low: low[lane], high: high[lane]) }

    /// For the first samples, and where an axis must grow.
    private mutating func placeSlowly(
        _ values: SIMD8<Double>, _ slot: Int, _ samples: Int, _ novelty: inout SIMD16<Float>
    ) -> Place {
        var place = Place()
        for grid in 0..<AnomalyStates.count {
            guard samples >= AnomalyStates.begins(grid) else {
                place.beyond |= 1 << UInt8(grid)
                continue
            }
            let side = grid < 3 ? 64 : 32
            let (one, two) = AnomalyStates.lanes(grid)
            let (first, second) = (axis(one), axis(two))
            guard !first.isEmpty else {
                place.beyond |= 1 << UInt8(grid)
                novelty[6 + grid] = AnomalyScore.perRange
                continue
            }
            guard first.spans(values[one]), second.spans(values[two]) else {
                place.beyond |= 1 << UInt8(grid)
                let away = max(first.distance(to: values[one]), second.distance(to: values[two]))
                let all = min(away + 1 / Double(side), AnomalyStates.noveltyMax)
                novelty[6 + grid] = Float(all) * AnomalyScore.perRange
                continue
            }
            place.cells[one] = Int32(first.cell(values[one], of: side))
            place.cells[two] = Int32(second.cell(values[two], of: side))
        }
        mark(&place, slot)
        if place.fresh != 0 { weigh(place, slot, &novelty) }
        return place
    }

    /// Makes a sample's states known ones; `place` is what was said of it.
    @inline(__always)
    mutating func visit(_ values: SIMD8<Double>, slot: Int, samples: Int, _ place: Place) {
        guard place.fresh | place.beyond != 0 else { return }
        visitSlowly(values, slot, samples, place)
    }

    private mutating func visitSlowly(
        _ values: SIMD8<Double>, _ slot: Int, _ samples: Int, _ place: Place
    ) {
        var cells = place.cells
        for grid in 0..<AnomalyStates.count {
            let bit = UInt8(1) << UInt8(grid)
            guard (place.fresh | place.beyond) & bit != 0, samples >= AnomalyStates.begins(grid)
            else { continue }
            if place.beyond & bit != 0 {
                let side = grid < 3 ? 64 : 32
                let (one, two) = AnomalyStates.lanes(grid)
                grow(grid, values[one], values[two])
                cells[one] = Int32(axis(one).cell(values[one], of: side))
                cells[two] = Int32(axis(two).cell(values[two], of: side))
            }
            switch grid {
            case 0: lag.visit(Int(cells[0]), Int(cells[1]))
            case 1: short.visit(Int(cells[2]), Int(cells[3]))
            case 2: long.visit(Int(cells[4]), Int(cells[5]))
            case 3: day.visit(Int(cells[6]), slot)
            default: dayMean.visit(Int(cells[7]), slot)
            }
        }
    }

    /// Narrows the axes that span four times what the series now does, after a glitch or a move.
    ///
    /// The ranges are those of the records, which shrink: of the value, and of its means of 6, 12
    /// and 48.
    mutating func tighten(
        value: AnomalyAxis, six: AnomalyAxis, twelve: AnomalyAxis, many: AnomalyAxis
    ) {
        for grid in 0..<AnomalyStates.count {
            let (one, two) = AnomalyStates.lanes(grid)
            let old = (first: axis(one), second: axis(two))
            guard !old.first.isEmpty else { continue }
            let seconds = [value, twelve, many]
            let first = grid == 4 ? six : value
            let new = (
                first: old.first.tightened(to: first),
                second: old.second.tightened(to: grid < 3 ? seconds[grid] : first)
            )
            guard new.first.range < old.first.range || new.second.range < old.second.range else {
                continue
            }
            set(grid, new)
            switch grid {
            case 0: lag.zoom(from: old, to: new)
            case 1: short.zoom(from: old, to: new)
            case 2: long.zoom(from: old, to: new)
            case 3: day.zoom(from: old.first, to: new.first)
            default: dayMean.zoom(from: old.first, to: new.first)
            }
        }
    }

    private mutating func set(_ grid: Int, _ axes: (first: AnomalyAxis, second: AnomalyAxis)) {
        let (one, two) = AnomalyStates.lanes(grid)
        (low[one], high[one]) = (axes.first.low, axes.first.high)
        (low[two], high[two]) = (axes.second.low, axes.second.high)
    }

    private mutating func grow(_ grid: Int, _ a: Double, _ b: Double) {
        let (one, two) = AnomalyStates.lanes(grid)
        let old = (first: axis(one), second: axis(two))
        let new = (first: old.first.taking(a), second: old.second.taking(b))
        set(grid, new)
        guard !old.first.isEmpty else { return }
        switch grid {
        case 0: lag.move(from: old, to: new)
        case 1: short.move(from: old, to: new)
        case 2: long.move(from: old, to: new)
        case 3: day.move(from: old.first, to: new.first)
        default: dayMean.move(from: old.first, to: new.first)
        }
    }
}
