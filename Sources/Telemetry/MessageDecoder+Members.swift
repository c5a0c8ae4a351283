import Bytes
import Fleet

/// The direct way: native messages in one pass, whatever their order of keys, without a tape.
extension MessageDecoder {
    /// Takes a message whose keys and labels are known.
    ///
    /// - Returns: false where there is anything unusual about it; nothing was changed then.
    mutating func takeMembers(
        _ payload: Span<UInt8>, isCopied: Bool, _ batch: inout SampleBatch,
        _ directory: inout Directory
    ) -> Bool {
        guard membersWait == 0, !members.isEmpty else {
            if membersWait > 0 { membersWait &-= 1 }
            return false
        }
        if !isCopied {
            scratch.fill(payload)
        }
        guard tryMembers(payload, &batch, &directory) else {
            // A topic that is always unusual is not looked at twice for ever.
            membersMissed &+= 1
            if membersMissed >= Self.missesMax {
                membersMissed = 0
                membersWait = Self.waitAfterMisses
            }
            return false
        }
        // A miss costs about a third of what a hit saves.
        membersMissed = max(0, membersMissed &- 2)
        return true
    }

    private static var nativeSalt: UInt32 { Source.canonical.salt(.board, .native) }
    private static var missesMax: Int { 64 }
    private static var waitAfterMisses: Int { 256 }

    @inline(__always)
    private mutating func tryMembers(
        _ payload: Span<UInt8>, _ batch: inout SampleBatch, _ directory: inout Directory
    ) -> Bool {
        let readings = batch.readings.count
        var guess: ByteMap.Guess?
        if let reading = members.read(
            scratch.bytes, payload.count, &record.values, &record.rows, &batch.readings,
            firstRow: batch.rows.count, &map, &guess)
        {
            let place = place(of: reading.labels, guess, Self.nativeSalt, payload)
            noteLabels(at: reading.labels.lowerBound, of: payload.count)
            if let place, takeRead(reading, place, payload, &batch, &directory) { return true }
            // Labels are new only once.
            if place == nil { membersMissed &-= 1 }
        }
        if batch.readings.count > readings { batch.readings.removeSubrange(readings...) }
        return false
    }

    @inline(__always)
    private mutating func takeRead(
        _ reading: MemberTable.Reading, _ place: Int, _ bytes: Span<UInt8>,
        _ batch: inout SampleBatch, _ directory: inout Directory
    ) -> Bool {
        var time = record.origin.recordTime
        if let node = reading.time {
            guard
                let read = Timestamp.read(node, unit: settings.timestampUnit)
                    ?? Timestamp.read(bytes, node, unit: settings.timestampUnit)
            else { return false }
            time = read
        }
        guard time.milliseconds <= record.latest.milliseconds, reading.rowCount > 0 else {
            return false
        }
        guard let device = Self.device(known[place], fingerprints) else { return false }
        counted.labelHits &+= 1
        counted.memberHits &+= 1
        record.start(at: time, labels: -1, row: batch.rows.count)
        record.isNative = true
        record.lastSalt = Self.nativeSalt
        record.lastKnown = place
        for row in 0..<reading.rowCount { record.rows[row].device = device }
        record.rowCount = reading.rowCount
        batch.tally.points &+= reading.points
        batch.tally.unknownMetric &+= reading.unknown
        batch.tally.ignored &+= reading.ignored
        finishRecord(&batch)
        touch(device, &batch, &directory)
        return true
    }

    /// Notes the keys of the message on the tape, which has just been taken.
    @inline(never)
    mutating func learnMembers(_ bytes: Span<UInt8>) {
        guard record.isNative, !tape.isInflux, tape[0].kind == .object else { return }
        // A key near the end is only found again with zeros behind it, and would be noted each time.
        scratch.fill(bytes)
        var last = MemberTable.message
        var node = 1
        var begin = Int(tape[0].start)
        let end = Int(tape[0].next)
        while node + 1 < end {
            let value = tape[node + 1]
            let role = tape.role(node, bytes)
            if role == .metrics, value.kind == .object {
                learnMetrics(node + 1, bytes)
            }
            let way = Self.way(role)
            last = members.learn(scratch, at: begin, isMetric: false, after: last) { $0.way = way }
            begin = Int(value.end) + (value.kind == .string ? 1 : 0)
            node = Int(value.next)
            // After a key that is not remembered no other is found.
            guard last != 0 else { return }
        }
    }

    private mutating func learnMetrics(_ object: Int, _ bytes: Span<UInt8>) {
        var last = MemberTable.metrics
        var node = object + 1
        var begin = Int(tape[object].start)
        let end = Int(tape[object].next)
        while node + 1 < end {
            let (key, value) = (tape[node], tape[node + 1])
            var place: Int?
            if value.kind == .number {
                place = resolver.place(bytes, key, .unknown, isOpaque: opaqueNative)
            }
            let resolution = place.map { resolver.known[$0] }
            let plain = place.map { resolver.plain[$0] }
            last = members.learn(scratch, at: begin, isMetric: true, after: last) { entry in
                guard let resolution, let plain else { return }
                entry.take(resolution, plain)
            }
            begin = Int(value.end) + (value.kind == .string ? 1 : 0)
            node = Int(value.next)
            guard last != 0 else { return }
        }
    }

    private static func way(_ role: KeyTable.Role) -> MemberTable.Way {
        switch role {
        case .version: .version
        case .time: .time
        case .metrics: .metrics
        case .events: .events
        case .device, .host, .index, .kind, .vendor, .model, .labels: .label
        case .none, .tags, .fields, .name, .value, .metric, .gauge, .counter, .list: .skipped
        }
    }
}

extension MemberTable.Entry {
    /// Takes over what a name means.
    fileprivate mutating func take(_ resolution: Resolution, _ plain: PlainMeaning) {
        switch resolution.disposition {
        case .unknown: way = .unknown
        case .ignored: way = .ignored
        case .selected: way = .other
        case .known: way = plain.isPlain ? (plain.isCounter ? .counter : .lane) : .other
        }
        // A little less than a vendor's "not available" would be: what is above is looked at closely.
        let blank = (plain.hasBlanks ? 2_147_483_631 : 9.1e18) * plain.scale
        lane = UInt8(plain.metric & 15)
        bit = UInt32(1) << UInt32(lane)
        group = way == .lane || way == .counter ? Int32(plain.metric >> 4) : -2
        scale = plain.scale
        low = max(plain.low, -blank)
        high = min(plain.high, blank)
    }
}
