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
    /// Whether the message is laid out as one before it.
    var isLaidOut = false
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
        isLaidOut = false
    }

    /// Starts one of a message's records.
    @inline(__always)
    mutating func start(at time: Instant, labels: Int, row: Int) {
        self.time = time
        self.labels = labels
        isFuture = time.milliseconds > latest.milliseconds
        isPointwise = false
        isNative = false
        isTelegraf = false
        lastSalt = .max
        firstRow = row
        rowCount = 0
        lastRow = 0
        if !runs.isEmpty { runs.removeAll(keepingCapacity: true) }
        if !pending.isEmpty { pending.removeAll(keepingCapacity: true) }
    }

    /// Adds a run of bytes; one that follows the last, a comma apart, makes it longer.
    @inline(__always)
    mutating func add(_ start: Int32, _ end: Int32) {
        let last = runs.count &- 1
        if last >= 0, runs[last].upperBound &+ 1 == start {
            runs[last] = runs[last].lowerBound..<end
        } else {
            runs.append(start..<end)
        }
    }

    /// The open row for `device` and `group`, begun where it is missing; -1 where none is free.
    @inline(__always)
    mutating func row(_ device: DeviceIndex, _ group: UInt16) -> Int {
        if lastRow < rowCount, rows[lastRow].group == group,
            rows[lastRow].device.value == device.value
        {
            return lastRow
        }
        return findRow(device, group)
    }

    @inline(never)
    private mutating func findRow(_ device: DeviceIndex, _ group: UInt16) -> Int {
        for index in 0..<rowCount
        where rows[index].group == group && rows[index].device.value == device.value {
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

    /// Puts the numbers of `members` in their lanes, as long as there is no more to them than that.
    ///
    /// - Returns: the first member that needs a closer look, or the end.
    @inline(__always)
    mutating func take(
        _ members: Range<Int>, _ tape: [Node], _ places: [Resolver.KeyPlace],
        _ meanings: [PlainMeaning], _ device: UInt32, salt: UInt32, _ tally: inout Tally
    ) -> Int {
        let labels = isNative ? nil : lastSalt
        let node = Self.take(
            members, tape, places, meanings, device, salt: salt, labels: labels,
            isTelegraf: isTelegraf, &values, &rows, &ranks, &lastRow, &rowCount)
        tally.points &+= UInt64(truncatingIfNeeded: (node &- members.lowerBound) / 2)
        return node
    }

    @inline(never)
    private static func take(
        _ members: Range<Int>, _ tape: [Node], _ places: [Resolver.KeyPlace],
        _ meanings: [PlainMeaning], _ device: UInt32, salt: UInt32, labels: UInt32?,
        isTelegraf: Bool, _ values: inout [Float], _ rows: inout [OpenRow],
        _ ranks: inout [UInt8], _ lastRow: inout Int, _ rowCount: inout Int
    ) -> Int {
        let nodes = tape.span
        let places = places.span
        let meanings = meanings.span
        var lanes = values.mutableSpan
        var open = rows.mutableSpan
        var kept = ranks.mutableSpan
        var (row, count) = (lastRow, rowCount)
        var node = members.lowerBound
        while node &+ 1 < members.upperBound {
            let value = nodes[node &+ 1]
            let key = Int(nodes[node].key)
            guard value.kind == .number, key < places.count, places[key].salt == salt else { break }
            let plain = meanings[Int(places[key].place)]
            let number = value.value * plain.scale
            guard plain.isPlain, !plain.isCounter, number >= plain.low, number <= plain.high,
                abs(value.value) < (plain.hasBlanks ? 2_147_483_632 : 9.2e18),
                labels == nil || (isTelegraf ? plain.telegrafSalt : plain.otherSalt) == labels
            else { break }
            let group = plain.metric >> 4
            if row >= count || open[row].group != group || open[row].device.value != device {
                row = 0
                while row < count, open[row].group != group || open[row].device.value != device {
                    row &+= 1
                }
                if row == count {
                    guard count < Record.rowsMax else { break }
                    open[row] = OpenRow(device: DeviceIndex(device), group: group)
                    for lane in row &* 16..<row &* 16 &+ 16 { lanes[lane] = .nan }
                    count &+= 1
                }
            }
            let place = row &* 16 &+ Int(plain.metric & 15)
            guard lanes[place].isNaN else { break }
            lanes[place] = Float(number)
            if plain.metric < 64 { kept[Int(plain.metric)] = plain.rank }
            open[row].points &+= 1
            node &+= 2
        }
        lastRow = row < count ? row : 0
        rowCount = count
        return node
    }
}
