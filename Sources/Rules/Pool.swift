import RollingStatistics

/// What leaves remember, dense by subject: times in milliseconds and numbers, none at first.
struct Pool {
    /// Slices of a sliding window; it reaches back one slice more than it must.
    static let slices = 8
    /// Values that compete for being the usual one, each with the seconds it was seen.
    static let levels = 4
    /// How many phases were seen, and how long the last eight lasted.
    static let durations = 9
    /// The last verdict, and the means of the last twenty slices.
    static let points = 21

    let timeStride: Int
    let numberStride: Int
    private(set) var count = 0
    var times: [Int64] = []
    var numbers: [Float] = []

    init(timeStride: Int, numberStride: Int) {
        self.timeStride = timeStride
        self.numberStride = numberStride
    }

    mutating func grow(to count: Int) {
        guard count > self.count else { return }
        times.append(contentsOf: repeatElement(.min, count: (count - self.count) * timeStride))
        numbers.append(contentsOf: repeatElement(.nan, count: (count - self.count) * numberStride))
        self.count = count
    }

    mutating func reset(_ index: Int) {
        for place in index * timeStride..<(index + 1) * timeStride { times[place] = .min }
        for place in index * numberStride..<(index + 1) * numberStride { numbers[place] = .nan }
    }

    var bytes: Int { times.count * 8 + numbers.count * 4 }

    /// Asks for what is kept of a subject and read soon.
    @inline(__always)
    func prefetch(_ subject: Int, number: Int, time: Int? = nil) {
        numbers.prefetch(subject &* numberStride &+ number)
        if let time { times.prefetch(subject &* timeStride &+ time) }
    }

    /// Lends the times and the numbers.
    @inline(__always)
    mutating func withSpans<R>(
        _ body: (inout MutableSpan<Int64>, inout MutableSpan<Float>) -> R
    ) -> R {
        // Out of the struct for the time being: a span of one field would lock all of it.
        var timesHeld = exchange(&self.times, with: [])
        var numbersHeld = exchange(&self.numbers, with: [])
        defer {
            times = timesHeld
            numbers = numbersHeld
        }
        var times = timesHeld.mutableSpan
        var numbers = numbersHeld.mutableSpan
        return body(&times, &numbers)
    }
}

/// Where each rule stands with each subject.
struct StateTable {
    enum Phase: UInt8 { case idle, pending, firing, clearing, held }

    let stride: Int
    private(set) var count = 0
    var phases: [UInt8] = []
    /// Since when the condition holds.
    var since: [Int64] = []
    /// Since when it does not, while clearing; the last edge, while firing.
    var turned: [Int64] = []
    /// By rule, subjects on which it is not idle; kept for groups.
    var busy: [Int]

    init(stride: Int) {
        self.stride = stride
        busy = [Int](repeating: 0, count: stride)
    }

    mutating func grow(to count: Int) {
        guard count > self.count else { return }
        let more = (count - self.count) * stride
        phases.append(contentsOf: repeatElement(0, count: more))
        since.append(contentsOf: repeatElement(.min, count: more))
        turned.append(contentsOf: repeatElement(.min, count: more))
        self.count = count
    }

    func phase(_ place: Int) -> Phase { Phase(rawValue: phases[place]) ?? .idle }

    var bytes: Int { phases.count * 17 }
}

/// What is known of a condition.
enum Truth: UInt8 {
    case no, yes
    /// It was known, and is not now.
    case unknown
    /// It cannot be asked of this device, by design.
    case dropped

    init(_ holds: Bool) { self = holds ? .yes : .no }
}

extension Pool {
    /// Where a leaf gathers the values of a slice of time: the end of the one in work among the times,
    /// and among the numbers its sum, its count, and the value below which nothing counts.
    struct Slice {
        let end: Int
        let sum: Int
        let count: Int
        let floor: Int

        init(end: Int, sum: Int, stride: Int) {
            (self.end, self.sum) = (end, sum)
            (count, floor) = (sum + stride, sum + 2 * stride)
        }
    }

    /// Adds a value to the slice in work, each being `width` milliseconds long, or to the next one; the
    /// kernel does the same where none begins (`lanes_gather`).
    ///
    /// - Returns: the slice that is over where another one begins.
    @inline(__always)
    static func gather(
        _ value: Float, at time: Int64, every width: Int64, _ slice: Slice,
        _ times: inout MutableSpan<Int64>, _ numbers: inout MutableSpan<Float>
    ) -> Ended? {
        guard !(value < numbers[slice.floor]) else { return nil }
        let end = times[slice.end]
        // What is behind the slice in work adds to it.
        guard time >= end else {
            numbers[slice.sum] += value
            numbers[slice.count] += 1
            return nil
        }
        // Most of the time it is the next one that begins: no division tells that.
        let isNext = end != .min && time < end &+ width
        let next = isNext ? end &+ width : (time / width + 1) * width
        let ended = Ended(end: end, next: next, mean: numbers[slice.sum] / numbers[slice.count])
        times[slice.end] = next
        numbers[slice.sum] = value
        numbers[slice.count] = 1
        return ended
    }

    /// A slice that is over: its end, that of the one that began, and the mean, NaN before the first.
    struct Ended {
        let end: Int64
        let next: Int64
        let mean: Float
    }

    /// The index of the slice in work; nil before the first one.
    func index(of slice: Slice, every width: Int64) -> Int64? {
        times[slice.end] == .min ? nil : times[slice.end] / width - 1
    }
}

extension Pool {
    /// How long each slice of a window is.
    static func slice(of window: Int64) -> Int64 { max(window / Int64(slices - 1), 1) }

    /// Adds to the slice of a window that `time` falls in.
    mutating func add(_ amount: Float, at time: Int64, window: Int64, timeAt: Int, numbersAt: Int) {
        let slice = time / Pool.slice(of: window)
        slide(to: slice, timeAt: timeAt, numbersAt: numbersAt, width: 1)
        let place = numbersAt + Pool.slot(slice)
        numbers[place] = (numbers[place].isNaN ? 0 : numbers[place]) + amount
    }

    /// The sum over the window that ends at `time`.
    mutating func sum(at time: Int64, window: Int64, timeAt: Int, numbersAt: Int) -> Float {
        let slice = time / Pool.slice(of: window)
        slide(to: slice, timeAt: timeAt, numbersAt: numbersAt, width: 1)
        var total: Float = 0
        for place in numbersAt..<numbersAt + Pool.slices where !numbers[place].isNaN {
            total += numbers[place]
        }
        return total
    }

    /// Widens the range of the slice that `time` falls in, each being `size` long; after a hole as
    /// long as the window, the time after `timeAt` says where the series began anew.
    ///
    /// The kernel does the same for most values (`lanes_widen`).
    static func widen(
        _ value: Float, at time: Int64, size: Int64, _ times: inout MutableSpan<Int64>,
        _ timeAt: Int, _ numbers: inout MutableSpan<Float>, _ numbersAt: Int
    ) {
        let (last, slice) = (times[timeAt], time / size)
        if last == .min || slice - last >= Int64(slices) { times[timeAt + 1] = time }
        slide(from: last, to: slice, width: 2, &numbers, numbersAt)
        if slice > last { times[timeAt] = slice }
        let place = numbersAt + 2 * slot(slice)
        let (least, most) = (numbers[place], numbers[place + 1])
        if !(least <= value) { numbers[place] = value }
        if !(most >= value) { numbers[place + 1] = value }
    }

    /// Where a slice lies; there are eight.
    private static func slot(_ slice: Int64) -> Int { Int(slice & Int64(slices - 1)) }

    /// Forgets slices that fell out of the window.
    private mutating func slide(to slice: Int64, timeAt: Int, numbersAt: Int, width: Int) {
        let last = times[timeAt]
        guard slice > last else { return }
        times[timeAt] = slice
        var numbers = numbers.mutableSpan
        Pool.slide(from: last, to: slice, width: width, &numbers, numbersAt)
    }

    @inline(__always)
    private static func slide(
        from last: Int64, to slice: Int64, width: Int, _ numbers: inout MutableSpan<Float>,
        _ numbersAt: Int
    ) {
        guard slice > last else { return }
        let passed = last == .min ? Int64(slices) : min(slice - last, Int64(slices))
        for step in 0..<passed {
            let first = numbersAt + slot(slice &- step) * width
            for place in first..<first + width { numbers[place] = .nan }
        }
    }

    /// The value seen longest, once `value` was counted for the time since the last one.
    mutating func usual(
        with value: Float, at now: Int64, window: Int64, timeAt: Int, numbersAt: Int
    ) -> Float? {
        withSpans { times, numbers in
            Pool.learn(value, at: now, window: window, &times, timeAt, &numbers, numbersAt)
            return Pool.usual(numbers.span, numbersAt)
        }
    }

    /// Counts the seconds since the last value, a minute at most, for `value` among the values that
    /// compete for being usual.
    static func learn(
        _ value: Float, at now: Int64, window: Int64, _ times: inout MutableSpan<Int64>,
        _ timeAt: Int, _ numbers: inout MutableSpan<Float>, _ numbersAt: Int
    ) {
        let last = times[timeAt]
        times[timeAt] = now
        let seconds = last == .min ? 0 : Float(min(now - last, 60_000)) * 0.001
        var least = numbersAt
        for place in stride(from: numbersAt, to: numbersAt + 2 * levels, by: 2) {
            if numbers[place].isNaN || numbers[place] == value {
                numbers[place] = value
                numbers[place + 1] = (numbers[place + 1].isNaN ? 0 : numbers[place + 1]) + seconds
                return trim(window, &numbers, numbersAt)
            }
            if numbers[place + 1] < numbers[least + 1] { least = place }
        }
        numbers[least] = value
        numbers[least + 1] = seconds
    }

    private static func trim(
        _ window: Int64, _ numbers: inout MutableSpan<Float>, _ numbersAt: Int
    ) {
        var total: Float = 0
        for level in 0..<levels {
            let place = numbersAt &+ 2 &* level
            // They are taken in order.
            if numbers[place].isNaN { break }
            total += numbers[place &+ 1]
        }
        guard total > Float(window) * 0.001 else { return }
        for place in stride(from: numbersAt, to: numbersAt + 2 * levels, by: 2) {
            numbers[place + 1] *= 0.5
        }
    }

    /// The value seen longest, once it was seen for ten minutes.
    func usual(numbersAt: Int) -> Float? { Pool.usual(numbers.span, numbersAt) }

    private static func usual(_ numbers: Span<Float>, _ numbersAt: Int) -> Float? {
        var best = numbersAt
        for level in 1..<levels {
            let place = numbersAt &+ 2 &* level
            if numbers[place].isNaN { break }
            if numbers[place &+ 1] > numbers[best &+ 1] { best = place }
        }
        return numbers[best &+ 1] >= 600 ? numbers[best] : nil
    }
}
