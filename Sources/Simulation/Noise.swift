import Glibc

/// Randomness without state: a number is a hash of (seed, stream, step, channel).
///
/// Any step of any device can be drawn on its own, in any order and on any machine, and comes out
/// the same. The hash is the finaliser of SplitMix64 (Steele, Lea, Flood 2014), which passes BigCrush
/// as a counter-based generator.
struct Noise: Sendable {
    /// What a draw is for: two quantities of the same device and step must not share their noise.
    enum Channel: UInt64 {
        case identity, character, phase, schedule, place
        case common, own, power, membw, clock, link, pcie, memory, core, hbm, start
        case delay, late, lateness, loss, duplicate, event, inlet
    }

    let seed: UInt64

    init(seed: UInt64) { self.seed = seed }

    /// The key of one stream: a device, a job or a rack.
    func stream(_ kind: Stream, _ number: Int) -> UInt64 {
        let mixed = Noise.mix(seed &+ kind.rawValue &* 0xD134_2543_DE82_EF95)
        return Noise.mix(mixed &+ UInt64(truncatingIfNeeded: number) &* 0x9E37_79B9_7F4A_7C15)
    }

    enum Stream: UInt64 { case device = 1, host, rack, workload, fault, event }

    static func bits(_ stream: UInt64, _ step: Int, _ channel: Channel) -> UInt64 {
        mix(
            stream &+ UInt64(truncatingIfNeeded: step) &* 0x9E37_79B9_7F4A_7C15
                &+ channel.rawValue &* 0xA24B_AED4_963E_E407)
    }

    /// In [0, 1).
    static func uniform(_ stream: UInt64, _ step: Int, _ channel: Channel) -> Double {
        Double(bits(stream, step, channel) >> 11) * 0x1p-53
    }

    static func uniform(
        _ range: ClosedRange<Double>, _ stream: UInt64, _ step: Int, _ channel: Channel
    ) -> Double {
        range.lowerBound
            + (range.upperBound - range.lowerBound) * uniform(stream, step, channel)
    }

    /// Standard normal, tails to 8 sigma.
    static func normal(_ stream: UInt64, _ step: Int, _ channel: Channel) -> Double {
        quantile((Double(bits(stream, step, channel) >> 12) + 0.5) * 0x1p-52)
    }

    /// Standard normal and smooth: correlated over about `spacing` steps, and drawn in O(1).
    static func smooth(
        _ stream: UInt64, _ position: Double, _ channel: Channel
    ) -> Double {
        let node = position.rounded(.down)
        let share = position - node
        let left = normal(stream, Int(node), channel)
        let right = normal(stream, Int(node) + 1, channel)
        let weight = (1 - share) * (1 - share) + share * share
        return ((1 - share) * left + share * right) / weight.squareRoot()
    }

    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Acklam's inverse of the normal distribution, relative error below 1.2e-9.
    ///
    /// 95 % of draws take the branch without a logarithm.
    static func quantile(_ p: Double) -> Double {
        let tail = 0.02425
        if p < tail { return tailQuantile(p) }
        if p > 1 - tail { return -tailQuantile(1 - p) }
        let q = p - 0.5
        let r = q * q
        var above = -3.969683028665376e+01 * r + 2.209460984245205e+02
        above = above * r - 2.759285104469687e+02
        above = above * r + 1.383577518672690e+02
        above = above * r - 3.066479806614716e+01
        above = above * r + 2.506628277459239e+00
        var below = -5.447609879822406e+01 * r + 1.615858368580409e+02
        below = below * r - 1.556989798598866e+02
        below = below * r + 6.680131188771972e+01
        below = below * r - 1.328068155288572e+01
        return above * q / (below * r + 1)
    }

    private static func tailQuantile(_ p: Double) -> Double {
        let q = (-2 * log(p)).squareRoot()
        var above = -7.784894002430293e-03 * q - 3.223964580411365e-01
        above = above * q - 2.400758277161838e+00
        above = above * q - 2.549732539343734e+00
        above = above * q + 4.374664141464968e+00
        above = above * q + 2.938163982698783e+00
        var below = 7.784695709041462e-03 * q + 3.224671290700398e-01
        below = below * q + 2.445134137142996e+00
        below = below * q + 3.754408661907416e+00
        return above / (below * q + 1)
    }
}

/// A first-order autoregression as a finite sum over past draws, so that it has no state.
///
/// The sum stops where a term has less than 1 % of the weight of the newest; the weights are scaled
/// so that the variance is exactly one.
struct Autoregression: Sendable {
    private let weights: [Double]

    /// The correlation is that of values 10 s apart, whatever the period.
    init(correlation: Double, periodSeconds: Double) {
        let rho = pow(correlation, periodSeconds / 10)
        let terms = min(512, max(1, Int((log(0.01) / log(rho)).rounded(.up))))
        let raw = (0..<terms).map { pow(rho, Double($0)) }
        let norm = raw.reduce(0) { $0 + $1 * $1 }.squareRoot()
        weights = raw.map { $0 / norm }
    }

    func value(_ stream: UInt64, _ step: Int, _ channel: Noise.Channel) -> Double {
        var sum = 0.0
        for (age, weight) in weights.enumerated() {
            sum += weight * Noise.normal(stream, step - age, channel)
        }
        return sum
    }
}
