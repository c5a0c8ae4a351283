import RollingStatistics

// What leaves count by: each value of their metric, whether or not their rule is judged.
extension Pool {
    /// Feeds rows to all leaves that wait for them and do not gather.
    mutating func feed(
        _ fed: Span<FedRow>, _ scores: Span<ScoredRow>, _ lanes: Span<SIMD16<Float>>,
        _ plans: Span<GroupPlan>, _ feeds: Span<Program.FeedEntry>, _ zs: Span<SIMD16<Float>>
    ) {
        // Out of the struct for the time being: a span of one field would lock all of it.
        var timesHeld = exchange(&self.times, with: [])
        var numbersHeld = exchange(&self.numbers, with: [])
        defer {
            times = timesHeld
            numbers = numbersHeld
        }
        var times = timesHeld.mutableSpan
        var numbers = numbersHeld.mutableSpan
        for place in fed.indices where fed[place].due == 0 {
            let index = Int(fed[place].row)
            let row = scores[index]
            let plan = plans[Int(row.group)]
            for place in Int(plan.firstFeed)..<Int(plan.feedEnd) {
                let feed = feeds[place]
                guard row.present & (1 << UInt16(truncatingIfNeeded: feed.lane)) != 0 else {
                    continue
                }
                let time = Int(row.device) &* timeStride &+ Int(feed.time)
                let number = Int(row.device) &* numberStride &+ Int(feed.number)
                let value = lanes.value(in: Int(feed.lane), of: index)
                switch feed.kind {
                case .steady:
                    Pool.widen(
                        value, at: row.time, size: feed.every, &times, time, &numbers, number)
                case .zscore:
                    numbers[number] = row.z < 0 ? .nan : zs[Int(row.z)][Int(feed.lane)]
                case .usual:
                    let last = times[time]
                    let seconds = last == .min ? 0 : Float(min(row.time - last, 60_000)) * 0.001
                    times[time] = row.time
                    Pool.learn(value, seconds: seconds, window: feed.every, &numbers, number)
                default: break
                }
            }
        }
    }

    /// Feeds one value to a leaf that gathers, and for which a slice begins.
    ///
    /// - Returns: whether there is something to ask the leaf about.
    mutating func begin(
        _ feed: Program.FeedEntry, _ row: ScoredRow, _ value: Float, _ leaves: [CompiledLeaf]
    ) -> Bool {
        let slice = feed.slice(of: Int(row.device), in: self)
        let number = Int(row.device) * numberStride + Int(feed.number)
        return feed.kind == .cusum
            ? Drift.feed(
                value, at: row.time, leaves[Int(feed.leaf)].cusum, &self, slice, at: number)
            : Forecast.feed(value, row.time, every: feed.every, &self, slice, at: number)
    }
}
