package import Fleet

/// What a run of messages said, as columns: what leaves Telemetry and enters Detection.
///
/// A row is one tick of one device in one group of 16 metrics. Missing lanes are NaN. Values are in
/// the units of the vocabulary, sentinels and out-of-range values are gone. The same batch is
/// filled again and again: `removeAll` keeps the memory.
package struct SampleBatch: Sendable {
    /// In 32 bytes, as `lanes_arrival` in C.
    package struct Row: BitwiseCopyable, Sendable {
        package let device: DeviceIndex
        package let group: UInt16
        /// Index into `partitions`.
        package let partition: UInt16
        /// Event time.
        package let time: Instant
        /// Offset of the message that carried it.
        package let offset: Int64
        /// How many points of the tally this row carries.
        ///
        /// Its lanes, its readings and the parts that were added up in them; whoever applies or
        /// refuses the row counts them all. A row may carry 0: one value that fills two rows, such
        /// as the last part of a sum, is counted with the first.
        package internal(set) var points: UInt16

        package init(
            device: DeviceIndex, group: UInt16, partition: UInt16, time: Instant, offset: Int64,
            points: UInt16
        ) {
            self.device = device
            self.group = group
            self.partition = partition
            self.time = time
            self.offset = offset
            self.points = points
        }
    }

    /// A counter's reading: too large for a Float lane, which will carry its increase per second.
    ///
    /// In 16 bytes, as `lanes_reading` in C.
    package struct Reading: BitwiseCopyable, Sendable {
        /// Index into `rows`; the lane of that row is NaN until Detection fills it.
        package let row: Int32
        package let lane: UInt8
        package let value: Double

        package init(row: Int32, lane: UInt8, value: Double) {
            self.row = row
            self.lane = lane
            self.value = value
        }
    }

    /// A discrete event: an XID, an AFID, a runtime error.
    package struct Fault: Sendable {
        package let device: DeviceIndex
        package let partition: UInt16
        package let time: Instant
        package let offset: Int64
        package let code: Int32
        package let text: String

        package init(
            device: DeviceIndex, partition: UInt16, time: Instant, offset: Int64, code: Int32,
            text: String
        ) {
            self.device = device
            self.partition = partition
            self.time = time
            self.offset = offset
            self.code = code
            self.text = text
        }
    }

    package var rows: [Row] = []
    /// One for each row.
    package var lanes: [SIMD16<Float>] = []
    package var readings: [Reading] = []
    package var faults: [Fault] = []
    package var partitions: [Partition] = []
    /// What became of the points of this batch so far.
    package var tally = Tally()

    package init() {}

    package mutating func removeAll() {
        rows.removeAll(keepingCapacity: true)
        lanes.removeAll(keepingCapacity: true)
        readings.removeAll(keepingCapacity: true)
        faults.removeAll(keepingCapacity: true)
        partitions.removeAll(keepingCapacity: true)
        tally = Tally()
    }
}

/// Where every point went; a point is one value of one metric of one device.
///
/// When a message has been decoded, each of its points is in exactly one place:
/// `points == applied + duplicate + rejected + (the sum of rows' points)`. Detection then counts
/// each row's points as `applied`, `late` or `duplicate`, so that after it
/// `points == applied + late + duplicate + rejected`, always.
package struct Tally: Sendable, Equatable {
    /// Values seen in messages that could be decoded.
    package var points: UInt64 = 0
    /// Fed to detectors.
    ///
    /// The decoder itself counts here what needs no row: a part of a sum that later messages
    /// complete, and a count of faults that has become faults.
    package var applied: UInt64 = 0
    /// Older than the newest of its series beyond the reorder window.
    package var late: UInt64 = 0
    /// Same series, same time; within a message, a key that a later one of the same name replaced.
    package var duplicate: UInt64 = 0
    /// The sum of the refusals below.
    package var rejected: UInt64 {
        sentinel &+ outOfRange &+ unknownMetric &+ notANumber &+ future &+ noDevice &+ ignored
    }
    /// A vendor's "not available" dressed as a number: missing, not a value.
    package var sentinel: UInt64 = 0
    package var outOfRange: UInt64 = 0
    /// A name that is neither in the vocabulary nor allowed to become an opaque series.
    package var unknownMetric: UInt64 = 0
    package var notANumber: UInt64 = 0
    /// Event time ahead of the clock by more than the allowed skew.
    package var future: UInt64 = 0
    /// No identity in the labels, or the directory is full.
    package var noDevice: UInt64 = 0
    /// A series of a source we know that nothing here watches, or a poorer reading of one that a
    /// better source of the same message stream gives as well.
    package var ignored: UInt64 = 0
    package var faults: UInt64 = 0
    /// Faults that name no device, or stood beyond the bound on faults in one message.
    package var faultsRefused: UInt64 = 0

    package init() {}
}
