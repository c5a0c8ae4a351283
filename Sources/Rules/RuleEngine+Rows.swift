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
        let (planes, plansOfGroups) = (program.planes, program.plans)
        let rows = batch.rows.span
        let lanes = batch.lanes.span
        let scores = detection.scores.span
        let increases = detection.increases.span
        let plans = plansOfGroups.span
        let (words, stride) = (program.words, program.registerGroups &* 16)
        let isFar = registers.bytes > LaneBlocks.cacheBytes
        for index in applied {
            if cursor.fault < batch.faults.count {
                takeFaults(of: batch, upTo: index, &cursor, detection, directory)
            }
            let score = scores[index]
            guard score.present != 0 else { continue }
            let row = rows[index]
            let device = Int(row.device.value)
            let group = Int(row.group)
            if isFar, index + 6 < rows.count { prefetch(rows[index + 6]) }
            var isChanged = gates[device].rawValue != score.gates.rawValue
            if isChanged { gates[device] = score.gates }
            let plan = plans[group]
            if plan.register >= 0 {
                let second = Int32(
                    clamping: row.time.milliseconds / 1_000 - RuleEngine.firstSecond)
                let isMarked = registers.store(
                    lanes[index], score.present, second: second, gapMax: RuleEngine.gapSeconds,
                    at: device &* stride &+ plan.register,
                    planes: planes.span.extracting(plan.planes), marks: &marks[device])
                isChanged = isChanged || isMarked
            }
            if isChanged { admit(device) }
            if score.present & plan.feedLanes != 0 {
                feed(plan, device, row.time.milliseconds, score, lanes[index], detection)
            }
            while cursor.increase < increases.count,
                Int(increases[cursor.increase].row) <= index
            {
                take(increases[cursor.increase], plan, device, row.time.milliseconds)
                cursor.increase += 1
            }
            for word in 0..<words {
                let rules =
                    ready[device &* words &+ word] & program.tickMask[group &* words &+ word]
                if rules != 0 {
                    judge(rules, word, row, score.present, of: batch, detection, directory)
                }
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
                time: row.time.milliseconds, partition: batch.partitions[Int(row.partition)],
                offset: row.offset)
            judge(rule, Int(row.device.value), moment, detection, directory)
        }
    }

    /// Asks for what is kept of a row that is judged soon.
    @inline(never)
    private func prefetch(_ row: SampleBatch.Row) {
        let device = Int(row.device.value)
        let plan = program.plans[Int(row.group) & 15]
        marks.prefetch(device)
        ready.prefetch(device * program.words)
        if plan.register >= 0 {
            registers.prefetch(device * program.registerGroups * 16 + plan.register)
        }
        guard plan.feedLanes != 0 else { return }
        devicePool.times.prefetch(device * devicePool.timeStride, lines: 2)
        devicePool.numbers.prefetch(device * devicePool.numberStride, lines: 4)
    }

    /// One rule on one device, at a tick of it or at a step; `offset` of a step is -1.
    mutating func judge(
        _ index: Int, _ device: Int, _ moment: Moment, _ detection: borrowing Detection,
        _ directory: Directory
    ) {
        let rule = program.rules[index]
        let gates = gates[device]
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
        if isHeld(program.admissions[index], device) != wasHeld { admit(device) }
        // A host that is silent itself says nothing of one of its devices.
        if truth == .yes, rule.hostPresent, !isHostPresent(device, moment.time, detection) {
            truth = .unknown
        }
        if phase == 0 && truth != .yes { return }
        drive(index, device, truth, moment, detection, directory)
    }

    @inline(never)
    private mutating func feed(
        _ plan: GroupPlan, _ device: Int, _ time: Int64, _ score: Score, _ lanes: SIMD16<Float>,
        _ detection: borrowing Detection
    ) {
        for place in Int(plan.firstFeed)..<Int(plan.feedEnd) {
            let feed = program.feeds[place]
            guard score.present & (1 << UInt16(feed.lane)) != 0,
                score.gates.rawValue & feed.required == feed.required,
                score.gates.rawValue & feed.refused == 0
            else { continue }
            self.feed(feed, device, time, lanes[Int(feed.lane)], score, detection)
        }
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
