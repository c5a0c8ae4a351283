import Configuration
import Daemon
import Fleet
import Kafka
import Rules
import Telemetry

/// Messages per second through the whole pipeline, against a loop that only counts them.
///
/// Both sides read the same preloaded topic from its beginning to its end with the daemon's own
/// consumer. The whole is what the intake does for each poll of a backlog: decode, and detect and
/// judge by the shipped rules, on a second thread while the next batch is polled. Writing to the
/// ledger and paging happen on other threads and are not part of it.
enum EndToEnd {
    static func run(
        _ settings: Settings, _ topics: PreloadedTopics
    ) throws(BenchError) -> [Row] {
        let book = try rules(settings.rules)
        let topic = try topics.topic()
        print(
            "\nend-to-end: \(topic.messages) messages of \(topic.bytes / topic.messages) B, "
                + "\(PreloadedTopic.devices) devices, \(PreloadedTopic.partitions) partitions, "
                + "lz4, \(book.rules.count) rules")
        var whole: [Double] = []
        var bare: [Double] = []
        var passages = 0
        var spent = (whole: Int64(0), bare: Int64(0))
        let repetitions = max(5, settings.repetitions / 3)
        // The first pair is not measured: it fills the broker's and the allocator's memory.
        for repetition in 0...repetitions {
            let start = processNanoseconds()
            let (judged, findings) = try judge(topic, book)
            let middle = processNanoseconds()
            let counted = try count(topic)
            passages = findings
            guard repetition > 0 else { continue }
            spent.whole += middle - start
            spent.bare += processNanoseconds() - middle
            whole.append(judged)
            bare.append(counted)
        }
        let messages = Int64(repetitions * topic.messages)
        print(
            "  \(passages) findings a passage; processor time of all threads, a message: "
                + "\(spent.whole / messages) ns, counting only \(spent.bare / messages) ns")
        return [
            Row(
                name: "end-to-end", unit: "messages/s",
                ours: Rates(name: "Tocsin: consume, decode, detect, judge", rates: whole),
                denominator: Rates(name: "count-only consume loop", rates: bare))
        ]
    }

    static func rules(_ folder: String) throws(BenchError) -> RuleBook {
        let problems = Problems()
        guard let read = RuleFolder.load(folder, destinations: nil, problems: problems) else {
            throw BenchError("the rules in \(folder) are not good:\n\(problems.report)")
        }
        return read.book
    }

    static func count(_ topic: PreloadedTopic) throws(BenchError) -> Double {
        // Freeing what it read itself, which is faster where there is nothing else to do.
        var passage = try Passage(topic, freesAside: false)
        var bytes = 0
        while !passage.isOver {
            _ = try passage.turn { _, payload, _ in bytes &+= payload.count }
            _ = try passage.newPartitions()
        }
        guard bytes == topic.bytes else {
            throw BenchError("\(bytes) of \(topic.bytes) bytes came back from the broker")
        }
        return passage.close()
    }

    static func judge(
        _ topic: PreloadedTopic, _ book: RuleBook
    ) throws(BenchError) -> (rate: Double, findings: Int) {
        var pipeline = Pipeline(
            book: book, formats: [PreloadedTopic.name: .native], decoding: DecoderSettings(),
            devicesMax: 1_000_000, roster: [], firing: [])
        var passage = try Passage(topic, freesAside: true)
        var findings = 0
        var undecodable = 0
        var applied: UInt64 = 0
        let now = topic.end
        func note(_ judged: Judged) {
            findings += judged.findings.count
            applied += judged.tally.applied
        }
        while !passage.isOver {
            pipeline.begin()
            let count = try passage.turn(waiting: pipeline.inWork > 0 ? 0 : 100) {
                record, payload, coming in
                if let coming { pipeline.expect(coming, partition: record.partition) }
                do throws(Undecodable) {
                    try pipeline.read(
                        payload, partition: record.partition, offset: record.offset,
                        recordTime: now, now: now)
                } catch {
                    undecodable += 1
                }
            }
            let isBehind = count >= Pipeline.batchMax
            while let judged = pipeline.take(isBehind: isBehind) { note(judged) }
            if let known = try passage.newPartitions() {
                pipeline.know(known.map { Partition(topic: $0.topic, number: $0.number) })
            }
            if let judged = pipeline.judge(caughtUp: [], upTo: nil, isBehind: isBehind) {
                note(judged)
            }
        }
        while let judged = pipeline.take(isBehind: false) { note(judged) }
        guard undecodable == 0, pipeline.directory.count == PreloadedTopic.devices,
            applied > UInt64(topic.messages)
        else {
            throw BenchError(
                "the pipeline saw \(pipeline.directory.count) devices and \(applied) values and "
                    + "refused \(undecodable) messages")
        }
        return (passage.close(), findings)
    }
}
