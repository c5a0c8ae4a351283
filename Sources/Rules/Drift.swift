/// A CUSUM of interval means against a frozen reference, in the numbers of a pool.
enum Drift {
    /// Reference sum and count, sum and count of the interval in work, the sums up and down, and
    /// the last departure.
    static let numbers = 7

    /// Feeds one value; a completed interval moves the sums.
    ///
    /// - Returns: whether it did.
    @discardableResult
    static func feed(
        _ value: Float, at time: Int64, _ test: CusumTest, _ pool: inout Pool, timeAt: Int,
        at n: Int
    ) -> Bool {
        // Half of what is usual is a pause, such as a checkpoint, and no slower pace.
        if test.isRelative, test.direction == .down, pool.numbers[n + 1] > 0,
            value < 0.5 * pool.numbers[n] / pool.numbers[n + 1]
        {
            return false
        }
        let last = pool.times[timeAt]
        var isNew = false
        if last == .min || time < last * test.every || time >= (last + 1) * test.every {
            if last != .min {
                close(test, &pool, n)
                isNew = true
            }
            pool.times[timeAt] = time / test.every
            pool.numbers[n + 2] = 0
            pool.numbers[n + 3] = 0
        }
        pool.numbers[n + 2] += value
        pool.numbers[n + 3] += 1
        return isNew
    }

    private static func close(_ test: CusumTest, _ pool: inout Pool, _ n: Int) {
        guard pool.numbers[n + 3] > 0 else { return }
        let mean = pool.numbers[n + 2] / pool.numbers[n + 3]
        let learned = pool.numbers[n + 1].isNaN ? 0 : pool.numbers[n + 1]
        if learned * Float(test.every) < Float(test.least) {
            pool.numbers[n] = (learned == 0 ? 0 : pool.numbers[n]) + mean
            pool.numbers[n + 1] = learned + 1
            pool.numbers[n + 4] = 0
            pool.numbers[n + 5] = 0
            return
        }
        let reference = pool.numbers[n] / learned
        guard !test.isRelative || abs(reference) > 1e-9 else { return }
        let departure = test.isRelative ? mean / reference - 1 : mean - reference
        pool.numbers[n + 6] = departure
        // Full at twice the budget, so that it clears when the cause is gone.
        let full = 2 * test.budget
        let up = pool.numbers[n + 4] + (departure - test.deadband)
        let down = pool.numbers[n + 5] + (-departure - test.deadband)
        pool.numbers[n + 4] = min(max(up, 0), full)
        pool.numbers[n + 5] = min(max(down, 0), full)
        // A longer reference is a better one, but what departs must not become part of it: it
        // counts as no further off than the deadband. Left out, it would leave a reference that
        // began with an evaluation phase wrong for good.
        if learned * Float(test.every) < Float(test.frozen) {
            let most = test.isRelative ? abs(reference) * test.deadband : test.deadband
            pool.numbers[n] += min(max(mean, reference - most), reference + most)
            pool.numbers[n + 1] = learned + 1
        }
    }

    static func truth(
        _ test: CusumTest, _ pool: borrowing Pool, at n: Int, isFiring: Bool
    ) -> Truth {
        guard !pool.numbers[n + 6].isNaN else { return .unknown }
        let limit = isFiring ? test.budget * 0.8 : test.budget
        let up = test.direction != .down && pool.numbers[n + 4] >= limit
        let down = test.direction != .up && pool.numbers[n + 5] >= limit
        return Truth(up || down)
    }
}
