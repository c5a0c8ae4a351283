import RollingStatistics

// What leaves count by: each value of their metric, whether or not their rule is judged.
extension Pool {
    /// Feeds the lanes of one row to all leaves that wait for them.
    ///
    /// - Returns: marks of leaves that must be asked now.
    mutating func feed(
        _ row: ScoredRow, at index: Int, of lanes: [SIMD16<Float>], _ plan: GroupPlan,
        _ feeds: [Program.FeedEntry], _ leaves: [CompiledLeaf], _ zs: [SIMD16<Float>]
    ) -> Marks.Bits {
        var marks = Marks.Bits.zero
        let feeds = feeds.span.extracting(Int(plan.firstFeed)..<Int(plan.feedEnd))
        for place in feeds.indices {
            let feed = feeds[place]
            guard row.present & (1 << UInt16(truncatingIfNeeded: feed.lane)) != 0,
                row.gates & feed.required == feed.required, row.gates & feed.refused == 0
            else { continue }
            let value = lanes.span.value(in: Int(feed.lane), of: index)
            let isNew = self.feed(feed, row, value, leaves, zs)
            if isNew, feed.mark >= 0 { marks |= Marks.bit(feed.mark) }
        }
        return marks
    }

    /// - Returns: whether there is something to ask the leaf about.
    @inline(__always)
    private mutating func feed(
        _ feed: Program.FeedEntry, _ row: ScoredRow, _ value: Float, _ leaves: [CompiledLeaf],
        _ zs: [SIMD16<Float>]
    ) -> Bool {
        let now = row.time
        let time = Int(row.device) * timeStride + Int(feed.time)
        let number = Int(row.device) * numberStride + Int(feed.number)
        switch feed.kind {
        case .steady:
            widen(value, at: now, size: feed.slice, timeAt: time, numbersAt: number)
        case .zscore:
            numbers[number] = row.z < 0 ? .nan : zs[Int(row.z)][Int(feed.lane)]
        case .forecast:
            return Forecast.feed(
                value, now, every: feed.slice, &self, timeAt: time, at: number)
        case .cusum:
            return Drift.feed(
                value, at: now, leaves[Int(feed.leaf)].cusum, &self, timeAt: time, at: number)
        case .usual:
            let seconds = times[time] == .min ? 0 : Float(min(now - times[time], 60_000)) * 0.001
            times[time] = now
            learn(
                value, seconds: seconds, window: leaves[Int(feed.leaf)].window, numbersAt: number)
        default: break
        }
        return false
    }
}
