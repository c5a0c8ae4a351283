import Foundation

/// The ratios of the last accepted run, against which a new one is held.
struct Baseline: Codable {
    struct Ratios: Codable {
        let best: Double
        let median: Double

        enum CodingKeys: String, CodingKey {
            case best = "ratio_best"
            case median = "ratio_median"
        }
    }

    /// What they were measured on; elsewhere they say little.
    let machine: String
    let rows: [String: Ratios]

    enum Verdict: String { case better, same, worse, new }

    static func read(_ path: String) throws(BenchError) -> Baseline {
        do {
            return try JSONDecoder().decode(
                Baseline.self, from: Data(contentsOf: URL(filePath: path)))
        } catch {
            throw BenchError("the baseline \(path) cannot be read: \(error.localizedDescription)")
        }
    }

    /// The same with the ratios of `rows` in the place of older ones.
    static func write(_ rows: [Row], to path: String) throws(BenchError) {
        var all: [String: Ratios] = [:]
        if FileManager.default.fileExists(atPath: path) {
            let old = try read(path)
            if old.machine == Machine.name { all = old.rows }
        }
        for row in rows {
            all[row.name] = Ratios(best: rounded(row.ratioBest), median: rounded(row.ratioMedian))
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        do {
            var data = try encoder.encode(Baseline(machine: Machine.name, rows: all))
            data.append(UInt8(ascii: "\n"))
            try data.write(to: URL(filePath: path))
        } catch {
            throw BenchError("cannot write \(path): \(error.localizedDescription)")
        }
    }

    private static func rounded(_ ratio: Double) -> Double { (ratio * 1_000).rounded() / 1_000 }

    /// Prints what became of every row; answers whether any is worse.
    func compare(_ measured: [Row]) -> Bool {
        print("\nagainst the baseline")
        if machine != Machine.name {
            print("  it is of another machine (\(machine)); read the verdicts as hints")
        }
        var isWorse = false
        for row in measured {
            let (verdict, tolerance) = verdict(on: row)
            isWorse = isWorse || verdict == .worse
            let old = rows[row.name]
            let columns = [
                row.name.padded(24), verdict.rawValue.padded(8),
                "best \(fixed(old?.best ?? 0)) -> \(fixed(row.ratioBest))   "
                    + "median \(fixed(old?.median ?? 0)) -> \(fixed(row.ratioMedian))",
                "within \(Int((tolerance * 100).rounded())) %",
            ]
            print("  " + columns.joined(separator: "  "))
        }
        return isWorse
    }

    /// A row moved where its best and its median moved the same way, both by more than noise does.
    func verdict(on row: Row) -> (Verdict, tolerance: Double) {
        // Runs differ by more than repetitions within a run: never less than 8 %.
        let tolerance = min(max(0.08, 1.5 * row.spread), 0.4)
        guard let old = rows[row.name], old.best > 0, old.median > 0 else {
            return (.new, tolerance)
        }
        let moves = [row.ratioBest / old.best, row.ratioMedian / old.median]
        if moves.allSatisfy({ $0 < 1 - tolerance }) { return (.worse, tolerance) }
        if moves.allSatisfy({ $0 > 1 / (1 - tolerance) }) { return (.better, tolerance) }
        return (.same, tolerance)
    }
}
