/// Where the reading of a partition begins when it becomes ours.
package enum StartOffset: Sendable, Equatable {
    package enum End: Sendable, Equatable { case earliest, latest }

    /// Exactly here: the offset that a checkpoint holds.
    case at(Int64)
    /// Where the group committed last.
    ///
    /// Without a commit the fallback decides, but `latest` only in this consumer's first
    /// assignment: what appears later is read from its beginning, or its first records were lost.
    case committed(fallback: End)
    case earliest
    case latest
}

/// Records that retention, or a topic made anew, took away before they were read.
package struct OffsetGap: Sendable, Equatable {
    /// Index into ``Consumer/partitions``.
    package let partition: Int
    /// The offset that was wanted.
    package let from: Int64
    /// The start of the log, where reading goes on; nil if the broker did not say in time.
    ///
    /// Less than `from` means that the log was cut or the topic made anew.
    package let to: Int64?
}

/// How many offsets were skipped that nobody had announced, since the consumer was opened.
///
/// Compaction and the markers of transactions leave holes too (a marker is a hole of one); in a
/// plain topic every hole is a lost record.
package struct OffsetHoles: Sendable, Equatable {
    package internal(set) var count: UInt64 = 0
    package internal(set) var offsets: UInt64 = 0
    package internal(set) var largest: UInt64 = 0
    /// The first hole seen: where the search for the cause begins.
    package internal(set) var first: OffsetGap?

    mutating func note(partition: Int, from: Int64, to: Int64) {
        let size = UInt64(clamping: to.subtractingReportingOverflow(from).partialValue)
        count &+= 1
        offsets &+= size
        largest = max(largest, size)
        if first == nil { first = OffsetGap(partition: partition, from: from, to: to) }
    }
}

/// What a consumer tells its owner besides records.
package enum ConsumerEvent: Sendable, Equatable {
    /// These partitions are ours from now on; no record of them was delivered yet.
    case assigned([Int])
    /// These partitions go to another member.
    ///
    /// They are still ours, and can be committed, until the next event is asked for.
    case revoked([Int])
    /// These partitions already belong to another member: drop their state, commit nothing.
    case lost([Int])
    /// Records are gone for good; reading goes on at the start of the log.
    case outOfRange(OffsetGap)
    /// The end of a partition was reached for the first time since it was assigned or sought.
    case caughtUp(partition: Int, offset: Int64)
    /// An asynchronous commit was refused.
    case commitFailed(KafkaError)
    /// A fetch, a topic or a record failed; reading goes on with what can be read.
    case failed(KafkaError, partition: Int?, offset: Int64?)
    /// The connection to the cluster suffers; librdkafka keeps trying.
    case trouble(KafkaError)
}
