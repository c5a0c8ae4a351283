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
                let rows = sort(&batch, cursor.row..<heard.upperBound, &cursor.reading)
                settle(&batch, rows)
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
        var clocksHeld = exchange(&self.clocks, with: [])
        var lastSign = self.lastSign
        var frontier = self.frontier
        defer {
            self.devices = devicesHeld
            self.places = placesHeld
            self.clocks = clocksHeld
            self.lastSign = lastSign
            self.frontier = frontier
        }
        let rows = rowsHeld.span
        let clockOfBatch = clockHeld.span
        var devices = devicesHeld.mutableSpan
        var places = placesHeld.mutableSpan
        var clocks = clocksHeld.mutableSpan

        let last = min(rows.count, first + Detection.rowsMax)
        var index = first
        while index < last && frontier < due {
            let head = rows[index]
            let device = Int(head.device.value)
            let time = head.time.milliseconds
            if index + 12 < rows.count {
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
                    if devices[device].heard(at: time) { rosterChanges &+= 1 }
                    directory.touch(head.device, at: head.time)
                }
                // What is older than its device tells of no time that was not there already.
                if time >= lastSeen {
                    let host = devices[device][.host]
                    let sign = Sign(
                        clock: clockOfBatch[Int(head.partition)],
                        host: host < 0 ? -2 - Int32(device) : host, time: time)
                    if sign != lastSign {
                        lastSign = sign
                        let clock = Int(sign.clock)
                        if clocks[clock].observe(
                            host: sign.host, at: time, interval: devices[device].interval)
                        {
                            frontier = max(frontier, clocks[clock].effective)
                        }
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
    /// Counters become increases per second.
    ///
    /// - Returns: the rows up to one that must wait until the kernel is done with those before it.
    private mutating func sort(
        _ batch: inout SampleBatch, _ range: Range<Int>, _ reading: inout Int
    ) -> Range<Int> {
        let (rows, readings) = (batch.rows, batch.readings)
        var lanesHeld = exchange(&batch.lanes, with: [])
        var placesHeld = exchange(&self.places, with: [])
        defer {
            batch.lanes = lanesHeld
            self.places = placesHeld
        }
        var values = lanesHeld.mutableSpan
        var places = placesHeld.mutableSpan
        let end = slots.sort(rows.span, values.span, &places, in: range)
        lanes.grow(to: slots.count)
        slots.count(
            readings.span, from: &reading, of: rows.span, before: end, &values, &places,
            asked: needs.increases, into: &increases)
        return range.lowerBound..<end
    }

    /// What follows from rows: shares, what their device does, and the account.
    private mutating func settle(_ batch: inout SampleBatch, _ range: Range<Int>) {
        let (rowsHeld, placesHeld) = (batch.rows, places)
        var lanesHeld = exchange(&batch.lanes, with: [])
        var scoresHeld = exchange(&self.scores, with: [])
        var devicesHeld = exchange(&self.devices, with: [])
        defer {
            batch.lanes = lanesHeld
            self.scores = scoresHeld
            self.devices = devicesHeld
        }
        let rows = rowsHeld.span
        let places = placesHeld.span
        var lanes = lanesHeld.mutableSpan
        var scores = scoresHeld.mutableSpan
        var devices = devicesHeld.mutableSpan
        // Said once, it need not be asked for each row.
        let known = min(rows.count, places.count, lanes.count, scores.count)
        precondition(range.lowerBound >= 0 && range.upperBound <= known, "rows that are not there")
        let spans = GateSpans(settings)
        var applied: UInt64 = 0

        for index in range {
            let place = places[index]
            guard place.slot >= 0 else {
                batch.tally.refuse(rows[index], place)
                scores[index] = ScoredRow()
                continue
            }
            var given = place.carried | place.counted
            if place.again == 0, place.repeats == 0, given != 0 {
                applied &+= UInt64(rows[index].points)
            } else {
                batch.tally.account(rows[index], place)
            }
            let time = rows[index].time.milliseconds
            let group = rows[index].group
            let device = rows[index].device.value
            let gates = devices[Int(device)].take(
                &lanes, index, &given, place, of: group, at: time, spans)
            let present = given & ~place.again
            scores[index] =
                present == 0
                ? ScoredRow()
                : ScoredRow(
                    time: time, device: device, group: group, present: present, gates: gates)
        }
        batch.tally.applied += applied
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
struct Sign: Equatable {
    let clock: Int32
    let host: Int32
    let time: Int64
}

extension SampleBatch.Row {
    /// Whether it is of the same device at the same time, as the rows of one message are.
    @inline(__always)
    fileprivate func belongs(to other: SampleBatch.Row) -> Bool {
        device == other.device && time == other.time && partition == other.partition
    }
}

extension DeviceState {
    /// What a row changes of its device: sizes, how busy it is, and its gates.
    ///
    /// Shares that follow from sizes are put into the row, and their lanes into `given`.
    ///
    /// - Returns: the gates as they are then.
    @inline(__always)
    fileprivate mutating func take(
        _ lanes: inout MutableSpan<SIMD16<Float>>, _ index: Int, _ given: inout UInt16,
        _ place: LanePlace, of group: UInt16, at time: Int64, _ spans: GateSpans
    ) -> UInt16 {
        if group == 0 {
            given |= limits.derive(&lanes, index, given)
            if given & ~place.again & 1 != 0 {
                feed(busy: lanes.value(in: 0, of: index), at: time)
            }
        } else if group == 1 {
            limits.take(lanes, index, given)
        }
        // What was heard at this time before changed nothing that gates ask but how busy it is.
        if group == 0 || place.isNewer { updateGates(at: time, spans) }
        return gates.rawValue
    }
}

extension Tally {
    /// Counts a row that brings something once more, or nothing at all.
    @inline(never)
    fileprivate mutating func account(_ row: SampleBatch.Row, _ place: LanePlace) {
        let repeats = place.again.nonzeroBitCount + Int(place.repeats)
        // A row that brings nothing new is a repeat whole, the parts of its sums included.
        let isRepeat = repeats == place.carried.nonzeroBitCount + Int(place.readings)
        let points = UInt64(row.points)
        let duplicates = isRepeat ? points : min(UInt64(repeats), points)
        duplicate += duplicates
        applied += points - duplicates
    }

    /// Counts a row that is not applied.
    @inline(never)
    fileprivate mutating func refuse(_ row: SampleBatch.Row, _ place: LanePlace) {
        switch place.slot {
        case LanePlace.late: late += UInt64(row.points)
        case LanePlace.future: future += UInt64(row.points)
        // Only a decoder that broke its word gets here; the sum must add up all the same.
        default: noDevice += UInt64(row.points)
        }
    }
}
