import RollingStatistics
import TestSupport
import Testing

@Suite("Medians and peers") struct MedianTests {
    @Test(arguments: [1, 2, 3, 4, 7, 16, 100, 1_001] as [Int])
    func `the median is the middle of the sorted values, whatever their order`(_ count: Int) {
        var generator = SeededGenerator(seed: UInt64(count))
        for round in 0..<50 {
            var values = (0..<count).map { _ in
                // Few distinct values every other round: ties are where selections go wrong.
                round % 2 == 0
                    ? Float.random(in: -1e6...1e6, using: &generator)
                    : Float(Int.random(in: 0...3, using: &generator))
            }
            let sorted = values.sorted()
            let expected =
                count % 2 == 1
                ? sorted[count / 2] : sorted[count / 2 - 1] * 0.5 + sorted[count / 2] * 0.5
            for _ in 0..<count / 3 {
                values.insert(.nan, at: Int.random(in: 0...values.count, using: &generator))
            }
            #expect(median(&values) == expected, "round \(round)")
        }
    }

    @Test func `orders that defeat a pivot do not defeat the selection`() {
        let count = 200_000
        let orders: [(String, [Float])] = [
            ("rising", (0..<count).map(Float.init)),
            ("falling", (0..<count).reversed().map(Float.init)),
            ("equal", [Float](repeating: 3, count: count)),
            ("organ pipe", (0..<count).map { Float(min($0, count - $0)) }),
            ("killer of the median of three", killer(count)),
        ]
        for (name, order) in orders {
            var values = order
            let sorted = order.sorted()
            let expected = sorted[count / 2 - 1] * 0.5 + sorted[count / 2] * 0.5
            #expect(median(&values) == expected, "\(name)")
        }
    }

    /// Musser's sequence, on which a median of three picks the second smallest, again and again.
    private func killer(_ count: Int) -> [Float] {
        let half = count / 2
        return (0..<half).map { Float($0 % 2 == 0 ? $0 + 1 : half + $0 + $0 % 2) }
            + (0..<half).map { Float(2 * ($0 + 1)) }
    }

    @Test func `nothing but missing values has no median`() {
        var nothing: [Float] = []
        var missing: [Float] = [.nan, .infinity, -.infinity]
        #expect(median(&nothing) == nil)
        #expect(median(&missing) == nil)
        #expect(medianAbsoluteDeviation(&missing, around: 0) == nil)
    }

    @Test func `the median of two huge values does not overflow`() {
        var values: [Float] = [.greatestFiniteMagnitude, .greatestFiniteMagnitude]
        #expect(median(&values) == .greatestFiniteMagnitude)
    }

    @Test func `one absurd member does not move a cohort`() throws {
        var cohort: [Float] = [50, 51, 49, 50.5, 49.5, 50, 51, 9_000]
        let peers = try #require(PeerGroup(&cohort))
        #expect(peers.members == 8)
        #expect(abs(peers.median - 50.25) < 0.01)
        #expect(peers.deviation < 1.5)
        #expect(peers.score(9_000, floor: 1) > 1_000)
        #expect(abs(peers.score(51, floor: 1)) < 1.1)
        #expect(peers.score(.nan, floor: 1).isNaN)
    }

    @Test func `three members are a cohort and two are not`() {
        var three: [Float] = [1, .nan, 2, 3]
        var two: [Float] = [1, .nan, 2]
        #expect(PeerGroup(&three)?.median == 2)
        #expect(PeerGroup(&two) == nil)
    }

    @Test func `the floor carries the score where peers agree to the digit`() throws {
        var cohort = [Float](repeating: 0, count: 8)
        let peers = try #require(PeerGroup(&cohort))
        #expect(peers.score(0, floor: 0) == 0)
        #expect(peers.score(0.012, floor: 0.006) == 2)
        #expect(peers.score(1, floor: 0).isFinite)
    }
}
