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
        guard let ended = pool.gather(value, at: time, every: test.every, slice),
            !ended.mean.isNaN
        else { return false }
        close(ended.mean, test, &pool, n)
        // Half of what is usual is a pause, such as a checkpoint, and no slower pace.
        if test.isRelative, test.direction == .down, pool.numbers[n + 1] > 0 {
            pool.numbers[slice.floor] = 0.5 * pool.numbers[n] / pool.numbers[n + 1]
        }
        return true
    }

    private static func close(_ mean: Float, _ test: CusumTest, _ pool: inout Pool, _ n: Int) {
        let learned = pool.numbers[n + 1].isNaN ? 0 : pool.numbers[n + 1]
        if learned * Float(test.every) < Float(test.least) {
            pool.numbers[n] = (learned == 0 ? 0 : pool.numbers[n]) + mean
            pool.numbers[n + 1] = learned + 1
            pool.numbers[n + 2] = 0
            pool.numbers[n + 3] = 0
            return
        }
        let reference = pool.numbers[n] / learned
        guard !test.isRelative || abs(reference) > 1e-9 else { return }
        let departure = test.isRelative ? mean / reference - 1 : mean - reference
        pool.numbers[n + 4] = departure
        // Full at twice the budget, so that it clears when the cause is gone.
        let full = 2 * test.budget
        let up = pool.numbers[n + 2] + (departure - test.deadband)
        let down = pool.numbers[n + 3] + (-departure - test.deadband)
        pool.numbers[n + 2] = min(max(up, 0), full)
        pool.numbers[n + 3] = min(max(down, 0), full)
        // A longer reference is a better one, but what departs must not become part of it: it
        // counts as no further off than the deadband. Left out, it would leave a reference that
        // began with an evaluation phase wrong for good.
        if learned * Float(test.every) < Float(test.frozen) {
            let most = test.isRelative ? abs(reference) * test.deadband : test.deadband
            pool.numbers[n] += min(max(mean, reference - most), reference + most)
            pool.numbers[n + 1] = learned + 1
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
