/// The benchmarks, in the order they run.
enum Suite {
    static let names =
        ["kernel-l2", "kernel-1m-random", "detectors-l2", "composite-score"] + JSONBench.names
        + ["end-to-end", "slow-queue", "peers"]
    /// Those that run where nothing is asked for; the peers want a Python.
    static let usual = names.dropLast()

    static func run(_ settings: Settings, _ library: Library) throws(BenchError) -> [Row] {
        var rows: [Row] = []
        let topics = PreloadedTopics()
        func wanted(_ name: String) -> Bool {
            settings.only.isEmpty ? usual.contains(name) : settings.only.contains(name)
        }
        if wanted("kernel-l2") { rows += try KernelBench.cached(settings, library) }
        if wanted("kernel-1m-random") { rows += try KernelBench.scattered(settings, library) }
        if wanted("detectors-l2") { rows += try DetectorsBench.run(settings) }
        if wanted("composite-score") { rows += try AnomalyBench.run(settings) }
        rows += try JSONBench.run(settings, library, wanted: wanted)
        if wanted("end-to-end") { rows += try EndToEnd.run(settings, topics) }
        if wanted("slow-queue") { rows += try SlowQueue.run(settings, topics) }
        if wanted("peers") { rows += try Peers.run(settings, topics) }
        for row in rows { row.show() }
        return rows
    }
}
