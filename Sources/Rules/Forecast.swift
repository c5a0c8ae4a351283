import Detection

/// A straight line through the means of a window, and when it reaches a limit, in the numbers of a
/// pool.
///
/// The line of Theil and Sen (Sen 1968): the median of the slopes between any two points, which a
/// quarter of the points may miss by as much as they like.
enum Forecast {
    /// Whether the line through the means so far reaches the limit in time.
    static func truth(
        _ test: ForecastTest, _ pool: inout Pool, _ slice: Pool.Slice, at number: Int
    ) -> Truth {
        // A line is worth its cost when there is a new point to draw it through.
        if pool.numbers[number].isNaN {
            let width = Forecast.slice(of: test)
            guard let inWork = pool.index(of: slice, every: width) else { return .unknown }
            let truth = judge(test, pool, inWork, width, number)
            pool.numbers[number] = Float(truth.rawValue)
        }
        return Truth(rawValue: UInt8(pool.numbers[number])) ?? .unknown
    }

    /// Adds a value to the slice that it falls in, each being `width` milliseconds long.
    ///
    /// - Returns: whether there is a new point.
    @discardableResult
    static func feed(
        _ value: Float, _ now: Int64, every width: Int64, _ pool: inout Pool,
        _ slice: Pool.Slice, at number: Int
    ) -> Bool {
        pool.withSpans { feed(value, now, every: width, slice, at: number, &$0, &$1) }
    }

    static func feed(
        _ value: Float, _ now: Int64, every width: Int64, _ slice: Pool.Slice, at number: Int,
        _ times: inout MutableSpan<Int64>, _ numbers: inout MutableSpan<Float>
    ) -> Bool {
        guard let ended = Pool.gather(value, at: now, every: width, slice, &times, &numbers) else {
            return false
        }
        let slices = Int64(Pool.points - 1)
        if ended.end != .min {
            let last = ended.end / width - 1
            numbers[number + 1 + Int(last % slices)] = ended.mean
            if ended.next != ended.end + width {
                // Slices that were skipped have no mean.
                let passed = (ended.next - ended.end) / width
                for empty in 1..<max(min(passed, slices), 1) {
                    numbers[number + 1 + Int((last + empty) % slices)] = .nan
                }
            }
        }
        numbers[number] = .nan
        return true
    }

    /// How long each slice is, milliseconds.
    static func slice(of test: ForecastTest) -> Int64 {
        max(test.window / Int64(Pool.points - 1), 1)
    }

    /// Whether the line through the last means reaches the limit in time.
    static func judge(
        _ test: ForecastTest, _ pool: borrowing Pool, _ slice: Int64, _ width: Int64,
        _ number: Int
    ) -> Truth {
        guard let points = points(pool, slice, width, number) else { return .unknown }
        // No line explains more than that of least squares, which costs a hundredth of this one.
        guard explainable(points) > test.determinationMin - 0.001 else { return .no }
        guard let line = line(through: points) else { return .no }
        let perMinute = line.slope * 60
        guard abs(perMinute) >= test.slopeMin, line.fit >= test.determinationMin else { return .no }
        let seconds = (test.limit - line.level) / line.slope
        // Beyond the limit already is not a forecast; another rule says so.
        guard seconds >= 0, seconds * 1_000 <= Float(test.within) else { return .no }
        return Truth(!levelsOff(test, pool, slice, number, rises: line.slope > 0))
    }

    /// Whether the course bends away from the limit, as after every start of work.
    ///
    /// Three groups of four means; where the second step is clearly smaller than the first one, the
    /// rest is taken for a geometric series, which ends short of the limit or does not.
    private static func levelsOff(
        _ test: ForecastTest, _ pool: borrowing Pool, _ slice: Int64, _ number: Int, rises: Bool
    ) -> Bool {
        let slices = Int64(Pool.points - 1)
        var means: [Float] = []
        for group in 0..<3 {
            var sum: Float = 0
            var count: Float = 0
            for back in Int64(1 + 4 * group)..<Int64(5 + 4 * group) where slice - back >= 0 {
                let y = pool.numbers[number + 1 + Int((slice - back) % slices)]
                guard !y.isNaN else { continue }
                sum += y
                count += 1
            }
            guard count >= 2 else { return false }
            means.append(rises ? sum / count : -sum / count)
        }
        let (late, early) = (means[0] - means[1], means[1] - means[2])
        guard early > 0, late < 0.7 * early else { return false }
        let share = max(late, 0) / early
        let end = means[0] + max(late, 0) * share / (1 - share)
        return end < (rises ? test.limit : -test.limit)
    }

    /// The line of the leaf of one subject, as it stood when its last slice began.
    static func line(
        _ pool: borrowing Pool, at subject: Int, _ leaf: CompiledLeaf, _ now: Int64
    ) -> (slope: Float, level: Float, fit: Float)? {
        let width = max(leaf.forecast.window / Int64(Pool.points - 1), 1)
        let found = points(
            pool, now / width, width, subject * pool.numberStride + Int(leaf.number))
        return found.flatMap { line(through: $0) }
    }

    /// The means of the window, in seconds before now; nil where there are too few.
    private static func points(
        _ pool: borrowing Pool, _ slice: Int64, _ width: Int64, _ number: Int
    ) -> Points? {
        let slices = Int64(Pool.points - 1)
        var points = Points()
        for back in Swift.stride(from: slices - 1, through: 1, by: -1) where slice - back >= 0 {
            let y = pool.numbers[number + 1 + Int((slice - back) % slices)]
            if !y.isNaN { points.append(SIMD2(-Float(back * width) * 0.001, y)) }
        }
        // Less than two thirds of the window is too little to draw a line through.
        return points.count * 3 >= Int(slices) * 2 ? points : nil
    }

    private static func mean(_ points: Points) -> SIMD2<Float> {
        var sum = SIMD2<Float>.zero
        for place in 0..<points.count { sum += points[place] }
        return sum / Float(points.count)
    }

    /// The share of the variance that the line of least squares explains.
    private static func explainable(_ points: Points) -> Float {
        let mean = mean(points)
        var (xx, xy, yy): (Float, Float, Float) = (0, 0, 0)
        for place in 0..<points.count {
            let away = points[place] - mean
            xx += away.x * away.x
            xy += away.x * away.y
            yy += away.y * away.y
        }
        return xx > 0 && yy > 0 ? xy * xy / xx / yy : 0
    }

    /// The line of Theil and Sen: slope per second, the level now, and the share of the variance
    /// that it explains.
    private static func line(
        through points: Points
    ) -> (slope: Float, level: Float, fit: Float)? {
        var slopes: [Float] = []
        slopes.reserveCapacity(points.count * points.count / 2)
        for first in 0..<points.count {
            for second in first + 1..<points.count {
                let way = points[second] - points[first]
                slopes.append(way.y / way.x)
            }
        }
        guard let slope = Peers.median(of: &slopes), slope != 0 else { return nil }
        let mean = mean(points)
        var total: Float = 0
        var rest: Float = 0
        for place in 0..<points.count {
            let point = points[place]
            let residual = point.y - (mean.y + slope * (point.x - mean.x))
            total += (point.y - mean.y) * (point.y - mean.y)
            rest += residual * residual
        }
        return (slope, mean.y - slope * mean.x, total > 0 ? max(0, 1 - rest / total) : 0)
    }

    /// The means of a window, a point of time and value for each; on the stack, because most are looked
    /// at once and drawn no line through.
    ///
    /// It has room for as many as a leaf keeps, `Pool.points` without the verdict.
    private struct Points {
        private var all = [20 of SIMD2<Float>](repeating: .zero)
        private(set) var count = 0

        subscript(place: Int) -> SIMD2<Float> { all[place] }

        mutating func append(_ point: SIMD2<Float>) {
            all[count] = point
            count += 1
        }
    }
}
