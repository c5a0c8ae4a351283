import RollingStatistics

/// What is usual at each hour of a day or a week, and how far the last hours lay from it.
///
/// Each visit to an hour is averaged and folded into its bin; a bin speaks after two visits. The
/// residuals of the last 48 samples are averaged, and held against how much an hour usually differs
/// from one visit to the next. Between the middles of two hours the usual value is a straight line.
struct AnomalySeason<let bins: Int>: Sendable {
    private var residualSum = 0.0
    /// Mean distance between one visit and the bin before it.
    private(set) var deviation: Float = 0
    private var changes: UInt16 = 0
    private var head: UInt8 = 0
    private var bin: UInt8 = 255
    private var visitSum = 0.0
    private var visitCount: Float = 0
    /// Up to 255; what counts is whether there were two, and the first few for their weight.
    private var visits = InlineArray<bins, UInt8>(repeating: 0)
    private var means = InlineArray<bins, Float>(repeating: 0)
    private var residuals = InlineArray<48, Float>(repeating: 0)

    /// Asks for what a sample of this hour needs.
    @inline(__always)
    mutating func prefetch(bin: Int) {
        RollingStatistics.prefetch(from: &residualSum)
        RollingStatistics.prefetch(from: &visits[bin])
        RollingStatistics.prefetch(from: &means[bin])
        RollingStatistics.prefetch(from: &residuals, lines: 3)
    }

    /// Closes the visit to another hour, if there was one: call first.
    @inline(__always)
    mutating func enter(bin now: Int, weight: Float) {
        guard now != Int(bin) else { return }
        if visitCount > 0, Int(bin) < bins { fold(Int(bin), weight) }
        bin = UInt8(truncatingIfNeeded: now)
    }

    private mutating func fold(_ bin: Int, _ weight: Float) {
        let mean = Float(visitSum / Double(visitCount))
        if visits[bin] >= 1 {
            if changes < .max { changes += 1 }
            let step = max(1 / Float(changes), 0.004)
            deviation += step * (abs(mean - means[bin]) - deviation)
        }
        if visits[bin] < .max { visits[bin] += 1 }
        means[bin] += max(weight, 1 / Float(visits[bin])) * (mean - means[bin])
        visitSum = 0
        visitCount = 0
    }

    /// Holds a value against its hour, of which the share `into` has passed.
    ///
    /// `floor` is what the line between two hours may miss by; it adds to the usual deviation.
    @inline(__always)
    mutating func read(_ value: Float, into: Float, floor: Float) -> AnomalyReading {
        let index = Int(bin)
        guard index < bins, visits[index] >= 2 else {
            let sum = residualSum - Double(residuals[Int(head)])
            return AnomalyReading(bin: index, mean: Float(sum / 48))
        }
        var reading = AnomalyReading(bin: index, usual: means[index])
        let offset = into - 0.5
        let next = offset < 0 ? index - 1 : index + 1
        let other = next < 0 ? bins - 1 : next == bins ? 0 : next
        if visits[other] >= 2 { reading.usual += abs(offset) * (means[other] - means[index]) }
        reading.residual = value - reading.usual
        let sum = residualSum + Double(reading.residual) - Double(residuals[Int(head)])
        reading.mean = Float(sum * (1.0 / 48))
        // Half of all bins were visited twice: before, the deviation is that of a few hours.
        if Int(changes) >= bins / 2 {
            reading.isKnown = true
            reading.z = abs(reading.mean) / (deviation + floor + 1e-9)
        }
        return reading
    }

    @inline(__always)
    mutating func learn(_ value: Float, _ reading: AnomalyReading, _ isLearned: Bool) {
        residualSum += Double(reading.residual) - Double(residuals[Int(head)])
        residuals[Int(head)] = reading.residual
        head += 1
        if head == 48 {
            head = 0
            // The running sum rounds; from the window itself it is as it should be.
            var sum = 0.0
            for index in 0..<48 { sum += Double(residuals[index]) }
            residualSum = sum
        }
        guard isLearned else { return }
        visitSum += Double(value)
        visitCount += 1
    }
}

/// What one sample says of its hour, before it is learned.
struct AnomalyReading: Sendable {
    var bin = 0
    /// NaN while the bin does not speak.
    var usual = Float.nan
    var residual: Float = 0
    /// Mean of the last residuals, this one included.
    var mean: Float = 0
    /// That mean in usual deviations; 0 while unknown.
    var z: Float = 0
    var isKnown = false
}
