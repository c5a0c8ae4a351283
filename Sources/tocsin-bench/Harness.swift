import Glibc

/// One side of a comparison: a name, and a call that does some work and says how much it was.
struct Side {
    let name: String
    /// Makes what the next call of `work` needs; not timed.
    let prepare: () throws(BenchError) -> Void
    let work: () throws(BenchError) -> Double

    init(
        name: String, prepare: @escaping () throws(BenchError) -> Void = nothing,
        work: @escaping () throws(BenchError) -> Double
    ) {
        self.name = name
        self.prepare = prepare
        self.work = work
    }

    static func nothing() throws(BenchError) {}
}

/// Work per second of one side, over all repetitions.
struct Rates {
    let name: String
    /// In the order they were measured, so that those of two sides belong together in pairs.
    let rates: [Double]

    var best: Double { rates.max() ?? 0 }
    var median: Double { middle(rates) }
}

/// One line of the result: ours against a denominator of the same run.
struct Row {
    let name: String
    let unit: String
    let ours: Rates
    let denominator: Rates
    /// What one unit of work is, where the time that it takes is worth a line: `tick`.
    var item: String? = nil

    /// The best repetition of ours over the best of the denominator: the least disturbed of each.
    var ratioBest: Double { denominator.best > 0 ? ours.best / denominator.best : 0 }

    /// The median over the repetitions of the ratio within each.
    var ratioMedian: Double {
        middle(pairs)
    }

    /// How far the ratio of one repetition typically lies from their median, as a share of it.
    var spread: Double {
        let center = ratioMedian
        return center > 0 ? middle(pairs.map { abs($0 - center) }) / center : 0
    }

    private var pairs: [Double] {
        zip(ours.rates, denominator.rates).map { $1 > 0 ? $0 / $1 : 0 }
    }

    func show() {
        print("\n\(name), \(unit)")
        for side in [ours, denominator] {
            line(side.name, engineering(side.best), engineering(side.median))
        }
        if let item {
            for side in [ours, denominator] {
                line(
                    "\(side.name), per \(item)", nanoseconds(side.best), nanoseconds(side.median))
            }
        }
        line("ratio", fixed(ratioBest), fixed(ratioMedian))
    }

    private func nanoseconds(_ rate: Double) -> String {
        rate > 0 ? "\((1e10 / rate).rounded() / 10) ns" : "-"
    }

    private func line(_ name: String, _ best: String, _ median: String) {
        let columns = [best, median].map { $0.padded(9, left: true) }
        print("  \(name.padded(36)) best \(columns[0])   median \(columns[1])")
    }

    var json: String {
        let fields = [
            "\"name\": \"\(name)\"", "\"ours\": \(ours.best)",
            "\"denominator\": \(denominator.best)", "\"unit\": \"\(unit)\"",
            "\"ratio_best\": \(ratioBest)", "\"ratio_median\": \(ratioMedian)",
        ]
        return "  {" + fields.joined(separator: ", ") + "}"
    }
}

/// Measures all sides in turn, again and again, so that a disturbance hits them alike.
///
/// Each side runs once unmeasured. A side works on the calling thread and for milliseconds a call;
/// what is counted is that thread's processor time, so that whoever else wants the core is not
/// taken for slowness. What others do to caches and to the memory's bandwidth is still in it.
func interleave(_ sides: [Side], repetitions: Int) throws(BenchError) -> [Rates] {
    for side in sides {
        try side.prepare()
        _ = try side.work()
    }
    var rates = [[Double]](repeating: [], count: sides.count)
    for _ in 0..<repetitions {
        for (index, side) in sides.enumerated() {
            try side.prepare()
            let start = threadNanoseconds()
            let work = try side.work()
            let elapsed = threadNanoseconds() - start
            rates[index].append(work * 1e9 / Double(max(elapsed, 1)))
        }
    }
    return zip(sides, rates).map { Rates(name: $0.name, rates: $1) }
}

func middle(_ numbers: [Double]) -> Double {
    numbers.isEmpty ? 0 : numbers.sorted()[numbers.count / 2]
}

func monotonicNanoseconds() -> Int64 { nanoseconds(of: CLOCK_MONOTONIC) }

/// What the calling thread has used of a processor.
func threadNanoseconds() -> Int64 { nanoseconds(of: CLOCK_THREAD_CPUTIME_ID) }

/// What all threads of this process have used of the processors.
func processNanoseconds() -> Int64 { nanoseconds(of: CLOCK_PROCESS_CPUTIME_ID) }

private func nanoseconds(of clock: clockid_t) -> Int64 {
    var time = timespec()
    unsafe clock_gettime(clock, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// `0.985`: three digits behind the point.
func fixed(_ ratio: Double) -> String {
    let thousandths = Int((ratio * 1_000).rounded())
    let fraction = String(thousandths % 1_000)
    return "\(thousandths / 1_000)." + String(repeating: "0", count: 3 - fraction.count) + fraction
}

/// `4.17 G`: four digits and the thousand they count.
func engineering(_ value: Double) -> String {
    var value = value
    for suffix in ["", " k", " M", " G", " T"] {
        guard value >= 1_000, suffix != " T" else {
            let rounded = value >= 100 ? (value * 10).rounded() / 10 : (value * 100).rounded() / 100
            return "\(rounded)\(suffix)"
        }
        value /= 1_000
    }
    return "\(value)"
}

extension String {
    func padded(_ width: Int, left: Bool = false) -> String {
        let blanks = String(repeating: " ", count: max(0, width - count))
        return left ? blanks + self : self + blanks
    }
}
