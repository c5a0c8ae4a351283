/// Our JSON decoder against simdjson, message by message, one core.
enum JSONBench {
    static func run(_ settings: Settings, _ library: Library) throws(BenchError) -> [Row] {
        let native = Corpus.native(padding: library.jsonPadding)
        let telegraf = Corpus.telegraf(padding: library.jsonPadding)
        return try row("json-generic", native, JSONDecodeSubject.native(), settings, library)
            + row("json-telegraf", telegraf, JSONDecodeSubject.telegraf(), settings, library)
    }

    private static func row(
        _ name: String, _ corpus: Corpus, _ subject: JSONDecodeSubject, _ settings: Settings,
        _ library: Library
    ) throws(BenchError) -> [Row] {
        let reader = try SimdjsonReader(corpus, library)
        let expected = try reader.decodeAll(corpus)
        let count = Double(corpus.ranges.count)
        let mean = corpus.ranges.reduce(0) { $0 + $1.count } / corpus.ranges.count
        print("\n\(name): \(corpus.ranges.count) messages of \(mean) B, \(expected) values")
        let ours = try subject.decodeAll(corpus)
        guard ours == expected else {
            throw BenchError("\(name): \(subject.name) found \(ours) values, simdjson \(expected)")
        }
        let rates = try interleave(
            [
                Side(name: library.jsonName) { () throws(BenchError) in
                    _ = try reader.decodeAll(corpus)
                    return count
                },
                Side(name: subject.name) { () throws(BenchError) in
                    _ = try subject.decodeAll(corpus)
                    return count
                },
            ], repetitions: settings.repetitions)
        return [Row(name: name, unit: "messages/s", ours: rates[1], denominator: rates[0])]
    }
}

/// simdjson behind its door in the library of denominators.
///
/// Lives as long as the process: the library has no call to give it back.
@safe
final class SimdjsonReader {
    private let reader: UnsafeMutableRawPointer
    private let library: Library

    init(_ corpus: Corpus, _ library: Library) throws(BenchError) {
        self.library = library
        guard let reader = unsafe library.jsonNew(corpus.names.joined(separator: "\n")) else {
            throw BenchError("simdjson found no memory")
        }
        unsafe self.reader = reader
    }

    /// Decodes every message once; the values that reached a lane.
    func decodeAll(_ corpus: Corpus) throws(BenchError) -> Int {
        var values = 0
        var failures = 0
        // `tocsin_tick` of bench/json.cpp: time, key, mask and sixteen Floats in 88 bytes.
        var tick = [UInt64](repeating: 0, count: 11)
        unsafe corpus.bytes.withUnsafeBytes { bytes in
            guard let start = unsafe bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
            else { return }
            for range in corpus.ranges {
                let code = unsafe library.jsonTick(
                    reader, start + range.lowerBound, range.count, &tick)
                let mask = UInt32(truncatingIfNeeded: tick[2])
                if code == 0 { values += mask.nonzeroBitCount } else { failures += 1 }
            }
        }
        guard failures == 0 else {
            throw BenchError("simdjson refused \(failures) of \(corpus.ranges.count) messages")
        }
        return values
    }
}
