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

    @Test(arguments: UInt64(1)...8)
    func `sixteen lanes at once are sixteen lanes one by one`(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var registers = LaneRegisters()
        registers.grow(to: 48)
        var slow = [Slow](repeating: Slow(), count: 48)
        var second: Int32 = 0
        for _ in 0..<2_000 {
            second += Int32(random.below(4) == 0 ? random.below(700) : random.below(15))
            let place = 16 * random.below(3)
            let present = UInt16(truncatingIfNeeded: random.next())
            var lanes = SIMD16<Float>(repeating: .nan)
            for lane in 0..<16 where present & (1 << UInt16(lane)) != 0 {
                lanes[lane] = [-0.0, 0, 1, .infinity, 0.1][random.below(5)]
                slow[place + lane].store(lanes[lane], second: second, gapMax: 300)
            }
            let still = registers.store(lanes, present, second: second, gapMax: 300, at: place)
            for lane in 0..<16 where present & (1 << UInt16(lane)) != 0 {
                #expect(still[lane] == second - slow[place + lane].since, "seed \(seed)")
            }
        }
        for place in slow.indices {
            let found = Slow(
                value: registers.values[place], seen: registers.seen[place],
                since: registers.since[place])
            #expect(found == slow[place], "seed \(seed), place \(place)")
        }
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
        for lane in 0..<16 {
            var expected = older
            expected[lane] = -1
            #expect(older.with(-1, in: lane) == expected)
            let newer = SIMD16<Float>(repeating: .nan).with(-1, in: lane)
            #expect(newer.presence == 1 << UInt16(lane))
            #expect(newer.over(older) == expected)
        }
    }
}
