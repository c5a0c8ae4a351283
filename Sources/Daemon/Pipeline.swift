package import Fleet
package import Rules
package import Telemetry
import Escalation

/// Every stage of the hot path, in the order in which the data flows.
///
/// Owned by the intake's thread. Nothing here knows Kafka, the clock or the disk: bytes and times
/// come in as arguments, findings go out.
///
/// Two halves that share nothing but the parcels that go from one to the other: reading fills a
/// batch, and a judge makes findings of it. A reader that keeps up has each batch judged at once, so
/// that nothing it says waits. One that is behind has it judged on a second thread while it reads
/// the next. Batches are judged in their order either way, and say the same.
///
///     while running {
///         pipeline.begin()
///         …                                           // read messages, batchMax at most
///         while let judged = pipeline.take(isBehind: …) { … }     // earlier batches
///         if let judged = pipeline.judge(caughtUp: …, upTo: …, isBehind: …) { … }
///     }
package struct Pipeline: ~Copyable {
    /// One for each topic: what one partition taught is known of all.
    private var decoders: [MessageDecoder] = []
    private var topics: [String] = []
    /// By partition.
    private var decoderOf: [Int] = []
    private let formats: [String: WireFormat]
    private let decoding: DecoderSettings
    private var partitions: [Partition] = []
    private var vocabulary: Vocabulary
    /// Who is who; when a device was last seen is for the judge.
    private var registry: Directory
    private var parcel = Parcel()
    let judging: JudgeThread
    /// Batches that were sent to be judged aside and were not taken yet.
    package private(set) var inWork = 0
    /// Rows of these.
    private var rowsInWork = 0
    /// Enough that neither thread waits while the system lets the other one wait for a processor,
    /// which it does for milliseconds.
    static let inWorkMax = 16
    /// As many as that many batches have whose messages fill four each.
    ///
    /// Where each fills hundreds, two batches are enough.
    static let rowsInWorkMax = 65_536

    /// Messages in a batch at most; who read so many is behind, for more are there.
    ///
    /// 1,000 is where a larger poll stops paying: 324 ns a record, 382 ns at 10,000.
    package static let batchMax = 1_000

    /// `formats` are by topic; `roster` and `firing` are what an earlier process knew; `seasonFile`
    /// is an open descriptor of an empty file, which seasons of devices may use.
    package init(
        book: RuleBook, formats: [String: WireFormat], decoding: DecoderSettings, devicesMax: Int,
        roster: [Device], firing: [Finding], seasonFile: Int32? = nil
    ) {
        self.formats = formats
        self.decoding = decoding
        var registry = Directory(devicesMax: devicesMax, notesSight: false)
        var directory = Directory(devicesMax: devicesMax)
        for device in roster {
            registry.restore(device)
            directory.restore(device)
        }
        _ = registry.takeChanges()
        self.registry = registry
        var vocabulary = Vocabulary()
        judging = JudgeThread(
            Judge(
                book: book, vocabulary: &vocabulary, directory: directory, firing: firing,
                seasonFile: seasonFile))
        self.vocabulary = vocabulary
    }

    deinit { judging.close() }

    /// Makes room for partitions that the consumer has come to know.
    package mutating func know(_ known: [Partition]) {
        for partition in known.dropFirst(partitions.count) {
            partitions.append(partition)
            if let known = topics.firstIndex(of: partition.topic) {
                decoderOf.append(known)
                continue
            }
            decoderOf.append(decoders.count)
            topics.append(partition.topic)
            decoders.append(
                MessageDecoder(format: formats[partition.topic] ?? .auto, settings: decoding))
        }
    }

    /// Starts a batch.
    package mutating func begin() {
        parcel.batch.removeAll()
        parcel.batch.partitions = partitions
    }

    /// A message of the partition that is read soon; see `MessageDecoder.expect`.
    package mutating func expect(_ payload: Span<UInt8>, partition: Int) {
        decoders[decoderOf[partition]].expect(payload, registry)
    }

    /// One message into the batch; what cannot be read leaves no trace in it.
    package mutating func read(
        _ payload: Span<UInt8>, partition: Int, offset: Int64, recordTime: Instant, now: Instant
    ) throws(Undecodable) {
        let origin = MessageOrigin(
            partition: UInt16(partition), offset: offset, recordTime: recordTime)
        try decoders[decoderOf[partition]].decode(
            payload, from: origin, now: now, into: &parcel.batch, directory: &registry,
            vocabulary: &vocabulary)
    }

    /// What came of the oldest batch in work; nil where no more need be taken before the next one is
    /// judged.
    ///
    /// A reader that `isBehind` takes what there is, and waits only where the judge has enough to do;
    /// any other waits until nothing is in work.
    package mutating func take(isBehind: Bool) -> Judged? {
        let mustWait = !isBehind || hasEnough
        guard inWork > 0, let judged = judging.take(waiting: mustWait) else { return nil }
        inWork -= 1
        rowsInWork -= judged.rows
        return judged
    }

    /// Whether the judge has so much to do that a reader waits for it.
    var hasEnough: Bool {
        inWork >= Pipeline.inWorkMax || inWork > 1 && rowsInWork >= Pipeline.rowsInWorkMax
    }

    /// Has the batch judged, and with it time itself.
    ///
    /// A partition that is read to its end has come as far as any other: what is silent there is
    /// silent, not late. `caughtUp` holds the indices of the partitions that are, and `upTo` is
    /// where the others are; nil where that is not known yet, and then it moves none of them.
    ///
    /// - Returns: what came of it; nil where the reader `isBehind`: then `take` has it in time.
    package mutating func judge(
        caughtUp: [Int], upTo frontier: Instant?, isBehind: Bool
    ) -> Judged? {
        precondition(
            isBehind ? !hasEnough : inWork == 0, "take what is in work first")
        parcel.devices = registry.takeEntries()
        parcel.watermarks.removeAll(keepingCapacity: true)
        if let frontier {
            for index in caughtUp where index < partitions.count {
                parcel.watermarks.append((partition: partitions[index], time: frontier))
            }
        }
        guard isBehind else { return judging.withJudge { $0.judge(&parcel) } }
        rowsInWork += parcel.batch.rows.count
        judging.send(&parcel)
        inWork += 1
        return nil
    }

    /// The same for who keeps up.
    package mutating func judge(caughtUp: [Int], upTo frontier: Instant?) -> Judged {
        judge(caughtUp: caughtUp, upTo: frontier, isBehind: false) ?? Judged()
    }
}

// What the judge knows, where nothing is in work.
extension Pipeline {
    /// The devices as of the last batch that was judged.
    package var directory: Directory { judging.withJudge { $0.directory } }

    /// Looks at the devices without a copy, which the next batch would have to pay for.
    func withDirectory<Result: Sendable>(_ look: (Directory) -> Result) -> Result {
        judging.withJudge { look($0.directory) }
    }

    /// Values that found no season because there are too many series with one.
    var seasonsRefused: UInt64 { judging.withJudge { $0.seasonsRefused } }

    /// Values that got no anomaly score because there are too many series with one.
    var watchesRefused: UInt64 { judging.withJudge { $0.watchesRefused } }

    /// Devices from which nothing is learned.
    var devicesHeld: Int { judging.withJudge { $0.devicesHeld } }

    /// Nothing is learned from devices that a silence covers whole.
    mutating func maintain(_ silences: [Silence], at now: Instant) {
        precondition(inWork == 0, "take what is in work first")
        judging.withJudge { $0.maintain(silences, at: now) }
    }

    /// Another set of rules from the next batch on.
    mutating func replace(_ book: RuleBook, at now: Instant) -> Judged {
        precondition(inWork == 0, "take what is in work first")
        return judging.withJudge { $0.replace(book, vocabulary: &vocabulary, at: now) }
    }
}
