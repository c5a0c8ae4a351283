import Telemetry

/// Our decoder against simdjson, message by message, one core.
///
/// The denominator reads JSON in every row: for influx the same samples, as Telegraf's JSON.
enum JSONBench {
    static let names = ["json-shape", "json-generic", "json-telegraf", "influx"]

    static func run(
        _ settings: Settings, _ library: Library, wanted: (String) -> Bool
    ) throws(BenchError) -> [Row] {
        var rows: [Row] = []
        if wanted("json-shape") || wanted("json-generic") {
            let corpus = Corpus.native(padding: library.jsonPadding)
            var sides: [(String, DecoderUnderTest)] = []
            if wanted("json-shape") { sides.append(("json-shape", DecoderUnderTest(.native))) }
            if wanted("json-generic") {
                sides.append(("json-generic", DecoderUnderTest(.native, learns: false)))
            }
            rows += try compare(sides.map { ($0.0, $0.1, corpus) }, corpus, settings, library)
        }
        if wanted("json-telegraf") || wanted("influx") {
            let corpus = Corpus.telegraf(padding: library.jsonPadding)
            var sides: [(String, DecoderUnderTest, Corpus)] = []
            if wanted("json-telegraf") {
                sides.append(("json-telegraf", DecoderUnderTest(.telegrafJSON), corpus))
            }
            if wanted("influx") {
                sides.append(("influx", DecoderUnderTest(.influx), Corpus.influx()))
            }
            rows += try compare(sides, corpus, settings, library)
        }
        return rows
    }

    /// Measures every decoder and simdjson in turn.
    private static func compare(
        _ sides: [(name: String, decoder: DecoderUnderTest, corpus: Corpus)], _ corpus: Corpus,
        _ settings: Settings, _ library: Library
    ) throws(BenchError) -> [Row] {
        let reader = try SimdjsonReader(corpus, library)
        let expected = try reader.decodeAll(corpus)
        for side in sides {
            let bytes = side.corpus.ranges.reduce(0) { $0 + $1.count }
            print(
                "\n\(side.name): \(side.corpus.ranges.count) messages of "
                    + "\(bytes / side.corpus.ranges.count) B, \(expected.values) values")
            let ours = try side.decoder.decodeAll(side.corpus)
            guard ours == expected else {
                throw BenchError("\(side.name): we found \(ours), simdjson \(expected)")
            }
            try agree(side.decoder, side.corpus, reader, corpus, side.name)
        }
        let denominator = Side(name: library.jsonName) { () throws(BenchError) in
            _ = try reader.decodeAll(corpus)
            return Double(corpus.ranges.count)
        }
        let ours = sides.map { side in
            Side(name: "Tocsin, MessageDecoder") { () throws(BenchError) in
                _ = try side.decoder.decodeAll(side.corpus)
                return Double(side.corpus.ranges.count)
            }
        }
        let rates = try interleave([denominator] + ours, repetitions: settings.repetitions)
        return zip(sides, rates.dropFirst()).map { side, rate in
            Row(name: side.name, unit: "messages/s", ours: rate, denominator: rates[0])
        }
    }

    /// Both must see the same device, time and values in every message of the first batches.
    private static func agree(
        _ decoder: DecoderUnderTest, _ corpus: Corpus, _ reader: SimdjsonReader,
        _ denominators: Corpus, _ name: String
    ) throws(BenchError) {
        var devices: [UInt32: UInt32] = [:]
        for number in 0..<2_000 {
            let ours = try decoder.sample(corpus, number)
            let theirs = try reader.sample(denominators, number)
            guard ours.time == theirs.time, ours.isIncluded(in: theirs),
                devices[theirs.device, default: ours.device] == ours.device
            else {
                throw BenchError(
                    "\(name): message \(number) is \(ours) for us, \(theirs) for simdjson")
            }
            devices[theirs.device] = ours.device
        }
        guard Set(devices.values).count == devices.count else {
            throw BenchError("\(name): devices of simdjson's became one of ours")
        }
    }
}

/// How much was understood of a corpus, so that a decoder which skips work is seen to.
struct Understood: Equatable {
    var values = 0
    var devices = 0
}

/// What one message said.
struct Sample {
    var time: Int64
    var device: UInt32
    /// Sorted; NaN is left out.
    var values: [Float]

    /// Whether `other` has all these values; it also takes fields as values that are none to us.
    func isIncluded(in other: Sample) -> Bool {
        var rest = other.values[...]
        for value in values {
            guard let place = rest.firstIndex(of: value) else { return false }
            rest = rest[(place + 1)...]
        }
        return !values.isEmpty
    }
}

/// simdjson behind its door in the library of denominators.
///
/// Lives as long as the process: the library has no call to give it back.
@safe
final class SimdjsonReader {
    private let reader: UnsafeMutableRawPointer
    private let library: Library
    /// A batch of `tocsin_tick` of bench/json.cpp: time, device and mask, sixteen Floats.
    private var ticks = [UInt64](repeating: 0, count: messagesPerBatch * wordsPerTick)
    private static let wordsPerTick = 10

    init(_ corpus: Corpus, _ library: Library) throws(BenchError) {
        self.library = library
        let lanes = corpus.lanes.map { "\($0.name) \($0.scale) \($0.low) \($0.high)" }
        guard let reader = unsafe library.jsonNew(lanes.joined(separator: "\n")) else {
            throw BenchError("simdjson found no memory")
        }
        unsafe self.reader = reader
    }

    /// Decodes every message once.
    func decodeAll(_ corpus: Corpus) throws(BenchError) -> Understood {
        var understood = Understood()
        var start = 0
        while start < corpus.ranges.count {
            let end = min(start + messagesPerBatch, corpus.ranges.count)
            try decode(corpus, start..<end)
            for message in 0..<end - start {
                let word = ticks[message * Self.wordsPerTick + 1]
                understood.values += UInt32(truncatingIfNeeded: word >> 32).nonzeroBitCount
                let device = Int(UInt32(truncatingIfNeeded: word))
                understood.devices = max(understood.devices, device + 1)
            }
            start = end
        }
        return understood
    }

    func sample(_ corpus: Corpus, _ number: Int) throws(BenchError) -> Sample {
        try decode(corpus, number..<number + 1)
        let lanes = (0..<16).map { lane in
            Float(bitPattern: UInt32(truncatingIfNeeded: ticks[2 + lane / 2] >> (lane % 2 * 32)))
        }
        return Sample(
            time: Int64(ticks[0]), device: UInt32(truncatingIfNeeded: ticks[1]),
            values: lanes.filter { !$0.isNaN }.sorted())
    }

    private func decode(_ corpus: Corpus, _ messages: Range<Int>) throws(BenchError) {
        var failures = 0
        unsafe corpus.bytes.withUnsafeBytes { bytes in
            guard let start = unsafe bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
            else { return }
            unsafe ticks.withUnsafeMutableBytes { ticks in
                guard let first = ticks.baseAddress else { return }
                for message in messages {
                    let range = corpus.ranges[message]
                    let place = (message - messages.lowerBound) * Self.wordsPerTick * 8
                    let code = unsafe library.jsonTick(
                        reader, start + range.lowerBound, range.count, first + place)
                    if code != 0 { failures += 1 }
                }
            }
        }
        guard failures == 0 else { throw BenchError("simdjson refused \(failures) messages") }
    }
}
