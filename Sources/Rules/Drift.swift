/// A CUSUM of interval means against a frozen reference, in the numbers of a pool.
enum Drift {
    /// Reference sum and count, the sums up and down, and the last departure.
    static let numbers = 5

    /// Feeds one value; a completed interval moves the sums.
    ///
    /// - Returns: whether it did.
    @discardableResult
    static func feed(
        _ value: Float, at time: Int64, _ test: CusumTest, _ pool: inout Pool,
        _ slice: Pool.Slice, at n: Int
    ) -> Bool {
        pool.withSpans { feed(value, at: time, test, slice, at: n, &$0, &$1) }
    }

    static func feed(
        _ value: Float, at time: Int64, _ test: CusumTest, _ slice: Pool.Slice, at n: Int,
        _ times: inout MutableSpan<Int64>, _ numbers: inout MutableSpan<Float>
    ) -> Bool {
        guard
            let ended = Pool.gather(value, at: time, every: test.every, slice, &times, &numbers),
            !ended.mean.isNaN
        else { return false }
        close(ended.mean, test, &numbers, n)
        // Half of what is usual is a pause, such as a checkpoint, and no slower pace.
        if test.isRelative, test.direction == .down, numbers[n + 1] > 0 {
            numbers[slice.floor] = 0.5 * numbers[n] / numbers[n + 1]
        }
        return true
    }

    private static func close(
        _ mean: Float, _ test: CusumTest, _ numbers: inout MutableSpan<Float>, _ n: Int
    ) {
        let learned = numbers[n + 1].isNaN ? 0 : numbers[n + 1]
        if learned * Float(test.every) < Float(test.least) {
            numbers[n] = (learned == 0 ? 0 : numbers[n]) + mean
            numbers[n + 1] = learned + 1
            numbers[n + 2] = 0
            numbers[n + 3] = 0
            return
        }
        let reference = numbers[n] / learned
        guard !test.isRelative || abs(reference) > 1e-9 else { return }
        let departure = test.isRelative ? mean / reference - 1 : mean - reference
        numbers[n + 4] = departure
        // Full at twice the budget, so that it clears when the cause is gone.
        let full = 2 * test.budget
        let up = numbers[n + 2] + (departure - test.deadband)
        let down = numbers[n + 3] + (-departure - test.deadband)
        numbers[n + 2] = min(max(up, 0), full)
        numbers[n + 3] = min(max(down, 0), full)
        // A longer reference is a better one, but what departs must not become part of it: it
        // counts as no further off than the deadband. Left out, it would leave a reference that
        // began with an evaluation phase wrong for good.
        if learned * Float(test.every) < Float(test.frozen) {
            let most = test.isRelative ? abs(reference) * test.deadband : test.deadband
            numbers[n] += min(max(mean, reference - most), reference + most)
            numbers[n + 1] = learned + 1
        }
    }

    /// How far the last interval lay from the reference; NaN where there is none yet.
    static func departure(_ pool: borrowing Pool, at n: Int) -> Float { pool.numbers[n + 4] }

    static func truth(
        _ test: CusumTest, _ pool: borrowing Pool, at n: Int, isFiring: Bool
    ) -> Truth {
        guard !pool.numbers[n + 4].isNaN else { return .unknown }
        let limit = isFiring ? test.budget * 0.8 : test.budget
        let up = test.direction != .down && pool.numbers[n + 2] >= limit
        let down = test.direction != .up && pool.numbers[n + 3] >= limit
        return Truth(up || down)
    }
}
