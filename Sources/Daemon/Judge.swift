import Detection
import Dispatch
import Escalation
package import Fleet
package import Rules
import Synchronization
package import Telemetry

/// What a judge is given: a batch, and what must be known with it.
struct Parcel: Sendable {
    var batch = SampleBatch()
    /// Devices that are new or changed since the parcel before.
    var devices: [Directory.Change] = []
    /// Partitions that were read to their end, and where event time has come for them.
    var watermarks: [(partition: Partition, time: Instant)] = []
}

/// What came of a batch.
package struct Judged: Sendable {
    package var findings: [Finding] = []
    /// Ids of the devices of every host, rack and job that the findings touch: blame needs to know
    /// how many there are.
    package var members: [Entity: [String]] = [:]
    package var tally = Tally()
    /// That the batch had.
    var rows = 0
    /// Devices known after it.
    package var devices = 0
    /// The event time that the furthest partition has reached; nil before the first sample.
    package var frontier: Instant?
}

/// The second half of the hot path: detection, rules, and what they must know of devices.
///
/// It learns of devices through parcels alone, and so depends on their order and on nothing else.
struct Judge: ~Copyable {
    private(set) var directory: Directory
    private var detection: Detection
    private var rules: RuleEngine
    /// Devices in a maintenance, and by what and how many devices it was last looked up.
    private var maintained: Set<Int> = []
    private var maintainedBy: [String] = []
    private var maintainedOf = 0
    private var maintainedAt = Instant.distantPast

    /// - Parameters:
    ///   - book: what is looked for.
    ///   - vocabulary: learns the names of metrics that only rules know.
    ///   - directory: holds what an earlier process knew.
    ///   - firing: what fired then.
    ///   - seasonFile: an open descriptor of an empty file, which seasons of devices may use.
    init(
        book: RuleBook, vocabulary: inout Vocabulary, directory: Directory, firing: [Finding],
        seasonFile: Int32?
    ) {
        self.directory = directory
        rules = RuleEngine(book: book, vocabulary: &vocabulary, seasonFile: seasonFile)
        detection = Detection(vocabulary: vocabulary)
        detection.serve(rules.needs)
        rules.restore(firing: firing, detection: &detection, directory: &self.directory)
    }

    /// A batch through detectors and rules, then time itself.
    mutating func judge(_ parcel: inout Parcel) -> Judged {
        for change in parcel.devices { directory.take(change) }
        var judged = Judged()
        judged.findings = rules.process(
            &parcel.batch, detection: &detection, directory: &directory)
        // Of a device that only breaks there is no row to tell when it was seen.
        for fault in parcel.batch.faults where Int(fault.device.value) < directory.count {
            directory.touch(fault.device, at: fault.time)
        }
        judged.findings += rules.advance(
            watermarks: parcel.watermarks, detection: &detection, directory: &directory)
        judged.members = members(around: judged.findings)
        judged.tally = parcel.batch.tally
        judged.rows = parcel.batch.rows.count
        judged.devices = directory.count
        if detection.frontier != .min {
            judged.frontier = Instant(milliseconds: detection.frontier)
        }
        return judged
    }

    /// Values that found no season because there are too many series with one.
    var seasonsRefused: UInt64 { rules.seasonsRefused }

    /// Values that got no anomaly score because there are too many series with one.
    var watchesRefused: UInt64 { rules.watchesRefused }

    /// Devices from which nothing is learned.
    var devicesHeld: Int { detection.heldCount }

    /// Nothing is learned from devices that a silence covers whole.
    mutating func maintain(_ silences: [Silence], at now: Instant) {
        let active = silences.filter { $0.isActive(at: now) }
        // Every device is held against every silence: not again while nothing changed but labels,
        // which wait for the next minute.
        let isNew = active.map(\.id) != maintainedBy || directory.count != maintainedOf
        guard isNew || (!active.isEmpty && now - maintainedAt >= .seconds(60)) else { return }
        (maintainedBy, maintainedOf, maintainedAt) = (active.map(\.id), directory.count, now)
        var covered: Set<Int> = []
        for (index, device) in directory.devices.enumerated()
        where index < detection.devices.count
            && active.contains(where: { $0.covers(device.labels, at: now) })
        {
            covered.insert(index)
        }
        for device in covered.subtracting(maintained) { detection.hold(device) }
        for device in maintained.subtracting(covered) { detection.release(device) }
        maintained = covered
    }

    /// Another set of rules from the next batch on.
    mutating func replace(
        _ book: RuleBook, vocabulary: inout Vocabulary, at now: Instant
    ) -> Judged {
        var judged = Judged()
        judged.findings = rules.replace(
            book: book, vocabulary: &vocabulary, detection: &detection, directory: &directory,
            at: now)
        judged.members = members(around: judged.findings)
        judged.devices = directory.count
        return judged
    }

    private func members(around findings: [Finding]) -> [Entity: [String]] {
        var members: [Entity: [String]] = [:]
        let kinds: [(LabelKey, EntityKind)] = [(.host, .host), (.rack, .rack), (.job, .job)]
        for finding in findings {
            for (key, kind) in kinds where !finding.labels[key].isEmpty {
                members[Entity(kind: kind, name: finding.labels[key])] = []
            }
        }
        guard !members.isEmpty else { return [:] }
        for device in directory.devices {
            for (key, kind) in kinds {
                members[Entity(kind: kind, name: device.labels[key])]?.append(device.id)
            }
        }
        return members
    }
}

/// The judge's place: whoever holds its lock judges, the reader's thread or the judge's own.
///
/// The second thread begins with the first parcel that is sent to it: who never sends one has none.
/// It goes from one parcel to the next by itself, so that it does not wait for a reader that waits
/// for a processor. How many are on their way is the sender's to bound.
final class JudgeThread: Sendable {
    private struct Trays {
        /// In the order in which they were sent.
        var waiting: [Parcel] = []
        var judged: [Judged] = []
        /// The memory of parcels that are done.
        var empty: [Parcel] = []
    }

    private let judge: Mutex<Judge>
    private let trays = Mutex(Trays())
    /// One for each parcel; one more, without a parcel, is the end.
    private let sent = DispatchSemaphore(value: 0)
    private let done = DispatchSemaphore(value: 0)
    private let thread = Mutex<Worker?>(nil)

    init(_ judge: consuming sending Judge) { self.judge = Mutex(judge) }

    /// Does `body` with the judge, on this thread; waits where the other one is at work.
    func withJudge<Result: Sendable>(_ body: (inout Judge) -> Result) -> Result {
        judge.withLock { body(&$0) }
    }

    /// Gives `parcel` to the second thread, and returns an old one for its memory.
    func send(_ parcel: inout Parcel) {
        trays.withLock { trays in
            var next = trays.empty.popLast() ?? Parcel()
            swap(&next, &parcel)
            trays.waiting.append(next)
        }
        thread.withLock { thread in
            if thread == nil { thread = Worker("judge") { self.work() } }
        }
        sent.signal()
    }

    /// What came of the oldest parcel that was sent; nil where that is not known yet.
    ///
    /// Waiting, it does so without end.
    func take(waiting: Bool) -> Judged? {
        if waiting {
            done.wait()
        } else if done.wait(timeout: .now()) != .success {
            return nil
        }
        return trays.withLock { $0.judged.removeFirst() }
    }

    /// Ends the second thread, after the parcel in work; those that wait are dropped.
    func close() {
        guard let thread = thread.withLock({ $0.take() }) else { return }
        trays.withLock { $0.waiting.removeAll() }
        sent.signal()
        _ = thread.join(within: .seconds(5))
    }

    private func work() {
        while true {
            sent.wait()
            guard judgeNext() else { return }
            done.signal()
        }
    }

    /// - Returns: false where none waits.
    private func judgeNext() -> Bool {
        var next = trays.withLock { $0.waiting.isEmpty ? nil : $0.waiting.removeFirst() }
        guard var parcel = next.take() else { return false }
        let judged = judge.withLock { $0.judge(&parcel) }
        trays.withLock { trays in
            trays.judged.append(judged)
            trays.empty.append(parcel)
        }
        return true
    }
}
