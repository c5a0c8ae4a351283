import CLanes
import RollingStatistics

/// Moving means of a series, and the range that each of them kept so far.
///
/// A mean that leaves its range is a record, and how far it does, as a share of the range, is how
/// new that is. A range shrinks towards its slow middle, and halves in 20,000 samples: ten weeks at
/// five minutes.
struct AnomalyRecords: Sendable {
    /// Samples of each mean; the seventh keeps a range too but is not asked for records.
    @inline(__always)
    static var spans: SIMD8<Double> { SIMD8(1, 3, 12, 24, 48, 96, 6, 1) }
    static var count: Int { 6 }
    private static var length: Int { 96 }

    // What every sample needs comes last, and next to what it needs of the series.
    private var ring = InlineArray<96, Float>(repeating: 0)
    private var middle = SIMD8<Double>()
    private var sums = SIMD8<Double>()
    private(set) var low = SIMD8<Double>()
    private(set) var high = SIMD8<Double>()
    private var head = 0

    /// So that a range of one value can divide; below the resolution of anything measured.
    @inline(__always)
    static var rangeMin: Double { 1e-12 }
    /// How many ranges one sample may add on one side.
    private static var growthMax: Double { 32 }
    /// What counts as a range at least, as a share of the size of the values, for that.
    @inline(__always)
    private static var resolution: Double { 0.001 }

    /// Asks for all of it, and for the small parts of a series that follow.
    @inline(__always)
    mutating func prefetch() { RollingStatistics.prefetch(from: &ring, lines: 14) }

    /// The value as it is learned: at most so many ranges beyond what was ever seen.
    ///
    /// So a start from one value, or a glitch that comes twice, does not make the series blind for
    /// years; and a new level is taken over in some samples all the same.
    func bounded(_ x: Double, origin: Double) -> Double {
        let room = room(for: AnomalyRecords.growthMax, origin)
        return min(max(x, low[0] - room), high[0] + room)
    }

    /// Whether a value lies so many ranges or less beyond what was ever seen.
    @inline(__always)
    func reaches(_ x: Double, origin: Double, ranges: Double) -> Bool {
        let room = room(for: ranges, origin)
        return x >= low[0] - room && x <= high[0] + room
    }

    @inline(__always)
    private func room(for ranges: Double, _ origin: Double) -> Double {
        // Written out: `max` of two numbers costs five instructions, for the sake of NaN.
        let (below, above) = (abs(low[0]), abs(high[0]))
        let size = (below > above ? below : above) + abs(origin)
        let (seen, least) = (high[0] - low[0], AnomalyRecords.resolution * size)
        return ranges * ((seen > least ? seen : least) + AnomalyRecords.rangeMin)
    }

    /// The value so many samples before the one that `advance` takes next.
    @inline(__always)
    mutating func value(back: Int) -> Float { ring[place(back: back)] }

    @inline(__always)
    private func place(back: Int) -> Int {
        let place = head &- back
        return place < 0 ? place &+ AnomalyRecords.length : place
    }

    /// Takes one value, with `count` before it, and returns the means that it makes.
    @inline(__always)
    mutating func advance(_ x: Float, count: Int) -> SIMD8<Double> {
        let leaving = SIMD8<Float>(
            ring[place(back: 1)], ring[place(back: 3)], ring[place(back: 12)],
            ring[place(back: 24)], ring[place(back: 48)], ring[head], ring[place(back: 6)],
            ring[place(back: 1)])
        sums += SIMD8<Double>(repeating: Double(x)) - SIMD8<Double>(leaving)
        ring[head] = x
        head = head == AnomalyRecords.length - 1 ? 0 : head &+ 1
        if head == 0 { resum() }
        guard count < AnomalyRecords.length else { return sums * AnomalyRecords.shares }
        var counts = AnomalyRecords.spans
        let known = SIMD8<Double>(repeating: Double(count) + 1)
        counts.replace(with: known, where: counts .> known)
        return sums / counts
    }

    @inline(__always)
    private static var shares: SIMD8<Double> {
        SIMD8(1, 1.0 / 3, 1.0 / 12, 1.0 / 24, 1.0 / 48, 1.0 / 96, 1.0 / 6, 1)
    }

    /// The running sums round; from the window itself they are as they should be.
    private mutating func resum() {
        var sum = 0.0
        for back in 1...AnomalyRecords.length {
            sum += Double(ring[place(back: back)])
            switch back {
            case 1: (sums[0], sums[7]) = (sum, sum)
            case 3: sums[1] = sum
            case 6: sums[6] = sum
            case 12: sums[2] = sum
            case 24: sums[3] = sum
            case 48: sums[4] = sum
            case 96: sums[5] = sum
            default: break
            }
        }
    }

    /// Samples before a mean is asked whether it is a record; and as many again as it spans.
    private static var from: Int { 60 }
    /// All means are asked from here on.
    private static var all: Int { from + length }

    /// Says which means are records.
    ///
    /// - Returns: whether any is.
    @inline(__always)
    mutating func weigh(
        _ means: SIMD8<Double>, count: Int, _ novelty: inout SIMD16<Float>
    ) -> Bool {
        guard count >= AnomalyRecords.from else { return false }
        guard lanes_leave(means, low, high) else { return false }
        var isRecord = false
        for lane in 0..<AnomalyRecords.count {
            let isAbove = means[lane] > high[lane]
            guard isAbove || means[lane] < low[lane] else { continue }
            guard
                count >= AnomalyRecords.all
                    || count >= AnomalyRecords.from + Int(AnomalyRecords.spans[lane])
            else { continue }
            let away = isAbove ? means[lane] - high[lane] : low[lane] - means[lane]
            let range = high[lane] - low[lane] + AnomalyRecords.rangeMin
            novelty[lane] = Float(away / range) * AnomalyScore.perRange
            isRecord = true
        }
        return isRecord
    }

    /// Makes the means part of what was.
    @inline(__always)
    mutating func learn(_ means: SIMD8<Double>, count: Int) {
        guard count >= AnomalyRecords.length else { return begin(means, count) }
        let taken = count - AnomalyRecords.length + 2
        let weight = taken < 2_000 ? 1 / Double(taken) : 0.000_5
        middle += weight * (means - middle)
        high = middle + (high - middle) * AnomalyRecords.shrink
        low = middle + (low - middle) * AnomalyRecords.shrink
        high = lanes_larger(means, high)
        low = lanes_smaller(means, low)
    }

    /// Of the first samples each mean takes those that fill it, whatever they are.
    private mutating func begin(_ means: SIMD8<Double>, _ count: Int) {
        for lane in 0..<8 {
            let taken = count + 1 - Int(AnomalyRecords.spans[lane])
            guard taken >= 0 else { continue }
            if taken == 0 {
                (low[lane], high[lane], middle[lane]) = (means[lane], means[lane], means[lane])
            }
            low[lane] = min(low[lane], means[lane])
            high[lane] = max(high[lane], means[lane])
            middle[lane] += (means[lane] - middle[lane]) / Double(taken + 1)
        }
    }

    /// The 20,000th root of a half.
    @inline(__always)
    private static var shrink: Double { 0.999_965_343_242_133_2 }
}
