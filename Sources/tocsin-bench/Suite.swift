/// The benchmarks, in the order they run.
enum Suite {
    static let names =
        ["kernel-l2", "kernel-1m-random", "composite-score"] + JSONBench.names + ["end-to-end"]

    static func run(_ settings: Settings, _ library: Library) throws(BenchError) -> [Row] {
        var rows: [Row] = []
        func wanted(_ name: String) -> Bool {
            settings.only.isEmpty || settings.only.contains(name)
        }
        if wanted("kernel-l2") { rows += try KernelBench.cached(settings, library) }
        if wanted("kernel-1m-random") { rows += try KernelBench.scattered(settings, library) }
        if wanted("composite-score") { rows += try AnomalyBench.run(settings) }
        rows += try JSONBench.run(settings, library, wanted: wanted)
        if wanted("end-to-end") { rows += try EndToEnd.run(settings) }
        for row in rows { row.show() }
        return rows
    }
}
