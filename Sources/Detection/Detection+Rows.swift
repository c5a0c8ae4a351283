package import Fleet
import RollingStatistics
package import Telemetry

// The rows of a batch, one after the other.
extension Detection {
    /// Applies rows from `cursor` on, up to and including the first that completes a step of event
    /// time, or to the end of the batch.
    ///
    /// - Returns: the rows that were applied.
    package mutating func apply(
        _ batch: inout SampleBatch, from cursor: inout Cursor, directory: inout Directory
    ) -> Range<Int> {
        apply(&batch, from: &cursor, until: nextStep, directory: &directory)
    }

    /// Applies a whole batch without looking at steps.
    package mutating func apply(_ batch: inout SampleBatch, directory: inout Directory) {
        var cursor = begin(&batch, directory: &directory)
        _ = apply(&batch, from: &cursor, until: .max, directory: &directory)
    }

    private mutating func apply(
        _ batch: inout SampleBatch, from cursor: inout Cursor, until due: Int64,
        directory: inout Directory
    ) -> Range<Int> {
        let first = cursor.row
        while pass(&batch, &cursor, until: due, &directory) {
            makeRoom(for: cursor, of: batch)
        }
        flush(batch.lanes)
        return first..<cursor.row
    }

    /// The first step that has not been taken when `frontier` is where it is now.
    private var nextStep: Int64 {
        guard frontier != .min else { return .min + 1 }
        return (frontier / settings.stepMilliseconds + 1) * settings.stepMilliseconds
    }

    /// Applies rows for as long as all that they touch is there.
    ///
    /// What grows is asked for once here and not for each row: a change of an array in place first
    /// asks who else holds it, and that was a third of all work.
    ///
    /// - Returns: whether room must be made for the next row; false at the end and at a step.
    private mutating func pass(
        _ batch: inout SampleBatch, _ cursor: inout Cursor, until due: Int64,
        _ directory: inout Directory
    ) -> Bool {
        // Out of their structs for the time being: a span of one field would lock all of them.
        let columns = (batch.rows, batch.readings, clockOfBatch, slotOf)
        var lanesHeld = exchange(&batch.lanes, with: [])
        var scoresHeld = exchange(&self.scores, with: [])
        var devicesHeld = exchange(&self.devices, with: [])
        var slotsHeld = exchange(&self.slots, with: [])
        var newestHeld = exchange(&self.newest, with: [])
        var countersHeld = exchange(&self.counters, with: [])
        var blocksHeld = exchange(&run.blocks, with: [])
        var timesHeld = exchange(&run.times, with: [])
        var ticksHeld = exchange(&run.rows, with: [])
        var countsHeld = exchange(&run.counts, with: [])
        defer {
            batch.lanes = lanesHeld
            self.scores = scoresHeld
            self.devices = devicesHeld
            self.slots = slotsHeld
            self.newest = newestHeld
            self.counters = countersHeld
            run.blocks = blocksHeld
            run.times = timesHeld
            run.rows = ticksHeld
            run.counts = countsHeld
        }
        let rows = columns.0.span
        let readings = columns.1.span
        let clockOfBatch = columns.2.span
        let slotOf = columns.3.span
        let isFar = slotsHeld.count * LaneBlocks.bytesPerBlock > LaneBlocks.cacheBytes
        var lanes = lanesHeld.mutableSpan
        var scores = scoresHeld.mutableSpan
        var devices = devicesHeld.mutableSpan
        var slots = slotsHeld.mutableSpan
        var newest = newestHeld.mutableSpan
        var counters = countersHeld.mutableSpan
        var blocks = blocksHeld.mutableSpan
        var times = timesHeld.mutableSpan
        var ticks = ticksHeld.mutableSpan
        var counts = countsHeld.mutableSpan
        var tally = batch.tally
        var sign = lastSign
        defer {
            batch.tally = tally
            lastSign = sign
        }

        while cursor.row < rows.count && frontier < due {
            let index = cursor.row
            scores[index] = ScoredRow()
            if isFar { Detection.prefetch(index, rows, slotOf, devices, slots, newest, counters) }
            let row = rows[index]
            let place = Int(row.device.value)
            let group = Int(row.group)
            let firstReading = cursor.reading
            var reading = firstReading
            while reading < readings.count, Int(readings[reading].row) <= index { reading += 1 }
            let time = row.time.milliseconds
            guard place < devices.count, group < Vocabulary.groupsMax,
                Int(row.partition) < clockOfBatch.count
            else {
                // Only a decoder that broke its word gets here; the sum must add up all the same.
                tally.noDevice += UInt64(row.points)
                (cursor.row, cursor.reading) = (index + 1, reading)
                continue
            }
            guard row.time >= .distantPast, row.time <= .distantFuture else {
                tally.future += UInt64(lanes[index].presence.nonzeroBitCount)
                tally.future += UInt64(reading - firstReading)
                (cursor.row, cursor.reading) = (index + 1, reading)
                continue
            }
            let slot = Int(slotOf[place * Vocabulary.groupsMax + group])
            guard slot >= 0, counts[group] < Run.ticksMax,
                reading == firstReading || slots[slot].counters >= 0
            else { return true }
            let wantsZ = needs.zGroups & (1 << UInt16(group)) != 0
            guard !wantsZ || !slots[slot].isInRun else { return true }
            (cursor.row, cursor.reading) = (index + 1, reading)
            guard time >= slots[slot].newest else {
                tally.late += UInt64(row.points)
                continue
            }

            let isNewer = time > devices[place].lastSeen
            if isNewer {
                devices[place].heard(at: time)
                if devices[place].isRetired {
                    devices[place].isRetired = false
                    rosterChanges &+= 1
                }
                directory.touch(row.device, at: row.time)
            }
            let clock = clockOfBatch[Int(row.partition)]
            let host = devices[place][.host]
            // The groups of one tick come one after the other: the clock learns nothing from the
            // second.
            if !sign.repeats(clock, host, place, time) {
                sign = Sign(clock: clock, host: host < 0 ? -2 - Int32(place) : host, time: time)
                let interval = Int64(devices[place].interval * 1_000)
                if clocks[Int(clock)].observe(host: sign.host, at: time, interval: interval) {
                    frontier = max(frontier, clocks[Int(clock)].effective)
                }
            }

            var given = lanes[index].presence
            let isEmpty = given == 0 && reading == firstReading
            let carried = given
            var repeats = 0
            if reading > firstReading {
                let taken = Detection.take(
                    readings.extracting(firstReading..<reading), Int(slots[slot].counters), time,
                    index, needs.increases[group], &counters, &lanes, &increases)
                given |= taken.given
                repeats = taken.repeats
            }
            var again: UInt16 = 0
            if time == slots[slot].newest {
                again = (lanes[index] .== newest[slot]).bits & carried & slots[slot].presentAtNewest
                repeats += again.nonzeroBitCount
            }
            let points = UInt64(row.points)
            if repeats > 0 || isEmpty {
                // A row that brings nothing new is a repeat whole, the parts of its sums included.
                let isRepeat = repeats == carried.nonzeroBitCount + reading - firstReading
                let duplicates = isRepeat ? points : min(UInt64(repeats), points)
                tally.duplicate += duplicates
                tally.applied += points - duplicates
            } else {
                tally.applied += points
            }
            if group == 0 {
                given |= devices[place].limits.derive(&lanes, index, given)
            } else if group == 1 {
                devices[place].limits.take(lanes, index, given)
            }
            let present = given & ~again
            if time == slots[slot].newest {
                newest[slot] = lanes[index].over(newest[slot])
                slots[slot].presentAtNewest |= present
            } else {
                newest[slot] = lanes[index]
                slots[slot].newest = time
                slots[slot].presentAtNewest = present
            }
            if group == 0, present & 1 != 0 {
                devices[place].feed(busy: lanes.value(in: 0, of: index), at: time)
            }
            // What was heard at this time before changed nothing that gates ask, but for util.busy.
            if isNewer || group == 0 { devices[place].updateGates(at: time, settings) }
            guard present != 0 else { continue }
            scores[index] = ScoredRow(
                time: time, device: row.device.value, group: row.group, present: present,
                gates: devices[place].gates.rawValue)
            if wantsZ {
                scores[index].z = Int32(zs.count)
                zs.append(
                    Detection.z(
                        of: lanes[index], lanes: self.lanes[slot], kept: kept[Int32(slot)],
                        floor: parameters[group].floor))
                slots[slot].isInRun = true
            }
            let tick = run.places[group] + Int(counts[group])
            counts[group] += 1
            blocks[tick] = UInt32(slot)
            times[tick] = Int32(truncatingIfNeeded: time)
            ticks[tick] = UInt32(truncatingIfNeeded: index)
        }
        return false
    }

    /// Turns the readings of one row into increases per second in its lanes.
    ///
    /// Apart from the loop over rows, whose variables it would push out of registers.
    ///
    /// - Returns: lanes that were filled, and how many readings were there already.
    @inline(never)
    private static func take(
        _ readings: Span<SampleBatch.Reading>, _ first: Int, _ time: Int64, _ row: Int,
        _ asked: UInt16, _ counters: inout MutableSpan<Counter>,
        _ lanes: inout MutableSpan<SIMD16<Float>>, _ increases: inout [Increase]
    ) -> (given: UInt16, repeats: Int) {
        var given: UInt16 = 0
        var repeats = 0
        var elapsed = Elapsed(to: time)
        for place in readings.indices {
            let lane = Int(readings[place].lane & 15)
            switch counters[first &+ lane].take(readings[place].value, &elapsed) {
            case .repeated: repeats += 1
            case .kept: continue
            case .rose(let increase):
                lanes.put(increase.perSecond, in: lane, of: row)
                let bit = UInt16(1) << UInt16(truncatingIfNeeded: lane)
                given |= bit
                guard increase.amount > 0, asked & bit != 0 else { continue }
                increases.append(
                    Increase(
                        row: Int32(row), lane: UInt8(lane), wasReset: increase.wasReset,
                        amount: increase.amount))
            }
        }
        return (given, repeats)
    }

    /// Asks for the state of rows that are applied soon.
    @inline(__always)
    private static func prefetch(
        _ index: Int, _ rows: Span<SampleBatch.Row>, _ slotOf: Span<Int32>,
        _ devices: borrowing MutableSpan<DeviceState>, _ slots: borrowing MutableSpan<Slot>,
        _ newest: borrowing MutableSpan<SIMD16<Float>>,
        _ counters: borrowing MutableSpan<Counter>
    ) {
        if let slot = slot(of: index + 8, rows, slotOf) {
            devices.prefetch(Int(rows[index + 8].device.value), lines: 2)
            slots.prefetch(slot)
            newest.prefetch(slot)
        }
        // By now it is known where the counters are.
        guard let slot = slot(of: index + 3, rows, slotOf), slot < slots.count else { return }
        counters.prefetch(Int(slots[slot].counters), lines: 4)
    }

    @inline(__always)
    private static func slot(
        of index: Int, _ rows: Span<SampleBatch.Row>, _ slotOf: Span<Int32>
    ) -> Int? {
        guard index < rows.count else { return nil }
        let place =
            Int(rows[index].device.value) * Vocabulary.groupsMax + Int(rows[index].group)
        guard place < slotOf.count, slotOf[place] >= 0 else { return nil }
        return Int(slotOf[place])
    }

    /// Makes all that a row touches, and empties the run.
    private mutating func makeRoom(for cursor: Cursor, of batch: borrowing SampleBatch) {
        flush(batch.lanes)
        let (index, reading) = (cursor.row, cursor.reading)
        let place = Int(batch.rows[index].device.value)
        let group = Int(batch.rows[index].group)
        run.makeRoom(for: group)
        if slotOf[place * Vocabulary.groupsMax + group] < 0 {
            slotOf[place * Vocabulary.groupsMax + group] = Int32(slots.count)
            slots.append(Slot())
            newest.append(SIMD16(repeating: .nan))
            lanes.grow(to: slots.count)
        }
        let slot = Int(slotOf[place * Vocabulary.groupsMax + group])
        let hasReadings =
            reading < batch.readings.count && Int(batch.readings[reading].row) <= index
        if hasReadings, slots[slot].counters < 0 {
            slots[slot].counters = Int32(counters.count)
            counters.append(contentsOf: repeatElement(Counter(), count: 16))
        }
    }

    /// How far values lie from the slow baseline, or from the one that was set aside.
    private static func z(
        of values: SIMD16<Float>, lanes: LaneBlock, kept: KeptBaseline?, floor: SIMD16<Float>
    ) -> SIMD16<Float> {
        var block = lanes
        if let kept {
            let known = kept.mean .== kept.mean
            block.slowMean = block.slowMean.replacing(with: kept.mean, where: known)
            block.slowVariance = block.slowVariance.replacing(with: kept.variance, where: known)
        }
        return (values - block.slowMean) / block.deviation(floor: floor)
    }

    /// Feeds the run of ticks that was gathered to the kernel, group by group.
    private mutating func flush(_ values: [SIMD16<Float>]) {
        for group in 0..<Vocabulary.groupsMax {
            let range = run.range(group)
            guard !range.isEmpty else { continue }
            if needs.zGroups & (1 << UInt16(group)) != 0 {
                for tick in range { slots[Int(run.blocks[tick])].isInRun = false }
            }
            run.feed(group, values, to: &lanes, parameters[group])
        }
    }
}

/// One sign of life, as a clock sees it.
struct Sign {
    let clock: Int32
    let host: Int32
    let time: Int64

    @inline(__always)
    func repeats(_ clock: Int32, _ host: Int32, _ device: Int, _ time: Int64) -> Bool {
        time == self.time && clock == self.clock
            && self.host == (host < 0 ? -2 - Int32(device) : host)
    }
}

/// What is known of the newest tick of one group of one device.
struct Slot {
    var newest: Int64 = .min
    /// Where its counters stand; -1 without any.
    var counters: Int32 = -1
    var presentAtNewest: UInt16 = 0
    var isInRun = false
}

/// The last reading of a counter.
struct Counter {
    private var value: Double = .nan
    private var time: Int64 = .min

    struct Rise {
        let amount: Float
        let perSecond: Float
        let wasReset: Bool
    }

    enum Outcome {
        /// The same reading was there already.
        case repeated
        /// It tells of no increase yet.
        case kept
        case rose(Rise)
    }

    init() {}

    @inline(__always)
    mutating func take(_ reading: Double, _ elapsed: inout Elapsed) -> Outcome {
        let now = elapsed.end
        guard time != now || value != reading else { return .repeated }
        guard reading.isFinite else { return .kept }
        let (before, since) = (value, time)
        (value, time) = (reading, now)
        // Two values for one time: the last one stands, and the next increase is measured from it.
        guard since != .min, now > since else { return .kept }
        let wasReset = reading < before
        let amount = wasReset ? reading : reading - before
        return .rose(
            Rise(
                amount: Float(amount), perSecond: Float(amount / elapsed.seconds(since: since)),
                wasReset: wasReset))
    }
}

/// The seconds up to a moment; counters of one row began at the same time, and a division is slow.
struct Elapsed {
    let end: Int64
    private var since: Int64
    private var seconds = 0.0

    @inline(__always)
    init(to end: Int64) { (self.end, since) = (end, end) }

    @inline(__always)
    mutating func seconds(since time: Int64) -> Double {
        if time != since { (since, seconds) = (time, Double(end - time) / 1_000) }
        return seconds
    }
}

/// The sizes of a device that shares are of.
struct Limits {
    private var memory = Float.nan
    private var power = Float.nan

    @inline(__always)
    mutating func take(
        _ values: borrowing MutableSpan<SIMD16<Float>>, _ index: Int, _ given: UInt16
    ) {
        if given & Limits.bit(.memTotal) != 0 {
            memory = values.value(in: Metric.memTotal.lane, of: index)
        }
        if given & Limits.bit(.powerLimit) != 0 {
            power = values.value(in: Metric.powerLimit.lane, of: index)
        }
    }

    /// power.ratio and mem.used_ratio, where the parts are known and the whole was not sent.
    ///
    /// - Returns: the lanes that were filled.
    @inline(__always)
    func derive(
        _ values: inout MutableSpan<SIMD16<Float>>, _ index: Int, _ given: UInt16
    ) -> UInt16 {
        var filled: UInt16 = 0
        if given & (Limits.bit(.powerRatio) | Limits.bit(.powerDraw)) == Limits.bit(.powerDraw),
            power > 0
        {
            let draw = values.value(in: Metric.powerDraw.lane, of: index)
            values.put(draw / power, in: Metric.powerRatio.lane, of: index)
            filled |= Limits.bit(.powerRatio)
        }
        if given & (Limits.bit(.memUsedRatio) | Limits.bit(.memUsed)) == Limits.bit(.memUsed),
            memory > 0
        {
            let used = values.value(in: Metric.memUsed.lane, of: index)
            values.put(used / memory, in: Metric.memUsedRatio.lane, of: index)
            filled |= Limits.bit(.memUsedRatio)
        }
        return filled
    }

    @inline(__always)
    private static func bit(_ metric: Metric) -> UInt16 { 1 << UInt16(metric.lane) }
}

/// Ticks on their way to the kernel, by group.
struct Run {
    /// Ticks of one group that are gathered at most.
    static let ticksMax = 512

    /// By group; full before its first tick, because there is no room.
    var counts = [Int](repeating: Run.ticksMax, count: Vocabulary.groupsMax)
    var blocks: [UInt32] = []
    var times: [Int32] = []
    /// Which row of the batch brings the values.
    var rows: [UInt32] = []
    /// Where the ticks of a group begin; -1 before its first one.
    private(set) var places = [Int](repeating: -1, count: Vocabulary.groupsMax)

    /// The ticks that were gathered of one group.
    func range(_ group: Int) -> Range<Int> {
        let first = places[group]
        return first < 0 ? 0..<0 : first..<first + counts[group]
    }

    mutating func makeRoom(for group: Int) {
        guard places[group] < 0 else { return }
        places[group] = blocks.count
        counts[group] = 0
        blocks.append(contentsOf: repeatElement(0, count: Run.ticksMax))
        times.append(contentsOf: repeatElement(0, count: Run.ticksMax))
        rows.append(contentsOf: repeatElement(0, count: Run.ticksMax))
    }

    /// Gives the ticks of one group to the kernel, with the values of the batch that they are of.
    mutating func feed(
        _ group: Int, _ values: [SIMD16<Float>], to lanes: inout LaneBlocks,
        _ parameters: LaneParameters
    ) {
        let range = range(group)
        lanes.update(
            blocks: blocks.span.extracting(range), times: times.span.extracting(range),
            values: values.span, rows: rows.span.extracting(range), parameters: parameters)
        counts[group] = 0
    }
}
