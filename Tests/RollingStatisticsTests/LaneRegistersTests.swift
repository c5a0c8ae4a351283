import KernelBaseline
import RollingStatistics
import TestSupport
import Testing

@Suite("Registers") struct LaneRegistersTests {
    /// One lane, one value at a time.
    private struct Slow: Equatable {
        var value = Float.nan
        var seen = Int32.min
        var since = Int32.min

        mutating func store(_ next: Float, second: Int32, gapMax: Int32) {
            let isSame = next == value && second &- seen <= gapMax
            if !isSame { since = second }
            value = next
            seen = second
        }

        static func == (left: Slow, right: Slow) -> Bool {
            left.value.bitPattern == right.value.bitPattern && left.seen == right.seen
                && left.since == right.since
        }
    }

    /// One mark by its definition.
    private static func mayBreak(
        _ plane: LanePlane, _ lane: Int, _ value: Float, still: Int32
    ) -> Bool {
        !(value <= plane.low[lane] || value >= plane.high[lane] || still < plane.still[lane])
    }

    @Test(arguments: InstructionSet.allCases, UInt64(1)...4)
    func `sixteen lanes at once are sixteen lanes one by one`(
        _ set: InstructionSet, _ seed: UInt64
    ) {
        var random = SeededGenerator(seed: seed)
        var registers = LaneRegisters(instructionSet: set)
        registers.grow(to: 48)
        var slow = [Slow](repeating: Slow(), count: 48)
        let planes = (0..<3).map { word in
            var plane = LanePlane(word: 5 * word)
            plane.lanes = UInt16(truncatingIfNeeded: random.next())
            for lane in 0..<16 {
                plane.low[lane] = [.nan, -1, 0][random.below(3)]
                plane.high[lane] = [.nan, 1, 0.1][random.below(3)]
                plane.still[lane] = [.min, 60][random.below(2)]
            }
            return plane
        }
        var marks = [SIMD4<UInt64>](repeating: SIMD4(repeating: 0x5555_5555_5555_5555), count: 3)
        var second: Int32 = 0
        for _ in 0..<2_000 {
            second += Int32(random.below(4) == 0 ? random.below(700) : random.below(15))
            let block = random.below(3)
            let present = UInt16(truncatingIfNeeded: random.next())
            var lanes = SIMD16<Float>(repeating: .nan)
            var expected = marks[block]
            for lane in 0..<16 where present & (1 << UInt16(lane)) != 0 {
                lanes[lane] = [-0.0, 0, 1, .infinity, 0.1][random.below(5)]
                let place = 16 * block + lane
                slow[place].store(lanes[lane], second: second, gapMax: 300)
                for plane in planes where plane.lanes & (1 << UInt16(lane)) != 0 {
                    let bit = UInt64(1) << UInt64(Int(plane.word) % 4 * 16 + lane)
                    let still = second - slow[place].since
                    expected[Int(plane.word) / 4] &= ~bit
                    if LaneRegistersTests.mayBreak(plane, lane, lanes[lane], still: still) {
                        expected[Int(plane.word) / 4] |= bit
                    }
                }
            }
            let before = marks[block]
            let isChanged = registers.store(
                lanes, present, second: second, gapMax: 300, at: 16 * block, planes: planes.span,
                marks: &marks[block])
            #expect(marks[block] == expected, "\(set), seed \(seed)")
            #expect(isChanged == (before != expected), "\(set), seed \(seed)")
        }
        for place in slow.indices {
            let found = Slow(
                value: registers[place].value, seen: registers[place].seen,
                since: registers[place].since)
            #expect(found == slow[place], "\(set), seed \(seed), place \(place)")
        }
    }

    @Test func `what grows keeps what it had, and what is new has seen nothing`() {
        var registers = LaneRegisters()
        var marks = SIMD4<UInt64>.zero
        let none: [LanePlane] = []
        registers.grow(to: 16)
        _ = registers.store(
            SIMD16(repeating: 7), 1 << 15, second: 3, gapMax: 1, at: 0, planes: none.span,
            marks: &marks)
        registers.grow(to: 16 * 5_000)
        #expect(registers[15].value == 7 && registers[15].seen == 3)
        #expect(registers[14].value.isNaN && registers[14].seen == .min)
        #expect(registers[79_999].value.isNaN && registers[79_999].since == .min)
        #expect(registers.bytes == 5_000 * 192 && marks == .zero)
    }

    @Test func `a mask says its lanes from the lowest on`() {
        var lanes = SIMD16<Float>(repeating: .nan)
        #expect(lanes.presence == 0)
        lanes[0] = 0
        lanes[9] = -.infinity
        lanes[15] = 1
        #expect(lanes.presence == 1 << 15 | 1 << 9 | 1)
        #expect((lanes .>= SIMD16(repeating: 0)).bits == 1 << 15 | 1)
    }

    @Test func `one lane is set and the others stay, numbers lie over what was there`() {
        let older = SIMD16<Float>(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
        let nothing = SIMD16<Float>(repeating: .nan)
        for lane in 0..<16 {
            var expected = older
            expected[lane] = -1
            var both = [nothing, nothing]
            var vectors = both.mutableSpan
            vectors.put(-1, in: lane, of: 1)
            #expect(both[0].presence == 0 && both[1].presence == 1 << UInt16(lane))
            #expect(both[1].over(older) == expected)
            #expect(both.span.value(in: lane, of: 1) == -1)
            #expect(both.span.value(in: (lane + 1) % 16, of: 1).isNaN)
        }
    }

    @Test(arguments: InstructionSet.allCases, UInt64(1)...4)
    func `rows stored together are rows stored one by one, up to one that deserves a look`(
        _ set: InstructionSet, _ seed: UInt64
    ) {
        var random = SeededGenerator(seed: seed)
        var together = LaneRegisters(instructionSet: set)
        var alone = LaneRegisters(instructionSet: set)
        // Four devices with two blocks each; group 0 fills the second, group 1 the first.
        together.grow(to: 4 * 32)
        alone.grow(to: 4 * 32)
        var planes = [LanePlane(word: 2), LanePlane(word: 7), LanePlane(word: 9)]
        for place in planes.indices {
            planes[place].lanes = UInt16(truncatingIfNeeded: random.next())
            planes[place].low = SIMD16(repeating: Float(place))
        }
        planes[1].still = SIMD16(repeating: 30)
        let none = LaneUse(block: -1, planes: 0..<0, plain: 0, fed: 0)
        var asks = [LaneUse](repeating: none, count: 16)
        asks[0] = LaneUse(
            block: 1, planes: 0..<2, plain: 1, gatherings: 1..<3, widenings: 0..<1, fed: 1 << 15)
        asks[1] = LaneUse(block: 0, planes: 2..<3, plain: 1, gatherings: 0..<1, fed: 0)
        var masks = [UInt64](repeating: 0, count: 32)
        masks[3] = 1 << 40
        // One gathering for group 1, two for group 0; their places are three numbers apart.
        let leaves = (0..<24).map { _ in Leaf(&random) }
        let gatherings = (0..<3).map { number in
            var gathering = LaneGathering(number: number * 27, time: number * 9)
            for place in 0..<8 where number * 8 + place != 13 {
                let leaf = leaves[number * 8 + place]
                gathering.add(
                    place, lane: leaf.lane, required: leaf.required, refused: leaf.refused)
            }
            return gathering
        }
        // And a range of lane 5 of group 0, behind them.
        let widenings = [LaneWidening(lane: 5, size: 9_000, number: 80, time: 27)]
        let uses = LaneUses(
            asks, planes: planes, gatherings: gatherings, widenings: widenings, masks: masks,
            words: 2, blocks: 2)
        var numbers = [Float](repeating: 0, count: 4 * 96)
        for place in numbers.indices where place % 96 % 27 >= 16 {
            numbers[place] = random.below(2) == 0 ? .nan : 1
        }
        var sums = numbers
        var times = (0..<4 * 28).map { _ in 1_000_000 + Int64(random.below(3_000_000)) }
        // Three have no slice yet, the last one is ahead of its rows for a while.
        for device in 0..<4 { times[device * 28 + 27] = device < 3 ? .min : 150 }
        var slices = (0..<4).map { times[$0 * 28 + 27] }
        var ready = [UInt64](repeating: 0, count: 8)
        // Its second device waits for rows of its second group.
        ready[3] = 1 << 40
        var marks = [SIMD4<UInt64>](repeating: .zero, count: 4)
        var expected = marks
        let gates: [UInt16] = [0, 0, 0, 5]
        var rows: [ScoredRow] = []
        var lanes: [SIMD16<Float>] = []
        for index in 0..<600 {
            let device = UInt32(random.below(4))
            rows.append(
                ScoredRow(
                    time: 1_000_000 + Int64(index) * 2_999, device: device,
                    group: UInt16(random.below(3)),
                    present: random.below(8) == 0 ? 0 : UInt16(truncatingIfNeeded: random.next()),
                    gates: random.below(20) == 0 ? 1 : gates[Int(device)]))
            lanes.append(SIMD16(repeating: Float(random.below(3))))
        }
        let due = 300
        var (widened, held) = (0, 0)
        var fed = [FedRow](repeating: FedRow(), count: 9)
        var next = 0
        while next < rows.count {
            var listed: [FedRow] = []
            let found = together.store(
                rows.span, lanes.span, in: next..<rows.count, due: due, uses, epoch: 1_000,
                gapMax: 300, marks: &marks, gates: gates, ready: ready, numbers: &numbers,
                times: &times, strides: (96, 28), fed: &fed)
            // Whoever is fed puts the values away that the kernel could not.
            var late: [(device: Int, slice: Int64)] = []
            for index in next..<min(found.row + 1, rows.count) {
                let row = rows[index]
                guard row.present != 0 else {
                    #expect(index != found.row, "\(set), seed \(seed), row \(index)")
                    continue
                }
                let device = Int(row.device)
                let before = expected[device]
                if row.group < 2 {
                    _ = alone.store(
                        lanes[index], row.present, second: Int32(row.time / 1_000 - 1_000),
                        gapMax: 300, at: device * 32 + (row.group == 0 ? 16 : 0),
                        planes: planes.span.extracting(row.group == 0 ? 0..<2 : 2..<3),
                        marks: &expected[device])
                }
                for gathering in row.group == 0 ? 1..<3 : row.group == 1 ? 0..<1 : 0..<0 {
                    var due: UInt16 = 0
                    for place in 0..<8 where gathering * 8 + place != 13 {
                        let number = device * 96 + gathering * 27 + place
                        let leaf = leaves[gathering * 8 + place]
                        guard leaf.wants(row), !(lanes[index][leaf.lane] < sums[number + 16]) else {
                            continue
                        }
                        if row.time >= times[device * 28 + gathering * 9 + place] {
                            due |= 1 << UInt16(place)
                        } else {
                            sums[number] += lanes[index][leaf.lane]
                            sums[number + 8] += 1
                        }
                    }
                    guard due != 0 else { continue }
                    listed.append(
                        FedRow(row: UInt32(index), gathering: UInt16(gathering), due: due))
                }
                var isFed = row.group == 0 && row.present >> 15 != 0
                if row.group == 0, row.present & 1 << 5 != 0 {
                    let (slice, last) = (row.time / 9_000, slices[device])
                    if last < 0 || slice < last || slice - last >= 8 {
                        isFed = true
                        late.append((device, slice))
                    } else {
                        let value = lanes[index][5]
                        for begun in last..<slice {
                            let pair = device * 96 + 80 + Int((begun + 1) % 8) * 2
                            (sums[pair], sums[pair + 1]) = (.nan, .nan)
                        }
                        let pair = device * 96 + 80 + Int(slice % 8) * 2
                        sums[pair] = min(sums[pair].isNaN ? value : sums[pair], value)
                        sums[pair + 1] = max(sums[pair + 1].isNaN ? value : sums[pair + 1], value)
                        slices[device] = slice
                        widened += 1
                    }
                }
                if isFed { listed.append(FedRow(row: UInt32(index))) }
                // One row may be listed three times.
                let isAsked = row.group == 1 && device == 1 || listed.count > fed.count - 3
                let marked = LaneRegistersTests.lanes(of: before ^ expected[device])
                let deserves =
                    marked != 0 || isAsked || row.gates != gates[device] || index >= due
                #expect((index == found.row) == deserves, "\(set), seed \(seed), row \(index)")
                if index == found.row { #expect(found.marked == marked) }
            }
            #expect(Array(fed[..<found.fed]) == listed, "\(set), seed \(seed)")
            for (device, slice) in late {
                slices[device] = max(slice, slices[device])
                times[device * 28 + 27] = slices[device]
            }
            held += late.count
            next = found.row + 1
        }
        #expect(marks == expected, "\(set), seed \(seed)")
        #expect((0..<4).map { times[$0 * 28 + 27] } == slices, "\(set), seed \(seed)")
        #expect(widened > 20 && held > 3, "\(set), seed \(seed)")
        #expect(numbers.map(\.bitPattern) == sums.map(\.bitPattern), "\(set), seed \(seed)")
        for place in 0..<together.count {
            let (one, other) = (together[place], alone[place])
            #expect(one.value.bitPattern == other.value.bitPattern && one.since == other.since)
        }
    }

    /// What one leaf gathers.
    private struct Leaf {
        let lane: Int
        let required: UInt16
        let refused: UInt16

        init(_ random: inout SeededGenerator) {
            lane = random.below(16)
            required = random.below(4) == 0 ? 1 : 0
            refused = random.below(4) == 0 ? 4 : 0
        }

        func wants(_ row: ScoredRow) -> Bool {
            row.present & (1 << UInt16(lane)) != 0 && row.gates & required == required
                && row.gates & refused == 0
        }
    }

    /// The lanes of marks: bit b % 16 of each.
    private static func lanes(of marks: SIMD4<UInt64>) -> UInt16 {
        let all = marks[0] | marks[1] | marks[2] | marks[3]
        return UInt16(truncatingIfNeeded: all | all >> 16 | all >> 32 | all >> 48)
    }
}
