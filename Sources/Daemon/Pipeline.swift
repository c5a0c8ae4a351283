import Detection
import Escalation
package import Fleet
package import Rules
package import Telemetry

/// Every stage of the hot path, in the order in which the data flows.
///
/// Owned by the intake's thread. Nothing here knows Kafka, the clock or the disk: bytes and times
/// come in as arguments, findings go out.
package struct Pipeline: ~Copyable {
    private var decoders: [MessageDecoder] = []
    private let formats: [String: WireFormat]
    private let decoding: DecoderSettings
    private var partitions: [Partition] = []
    private var vocabulary = Vocabulary()
    package private(set) var directory: Directory
    private var batch = SampleBatch()
    private var detection: Detection
    private var rules: RuleEngine
    /// Devices in a maintenance, and by what and how many devices it was last looked up.
    private var maintained: Set<Int> = []
    private var maintainedBy: [String] = []
    private var maintainedOf = 0
    private var maintainedAt = Instant.distantPast

    /// `formats` are by topic; `roster` and `firing` are what an earlier process knew; `seasonFile`
    /// is an open descriptor of an empty file, which seasons of devices may use.
    package init(
        book: RuleBook, formats: [String: WireFormat], decoding: DecoderSettings, devicesMax: Int,
        roster: [Device], firing: [Finding], seasonFile: Int32? = nil
    ) {
        self.formats = formats
        self.decoding = decoding
        directory = Directory(devicesMax: devicesMax)
        for device in roster { directory.restore(device) }
        rules = RuleEngine(
            book: book, vocabulary: &vocabulary, seasonFile: seasonFile)
        detection = Detection(vocabulary: vocabulary)
        detection.serve(rules.needs)
        rules.restore(firing: firing, detection: &detection, directory: &directory)
    }

    /// Makes room for partitions that the consumer has come to know; each has its own decoder.
    package mutating func know(_ known: [Partition]) {
        for partition in known.dropFirst(partitions.count) {
            partitions.append(partition)
            decoders.append(
                MessageDecoder(format: formats[partition.topic] ?? .auto, settings: decoding))
        }
    }

    /// Starts a batch.
    package mutating func begin() {
        batch.removeAll()
        batch.partitions = partitions
    }

    /// One message into the batch; what cannot be read leaves no trace in it.
    package mutating func read(
        _ payload: Span<UInt8>, partition: Int, offset: Int64, recordTime: Instant, now: Instant
    ) throws(Undecodable) {
        let origin = MessageOrigin(
            partition: UInt16(partition), offset: offset, recordTime: recordTime)
        try decoders[partition].decode(
            payload, from: origin, now: now, into: &batch, directory: &directory,
            vocabulary: &vocabulary)
    }

    /// The batch through detectors and rules, then time itself.
    ///
    /// A partition that is read to its end has come as far as any other: what is silent there is
    /// silent, not late. `caughtUp` holds the indices of the partitions that are, and `upTo` is
    /// where the others are; nil where that is not known yet, and then it moves none of them.
    package mutating func judge(
        caughtUp: [Int], upTo frontier: Instant?
    ) -> (findings: [Finding], tally: Tally) {
        let found = rules.process(&batch, detection: &detection, directory: &directory)
        let watermarks = frontier.map { frontier in
            caughtUp.filter { $0 < partitions.count }
                .map { (partition: partitions[$0], time: frontier) }
        }
        let passed = rules.advance(
            watermarks: watermarks ?? [], detection: &detection, directory: &directory)
        return (found + passed, batch.tally)
    }

    /// The event time that the furthest partition has reached; nil before the first sample.
    var frontier: Instant? {
        detection.frontier == .min ? nil : Instant(milliseconds: detection.frontier)
    }

    /// Values that found no season because there are too many series with one.
    var seasonsRefused: UInt64 { rules.seasonsRefused }

    /// Values that got no anomaly score because there are too many series with one.
    var watchesRefused: UInt64 { rules.watchesRefused }

    /// Devices from which nothing is learned.
    var devicesHeld: Int { detection.heldCount }

    /// Nothing is learned from devices that a silence covers whole.
    mutating func maintain(_ silences: [Silence], at now: Instant) {
        let active = silences.filter { $0.isActive(at: now) }
        // Every device is held against every silence: not again while nothing changed but labels,
        // which wait for the next minute.
        let isNew = active.map(\.id) != maintainedBy || directory.count != maintainedOf
        guard isNew || (!active.isEmpty && now - maintainedAt >= .seconds(60)) else { return }
        (maintainedBy, maintainedOf, maintainedAt) = (active.map(\.id), directory.count, now)
        var covered: Set<Int> = []
        for (index, device) in directory.devices.enumerated()
        where index < detection.devices.count
            && active.contains(where: { $0.covers(device.labels, at: now) })
        {
            covered.insert(index)
        }
        for device in covered.subtracting(maintained) { detection.hold(device) }
        for device in maintained.subtracting(covered) { detection.release(device) }
        maintained = covered
    }

    /// Another set of rules from the next batch on.
    mutating func replace(_ book: RuleBook, at now: Instant) -> [Finding] {
        rules.replace(
            book: book, vocabulary: &vocabulary, detection: &detection, directory: &directory,
            at: now)
    }

    /// Ids of the devices of every host, rack and job that `findings` touch: blame needs to know
    /// how many there are.
    func members(around findings: [Finding]) -> [Entity: [String]] {
        var members: [Entity: [String]] = [:]
        let kinds: [(LabelKey, EntityKind)] = [(.host, .host), (.rack, .rack), (.job, .job)]
        for finding in findings {
            for (key, kind) in kinds where !finding.labels[key].isEmpty {
                members[Entity(kind: kind, name: finding.labels[key])] = []
            }
        }
        guard !members.isEmpty else { return [:] }
        for device in directory.devices {
            for (key, kind) in kinds {
                members[Entity(kind: kind, name: device.labels[key])]?.append(device.id)
            }
        }
        return members
    }
}
