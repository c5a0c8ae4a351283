import Fleet
import Telemetry

/// A decoder under test: takes a corpus, message by message, and says how much it understood.
///
/// Made once per corpus. A call decodes every message once and returns how many values it put in
/// their place, so that a decoder which skips work is seen to.
struct JSONDecodeSubject {
    let name: String
    let decodeAll: (Corpus) throws(BenchError) -> Int

    /// Our decoder for ticks of the native format.
    static func native() -> JSONDecodeSubject { subject(.native) }

    /// Our decoder for Telegraf's JSON.
    static func telegraf() -> JSONDecodeSubject { subject(.telegrafJSON) }

    private static func subject(_ format: WireFormat) -> JSONDecodeSubject {
        let reader = DecoderUnderTest(format)
        return JSONDecodeSubject(name: "Tocsin, MessageDecoder") { corpus throws(BenchError) in
            try reader.decodeAll(corpus)
        }
    }
}

/// The decoder as the daemon owns it, with the directory and the vocabulary that it fills.
private final class DecoderUnderTest {
    private var decoder: MessageDecoder
    private var directory = Directory()
    private var vocabulary = Vocabulary()
    private var batch = SampleBatch()
    /// The consumer delivers at most this many records at a time.
    private let messagesPerBatch = 1_000

    init(_ format: WireFormat) {
        decoder = MessageDecoder(format: format, settings: DecoderSettings())
    }

    func decodeAll(_ corpus: Corpus) throws(BenchError) -> Int {
        var placed = 0
        var start = 0
        while start < corpus.ranges.count {
            let end = min(start + messagesPerBatch, corpus.ranges.count)
            placed += try decode(corpus, start..<end)
            start = end
        }
        return placed
    }

    private func decode(_ corpus: Corpus, _ messages: Range<Int>) throws(BenchError) -> Int {
        let now = Instant(milliseconds: Corpus.end + 1_000)
        batch.removeAll()
        batch.partitions.append(Partition(topic: "accel.telemetry.v1", number: 0))
        for number in messages {
            let origin = MessageOrigin(partition: 0, offset: Int64(number), recordTime: now)
            do throws(Undecodable) {
                try decoder.decode(
                    corpus.bytes.span.extracting(corpus.ranges[number]), from: origin, now: now,
                    into: &batch, directory: &directory, vocabulary: &vocabulary)
            } catch {
                throw BenchError(
                    "message \(number) was refused: \(error.reason) at byte \(error.position)")
            }
        }
        // A series that nothing watches was understood, and is counted as what it is.
        let tally = batch.tally
        guard tally.points > 0, tally.rejected == tally.ignored else {
            throw BenchError("\(tally.rejected) of \(tally.points) values were refused")
        }
        return Int(tally.points)
    }
}
