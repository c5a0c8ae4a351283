/// Which states of a pair of values a series has been in, as a bitmap of 64 by 64 cells: 512 B.
///
/// How new a state is, is its distance to the nearest one visited. A visited cell costs one test of
/// a bit, a new one a walk over at most 64 words.
struct AnomalyGrid: Sendable {
    static let side = 64

    /// Bit q of row p: the cell (p, q) was visited.
    private var rows = InlineArray<64, UInt64>(repeating: 0)

    @inline(__always)
    mutating func hasVisited(_ row: Int, _ column: Int) -> Bool {
        (rows[row & 63] >> UInt64(column & 63)) & 1 != 0
    }

    @inline(__always)
    mutating func visit(_ row: Int, _ column: Int) {
        rows[row & 63] |= 1 << UInt64(column & 63)
    }

    /// Cells to the nearest visited one, a diagonal step counting as one; 64 if there is none.
    mutating func distance(_ row: Int, _ column: Int) -> Int {
        nearest(to: row, of: AnomalyGrid.side) { reach(rows[$0], column) }
    }

    @inline(__always)
    private func reach(_ bits: UInt64, _ column: Int) -> Int {
        min(
            (bits >> UInt64(column)).trailingZeroBitCount,
            (bits << UInt64(63 - column)).leadingZeroBitCount)
    }

    /// Spreads what was visited over the finer cells of narrower axes.
    mutating func zoom(
        from old: (first: AnomalyAxis, second: AnomalyAxis),
        to new: (first: AnomalyAxis, second: AnomalyAxis)
    ) {
        let side = AnomalyGrid.side
        var columns = InlineArray<64, UInt8>(repeating: 0)
        for column in 0..<side {
            columns[column] = UInt8(old.second.cell(new.second.middle(column, of: side), of: side))
        }
        var finer = InlineArray<64, UInt64>(repeating: 0)
        for row in 0..<side {
            let source = rows[old.first.cell(new.first.middle(row, of: side), of: side)]
            guard source != 0 else { continue }
            for column in 0..<side where (source >> UInt64(columns[column])) & 1 != 0 {
                finer[row] |= 1 << UInt64(column)
            }
        }
        rows = finer
    }

    /// Moves what was visited to where it lies on wider axes.
    mutating func move(
        from old: (first: AnomalyAxis, second: AnomalyAxis),
        to new: (first: AnomalyAxis, second: AnomalyAxis)
    ) {
        let side = AnomalyGrid.side
        var columns = InlineArray<64, UInt8>(repeating: 0)
        for column in 0..<side {
            columns[column] = UInt8(new.second.cell(old.second.middle(column, of: side), of: side))
        }
        var moved = InlineArray<64, UInt64>(repeating: 0)
        for row in 0..<side where rows[row] != 0 {
            let target = new.first.cell(old.first.middle(row, of: side), of: side)
            var bits = rows[row]
            while bits != 0 {
                moved[target] |= 1 << UInt64(columns[bits.trailingZeroBitCount])
                bits &= bits - 1
            }
        }
        rows = moved
    }
}

/// Cells from `row` to the nearest visited one, where `reach` says how far that is within a row.
@inline(__always)
private func nearest(to row: Int, of side: Int, _ reach: (Int) -> Int) -> Int {
    var best = side
    var step = 0
    while step < best {
        if row >= step { best = min(best, max(step, reach(row - step))) }
        if row + step < side { best = min(best, max(step, reach(row + step))) }
        step += 1
    }
    return best
}

/// The same for a value and the time of day, which wraps at midnight: 32 by 32 cells, 128 B.
struct AnomalyDayGrid: Sendable {
    static let side = 32

    private var rows = InlineArray<32, UInt32>(repeating: 0)

    @inline(__always)
    mutating func hasVisited(_ row: Int, _ column: Int) -> Bool {
        (rows[row & 31] >> UInt32(column & 31)) & 1 != 0
    }

    @inline(__always)
    mutating func visit(_ row: Int, _ column: Int) {
        rows[row & 31] |= 1 << UInt32(column & 31)
    }

    mutating func distance(_ row: Int, _ column: Int) -> Int {
        nearest(to: row, of: AnomalyDayGrid.side) { reach(rows[$0], column) }
    }

    /// Around the clock: bit 0 of the turned row is the column itself.
    @inline(__always)
    private func reach(_ bits: UInt32, _ column: Int) -> Int {
        let turned = (bits >> UInt32(column)) | (bits << UInt32((32 - column) & 31))
        return min(turned.trailingZeroBitCount, turned.leadingZeroBitCount + 1)
    }

    mutating func zoom(from old: AnomalyAxis, to new: AnomalyAxis) {
        let side = AnomalyDayGrid.side
        var finer = InlineArray<32, UInt32>(repeating: 0)
        for row in 0..<side {
            finer[row] = rows[old.cell(new.middle(row, of: side), of: side)]
        }
        rows = finer
    }

    mutating func move(from old: AnomalyAxis, to new: AnomalyAxis) {
        let side = AnomalyDayGrid.side
        var moved = InlineArray<32, UInt32>(repeating: 0)
        for row in 0..<side where rows[row] != 0 {
            moved[new.cell(old.middle(row, of: side), of: side)] |= rows[row]
        }
        rows = moved
    }
}

/// The range that one axis of a grid spans; empty until there is a value.
struct AnomalyAxis: Sendable {
    var low = Double.infinity
    var high = -Double.infinity

    var isEmpty: Bool { low > high }
    var range: Double { high - low + AnomalyRecords.rangeMin }

    func spans(_ value: Double) -> Bool { value >= low && value <= high }

    /// How far outside, as a share of the range.
    func distance(to value: Double) -> Double {
        max(value - high, low - value, 0) / range
    }

    func cell(_ value: Double, of side: Int) -> Int {
        Int(min(max((value - low) / range * Double(side), 0), Double(side - 1)))
    }

    func middle(_ cell: Int, of side: Int) -> Double {
        low + (Double(cell) + 0.5) * range / Double(side)
    }

    /// Widened to take in a value, and 5 % more, so that a slow climb rarely moves the cells.
    func taking(_ value: Double) -> AnomalyAxis {
        guard !isEmpty else { return AnomalyAxis(low: value, high: value) }
        var wider = self
        let slack = 0.05 * range
        if value < low { wider.low = min(value, low - slack) }
        if value > high { wider.high = max(value, high + slack) }
        return wider
    }

    /// The range that is needed, with 5 % on each side, if this one is four times as wide.
    func tightened(to needed: AnomalyAxis) -> AnomalyAxis {
        guard range > 4 * needed.range else { return self }
        let slack = 0.05 * needed.range
        return AnomalyAxis(low: needed.low - slack, high: needed.high + slack)
    }
}
