import Fleet
import Rules

/// Notices that a whole topic has gone silent.
///
/// Absence is told by event time, and event time stands where nothing comes: when the producers or
/// the network die, no device becomes absent. So the clock on the wall watches over each topic from
/// which records came before. One finding tells of it, and clears with the next record.
struct InputWatch {
    static let rule = "tel-input-silent"

    private struct Topic {
        var heardAt: Instant
        /// Records came from it, now or before the restart.
        var hasFlowed = false
        /// When the last one came; nil where none did.
        var recordAt: Instant?
        /// Some partition of it is ours.
        var isWatched = false
        /// What was said of it, while it is silent.
        var firing: Finding?
        /// Why that is over, in words; empty while it is not.
        var over = ""
    }

    private let silenceAfter: Duration
    private var topics: [String: Topic] = [:]

    /// - Parameters:
    ///   - silenceAfter: how long nothing may come.
    ///   - heard: when something was last heard of each topic, before the restart.
    ///   - firing: what fired before the restart; what is not ours is left alone.
    ///   - now: the clock on the wall.
    init(
        silenceAfter: Duration, heard: [String: Instant], firing: [Finding], at now: Instant
    ) {
        self.silenceAfter = silenceAfter
        for (topic, last) in heard where now - last < InputWatch.memory {
            topics[topic] = Topic(heardAt: now, hasFlowed: true, recordAt: last)
        }
        for finding in firing where finding.key.rule == InputWatch.rule {
            let name = finding.key.subject.name
            topics[name, default: Topic(heardAt: now, hasFlowed: true)].firing = finding
        }
    }

    /// A topic that was not heard of for so long before a restart was given up, not interrupted.
    private static let memory = Duration.seconds(86_400)
    private static let counterPrefix = "heard_at "

    /// When the last record of each topic came, to be kept with the positions.
    var heard: [String: Instant] { topics.compactMapValues(\.recordAt) }

    /// `heard` as the ledger keeps it, among its totals.
    static func counters(_ heard: [String: Instant]) -> [String: UInt64] {
        Dictionary(
            uniqueKeysWithValues: heard.map {
                (counterPrefix + $0.key, UInt64(clamping: $0.value.milliseconds))
            })
    }

    /// What `counters` said, out of the ledger's totals.
    static func heard(_ counters: [String: UInt64]) -> [String: Instant] {
        var heard: [String: Instant] = [:]
        for (name, value) in counters where name.hasPrefix(counterPrefix) {
            heard[String(name.dropFirst(counterPrefix.count))] = Instant(
                milliseconds: Int64(clamping: value))
        }
        return heard
    }

    /// Topics that are silent now.
    var silent: Int { topics.values.count { $0.firing != nil } }

    mutating func heard(_ topic: String, at now: Instant) {
        topics[topic, default: Topic(heardAt: now)].heardAt = now
        topics[topic]?.hasFlowed = true
        topics[topic]?.recordAt = now
        if topics[topic]?.firing != nil { topics[topic]?.over = "records of \(topic) come again" }
    }

    /// Says which topics have partitions of ours; the silence of others is somebody else's.
    ///
    /// Partitions that the group took away without a word stay ours here until it gives us others:
    /// that is how a network that is gone looks from within.
    mutating func watch(_ watched: Set<String>, at now: Instant) {
        for topic in watched.union(topics.keys) {
            let isWatched = watched.contains(topic)
            if isWatched, topics[topic]?.isWatched != true {
                topics[topic, default: Topic(heardAt: now)].heardAt = now
            }
            if !isWatched, topics[topic]?.isWatched == true, topics[topic]?.firing != nil {
                topics[topic]?.over = "\(topic) is read by another member of the group"
            }
            topics[topic]?.isWatched = isWatched
        }
    }

    /// Time in which we did not want records does not count.
    mutating func excuse(at now: Instant) {
        for topic in topics.keys { topics[topic]?.heardAt = now }
    }

    /// What is to be said at `now`.
    mutating func judge(at now: Instant) -> [Finding] {
        var findings: [Finding] = []
        for (name, topic) in topics.sorted(by: { $0.key < $1.key }) {
            if var finding = topic.firing {
                guard !topic.over.isEmpty else { continue }
                finding.edge = .cleared
                finding.at = now
                finding.summary = topic.over
                findings.append(finding)
                topics[name]?.firing = nil
                topics[name]?.over = ""
            } else if topic.isWatched, topic.hasFlowed, now - topic.heardAt >= silenceAfter {
                let finding = tell(name, since: topic.heardAt, at: now)
                findings.append(finding)
                topics[name]?.firing = finding
            }
        }
        return findings
    }

    private func tell(_ name: String, since: Instant, at now: Instant) -> Finding {
        var finding = Finding(
            key: Finding.Key(
                rule: InputWatch.rule, subject: Entity(kind: .pipeline, name: name)),
            edge: .fired, since: since, at: now, severity: .critical, tier: .three,
            symptom: "pipeline-outage", devices: [], labels: Labels(),
            summary: "not one record of \(name) for \(silenceAfter.short): nothing of what it "
                + "tells is watched",
            partition: Partition(topic: name, number: 0), offset: 0)
        finding.evidence = [
            Finding.Evidence(
                name: "silence", value: (now - since).seconds, unit: "s",
                against: "telemetry.silence_after \(silenceAfter.short)")
        ]
        finding.runbook =
            "Look at the producers of \(name), the brokers and the network between, not at the "
            + "devices; `kafka-console-consumer` shows whether anything is written."
        return finding
    }
}
