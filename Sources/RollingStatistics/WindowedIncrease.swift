/// By how much a counter rose within the last window.
///
/// A decrease is a reset, after which the counter's value is what it counted since; the first
/// reading is where counting starts. Time is cut into slices of a 32nd of the window, and the
/// window reaches back to the start of its oldest slice: nothing is forgotten early. A series that
/// never rises, as error counters should, holds no memory beyond the struct; one that does holds
/// 33 numbers until they are old.
package struct WindowedIncrease: Equatable, Sendable, Codable {
    private static let slices = 33

    package let windowMilliseconds: Int64
    private var last: Double?
    private var seen: Int64 = .min
    private var slice: Int64 = .min
    /// Empty while nothing rose; else by slice modulo `slices`.
    private var increases: [Double] = []
    /// How often the counter was seen to start again.
    package private(set) var resets: UInt32 = 0

    package init(windowMilliseconds: Int64) {
        self.windowMilliseconds = max(windowMilliseconds, 32)
    }

    /// Takes a reading and returns the increase within the window that ends with it.
    ///
    /// A reading that is not a count, or no newer than the last, changes nothing. One that is more
    /// than an hour older says that the clock was set back: counting starts again.
    package mutating func update(_ reading: Double, at milliseconds: Int64) -> Double {
        guard reading.isFinite, reading >= 0 else { return increase }
        if last != nil && milliseconds <= seen {
            guard isClockSetBack(from: seen, to: milliseconds) else { return increase }
            (last, slice, increases) = (nil, .min, [])
        }
        seen = milliseconds
        advance(to: milliseconds)
        guard let last else {
            self.last = reading
            return increase
        }
        self.last = reading
        if reading < last { resets &+= 1 }
        let rise = reading < last ? reading : reading - last
        guard rise > 0 else { return increase }
        if increases.isEmpty {
            increases = [Double](repeating: 0, count: WindowedIncrease.slices)
        }
        increases[index(slice)] += rise
        return increase
    }

    /// Lets time pass without a reading: what is older than the window is forgotten.
    package mutating func advance(to milliseconds: Int64) {
        let now = milliseconds / (windowMilliseconds / 32)
        guard now > slice else { return }
        defer { slice = now }
        guard !increases.isEmpty else { return }
        let (passed, overflow) = now.subtractingReportingOverflow(slice)
        if overflow || passed >= Int64(WindowedIncrease.slices) {
            increases = []
            return
        }
        for old in 1...passed { increases[index(slice + old)] = 0 }
        if increases.allSatisfy({ $0 == 0 }) { increases = [] }
    }

    /// The increase within the window that ends with the last reading or `advance`.
    package var increase: Double { increases.reduce(0, +) }

    private func index(_ slice: Int64) -> Int {
        let count = Int64(WindowedIncrease.slices)
        let rest = slice % count
        return Int(rest < 0 ? rest + count : rest)
    }
}
