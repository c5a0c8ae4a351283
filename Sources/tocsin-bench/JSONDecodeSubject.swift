import Fleet
import Telemetry

/// The consumer delivers at most this many records at a time.
let messagesPerBatch = 1_000

/// The decoder as the daemon owns it, with the directory and the vocabulary that it fills.
final class DecoderUnderTest {
    private var state: DecoderState

    /// Without `learns`, no message is read the short way, however well its layout is known.
    init(_ format: WireFormat, learns: Bool = true) {
        state = DecoderState(format, learns: learns)
    }

    /// Decodes every message once.
    func decodeAll(_ corpus: Corpus) throws(BenchError) -> Understood {
        try state.decodeAll(corpus)
    }

    func sample(_ corpus: Corpus, _ number: Int) throws(BenchError) -> Sample {
        try state.sample(corpus, number)
    }
}

/// A value, so that the loop over the messages holds it for its whole length.
private struct DecoderState {
    private let format: WireFormat
    private var decoder: MessageDecoder
    private var directory = Directory()
    private var vocabulary = Vocabulary()
    private var batch = SampleBatch()

    init(_ format: WireFormat, learns: Bool) {
        self.format = format
        var settings = DecoderSettings()
        if !learns { settings.shapeBytesMax = 0 }
        decoder = MessageDecoder(format: format, settings: settings)
    }

    mutating func decodeAll(_ corpus: Corpus) throws(BenchError) -> Understood {
        var understood = Understood()
        var start = 0
        while start < corpus.ranges.count {
            let end = min(start + messagesPerBatch, corpus.ranges.count)
            try decode(corpus, start..<end)
            // A series that nothing watches was understood, and is counted as what it is.
            let tally = batch.tally
            guard tally.points > 0, tally.rejected == tally.ignored else {
                throw BenchError("\(tally.rejected) of \(tally.points) values were refused")
            }
            understood.values += Int(tally.points)
            start = end
        }
        understood.devices = directory.count
        return understood
    }

    mutating func sample(_ corpus: Corpus, _ number: Int) throws(BenchError) -> Sample {
        try decode(corpus, number..<number + 1)
        guard let row = batch.rows.first, batch.rows.allSatisfy({ $0.device == row.device }) else {
            throw BenchError("message \(number) gave no row of one device")
        }
        var values = batch.readings.map { Float($0.value) }
        for (row, lanes) in zip(batch.rows, batch.lanes) {
            for lane in 0..<16 where !lanes[lane].isNaN {
                // A link's speed as a share of its best is no number of the message.
                let metric = Metric(group: Int(row.group), lane: lane)
                if metric == .pcieGenRatio || metric == .pcieWidthRatio { continue }
                values.append(lanes[lane])
            }
        }
        let time = row.time.milliseconds
        return Sample(
            time: format == .native ? time : time / 1_000, device: row.device.value,
            values: values.sorted())
    }

    private mutating func decode(
        _ corpus: Corpus, _ messages: Range<Int>
    ) throws(BenchError) {
        let now = Instant(milliseconds: Corpus.end + 1_000)
        batch.removeAll()
        batch.partitions.append(Partition(topic: "accel.telemetry.v1", number: 0))
        for number in messages {
            let ahead = number + 3
            if ahead < messages.upperBound {
                decoder.expect(corpus.bytes.span.extracting(corpus.ranges[ahead]), directory)
            }
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
    }
}
