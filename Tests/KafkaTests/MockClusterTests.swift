import Synchronization
import Testing

@testable import Kafka

/// Against librdkafka's mock cluster, a fresh one for each test.
///
/// A group takes three seconds to form there, so each test asks several things of one group.
@Suite struct MockClusterTests {
    @Test func `keys, headers, tombstones and empty values survive the journey`() throws {
        let broker = try BrokerProcess(topics: ["t:2"])
        var writer = try Writer(broker.bootstrap)
        try writer.write(
            "t", partition: 1, key: "k", "v",
            headers: [("trace", Array("1".utf8)), ("trace", Array("2".utf8)), ("none", [])])
        try writer.write("t", partition: 1, key: "gone", nil)
        try writer.write("t", partition: 1, key: "", "")
        let reports = writer.reports()
        #expect(reports.map(\.token) == [1, 2, 3] && reports.allSatisfy { $0.error == nil })
        #expect(reports.map(\.offset) == [0, 1, 2] && reports.allSatisfy { $0.partition == 1 })
        #expect(writer.producer.close().outcome == .closed)

        var reader = try Reader(broker.bootstrap, topics: ["t"]) { _ in .earliest }
        #expect(try reader.read(headers: true) { $0.records.count == 3 })
        #expect(
            reader.records == [
                Copied(
                    partition: 1, offset: 0, key: "k", payload: "v",
                    headers: ["trace=1", "trace=2", "none="]),
                Copied(partition: 1, offset: 1, key: "gone", payload: nil),
                Copied(partition: 1, offset: 2, key: "", payload: ""),
            ])
        // The empty partition has an end too.
        #expect(
            try reader.read { reader in
                reader.consumer.assignment.allSatisfy { reader.consumer.isCaughtUp($0) }
            })
        let names = reader.consumer.partitions
        let one = try #require(names.firstIndex { $0.number == 1 })
        #expect(reader.consumer.position(of: one) == 3)
        #expect(reader.consumer.watermarks(of: one)?.high == 3)
        #expect(reader.events.contains(.caughtUp(partition: one, offset: 3)))
        #expect(reader.consumer.holes == OffsetHoles() && reader.consumer.repeats == 0)
        #expect(reader.close() == .closed)
    }

    @Test func `reading begins where the caller says, and a hole is counted`() throws {
        let broker = try BrokerProcess(topics: ["t:1"])
        var writer = try Writer(broker.bootstrap)
        for index in 0..<50 { try writer.write("t", "\(index)") }
        #expect(writer.reports().count == 50)
        _ = writer.producer.close()

        var asked: [TopicPartition] = []
        var reader = try Reader(broker.bootstrap, topics: ["t"]) { partition in
            asked.append(partition)
            return .at(40)
        }
        #expect(try reader.read { $0.records.count == 10 })
        #expect(asked == [TopicPartition(topic: "t", number: 0)])
        #expect(reader.records.map(\.offset) == Array(40..<50))
        #expect(reader.consumer.holes.count == 0)

        // Backwards by a seek is no repeat, and what was fetched before is gone.
        try reader.consumer.seek(0, to: 45)
        #expect(try reader.read { $0.records.count == 15 })
        #expect(reader.records.suffix(5).map(\.offset) == Array(45..<50))
        #expect(reader.consumer.repeats == 0 && reader.consumer.holes.count == 0)

        // A broker that skips ten offsets nobody announced.
        try reader.consumer.seek(0, to: 30)
        reader.consumer.states[0].next = 20
        #expect(try reader.read { $0.records.count == 35 })
        #expect(reader.consumer.holes.count == 1 && reader.consumer.holes.offsets == 10)
        #expect(reader.consumer.holes.first == OffsetGap(partition: 0, from: 20, to: 30))

        // And one that sends twice what was read already.
        try reader.consumer.seek(0, to: 48)
        reader.consumer.states[0].next = 50
        #expect(try reader.read { $0.consumer.isCaughtUp(0) })
        #expect(reader.records.count == 35 && reader.consumer.repeats == 2)
        #expect(reader.close() == .closed)
    }

    @Test func `an offset that is no more leads to the start of the log, with a word`() throws {
        let broker = try BrokerProcess(topics: ["t:1"])
        var writer = try Writer(broker.bootstrap, ["compression.type": "none"])
        // The mock keeps 5 MiB: of 8 MiB the oldest are gone.
        let kilobyte = String(repeating: "x", count: 1_024)
        for _ in 0..<8_192 { try writer.write("t", kilobyte) }
        #expect(writer.reports().count == 8_192)
        _ = writer.producer.close()

        var reader = try Reader(broker.bootstrap, topics: ["t"]) { _ in .at(5) }
        #expect(try reader.read { $0.records.last?.offset == 8_191 })
        let first = try #require(reader.records.first?.offset)
        #expect(first > 5)
        #expect(reader.events.contains(.outOfRange(OffsetGap(partition: 0, from: 5, to: first))))
        #expect(reader.consumer.offsetsExpired == UInt64(first - 5))
        #expect(reader.records.count == Int(8_192 - first))
        #expect(reader.consumer.holes.count == 0)

        // Past the end: the same, and the gap points backwards.
        try reader.consumer.seek(0, to: 1_000_000)
        #expect(try reader.read { $0.records.count >= 2 * Int(8_192 - first) })
        #expect(
            reader.events.contains(
                .outOfRange(OffsetGap(partition: 0, from: 1_000_000, to: first))))
        #expect(reader.close() == .closed)
    }

    @Test func `commits are found again, and refused ones mean lost ownership`() throws {
        let broker = try BrokerProcess(topics: ["t:1"])
        var writer = try Writer(broker.bootstrap)
        for index in 0..<20 { try writer.write("t", "\(index)") }
        #expect(writer.reports().count == 20)
        _ = writer.producer.close()

        // Nothing is committed yet: the fallback decides.
        var reader = try Reader(broker.bootstrap, topics: ["t"]) { _ in
            .committed(fallback: .earliest)
        }
        #expect(try reader.read { $0.records.count == 20 })
        try reader.consumer.commit(
            [Position(partition: 0, offset: 15)], waitingMilliseconds: 5_000)
        try reader.consumer.commit([Position(partition: 0, offset: 16)])
        #expect(try reader.read { $0.consumer.commitsAcknowledged == 1 })

        for code in [22, 27, 25] {
            try broker.send("err 8 \(code)")
            let error = #expect(throws: KafkaError.self) {
                try reader.consumer.commit(
                    [Position(partition: 0, offset: 3)], waitingMilliseconds: 5_000)
            }
            #expect(error?.kind == .ownershipLost, "\(code): \(String(describing: error))")
        }
        let foreign = #expect(throws: KafkaError.self) {
            try reader.consumer.commit([Position(partition: 7, offset: 3)])
        }
        #expect(foreign?.kind == .ownershipLost)
        #expect(reader.close() == .closed)

        var second = try Reader(broker.bootstrap, topics: ["t"]) { _ in
            .committed(fallback: .latest)
        }
        #expect(try second.read { $0.records.count == 4 })
        #expect(second.records.map(\.offset) == [16, 17, 18, 19])
        #expect(second.close() == .closed)
    }

    @Test func `a member that is thrown out loses its partitions and takes them anew`() throws {
        let broker = try BrokerProcess(topics: ["t:2"])
        var reader = try Reader(
            broker.bootstrap, topics: ["t"], ["heartbeat.interval.ms": "200"]
        ) { _ in .earliest }
        #expect(try reader.read { $0.isAssigned })
        try broker.send("err 12 25")
        #expect(try reader.read { $0.events.contains(.lost([0, 1])) })
        #expect(try reader.read { $0.events.count { $0 == .assigned([0, 1]) } == 2 })
        #expect(!reader.events.contains(.revoked([0, 1])))
        #expect(reader.close() == .closed)
    }

    @Test func `a second member takes over partitions without a loss or a repeat`() throws {
        let broker = try BrokerProcess(topics: ["t:4"])
        var writer = try Writer(broker.bootstrap)
        func burst(_ writer: inout Writer, _ name: String) throws {
            for index in 0..<100 { try writer.write("t", partition: Int32(index % 4), name) }
            #expect(writer.reports().count == 100)
        }
        try burst(&writer, "before")
        var first = try Reader(broker.bootstrap, topics: ["t"]) { _ in
            .committed(fallback: .earliest)
        }
        #expect(try first.read { $0.records.count == 100 })
        func commit(_ consumer: inout Consumer, _ partitions: [Int]) throws(KafkaError) {
            let positions = partitions.map {
                Position(partition: $0, offset: consumer.position(of: $0) ?? 0)
            }
            try consumer.commit(positions, waitingMilliseconds: 5_000)
        }
        try commit(&first.consumer, first.consumer.assignment)

        var second = try Reader(broker.bootstrap, topics: ["t"]) { _ in
            .committed(fallback: .latest)
        }
        let end = ContinuousClock.now + .seconds(60)
        while second.consumer.assignment.count < 2, ContinuousClock.now < end {
            // What goes to the other member is committed while it is still ours.
            try first.step { consumer, event in
                guard case .revoked(let partitions) = event else { return }
                #expect(Set(partitions).isSubset(of: Set(consumer.assignment)))
                do throws(KafkaError) {
                    try commit(&consumer, partitions)
                } catch {
                    // The mock may be in the middle of its own second phase.
                    #expect(error.kind == .ownershipLost)
                }
            }
            try second.step()
        }
        try burst(&writer, "after")
        while first.records.count + second.records.count < 200, ContinuousClock.now < end {
            try first.step()
            try second.step()
        }
        let all = first.records + second.records
        #expect(all.count == 200)
        #expect(Set(all.map { "\($0.partition)/\($0.offset)" }).count == 200)
        #expect(first.consumer.assignment.count == 2 && second.consumer.assignment.count == 2)
        #expect(second.records.count == 50 && second.records.allSatisfy { $0.payload == "after" })
        #expect(first.events.contains { if case .revoked = $0 { true } else { false } })

        // A partition that is gone can be neither committed nor sought.
        let gone = try #require(
            first.consumer.partitions.indices.first { !first.consumer.assignment.contains($0) })
        let refused = #expect(throws: KafkaError.self) {
            try first.consumer.commit([Position(partition: gone, offset: 0)])
        }
        #expect(refused?.kind == .ownershipLost)
        #expect(second.close() == .closed)
        #expect(first.close() == .closed)
        _ = writer.producer.close()
    }

    @Test func `a hundred thousand records arrive once each, through pauses`() throws {
        let broker = try BrokerProcess(topics: ["t:12"])
        var writer = try Writer(broker.bootstrap, ["linger.ms": "20"])
        let total = 100_000
        for index in 0..<total {
            try writer.write("t", partition: Int32(index % 12), "\(index)")
            if index % 10_000 == 0 { _ = writer.producer.poll(milliseconds: 0) }
        }
        #expect(writer.reports().allSatisfy { $0.error == nil })
        _ = writer.producer.close()

        var consumer = try Consumer.open(
            ["bootstrap.servers": broker.bootstrap, "group.id": "g"], topics: ["t"], batchMax: 500
        ) { _ in .earliest }
        var seen = [Bool](repeating: false, count: total)
        var next = [Int64](repeating: 0, count: 12)
        var count = 0
        var outOfOrder = 0
        var ahead = 0
        var batches = 0
        var paused: Int?
        let end = ContinuousClock.now + .seconds(60)
        while count < total, ContinuousClock.now < end {
            let got = try consumer.poll(milliseconds: 100) { record, payload, coming in
                if record.offset != next[record.partition] { outOfOrder += 1 }
                next[record.partition] = record.offset + 1
                guard let index = payload.map(text).flatMap({ Int($0) }) else { return }
                // What comes soon is a later record of the same partition.
                if let later = coming.map(text).flatMap({ Int($0) }) {
                    ahead += 1
                    if later <= index || later % 12 != index % 12 { outOfOrder += 1 }
                }
                if seen[index] { outOfOrder += 1 }
                seen[index] = true
            }
            count += got
            #expect(got <= 500)
            while consumer.nextEvent() != nil { continue }
            batches += 1
            guard !consumer.assignment.isEmpty else { continue }
            if let partition = paused {
                try consumer.resume([partition])
                paused = nil
            } else {
                paused = batches % 12
                try consumer.pause([batches % 12])
            }
        }
        #expect(count == total && outOfOrder == 0 && !seen.contains(false))
        #expect(ahead > total / 2, "\(ahead) were lent ahead")
        #expect(consumer.holes.count == 0)
        #expect(consumer.close() == .closed)
    }

    @Test(arguments: [true, false])
    func `records of full batches are freed by librdkafka's threads where asked`(
        aside: Bool
    ) throws {
        let broker = try BrokerProcess(topics: ["t:4"])
        var writer = try Writer(broker.bootstrap, ["linger.ms": "20"])
        let total = 20_000
        for index in 0..<total {
            try writer.write("t", partition: Int32(index % 4), "\(index)")
            if index % 5_000 == 0 { _ = writer.producer.poll(milliseconds: 0) }
        }
        #expect(writer.reports().allSatisfy { $0.error == nil })
        _ = writer.producer.close()

        var consumer = try Consumer.open(
            ["bootstrap.servers": broker.bootstrap, "group.id": "g"], topics: ["t"],
            batchMax: 100, freesAside: aside
        ) { _ in .earliest }
        var seen = [Bool](repeating: false, count: total)
        var count = 0
        var inFullBatches = 0
        let end = ContinuousClock.now + .seconds(60)
        while count < total || (aside && consumer.recordsFreedAside < UInt64(inFullBatches)),
            ContinuousClock.now < end
        {
            let got = try consumer.poll(milliseconds: 50) { _, payload, _ in
                guard let index = payload.map(text).flatMap({ Int($0) }) else { return }
                seen[index] = true
            }
            count += got
            if got == 100 { inFullBatches += got }
            while consumer.nextEvent() != nil { continue }
        }
        #expect(count == total && !seen.contains(false))
        #expect(inFullBatches > total / 2)
        // Nobody asks for more: the answers to fetches that find nothing are enough.
        if aside {
            #expect(consumer.recordsFreedAside >= UInt64(inFullBatches))
        } else {
            #expect(consumer.recordsFreedAside == 0)
        }
        #expect(consumer.batchesFreedHere == 0)
        // It would wait for whatever was not freed.
        #expect(consumer.close() == .closed)
    }

    @Test func `too much that waits to be freed is left to the reader`() throws {
        let read = ReadRecords([:])
        let batch = [UInt](repeating: 0, count: 10)
        #expect(!read.take(batch, bytes: 1), "nobody serves it")
        #expect(read.batchesRefused == 0)

        read.beginService()
        #expect(read.take(batch, bytes: read.bytesMax))
        #expect(!read.take(batch, bytes: 1))
        read.free()
        #expect(read.recordsFreed == 10)
        for _ in 0..<read.recordsMax / 10 {
            #expect(read.take(batch, bytes: 1))
        }
        #expect(!read.take(batch, bytes: 1))
        #expect(read.batchesRefused == 2)

        // Whoever bounds the queue bounds this too; whoever lets it grow does not.
        let less = ReadRecords(["queued.min.messages": "500", "queued.max.messages.kbytes": "1024"])
        #expect(less.recordsMax == 500 && less.bytesMax == 1 << 20)
        let more = ReadRecords([
            "queued.min.messages": "10000000", "queued.max.messages.kbytes": "2097151",
        ])
        #expect(more.recordsMax == 131_072 && more.bytesMax == 64 << 20)
    }

    @Test func `what cannot be queued is refused with its reason`() throws {
        let broker = try BrokerProcess(topics: ["t:2"])
        var writer = try Writer(
            broker.bootstrap,
            [
                "message.max.bytes": "2000", "queue.buffering.max.messages": "5",
                "linger.ms": "1000",
            ])
        try writer.write("t", "first")
        #expect(writer.reports().count == 1)
        func kind(_ partition: Int32, _ size: Int, _ producer: inout Producer) -> KafkaError.Kind? {
            do throws(KafkaError) {
                try producer.produce(
                    topic: "t", partition: partition, value: [UInt8](repeating: 1, count: size),
                    headers: [("a", [1])], token: .max)
                return nil
            } catch {
                return error.kind
            }
        }
        #expect(kind(0, 1_800, &writer.producer) == nil)
        #expect(kind(0, 2_001, &writer.producer) == .messageTooLarge)
        // Headers of a refused record are freed once: before 2.12 a second time was easy.
        #expect(kind(2, 10, &writer.producer) == .unknownPartition)
        for _ in 0..<4 { #expect(kind(0, 10, &writer.producer) == nil) }
        #expect(kind(0, 10, &writer.producer) == .queueFull)
        #expect(writer.reports().map(\.token) == [.max, .max, .max, .max, .max])
        #expect(writer.producer.close().outcome == .closed)
    }

    @Test func `an unknown topic fails in the report and in the reading, and can come later`()
        throws
    {
        let broker = try BrokerProcess(topics: ["known:1"])
        try broker.send("terr missing 3")
        var writer = try Writer(
            broker.bootstrap,
            ["topic.metadata.propagation.max.ms": "200", "message.timeout.ms": "3000"])
        let refused = Result { try writer.write("missing", partition: nil, "x") }
        let kinds =
            (try? refused.get()) == nil
            ? [KafkaError.Kind.unknownTopic] : writer.reports().compactMap { $0.error?.kind }
        #expect(kinds == [.unknownTopic])
        _ = writer.producer.close()

        var reader = try Reader(
            broker.bootstrap, topics: ["missing", "known"],
            ["topic.metadata.refresh.interval.ms": "500"]
        ) { _ in .earliest }
        #expect(
            try reader.read { reader in
                reader.events.contains {
                    guard case .failed(let error, _, _) = $0 else { return false }
                    return error.kind == .unknownTopic && error.asked == "read missing"
                }
            })
        #expect(try reader.read { $0.isAssigned })
        try broker.send("terr missing 0")
        #expect(try reader.read { $0.consumer.partitions.contains { $0.topic == "missing" } })
        #expect(reader.close() == .closed)
    }

    @Test func `records written while the broker is down arrive when it is back`() throws {
        let broker = try BrokerProcess(topics: ["t:1"])
        var writer = try Writer(broker.bootstrap)
        try writer.write("t", "up")
        #expect(writer.reports().count == 1)
        var reader = try Reader(broker.bootstrap, topics: ["t"]) { _ in .earliest }
        #expect(try reader.read { $0.records.count == 1 })

        try broker.send("down 1")
        try writer.write("t", "down")
        #expect(
            try reader.read { reader in
                reader.events.contains {
                    guard case .trouble(let error) = $0 else { return false }
                    return error.kind == .unreachable && !error.isFatal
                }
            })
        try broker.send("up 1")
        let reports = writer.reports()
        #expect(reports.count == 1 && reports.allSatisfy { $0.error == nil })
        #expect(try reader.read { $0.records.count == 2 })
        #expect(reader.records.map(\.payload) == ["up", "down"])
        // librdkafka's own thread reports every ten seconds.
        #expect(
            try reader.read {
                !$0.consumer.statistics.isEmpty && $0.consumer.statisticsAgeMilliseconds < 5_000
            })
        #expect(reader.close() == .closed)
        _ = writer.producer.close()
    }

    /// Closing takes five seconds at most, and a busy machine may take its time over them.
    ///
    /// What hangs in librdkafka does so for a minute at least.
    private static let closing = Duration.seconds(20)

    @Test func `closing at any moment of a first join neither crashes nor hangs`() throws {
        let broker = try BrokerProcess(topics: ["t:1"])
        // The mock's first join ends at three seconds: before it, around it, and after it.
        for milliseconds in [0, 5, 50, 2_950, 3_020] {
            var consumer = try Consumer.open(
                ["bootstrap.servers": broker.bootstrap, "group.id": "g\(milliseconds)"],
                topics: ["t"]
            ) { _ in .earliest }
            let end = ContinuousClock.now + .milliseconds(milliseconds)
            while ContinuousClock.now < end {
                _ = try consumer.poll(milliseconds: 1) { _, _, _ in }
                while consumer.nextEvent() != nil { continue }
            }
            let isAssigned = !consumer.assignment.isEmpty
            let start = ContinuousClock.now
            let outcome = consumer.close()
            #expect(ContinuousClock.now - start < Self.closing, "\(milliseconds): \(outcome)")
            if isAssigned { #expect(outcome == .closed, "\(milliseconds)") }
        }
    }

    @Test func `closing between joining and the first assignment does not end the process`()
        throws
    {
        let broker = try BrokerProcess(topics: ["t:1"])
        // Slow answers hold the door open between the two: there librdkafka 2.0.2 aborts.
        try broker.send("rtt 1 400")
        let joined = Mutex(false)
        var consumer = try Consumer.open(
            ["bootstrap.servers": broker.bootstrap, "group.id": "g", "debug": "cgrp"],
            topics: ["t"],
            log: { line in
                guard line.facility == "JOINGROUP" else { return }
                joined.withLock { $0 = true }
            }
        ) { _ in .earliest }
        let end = ContinuousClock.now + .seconds(20)
        while !joined.withLock({ $0 }), ContinuousClock.now < end {
            _ = try consumer.poll(milliseconds: 5) { _, _, _ in }
            while consumer.nextEvent() != nil { continue }
        }
        #expect(joined.withLock { $0 } && consumer.assignment.isEmpty)
        let start = ContinuousClock.now
        let outcome = consumer.close()
        #expect(ContinuousClock.now - start < Self.closing)
        if KafkaLibrary.destroysUnassignedConsumers {
            #expect(outcome == .closed)
        } else {
            #expect(outcome != .closed)
        }
    }

    @Test func `an unreachable broker is said within the bound, with its cause`() throws {
        let error = #expect(throws: KafkaError.self) {
            try Cluster.metadata(["bootstrap.servers": "127.0.0.1:1"], milliseconds: 2_000)
        }
        #expect(error?.kind == .unreachable)
        #expect(error?.reason.contains("within 2000 ms") == true)
        #expect(error?.reason.contains("refused") == true, "\(String(describing: error))")

        // Nobody there at all: closing is bounded all the same.
        let consumer = try Consumer.open(
            ["bootstrap.servers": "127.0.0.1:1", "group.id": "g"], topics: ["t"]
        ) { _ in .earliest }
        let start = ContinuousClock.now
        _ = consumer.close(milliseconds: 2_000)
        #expect(ContinuousClock.now - start < Self.closing)
    }

    @Test func `a cluster says its brokers, its topics and which are missing`() throws {
        let broker = try BrokerProcess(brokers: 3, topics: ["a:4", "b:1"])
        try broker.send("terr missing 3")
        let properties = ["bootstrap.servers": broker.bootstrap]
        let all = try Cluster.metadata(properties, milliseconds: 5_000)
        #expect(all.brokers == 3 && all.topics["a"] == 4 && all.topics["b"] == 1)
        let some = try Cluster.metadata(
            properties, topics: ["a", "missing"], milliseconds: 5_000)
        #expect(some.topics == ["a": 4])
        #expect(some.failures["missing"]?.kind == .unknownTopic)
    }

    @Test func `the mock broker ends with its input and answers nonsense with its name`() throws {
        let broker = try BrokerProcess()
        #expect(throws: BrokerProcess.Failure.self) { try broker.send("dance 1") }
        #expect(throws: BrokerProcess.Failure.self) { try broker.send("topic t x 1") }
        try broker.send("topic t 3 1")
        try broker.endInput()
        #expect(!broker.isRunning)
    }
}
