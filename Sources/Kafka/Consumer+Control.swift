import CRdKafka

/// A position in one partition: the offset to read next.
package struct Position: Sendable, Equatable {
    /// Index into ``Consumer/partitions``.
    package let partition: Int
    package let offset: Int64

    package init(partition: Int, offset: Int64) {
        self.partition = partition
        self.offset = offset
    }
}

extension Consumer {
    /// The offset after the last record that was delivered; nil before the first one is known.
    package func position(of partition: Int) -> Int64? {
        guard states.indices.contains(partition), states[partition].next >= 0 else { return nil }
        return states[partition].next
    }

    /// Whether the last fetch of a partition found nothing more to read.
    package func isCaughtUp(_ partition: Int) -> Bool {
        states.indices.contains(partition) && states[partition].isOwned
            && states[partition].isAtEnd
    }

    /// The first and the next offset of a partition as of the last fetch; nil before the first.
    package func watermarks(of partition: Int) -> (low: Int64, high: Int64)? {
        guard states.indices.contains(partition) else { return nil }
        let name = states[partition].name
        var low: Int64 = -1
        var high: Int64 = -1
        let code = unsafe rd_kafka_get_watermark_offsets(
            client.handle, name.topic, name.number, &low, &high)
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR, high >= 0 else { return nil }
        return (max(0, low), high)
    }

    /// Commits positions without waiting; a refusal comes as an event.
    package mutating func commit(_ positions: [Position]) throws(KafkaError) {
        let entries = try owned(positions)
        guard !entries.isEmpty else { return }
        let code = unsafe PartitionList.with(entries) {
            unsafe rd_kafka_commit(client.handle, $0, 1)
        }
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
            throw KafkaError(code, asked: "commit positions")
        }
    }

    /// Commits positions and waits for the broker's answer, at most `milliseconds`.
    ///
    /// An error of kind `ownershipLost` means: drop the state of these partitions, never retry. One
    /// of kind `timedOut` leaves open whether the broker has it; the same commit may be repeated.
    package mutating func commit(
        _ positions: [Position], waitingMilliseconds milliseconds: Int32
    ) throws(KafkaError) {
        let entries = try owned(positions)
        guard !entries.isEmpty else { return }
        guard let answers = unsafe rd_kafka_queue_new(client.handle) else {
            fatalError("out of memory")
        }
        // A late answer finds its queue gone and is freed with it, so this object may go as well.
        let answer = CommitAnswer()
        defer {
            unsafe rd_kafka_queue_destroy(answers)
            withExtendedLifetime(answer) {}
        }
        let code = unsafe PartitionList.with(entries) {
            unsafe rd_kafka_commit_queue(
                client.handle, $0, answers,
                { _, code, list, opaque in
                    guard let opaque = unsafe opaque else { return }
                    unsafe Unmanaged<CommitAnswer>.fromOpaque(opaque).takeUnretainedValue().note(
                        PartitionList.commitError(code, list))
                }, Unmanaged.passUnretained(answer).toOpaque())
        }
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
            throw KafkaError(code, asked: "commit positions")
        }
        let end = Monotonic.milliseconds &+ Int64(max(0, milliseconds))
        repeat {
            let left = max(0, min(end &- Monotonic.milliseconds, 1_000))
            unsafe rd_kafka_queue_poll_callback(answers, Int32(left))
            guard answer.isHere else { continue }
            if let error = answer.error { throw error }
            return
        } while Monotonic.milliseconds < end
        throw KafkaError(
            RD_KAFKA_RESP_ERR__TIMED_OUT, asked: "commit positions",
            reason: "no answer from the group coordinator within \(milliseconds) ms")
    }

    /// Reads on at `offset`; what was fetched before is not delivered any more.
    package mutating func seek(_ partition: Int, to offset: Int64) throws(KafkaError) {
        let entry = try owned([Position(partition: partition, offset: offset)])
        let name = states[partition].name
        let asked = "seek \(name) to \(offset)"
        let failure: KafkaError? = unsafe PartitionList.with(entry) { list in
            let error = unsafe rd_kafka_seek_partitions(
                client.handle, list, KafkaLibrary.seekMilliseconds(2_000))
            return unsafe KafkaError.take(error, asked: asked)
                ?? PartitionList.firstError(list, asked: asked)
        }
        if let failure {
            // Not being fetched yet, or stopped after a refused offset: begin it anew.
            guard failure.code == RD_KAFKA_RESP_ERR__STATE.rawValue else { throw failure }
            restart(partition, at: offset)
        }
        states[partition].next = offset
        states[partition].isAtEnd = false
        states[partition].hasToldEnd = false
    }

    /// Stops the fetching of partitions; go on polling, or the group takes them away.
    package mutating func pause(_ partitions: [Int]) throws(KafkaError) {
        let chosen = partitions.filter { states.indices.contains($0) && !states[$0].isPaused }
        guard !chosen.isEmpty else { return }
        let entries = try owned(chosen.map { Position(partition: $0, offset: 0) })
        let code = unsafe PartitionList.with(entries) {
            unsafe rd_kafka_pause_partitions(client.handle, $0)
        }
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
            throw KafkaError(code, asked: "pause partitions")
        }
        for index in chosen { states[index].isPaused = true }
    }

    /// Fetches paused partitions again, and only those: before 2.4 librdkafka would read the others
    /// from an old position (#4636).
    package mutating func resume(_ partitions: [Int]) throws(KafkaError) {
        let chosen = partitions.filter { states.indices.contains($0) && states[$0].isPaused }
        guard !chosen.isEmpty else { return }
        let entries = chosen.map { (partition: states[$0].name, offset: Int64(0)) }
        let code = unsafe PartitionList.with(entries) {
            unsafe rd_kafka_resume_partitions(client.handle, $0)
        }
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
            throw KafkaError(code, asked: "resume partitions")
        }
        for index in chosen { states[index].isPaused = false }
    }

    /// Milliseconds since librdkafka's own thread last gave a sign of life.
    ///
    /// It reports every ten seconds. More than thirty means that it is stuck (librdkafka #4783 spins
    /// for ever before 2.6.1), and that only a new process helps.
    package var statisticsAgeMilliseconds: Int64 {
        Monotonic.milliseconds &- client.events.statisticsAt
    }

    /// librdkafka's last statistics report, as JSON; empty before the first.
    package var statistics: [UInt8] { client.events.statistics }

    /// Asynchronous commits that the broker acknowledged.
    package var commitsAcknowledged: UInt64 { client.events.commitsAcknowledged }

    /// Leaves the group and gives everything back, within `milliseconds`.
    ///
    /// Commit what is to be kept before: no event comes any more.
    package consuming func close(milliseconds: Int64 = 5_000) -> CloseOutcome {
        let end = Monotonic.milliseconds &+ max(milliseconds, 500)
        // A third of the time is kept for destroying, which the group cannot see.
        let left = leaveGroup(until: end &- max(milliseconds, 500) / 3)
        passLogLines()
        unsafe rd_kafka_queue_destroy(queue)
        markClosed()
        guard !client.events.mustNotDestroy else {
            return .abandoned(
                reason: "librdkafka \(KafkaLibrary.version) cannot destroy a consumer that was "
                    + "never assigned anything (fixed in 2.3.0); its threads stay until exit")
        }
        guard client.end(milliseconds: max(100, end &- Monotonic.milliseconds)) else {
            return .abandoned(reason: "librdkafka did not end its threads in time")
        }
        return left
            ? .closed
            : .abandoned(
                reason: "the group coordinator did not answer; the group will notice by "
                    + "session.timeout.ms")
    }

    /// Serves the last rebalance until the group is left; records that still come are freed.
    private mutating func leaveGroup(until end: Int64) -> Bool {
        surrender()
        client.events.isClosing = true
        answerLeftRebalances()
        guard let last = unsafe rd_kafka_queue_new(client.handle) else {
            fatalError("out of memory")
        }
        defer { unsafe rd_kafka_queue_destroy(last) }
        let error = unsafe rd_kafka_consumer_close_queue(client.handle, last)
        guard unsafe KafkaError.take(error, asked: "leave the group") == nil else { return false }
        // As rd_kafka_consumer_close does, but with an end: a batch call serves every callback,
        // where the plain queue poll would abort on a record.
        return unsafe withUnsafeTemporaryAllocation(
            of: UnsafeMutablePointer<rd_kafka_message_t>?.self, capacity: 64
        ) { messages in
            unsafe messages.initialize(repeating: nil)
            while unsafe rd_kafka_consumer_closed(client.handle) == 0 {
                let remains = end &- Monotonic.milliseconds
                guard remains > 0 else { return false }
                let count = unsafe rd_kafka_consume_batch_queue(
                    last, Int32(min(remains, 50)), messages.baseAddress, messages.count)
                for index in 0..<max(0, count) {
                    unsafe rd_kafka_message_destroy(messages[index])
                }
            }
            return true
        }
    }

    /// What librdkafka still waits for from before the close.
    private mutating func answerLeftRebalances() {
        for rebalance in client.events.takeRebalances() {
            let (names, isAssignment) =
                switch rebalance {
                case .assign(let names): (names, true)
                case .revoke(let names), .lose(let names): (names, false)
                }
            let entries = names.map { (partition: $0, offset: Int64(RD_KAFKA_OFFSET_INVALID)) }
            let error = unsafe PartitionList.with(entries) { list in
                unsafe isAssignment
                    ? rd_kafka_incremental_assign(client.handle, list)
                    : rd_kafka_incremental_unassign(client.handle, list)
            }
            _ = unsafe KafkaError.take(error, asked: "answer the last rebalance")
        }
    }

    /// The partitions of positions, all of them ours; or that they are not.
    ///
    /// The broker does not ask whose partition it is: a commit for one that moved would overwrite
    /// the new owner's.
    private func owned(
        _ positions: [Position]
    ) throws(KafkaError) -> [(partition: TopicPartition, offset: Int64)] {
        var entries: [(partition: TopicPartition, offset: Int64)] = []
        for position in positions {
            guard states.indices.contains(position.partition),
                states[position.partition].isOwned
            else {
                let name =
                    states.indices.contains(position.partition)
                    ? "\(states[position.partition].name)" : "partition \(position.partition)"
                throw KafkaError(
                    .ownershipLost, RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST,
                    asked: "act on \(name)", reason: "it is not ours")
            }
            guard position.offset >= 0 else {
                throw KafkaError(
                    .configuration, RD_KAFKA_RESP_ERR__INVALID_ARG,
                    asked: "act on \(states[position.partition].name)",
                    reason: "\(position.offset) is not an offset")
            }
            entries.append((states[position.partition].name, position.offset))
        }
        return entries
    }
}

/// What the coordinator said to one commit.
private final class CommitAnswer {
    private(set) var isHere = false
    private(set) var error: KafkaError?

    func note(_ error: KafkaError?) {
        isHere = true
        self.error = error
    }
}
