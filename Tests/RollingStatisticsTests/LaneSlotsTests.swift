import KernelBaseline
import RollingStatistics
import TestSupport
import Testing

@Suite("Slots") struct LaneSlotsTests {
    /// A row as it lies in a batch.
    private struct Row: BitwiseCopyable {
        let device: UInt32
        let group: UInt16
        let partition: UInt16 = 0
        let time: Int64
        let offset: Int64 = 0
        let points: UInt16 = 0
    }

    /// The newest tick of one slot, by its definition.
    private struct Newest {
        var time = Int64.min
        var values = [Float?](repeating: nil, count: 16)

        /// - Returns: the lanes that had the same value at the same time.
        mutating func take(_ lanes: SIMD16<Float>, at next: Int64) -> UInt16 {
            if next > time { values = [Float?](repeating: nil, count: 16) }
            time = next
            var again: UInt16 = 0
            for lane in 0..<16 where !lanes[lane].isNaN {
                if values[lane] == lanes[lane] { again |= 1 << UInt16(lane) }
                values[lane] = lanes[lane]
            }
            return again
        }
    }

    private static func batch(_ random: inout SeededGenerator) -> ([Row], [SIMD16<Float>]) {
        var rows: [Row] = []
        var lanes: [SIMD16<Float>] = []
        for index in 0..<1_500 {
            rows.append(
                Row(
                    device: UInt32(random.below(5)),
                    // Devices 0 … 3 are known; nearly all rows are of one group, so that it fills.
                    group: UInt16(random.below(40) == 0 ? random.below(17) : 2),
                    time: 1_000 + Int64(index / 12 * 500 - random.below(3) * 500)))
            var values = SIMD16<Float>(repeating: .nan)
            for lane in 0..<16 where random.below(3) != 0 { values[lane] = Float(random.below(3)) }
            lanes.append(values)
        }
        return (rows, lanes)
    }

    @Test(arguments: InstructionSet.allCases, UInt64(1)...6)
    func `each row is held against the newest tick of its slot and waits where it must`(
        _ set: InstructionSet, _ seed: UInt64
    ) {
        var random = SeededGenerator(seed: seed)
        let (rows, lanes) = LaneSlotsTests.batch(&random)
        var slots = LaneSlots(instructionSet: set)
        slots.grow(devices: 4)
        slots.once = seed % 3 == 0 ? 1 << 2 : 0
        var blocks = LaneBlocks(capacity: 64, instructionSet: set)
        let parameters = [LaneParameters](repeating: LaneParameters(), count: 16)
        var places = [LanePlace](repeating: LanePlace(), count: rows.count)
        for place in places.indices where random.below(50) == 0 {
            places[place].slot = LanePlace.future
        }
        let refused = places.map { $0.slot == LanePlace.future }
        var newest: [Int: Newest] = [:]
        var inRuns: [Int: Int] = [:]
        var next = 0
        while next < rows.count {
            var span = places.mutableSpan
            let end = slots.sort(rows.span, lanes.span, &span, in: next..<rows.count)
            for index in next..<end {
                let (row, place) = (rows[index], places[index])
                let subject = "\(set), seed \(seed), row \(index)"
                guard !refused[index] else {
                    #expect(place.slot == LanePlace.future, "\(subject)")
                    continue
                }
                guard row.device < 4, row.group < 16 else {
                    #expect(place.slot == LanePlace.noDevice, "\(subject)")
                    continue
                }
                let slot = Int(row.device) * 16 + Int(row.group)
                #expect(slots.slot(of: Int(row.device), group: Int(row.group)) != nil)
                guard row.time >= newest[slot, default: Newest()].time else {
                    #expect(place.slot == LanePlace.late, "\(subject)")
                    continue
                }
                let again = newest[slot, default: Newest()].take(lanes[index], at: row.time)
                #expect(place.carried == lanes[index].presence, "\(subject)")
                #expect(place.again == again, "\(subject)")
                inRuns[slot, default: 0] += 1
            }
            next = end
            guard end < rows.count else { break }
            let (device, group) = (Int(rows[end].device), Int(rows[end].group))
            // It waits for room in the run of its group, or for the kernel to take its slot's last.
            let slot = device * 16 + group
            let inRun = inRuns.filter { $0.key % 16 == group }.values.reduce(0, +)
            let isAsked = slots.once >> UInt16(group) & 1 != 0 && inRuns[slot] != nil
            #expect(inRun == 512 || isAsked, "\(set), seed \(seed), row \(end)")
            blocks.grow(to: slots.count)
            slots.feed(lanes.span, to: &blocks, parameters)
            inRuns = [:]
        }
        if slots.once != 0 { #expect(inRuns.values.allSatisfy { $0 == 1 }) }
        blocks.grow(to: slots.count)
        slots.feed(lanes.span, to: &blocks, parameters)
        // The kernel saw every row, in order.
        for (slot, tick) in newest {
            guard let block = slots.slot(of: slot / 16, group: slot % 16) else {
                Issue.record("a slot is gone")
                continue
            }
            for lane in 0..<16 where tick.values[lane] != nil {
                #expect(blocks[block].seen[lane] == Int32(truncatingIfNeeded: tick.time))
            }
        }
        let sent = slots.groups(of: 0)
        for group in 0..<16 {
            let slot = slots.slot(of: 0, group: group)
            #expect((sent.sent >> UInt16(group) & 1 != 0) == (slot != nil))
            if let slot { #expect(sent.slots[group] == Int32(slot)) }
        }
    }

    /// All statistics of a block; lanes without a value are alike.
    private static func bits(_ block: LaneBlock) -> [UInt32] {
        [
            block.last, block.mean, block.variance, block.slowMean, block.slowVariance,
            block.cusumUp, block.cusumDown,
        ].flatMap { vector in (0..<16).map { vector[$0].bitPattern } }
    }

    @Test(arguments: InstructionSet.allCases)
    func `of groups that nobody asks for the newest values are kept, and when they were seen`(
        _ set: InstructionSet
    ) {
        var random = SeededGenerator(seed: 5)
        let (rows, lanes) = LaneSlotsTests.batch(&random)
        var slots = LaneSlots(instructionSet: set)
        slots.grow(devices: 5)
        var blocks = LaneBlocks(capacity: 128, instructionSet: set)
        var whole = LaneBlocks(capacity: 128, instructionSet: set)
        let parameters = [LaneParameters](repeating: LaneParameters(), count: 16)
        var places = [LanePlace](repeating: LanePlace(), count: rows.count)
        var next = 0
        while next < rows.count {
            var span = places.mutableSpan
            let end = slots.sort(rows.span, lanes.span, &span, in: next..<rows.count)
            blocks.grow(to: slots.count)
            whole.grow(to: slots.count)
            for index in next..<end where places[index].slot >= 0 {
                whole.update(
                    blocks: [UInt32(places[index].slot)].span,
                    times: [Int32(rows[index].time)].span, values: [lanes[index]].span,
                    rows: [0].span, parameters: parameters[0])
            }
            slots.feed(lanes.span, to: &blocks, parameters, asked: ~(1 << 2))
            next = end
        }
        for device in 0..<5 {
            for group in 0..<16 {
                guard let slot = slots.slot(of: device, group: group) else { continue }
                let (one, other) = (blocks[slot], whole[slot])
                #expect(one.known == other.known && one.known != 0, "\(set), slot \(slot)")
                #expect(one.seen == other.seen, "\(set), slot \(slot)")
                #expect(one.last.presence == other.last.presence)
                // Of the others the statistics are whole.
                let (ours, theirs) = (LaneSlotsTests.bits(one), LaneSlotsTests.bits(other))
                #expect(group == 2 ? one.variance == .zero : ours == theirs)
            }
        }
    }

    /// What a counter of one row reads, as it lies in a batch.
    private struct Reading: BitwiseCopyable {
        let row: Int32
        let lane: UInt8
        let value: Double
    }

    /// What is to be seen of one row of counters.
    private struct Counted: Equatable {
        var values: [Int: Float] = [:]
        var readings = 0
        var repeats = 0
        var rises: [String] = []
    }

    /// The last readings of one slot, by their definition.
    private struct Counters {
        var last: [Int: (value: Double, time: Int64)] = [:]

        mutating func take(_ reading: Reading, at time: Int64, asked: UInt16, _ row: inout Counted)
        {
            let lane = Int(reading.lane)
            row.readings += 1
            if let before = last[lane], before.value == reading.value, before.time == time {
                row.repeats += 1
                return
            }
            guard reading.value.isFinite else { return }
            defer { last[lane] = (reading.value, time) }
            guard let before = last[lane], before.time < time else { return }
            let wasReset = reading.value < before.value
            let amount = wasReset ? reading.value : reading.value - before.value
            row.values[lane] = Float(amount * (1 / Double(time - before.time)) * 1_000)
            guard asked >> UInt16(lane) & 1 != 0, amount > 0 else { return }
            row.rises.append("\(reading.row) \(lane) \(wasReset) \(Float(amount))")
        }
    }

    @Test(arguments: UInt64(1)...8)
    func `counters rise by what they read more, whatever was lost, repeated, corrected or reset`(
        _ seed: UInt64
    ) {
        var random = SeededGenerator(seed: seed)
        var (rows, lanes) = LaneSlotsTests.batch(&random)
        (rows, lanes) = (Array(rows.prefix(400)), Array(lanes.prefix(400)))
        var readings: [Reading] = []
        for row in rows.indices {
            for lane in 0..<16 where random.below(8) == 0 {
                let odd: [Double] = [.nan, .infinity, -3]
                let value = random.below(30) == 0 ? odd[random.below(3)] : Double(random.below(40))
                readings.append(Reading(row: Int32(row), lane: UInt8(lane), value: value))
            }
        }
        var slots = LaneSlots()
        slots.grow(devices: 4)
        var asked = [UInt16](repeating: 0, count: 16)
        asked[2] = 0b1111_0000_0000_1111
        var places = [LanePlace](repeating: LanePlace(), count: rows.count)
        for place in places.indices where random.below(20) == 0 {
            places[place].slot = LanePlace.future
        }
        let before = lanes
        var counters: [Int32: Counters] = [:]
        var reading = 0
        var from = 0
        var told = 0
        while from < rows.count {
            // In pieces, as they come: the readings of what is beyond wait.
            let end = min(rows.count, from + 1 + random.below(60))
            var increases: [Increase] = []
            var span = places.mutableSpan
            #expect(slots.sort(rows.span, before.span, &span, in: from..<end) == end)
            var values = lanes.mutableSpan
            slots.count(
                readings.span, from: &reading, of: rows.span, before: end, &values, &span,
                asked: asked, into: &increases)
            #expect(readings.prefix(reading).allSatisfy { $0.row < end })
            #expect(readings.dropFirst(reading).allSatisfy { $0.row >= end })
            var rises: [String] = []
            for index in from..<end {
                let place = places[index]
                var expected = Counted()
                for one in readings where Int(one.row) == index && place.slot >= 0 {
                    counters[place.slot, default: Counters()].take(
                        one, at: rows[index].time, asked: asked[Int(rows[index].group)], &expected)
                }
                rises += expected.rises
                let subject = "seed \(seed), row \(index)"
                #expect(Int(place.readings) == expected.readings, "\(subject)")
                #expect(Int(place.repeats) == expected.repeats, "\(subject)")
                for lane in 0..<16 {
                    let filled = place.counted >> UInt16(lane) & 1 != 0
                    #expect(filled == (expected.values[lane] != nil), "\(subject), lane \(lane)")
                    let value = expected.values[lane] ?? before[index][lane]
                    #expect(
                        lanes[index][lane].bitPattern == value.bitPattern,
                        "\(subject), lane \(lane)")
                }
            }
            #expect(
                increases.map { "\($0.row) \($0.lane) \($0.wasReset) \($0.amount)" } == rises)
            told += rises.count
            from = end
        }
        #expect(reading == readings.count && told > 100, "seed \(seed): \(told) increases")
    }
}
