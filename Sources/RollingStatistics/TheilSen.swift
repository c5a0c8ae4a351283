/// A straight line through the recent past of a series, and when it meets a limit.
///
/// The slope is the median over all pairs of points (Theil 1950, Sen 1968): up to 29 % of the points
/// may be wrong. The window is cut into `points` slices, each averaged, so that memory and the
/// n²/2 pairs are bounded whatever the rate of samples: fit once per slice, not per sample.
package struct TheilSen: Equatable, Sendable, Codable {
    package struct Fit: Equatable, Sendable {
        package let slopePerSecond: Double
        /// The line's value at `milliseconds`, the time of the newest point.
        package let level: Double
        package let milliseconds: Int64
        /// The share of the variance that the line explains, 0 … 1.
        package let determination: Double
        package let points: Int

        /// Seconds from the newest point until the line meets `limit`; nil when it leads away.
        package func seconds(until limit: Double) -> Double? {
            guard slopePerSecond != 0 else { return nil }
            let seconds = (limit - level) / slopePerSecond
            return seconds >= 0 && seconds.isFinite ? seconds : nil
        }
    }

    private struct Point: Equatable, Sendable, Codable {
        var milliseconds: Int64
        var value: Double
    }

    package let windowMilliseconds: Int64
    package let pointsMax: Int
    private var points: [Point] = []
    private var slot: Int64 = .min
    private var sum = 0.0
    private var count = 0

    /// - Parameters:
    ///   - windowMilliseconds: how far back the line looks.
    ///   - points: at most 256; 60 make 1,770 pairs.
    package init(windowMilliseconds: Int64, points: Int = 60) {
        pointsMax = min(max(points, 3), 256)
        self.windowMilliseconds = max(windowMilliseconds, Int64(pointsMax))
    }

    /// Takes one value; returns whether a slice was completed, so that a new fit is worth its cost.
    @discardableResult
    package mutating func update(_ value: Double, at milliseconds: Int64) -> Bool {
        guard value.isFinite else { return false }
        let width = windowMilliseconds / Int64(pointsMax)
        let slot = milliseconds / width
        guard slot >= self.slot || slot < self.slot - 1 else { return false }
        guard slot != self.slot else {
            sum += value
            count += 1
            return false
        }
        let completed = count > 0
        // A clock that was set back leaves no line to continue.
        if slot < self.slot {
            points = []
        } else if completed {
            points.append(
                Point(milliseconds: self.slot * width &+ width / 2, value: sum / Double(count)))
        }
        (self.slot, sum, count) = (slot, value, 1)
        let oldest = milliseconds.subtractingReportingOverflow(windowMilliseconds).partialValue
        points.removeAll { $0.milliseconds < oldest }
        if points.count > pointsMax { points.removeFirst(points.count - pointsMax) }
        return completed
    }

    /// The line through the complete slices of the window; nil with fewer than `pointsMin`.
    ///
    /// Works in `scratch`, whose content is lost. Fewer than 3 points have nothing robust about them.
    package func fit(pointsMin: Int = 8, scratch: inout [Float]) -> Fit? {
        guard points.count >= max(pointsMin, 3), let newest = points.last else { return nil }
        scratch.removeAll(keepingCapacity: true)
        for (i, a) in points.enumerated() {
            for b in points[(i + 1)...] {
                let seconds = Double(b.milliseconds &- a.milliseconds) * 0.001
                scratch.append(Float((b.value - a.value) / seconds))
            }
        }
        guard let middle = median(&scratch) else { return nil }
        let slope = Double(middle)

        // Offsets from the first value, so that a Float holds them.
        let origin = points[0].value
        func line(_ point: Point) -> Double {
            slope * Double(point.milliseconds &- newest.milliseconds) * 0.001
        }
        scratch.removeAll(keepingCapacity: true)
        for point in points { scratch.append(Float(point.value - line(point) - origin)) }
        guard let offset = median(&scratch) else { return nil }
        let level = Double(offset) + origin

        let mean = points.reduce(0) { $0 + $1.value } / Double(points.count)
        var total = 0.0
        var residual = 0.0
        for point in points {
            total += (point.value - mean) * (point.value - mean)
            let rest = point.value - (level + line(point))
            residual += rest * rest
        }
        return Fit(
            slopePerSecond: slope, level: level, milliseconds: newest.milliseconds,
            determination: total > 0 ? min(max(1 - residual / total, 0), 1) : 0,
            points: points.count)
    }
}
