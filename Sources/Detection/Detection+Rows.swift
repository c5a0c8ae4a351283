package import Fleet
import RollingStatistics
package import Telemetry

// The rows of a batch, from stage to stage: who spoke and when, what of it is new, what follows from
// that for the device, and into the kernel with it. Each stage goes over many rows in a loop of its
// own, for one loop over all would have to keep more at hand than a processor has registers.
extension Detection {
    /// Applies rows from `cursor` on, up to and including those of the first message that completes a
    /// step of event time, or to the end of the batch.
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
        while cursor.row < batch.rows.count && frontier < due {
            let heard = hear(batch, cursor.row, until: due, &directory)
            while cursor.row < heard.upperBound {
                let rows = sort(batch, cursor.row..<heard.upperBound)
                settle(&batch, rows, &cursor.reading)
                if needs.zGroups != 0 { measure(rows, batch.lanes) }
                slots.feed(
                    batch.lanes.span, to: &lanes, parameters, asked: needs.statistics)
                cursor.row = rows.upperBound
            }
        }
        return first..<cursor.row
    }

    /// The first step that has not been taken when `frontier` is where it is now.
    private var nextStep: Int64 {
        guard frontier != .min else { return .min + 1 }
        return (frontier / settings.stepMilliseconds + 1) * settings.stepMilliseconds
    }

    /// So many rows go from stage to stage at a time: their columns fit the second-level cache.
    private static let rowsMax = 1_024

    /// Signs of life, from one message to the next: the rows of one device at one time, side by side.
    ///
    /// - Returns: the rows of the messages that were heard; the last one may have completed a step.
    private mutating func hear(
        _ batch: borrowing SampleBatch, _ first: Int, until due: Int64, _ directory: inout Directory
    ) -> Range<Int> {
        // Out of their structs for the time being: a span of one field would lock all of them.
        let rowsHeld = batch.rows
        let clockHeld = clockOfBatch
        var devicesHeld = exchange(&self.devices, with: [])
        var placesHeld = exchange(&self.places, with: [])
        defer {
            self.devices = devicesHeld
            self.places = placesHeld
        }
        let rows = rowsHeld.span
        let clockOfBatch = clockHeld.span
        var devices = devicesHeld.mutableSpan
        var places = placesHeld.mutableSpan
        let isFar = devices.count * MemoryLayout<DeviceState>.stride > LaneBlocks.cacheBytes / 4

        let last = min(rows.count, first + Detection.rowsMax)
        var index = first
        while index < last && frontier < due {
            let head = rows[index]
            let device = Int(head.device.value)
            let time = head.time.milliseconds
            if isFar, index + 12 < rows.count {
                devices.prefetch(Int(rows[index + 12].device.value), lines: 2)
            }
            var place = LanePlace()
            if device >= devices.count || Int(head.partition) >= clockOfBatch.count {
                place.slot = LanePlace.noDevice
            } else if head.time < .distantPast || head.time > .distantFuture {
                place.slot = LanePlace.future
            } else {
                let lastSeen = devices[device].lastSeen
                if time > lastSeen {
                    place.isNewer = true
                    devices[device].heard(at: time)
                    if devices[device].isRetired {
                        devices[device].isRetired = false
                        rosterChanges &+= 1
                    }
                    directory.touch(head.device, at: head.time)
                }
                let clock = clockOfBatch[Int(head.partition)]
                let host = devices[device][.host]
                // What is older than its device tells of no time that was not there already.
                if time >= lastSeen, !lastSign.repeats(clock, host, device, time) {
                    lastSign = Sign(
                        clock: clock, host: host < 0 ? -2 - Int32(device) : host, time: time)
                    let interval = Int64(devices[device].interval * 1_000)
                    if clocks[Int(clock)].observe(
                        host: lastSign.host, at: time, interval: interval)
                    {
                        frontier = max(frontier, clocks[Int(clock)].effective)
                    }
                }
            }
            places[index] = place
            place.isNewer = false
            index += 1
            while index < rows.count, rows[index].belongs(to: head) {
                places[index] = place
                index += 1
            }
        }
        return first..<index
    }

    /// What of each row is new: it is held against the newest tick of its device and group.
    ///
    /// - Returns: the rows up to one that must wait until the kernel is done with those before it.
    private mutating func sort(
        _ batch: borrowing SampleBatch, _ range: Range<Int>
    ) -> Range<Int> {
        let (rows, values) = (batch.rows, batch.lanes)
        var placesHeld = exchange(&self.places, with: [])
        defer { self.places = placesHeld }
        var places = placesHeld.mutableSpan
        var next = range.lowerBound
        while next < range.upperBound {
            next = slots.sort(
                rows.span, values.span, &places, in: next..<range.upperBound)
            guard next < range.upperBound else { break }
            let (device, group) = (Int(rows[next].device.value), Int(rows[next].group))
            // One that must wait has a slot.
            guard slots.slot(of: device, group: group) == nil else { break }
            slots.add(device: device, group: group)
            lanes.grow(to: slots.count)
        }
        return range.lowerBound..<next
    }

    /// What follows from rows: increases of counters, shares, what the device does, and the account.
    private mutating func settle(
        _ batch: inout SampleBatch, _ range: Range<Int>, _ reading: inout Int
    ) {
        var next = range.lowerBound
        while !settle(&batch, &next, range.upperBound, &reading) {
            // Two rows of a slot may stand in one batch.
            let slot = places[next].slot
            for place in next..<range.upperBound where places[place].slot == slot {
                places[place].counters = Int32(counters.count)
            }
            slots.put(counters: Int32(counters.count), at: Int(slot))
            counters.append(contentsOf: repeatElement(Counter(), count: 16))
        }
    }

    /// - Returns: whether all is done; false at a row whose counters have no place yet.
    private mutating func settle(
        _ batch: inout SampleBatch, _ index: inout Int, _ end: Int, _ reading: inout Int
    ) -> Bool {
        let (rowsHeld, readingsHeld, placesHeld) = (batch.rows, batch.readings, places)
        var lanesHeld = exchange(&batch.lanes, with: [])
        var scoresHeld = exchange(&self.scores, with: [])
        var devicesHeld = exchange(&self.devices, with: [])
        var countersHeld = exchange(&self.counters, with: [])
        var tally = batch.tally
        defer {
            batch.lanes = lanesHeld
            batch.tally = tally
            self.scores = scoresHeld
            self.devices = devicesHeld
            self.counters = countersHeld
        }
        let rows = rowsHeld.span
        let readings = readingsHeld.span
        let places = placesHeld.span
        var lanes = lanesHeld.mutableSpan
        var scores = scoresHeld.mutableSpan
        var devices = devicesHeld.mutableSpan
        var counters = countersHeld.mutableSpan
        let isFar = slots.count * LaneBlocks.bytesPerBlock > LaneBlocks.cacheBytes

        while index < end {
            if isFar, index + 4 < end {
                counters.prefetch(Int(places[index + 4].counters), lines: 4)
            }
            let place = places[index]
            let row = rows[index]
            let firstReading = reading
            var end = reading
            while end < readings.count, Int(readings[end].row) <= index { end += 1 }
            guard place.slot >= 0 else {
                tally.refuse(row, place, values: lanes[index].presence, readings: end - reading)
                scores[index] = ScoredRow()
                (index, reading) = (index + 1, end)
                continue
            }
            let time = row.time.milliseconds
            let device = Int(row.device.value)
            let group = Int(row.group)
            var given = place.carried
            var repeats = place.again == 0 ? 0 : place.again.nonzeroBitCount
            if end > firstReading {
                guard place.counters >= 0 else { return false }
                let taken = Detection.take(
                    readings.extracting(firstReading..<end), Int(place.counters), time, index,
                    needs.increases[group], &counters, &lanes, &increases)
                given |= taken.given
                repeats += taken.repeats
                reading = end
            }
            let points = UInt64(row.points)
            if repeats > 0 || (given == 0 && end == firstReading) {
                // A row that brings nothing new is a repeat whole, the parts of its sums included.
                let isRepeat = repeats == place.carried.nonzeroBitCount + end - firstReading
                let duplicates = isRepeat ? points : min(UInt64(repeats), points)
                tally.duplicate += duplicates
                tally.applied += points - duplicates
            } else {
                tally.applied += points
            }
            if group == 0 {
                given |= devices[device].limits.derive(&lanes, index, given)
            } else if group == 1 {
                devices[device].limits.take(lanes, index, given)
            }
            let present = given & ~place.again
            if group == 0, present & 1 != 0 {
                devices[device].feed(busy: lanes.value(in: 0, of: index), at: time)
            }
            // What was heard at this time before changed nothing that gates ask, but for util.busy.
            if place.isNewer || group == 0 { devices[device].updateGates(at: time, settings) }
            scores[index] =
                present == 0
                ? ScoredRow()
                : ScoredRow(
                    time: time, device: row.device.value, group: row.group, present: present,
                    gates: devices[device].gates.rawValue)
            index += 1
        }
        return true
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
        // Counters of one row began at the same time, and a division is slow.
        var since = time
        var perMillisecond = 0.0
        for place in readings.indices {
            let reading = readings[place].value
            let lane = Int(readings[place].lane & 15)
            let before = counters[first &+ lane]
            if before.time == time, before.value == reading {
                repeats &+= 1
                continue
            }
            guard reading.isFinite else { continue }
            counters[first &+ lane] = Counter(reading, at: time)
            // Two values for one time: the last one stands, and the next increase is measured from it.
            guard before.time != .min, before.time < time else { continue }
            if before.time != since {
                since = before.time
                perMillisecond = 1 / Double(time &- since)
            }
            let wasReset = reading < before.value
            let amount = wasReset ? reading : reading - before.value
            lanes.put(Float(amount * perMillisecond * 1_000), in: lane, of: row)
            let bit = UInt16(1) << UInt16(truncatingIfNeeded: lane)
            given |= bit
            guard asked & bit != 0, Float(amount) > 0 else { continue }
            increases.append(
                Increase(
                    row: Int32(row), lane: UInt8(lane), wasReset: wasReset, amount: Float(amount)))
        }
        return (given, repeats)
    }

    /// Measures rows against their baselines, where a rule asks, before the kernel moves these.
    private mutating func measure(_ range: Range<Int>, _ values: [SIMD16<Float>]) {
        for index in range where places[index].slot >= 0 {
            let slot = places[index].slot
            let group = Int(scores[index].group)
            guard scores[index].present != 0, needs.zGroups & (1 << UInt16(group)) != 0 else {
                continue
            }
            scores[index].z = Int32(zs.count)
            zs.append(
                Detection.z(
                    of: values[index], lanes: lanes[Int(slot)], kept: kept[slot],
                    floor: parameters[group].floor))
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

extension SampleBatch.Row {
    /// Whether it is of the same device at the same time, as the rows of one message are.
    @inline(__always)
    fileprivate func belongs(to other: SampleBatch.Row) -> Bool {
        device == other.device && time == other.time && partition == other.partition
    }
}

extension Tally {
    /// Counts a row that is not applied.
    fileprivate mutating func refuse(
        _ row: SampleBatch.Row, _ place: LanePlace, values: UInt16, readings: Int
    ) {
        switch place.slot {
        case LanePlace.late: late += UInt64(row.points)
        case LanePlace.future: future += UInt64(values.nonzeroBitCount + readings)
        // Only a decoder that broke its word gets here; the sum must add up all the same.
        default: noDevice += UInt64(row.points)
        }
    }
}
