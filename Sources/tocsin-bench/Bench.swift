import Glibc

/// `tocsin-bench`: how fast we are, as ratios to what was measured in the same run.
@main
struct Bench {
    static let help = """
        usage: tocsin-bench [--only NAME[,NAME…]] [--repetitions N] [--output FILE]
                            [--library FILE] [--devices N] [--rules FOLDER] [--peers FILE]
                            [--baseline FILE [--strict]] [--accept FILE]

          --only         benchmarks to run: \(Suite.names.joined(separator: ", "));
                         all but the peers unless told
          --repetitions  of each side, interleaved; 21 unless told, at least 7
          --output       where the results go as JSON; bench.json unless told
          --library      the denominators; .build/bench/libtocsin_bench.so unless told
                         (scripts/build-bench.sh makes it)
          --devices      of the benchmark that is bound by memory; 1000000 unless told
          --rules        by which end-to-end judges; rules unless told
          --peers        the Python of the peers; bench/peers.py unless told
          --baseline     ratios of an earlier run to hold this one against
          --strict       a row that is worse than the baseline is an error
          --accept       writes this run's ratios there as the baseline of later ones
        """

    static func main() {
        var settings = Settings()
        do throws(BenchError) {
            try settings.read(CommandLine.arguments.dropFirst())
            if settings.help {
                print(help)
                return
            }
            let library = try Library(path: settings.library)
            Machine.describe(library)
            let rows = try Suite.run(settings, library)
            try save(rows, to: settings.output)
            print("\nwritten to \(settings.output)")
            var isWorse = false
            if !settings.baseline.isEmpty {
                isWorse = try Baseline.read(settings.baseline).compare(rows)
            }
            if !settings.accept.isEmpty {
                try Baseline.write(rows, to: settings.accept)
                print("accepted as \(settings.accept)")
            }
            if isWorse && settings.isStrict { throw BenchError("worse than the baseline") }
        } catch {
            complain(error.description)
            exit(1)
        }
    }

    private static func save(_ rows: [Row], to path: String) throws(BenchError) {
        let text = "[\n" + rows.map(\.json).joined(separator: ",\n") + "\n]\n"
        guard let file = unsafe fopen(path, "w") else {
            throw BenchError("cannot write \(path): \(unsafe String(cString: strerror(errno)))")
        }
        let written = unsafe fputs(text, file) >= 0
        let closed = unsafe fclose(file) == 0
        guard written && closed else { throw BenchError("cannot write all of \(path)") }
    }

    private static func complain(_ text: String) {
        let line = Array("tocsin-bench: \(text)\n".utf8)
        _ = unsafe write(STDERR_FILENO, line, line.count)
    }
}

/// Why nothing was measured.
struct BenchError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

struct Settings {
    var only: Set<String> = []
    var repetitions = 21
    var output = "bench.json"
    var library = ".build/bench/libtocsin_bench.so"
    var devices = 1_000_000
    var rules = "rules"
    var peers = "bench/peers.py"
    var baseline = ""
    var accept = ""
    var isStrict = false
    var help = false

    mutating func read(_ arguments: ArraySlice<String>) throws(BenchError) {
        var rest = arguments
        while let option = rest.popFirst() {
            guard option != "--help" && option != "-h" else {
                help = true
                return
            }
            guard option != "--strict" else {
                isStrict = true
                continue
            }
            guard let value = rest.popFirst() else {
                throw BenchError("\(option) is unknown or wants a value; try --help")
            }
            switch option {
            case "--only":
                only = Set(value.split(separator: ",").map(String.init))
                if let unknown = only.first(where: { !Suite.names.contains($0) }) {
                    throw BenchError(
                        "no benchmark is called \(unknown); there are "
                            + Suite.names.joined(separator: ", "))
                }
            case "--repetitions": repetitions = try number(value, option, 7...1_000)
            case "--devices": devices = try number(value, option, 1_000...16_000_000)
            case "--output": output = value
            case "--library": library = value
            case "--rules": rules = value
            case "--peers": peers = value
            case "--baseline": baseline = value
            case "--accept": accept = value
            default: throw BenchError("\(option) is unknown; try --help")
            }
        }
    }

    private func number(
        _ text: String, _ option: String, _ range: ClosedRange<Int>
    ) throws(BenchError) -> Int {
        guard let number = Int(text), range.contains(number) else {
            throw BenchError(
                "\(option) wants a number from \(range.lowerBound) to \(range.upperBound), "
                    + "not \(text)")
        }
        return number
    }
}
