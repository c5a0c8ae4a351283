import Detection

/// The composite anomaly score, one sample of one series at a time.
enum AnomalyBench {
    /// What a sample of a series may cost whose state is in the second-level cache.
    private static let targetNanoseconds = 150.0

    /// 256 series, 1 MB of state, and 65,536 in random order, as many as a daemon keeps.
    ///
    /// The denominator is the kernel's tick: 16 metrics of a device taken into all their statistics.
    static func run(_ settings: Settings) throws(BenchError) -> [Row] {
        let near = AnomalySubject(series: 256)
        let far = AnomalySubject(series: 65_536)
        let kernel = KernelSubject(devices: 1_000, batch: 1_000)
        let rates = try interleave(
            [
                near.side(rounds: 800), far.side(rounds: 3),
                kernel.side(rounds: 400, inTicks: true),
            ], repetitions: settings.repetitions)
        let bytes = MemoryLayout<AnomalySeries>.stride
        print("\ncomposite-score: \(bytes) B of state per series, 4096 B at most")
        for (name, rate) in zip(["256 series", "65536 series, random"], rates) {
            let best = tenths(1e9 / rate.best)
            print(
                "  \(name.padded(24)) best \(best) ns a sample, median \(tenths(1e9 / rate.median))"
            )
        }
        print("  target                   \(tenths(targetNanoseconds)) ns with the state in cache")
        let unit = "series-samples/s"
        return zip(["composite-score", "composite-score-65k"], rates).map {
            Row(name: $0, unit: unit, ours: $1, denominator: rates[2])
        }
    }

    private static func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
}

/// Series with a day and some noise, four weeks old.
final class AnomalySubject {
    private var series: [AnomalySeries]
    private let order: [Int]
    private let noise: [Double]
    private let day: [Double]
    private var step = 0

    private static let grownSteps = 8_064
    /// So many are grown; the others are copies of them.
    private static let originals = 64

    init(series count: Int) {
        var generator = SeededGenerator(seed: 11)
        var noise: [Double] = []
        for _ in 0..<4_096 {
            let first = Double.random(in: -1..<1, using: &generator)
            noise.append(first + Double.random(in: -1..<1, using: &generator))
        }
        self.noise = noise
        // Up in the morning, down at night.
        var day: [Double] = []
        for slot in 0..<288 {
            let hours = Double(abs(slot - 144)) / 12
            day.append(70 - 20 * hours / 12)
        }
        self.day = day
        order = (0..<count).shuffled(using: &generator)
        series = Array(repeating: AnomalySeries(), count: min(count, AnomalySubject.originals))
        run(rounds: AnomalySubject.grownSteps, Array(series.indices))
        while series.count < count { series.append(series[series.count % 64]) }
    }

    func side(rounds: Int) -> Side {
        let samples = Double(rounds * order.count)
        return Side(name: "Tocsin, \(order.count) series") { () throws(BenchError) in
            self.run(rounds: rounds, self.order)
            return samples
        }
    }

    private func run(rounds: Int, _ order: [Int]) {
        for _ in 0..<rounds {
            AnomalySubject.push(&series, order, step, usual: day[step % 288], noise)
            step += 1
        }
    }

    /// The array is entered once: at each series, that would be a part of what is measured.
    private static func push(
        _ series: inout [AnomalySeries], _ order: [Int], _ step: Int, usual: Double,
        _ noise: [Double]
    ) {
        let time = Int64(step) * 300_000
        let profile = AnomalyProfile.sensitive
        for index in order {
            let value = usual + noise[(index &* 31 &+ step &* 7) & 4_095]
            _ = series[index].push(value, at: time, profile)
        }
    }
}
