/// The interval that is being filled, of a row of intervals of equal length.
struct OpenInterval: Sendable {
    /// One that is over.
    struct Closed {
        let number: Int64
        /// No value in it was one that is not to be learned from.
        let learns: Bool
        /// The next value came in the interval right after it.
        let isFollowed: Bool
    }

    enum Passage {
        /// Of an interval that is over already.
        case late
        case same
        /// Of a new one; the one before it, unless there was none.
        case next(Closed?)
    }

    private var number: Int64 = .min
    private var isLearned = true

    /// Takes note of a moment; intervals are `every` milliseconds long.
    mutating func enter(_ milliseconds: Int64, every: Int64, learns: Bool) -> Passage {
        let whole = milliseconds / every
        let now = milliseconds % every < 0 ? whole - 1 : whole
        guard now >= number else { return .late }
        guard now > number else {
            if !learns { isLearned = false }
            return .same
        }
        defer { (number, isLearned) = (now, learns) }
        guard number != .min else { return .next(nil) }
        return .next(
            Closed(number: number, learns: isLearned, isFollowed: now &- number == 1))
    }
}

/// A mean in the making.
struct RunningMean: Sendable {
    private var sum = 0.0
    private var count: Int32 = 0

    mutating func add(_ value: Float) {
        guard count < .max else { return }
        sum += Double(value)
        count += 1
    }

    /// The mean, which begins anew; nil of nothing.
    mutating func take() -> Double? {
        defer { (sum, count) = (0, 0) }
        return count > 0 ? sum / Double(count) : nil
    }
}

/// Means of one series over intervals of equal length: a value that comes first in a new one closes
/// the one before it.
struct IntervalMean: Sendable {
    struct Closed {
        /// nil of an interval without a number.
        let mean: Double?
        /// Milliseconds.
        let start: Int64
        let learns: Bool
        let isFollowed: Bool
    }

    /// Milliseconds.
    let every: Int64
    private var open = OpenInterval()
    private var running = RunningMean()
    /// When a number last came, milliseconds.
    private(set) var fedAt: Int64 = .min

    init(every: Int64) { self.every = every }

    /// Adds a value.
    ///
    /// - Returns: the interval that it closed, if it did.
    mutating func feed(_ value: Float, at milliseconds: Int64, learns: Bool) -> Closed? {
        var found: Closed?
        switch open.enter(milliseconds, every: every, learns: learns) {
        case .late: return nil
        case .same, .next(nil): break
        case .next(let closed?):
            found = Closed(
                mean: running.take(), start: closed.number &* every, learns: closed.learns,
                isFollowed: closed.isFollowed)
        }
        guard value.isFinite else { return found }
        fedAt = milliseconds
        running.add(value)
        return found
    }
}
