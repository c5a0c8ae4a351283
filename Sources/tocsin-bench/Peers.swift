import Foundation
import KernelBaseline
import RollingStatistics

/// What people use otherwise, beside ours: numpy for the statistics, confluent-kafka with orjson and
/// numpy for the loop.
///
/// The other side is `bench/peers.py`, a process of its own, on the same numbers and the same topic.
/// A module that its Python lacks is said to be missing.
enum Peers {
    static func run(
        _ settings: Settings, _ topics: PreloadedTopics
    ) throws(BenchError) -> [Row] {
        let python = try Python(settings.peers)
        print("\npeers: \(python.name)")
        for (module, version) in python.modules {
            print("  \(module.padded(18)) \(version ?? "is not installed: left out")")
        }
        var rows: [Row] = []
        if python.has("numpy") {
            for devices in [1_000, 100_000] {
                rows.append(try statistics(devices, settings, python))
            }
        }
        if python.has("confluent_kafka") {
            let topic = try topics.topic()
            let count = settings.repetitions
            rows.append(
                try loop("peer-count", "count", topic, count, python) { () throws(BenchError) in
                    try EndToEnd.count(topic)
                })
            if python.has("orjson") && python.has("numpy") {
                let book = try EndToEnd.rules(settings.rules)
                rows.append(
                    try loop("peer-loop", "full", topic, count, python) {
                        () throws(BenchError) in
                        try EndToEnd.judge(topic, book).rate
                    })
            }
        }
        return rows
    }

    /// Every device at each tick, which is what numpy can do; ours takes them in any order.
    private static func statistics(
        _ devices: Int, _ settings: Settings, _ python: Python
    ) throws(BenchError) -> Row {
        let ours = KernelSubject(devices: devices, batch: devices)
        let file = "\(NSTemporaryDirectory())tocsin-bench-\(getpid()).lanes"
        defer { try? FileManager.default.removeItem(atPath: file) }
        do {
            try ours.columnBytes.write(to: URL(filePath: file))
        } catch {
            throw BenchError("cannot write \(file): \(error.localizedDescription)")
        }
        _ = try python.ask("lanes \(file) \(devices)")
        let rounds = max(1, 400_000 / devices)
        let peerRounds = max(1, rounds / 20)
        let lanes = Double(devices * 16)
        var rates: [[Double]] = [[], []]
        // Both see the same first rounds and must raise the same flags, or they do different work.
        for round in 0..<20 {
            ours.run(rounds: 1)
            let said = try python.ask("rounds 1").split(separator: " ").dropFirst()
            let raised = ours.flagCounts.map(String.init)
            guard said.map(String.init) == raised else {
                throw BenchError("in round \(round) numpy raised \(said), the kernel \(raised)")
            }
        }
        for _ in 0..<settings.repetitions {
            let start = threadNanoseconds()
            ours.run(rounds: rounds)
            let elapsed = threadNanoseconds() - start
            rates[0].append(lanes * Double(rounds) * 1e9 / Double(max(elapsed, 1)))
            let said = try python.ask("rounds \(peerRounds)").split(separator: " ")
            guard let seconds = said.first.flatMap({ Double($0) }), seconds > 0 else {
                throw BenchError("the peer answered \(said)")
            }
            rates[1].append(lanes * Double(peerRounds) / seconds)
        }
        return Row(
            name: "peer-numpy-\(devices / 1_000)k", unit: "lane-updates/s",
            ours: Rates(name: "Tocsin, \(InstructionSet.best)", rates: rates[0]),
            denominator: Rates(name: "numpy, all devices at once", rates: rates[1]))
    }

    private static func loop(
        _ name: String, _ mode: String, _ topic: PreloadedTopic, _ repetitions: Int,
        _ python: Python, _ ours: () throws(BenchError) -> Double
    ) throws(BenchError) -> Row {
        var rates: [[Double]] = [[], []]
        for repetition in 0...max(3, repetitions / 7) {
            let rate = try ours()
            let said = try python.ask(
                "loop \(mode) \(topic.bootstrap) \(PreloadedTopic.name) "
                    + "\(PreloadedTopic.partitions) \(topic.messages)")
            guard let peer = Double(said), peer > 0 else {
                throw BenchError("the peer answered \(said)")
            }
            guard repetition > 0 else { continue }
            rates[0].append(rate)
            rates[1].append(peer)
        }
        let what =
            mode == "count"
            ? ("Tocsin's consumer, count only", "confluent-kafka, count only")
            : ("Tocsin, end to end by all rules", "confluent-kafka, orjson, numpy EWMA z")
        return Row(
            name: name, unit: "messages/s", ours: Rates(name: what.0, rates: rates[0]),
            denominator: Rates(name: what.1, rates: rates[1]))
    }
}

/// `bench/peers.py`, which answers a line with a line.
private final class Python {
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    private(set) var name = "python3"
    /// Each with its version, or nil where it is not installed.
    private(set) var modules: [(String, String?)] = []

    init(_ script: String) throws(BenchError) {
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [
            ProcessInfo.processInfo.environment["PYTHON"] ?? "python3", "-u", script,
        ]
        process.standardInput = input
        process.standardOutput = output
        do {
            try process.run()
        } catch {
            throw BenchError("no python3 beside ours: \(error.localizedDescription)")
        }
        name = try line()
        while case let words = try line().split(separator: " ").map(String.init), words != ["ready"]
        {
            modules.append((words[0], words.count > 1 ? words[1] : nil))
        }
    }

    deinit {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    func has(_ module: String) -> Bool { modules.contains { $0.0 == module && $0.1 != nil } }

    func ask(_ question: String) throws(BenchError) -> String {
        do {
            try input.fileHandleForWriting.write(contentsOf: Data("\(question)\n".utf8))
        } catch {
            throw BenchError("the peer went away: \(error.localizedDescription)")
        }
        return try line()
    }

    private func line() throws(BenchError) -> String {
        var bytes: [UInt8] = []
        while let byte = try? output.fileHandleForReading.read(upToCount: 1)?.first {
            guard byte != 10 else { return String(decoding: bytes, as: UTF8.self) }
            bytes.append(byte)
        }
        throw BenchError("the peer ended; its own words are above")
    }
}
