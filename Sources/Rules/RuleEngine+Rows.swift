import Detection
import Fleet
import RollingStatistics
import Telemetry

// Rows of a batch: remember their values, feed what counts them, judge the rules that read them.
extension RuleEngine {
    mutating func judge(
        _ applied: Range<Int>, of batch: SampleBatch, _ cursor: inout Cursor,
        _ detection: borrowing Detection, _ directory: Directory
    ) {
        let isFar = registers.bytes > LaneBlocks.cacheBytes
        var next = applied.lowerBound
        while next < applied.upperBound {
            var end = applied.upperBound
            if cursor.fault < batch.faults.count {
                takeFaults(of: batch, upTo: next, &cursor, detection, directory)
                end = next + 1
            }
            let due =
                cursor.increase < detection.increases.count
                ? Int(detection.increases[cursor.increase].row) : .max
            // Of most rows nothing is wanted but that they are remembered, and fed to leaves.
            let found = registers.store(
                detection.scores.span, batch.lanes.span, in: next..<end, due: due, program.uses,
                epoch: RuleEngine.firstSecond, gapMax: RuleEngine.gapSeconds, marks: &marks,
                gates: gates, ready: ready, numbers: &devicePool.numbers, times: &devicePool.times,
                strides: (devicePool.numberStride, devicePool.timeStride), fed: &fed)
            if found.fed > 0 { feed(found.fed, of: batch, isFar: isFar, detection) }
            guard found.row < end else {
                next = end
                continue
            }
            next = found.row + 1
            judge(found.row, found.marked, of: batch, &cursor, detection, directory)
        }
    }

    /// Feeds the rows that were listed; marks that are set thereby ask for no rule before the next step.
    private mutating func feed(
        _ count: Int, of batch: SampleBatch, isFar: Bool, _ detection: borrowing Detection
    ) {
        if isFar { for place in 0..<count { prefetch(Int(fed[place].row), of: batch) } }
        var fed = exchange(&self.fed, with: [])
        defer { self.fed = fed }
        // Out of the engine for the time being: a span of another field of it would lock the pool too.
        var pool = exchange(&devicePool, with: Pool(timeStride: 0, numberStride: 0))
        var rows = fed.mutableSpan
        pool.feed(
            &rows, count, detection.scores.span, batch.lanes.span, detection.zs.span,
            program.plans.span, program.feeds.span, program.gathered.span, program.leaves.span)
        devicePool = pool
        // Held once, and not anew for every mark.
        let gathered = program.gathered
        for place in 0..<count where fed[place].due != 0 {
            let device = Int(detection.scores[Int(fed[place].row)].device)
            let gathering = Int(fed[place].gathering) &* LaneGathering.width
            var due = fed[place].due
            while due != 0 {
                setMark(gathered[gathering &+ due.trailingZeroBitCount].mark, device)
                due &= due &- 1
            }
        }
    }

    /// A row that was remembered and deserves a look.
    @inline(__always)
    private mutating func judge(
        _ index: Int, _ marked: UInt16, of batch: SampleBatch, _ cursor: inout Cursor,
        _ detection: borrowing Detection, _ directory: Directory
    ) {
        let row = detection.scores[index]
        let device = Int(row.device)
        let group = Int(row.group)
        let plan = program.plans[group]
        if marked != 0 { admit(device, lanes: marked, of: group) }
        if gates[device] != row.gates { setGates(row.gates, device) }
        while cursor.increase < detection.increases.count,
            Int(detection.increases[cursor.increase].row) <= index
        {
            take(detection.increases[cursor.increase], plan, device, row.time)
            cursor.increase += 1
        }
        let words = program.words
        for word in 0..<words {
            let rules = ready[device &* words &+ word] & program.tickMask[group &* words &+ word]
            if rules != 0 {
                judge(rules, word, batch.rows[index], row.present, of: batch, detection, directory)
            }
        }
    }

    /// The rules of one word that a device is ready for, at a tick of it.
    ///
    /// Seldom called, and so apart: its variables would push those of the loop out of registers.
    @inline(never)
    private mutating func judge(
        _ rules: UInt64, _ word: Int, _ row: SampleBatch.Row, _ present: UInt16,
        of batch: SampleBatch, _ detection: borrowing Detection, _ directory: Directory
    ) {
        var rules = rules
        while rules != 0 {
            let rule = word * 64 + rules.trailingZeroBitCount
            rules &= rules - 1
            let asked = program.tickLanes[Int(row.group) * program.rules.count + rule]
            guard asked & present != 0 else { continue }
            let moment = Moment(
                time: row.time.milliseconds, clock: detection.clockOfBatch[Int(row.partition)],
                offset: row.offset)
            judge(rule, Int(row.device.value), moment, detection, directory)
        }
    }

    /// Asks for what leaves keep of a row that they are fed with soon.
    @inline(never)
    private func prefetch(_ index: Int, of batch: SampleBatch) {
        let device = Int(batch.rows[index].device.value)
        devicePool.times.prefetch(device * devicePool.timeStride, lines: 2)
        devicePool.numbers.prefetch(device * devicePool.numberStride, lines: 4)
    }

    /// One rule on one device, at a tick of it or at a step; `offset` of a step is -1.
    mutating func judge(
        _ index: Int, _ device: Int, _ moment: Moment, _ detection: borrowing Detection,
        _ directory: Directory
    ) {
        let rule = program.rules[index]
        let gates = Gates(rawValue: gates[device])
        let phase = deviceStates.phases[device * deviceStates.stride + rule.local]
        let isOpen =
            gates.rawValue & rule.required == rule.required && gates.rawValue & rule.refused == 0
        guard isOpen || phase != 0, !detection.devices[device].isRetired else { return }
        let wasHeld = isHeld(program.admissions[index], device)
        var truth = Truth.no
        if isOpen {
            truth = evaluate(
                rule.root, device: device, now: moment.time, gates: gates, isFiring: phase >= 2,
                detection)
        }
        if isHeld(program.admissions[index], device) != wasHeld { admit(device, to: index) }
        // A host that is silent itself says nothing of one of its devices.
        if truth == .yes, rule.hostPresent, !isHostPresent(device, moment.time, detection) {
            truth = .unknown
        }
        if phase == 0 && truth != .yes { return }
        drive(index, device, truth, moment, detection, directory)
    }

    @inline(never)
    private mutating func take(
        _ increase: Increase, _ plan: GroupPlan, _ device: Int, _ time: Int64
    ) {
        for place in Int(plan.firstFeed)..<Int(plan.feedEnd) {
            let feed = program.feeds[place]
            guard feed.kind == .delta, feed.lane == Int32(increase.lane) else { continue }
            devicePool.add(
                increase.amount, at: time, window: program.leaves[Int(feed.leaf)].window,
                timeAt: device * devicePool.timeStride + Int(feed.time),
                numbersAt: device * devicePool.numberStride + Int(feed.number))
            setMark(feed.mark, device)
        }
    }
}
