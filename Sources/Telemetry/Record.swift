import Fleet

/// What is known of the record being read: one device's metrics at one time.
struct Record: Sendable {
    /// A row in the making; its lanes stand in `values`.
    struct OpenRow: Sendable {
        var device = DeviceIndex(0)
        var group: UInt16 = 0
        var points: UInt16 = 0
    }

    /// A value that becomes a lane together with others of this record.
    struct Pending: Sendable {
        var device: DeviceIndex
        var meaning: Meaning
        var lane: Resolution.Lane
        var part: UInt16
        var value: Double
        var points: UInt16
        var isTaken = false
    }

    /// One device in every group, an instance of it and their host; more are written in turns.
    static let rowsMax = 24

    var origin = MessageOrigin(partition: 0, offset: 0, recordTime: Instant(milliseconds: 0))
    var clock = Instant(milliseconds: 0)
    var latest = Instant(milliseconds: 0)
    var time = Instant(milliseconds: 0)
    var isFuture = false
    /// One value per message: sums wait for later messages, not for later fields.
    var isPointwise = false
    var isNative = false
    var isTelegraf = false
    /// The bytes that say which device this is.
    var runs: [Range<Int32>] = []
    /// The object that holds the labels (of a native message, the message), or -1.
    var labels = -1
    var lastSalt = UInt32.max
    var lastKnown = -1
    /// Where the batch stood when the record began.
    var firstRow = 0
    var rowCount = 0
    var lastRow = 0
    var rows = Array(repeating: OpenRow(), count: rowsMax)
    // 16 for each row; an inline array would be copied whole at each reading (Swift 6.3.1).
    var values = [Float](repeating: .nan, count: rowsMax * 16)
    var pending: [Pending] = []
    /// By canonical metric: the rank of the name that filled its lane.
    var ranks = [UInt8](repeating: 0, count: 64)

    mutating func begin(_ origin: MessageOrigin, clock: Instant, latest: Instant) {
        self.origin = origin
        self.clock = clock
        self.latest = latest
    }

    /// Starts one of a message's records.
    mutating func start(at time: Instant, labels: Int, row: Int) {
        self.time = time
        self.labels = labels
        isFuture = time > latest
        isPointwise = false
        isNative = false
        isTelegraf = false
        lastSalt = .max
        firstRow = row
        rowCount = 0
        lastRow = 0
        runs.removeAll(keepingCapacity: true)
        if !pending.isEmpty { pending.removeAll(keepingCapacity: true) }
    }

    /// Adds a run of bytes; one that follows the last, a comma apart, makes it longer.
    @inline(__always)
    mutating func add(_ start: Int32, _ end: Int32) {
        if let last = runs.last, last.upperBound &+ 1 == start {
            runs[runs.count &- 1] = last.lowerBound..<end
        } else {
            runs.append(start..<end)
        }
    }

    /// The open row for `device` and `group`, begun where it is missing; -1 where none is free.
    @inline(__always)
    mutating func row(_ device: DeviceIndex, _ group: UInt16) -> Int {
        if lastRow < rowCount, rows[lastRow].group == group, rows[lastRow].device == device {
            return lastRow
        }
        return findRow(device, group)
    }

    @inline(never)
    private mutating func findRow(_ device: DeviceIndex, _ group: UInt16) -> Int {
        for index in 0..<rowCount where rows[index].group == group && rows[index].device == device {
            lastRow = index
            return index
        }
        guard rowCount < Record.rowsMax else { return -1 }
        rows[rowCount] = OpenRow(device: device, group: group)
        for lane in 0..<16 { values[rowCount * 16 + lane] = .nan }
        lastRow = rowCount
        rowCount += 1
        return lastRow
    }

    /// The lanes of an open row, in one load.
    @inline(__always)
    mutating func lanes(_ row: Int) -> SIMD16<Float> {
        let lane = values.span.extracting(droppingFirst: row &* 16).extracting(first: 16)
        guard lane.count == 16 else { return SIMD16(repeating: .nan) }
        return SIMD16(
            lane[0], lane[1], lane[2], lane[3], lane[4], lane[5], lane[6], lane[7], lane[8],
            lane[9], lane[10], lane[11], lane[12], lane[13], lane[14], lane[15])
    }
}
