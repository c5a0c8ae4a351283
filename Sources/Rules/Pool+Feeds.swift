import RollingStatistics

// What leaves count by: each value of their metric, whether or not their rule is judged.
extension Pool {
    /// Feeds the first `count` rows that were listed to all leaves that wait for them.
    ///
    /// Of a row for which leaves begin another slice, those are left in `due` that there is something
    /// to ask about.
    mutating func feed(
        _ fed: inout MutableSpan<FedRow>, _ count: Int, _ scores: Span<ScoredRow>,
        _ lanes: Span<SIMD16<Float>>,
        _ zs: Span<SIMD16<Float>>, _ plans: Span<GroupPlan>, _ feeds: Span<Program.FeedEntry>,
        _ gathered: Span<Program.FeedEntry>, _ leaves: Span<CompiledLeaf>
    ) {
        let (timeStride, numberStride) = (timeStride, numberStride)
        withSpans { times, numbers in
            for place in 0..<count {
                let index = Int(fed[place].row)
                let row = scores[index]
                let firstTime = Int(row.device) &* timeStride
                let firstNumber = Int(row.device) &* numberStride
                guard fed[place].due == 0 else {
                    let first = Int(fed[place].gathering) &* LaneGathering.width
                    var (left, due) = (fed[place].due, fed[place].due)
                    while left != 0 {
                        let feed = gathered[first &+ left.trailingZeroBitCount]
                        let value = lanes.value(in: Int(feed.lane), of: index)
                        let number = firstNumber &+ Int(feed.number)
                        let slice = Slice(
                            end: firstTime &+ Int(feed.sliceEnd),
                            sum: firstNumber &+ Int(feed.sliceSum), stride: LaneGathering.width)
                        let isNew =
                            feed.kind == .cusum
                            ? Drift.feed(
                                value, at: row.time, leaves[Int(feed.leaf)].cusum, slice,
                                at: number,
                                &times, &numbers)
                            : Forecast.feed(
                                value, row.time, every: feed.every, slice, at: number, &times,
                                &numbers)
                        if !isNew { due &= ~(left & (0 &- left)) }
                        left &= left &- 1
                    }
                    fed[place].due = due
                    continue
                }
                let plan = plans[Int(row.group)]
                for place in Int(plan.firstFeed)..<Int(plan.feedEnd) {
                    let feed = feeds[place]
                    guard row.present & (1 << UInt16(truncatingIfNeeded: feed.lane)) != 0 else {
                        continue
                    }
                    let time = firstTime &+ Int(feed.time)
                    let number = firstNumber &+ Int(feed.number)
                    let value = lanes.value(in: Int(feed.lane), of: index)
                    switch feed.kind {
                    case .steady:
                        Pool.widen(
                            value, at: row.time, size: feed.every, &times, time, &numbers, number)
                    case .zscore:
                        numbers[number] = row.z < 0 ? .nan : zs[Int(row.z)][Int(feed.lane)]
                    case .usual:
                        Pool.learn(
                            value, at: row.time, window: feed.every, &times, time, &numbers, number)
                    default: break
                    }
                }
            }
        }
    }
}
