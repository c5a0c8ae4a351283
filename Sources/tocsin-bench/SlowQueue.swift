import Glibc
import Kafka

/// A consumer that works on every message, with the shipped bound on its local queue, against the
/// same without a bound.
///
/// Nobody here waits for a network, so the broker fills the queue faster than it is drained and it
/// stands at its bound all the time. What the bound saves in memory it may not cost in messages.
enum SlowQueue {
    /// Of each message: a microsecond of work that no compiler can leave out.
    private static let hashes = 8

    static func run(
        _ settings: Settings, _ topics: PreloadedTopics
    ) throws(BenchError) -> [Row] {
        let topic = try topics.topic()
        print("\nslow-queue: \(topic.messages) messages, each hashed \(hashes) times")
        let unbounded = [
            "queued.min.messages": "10000000", "queued.max.messages.kbytes": "2097151",
        ]
        var rates: [[Double]] = [[], []]
        var peaks: [Int] = [0, 0]
        // The first pair is not measured, as in end-to-end.
        for repetition in 0...max(5, settings.repetitions / 3) {
            for (side, properties) in [[:], unbounded].enumerated() {
                let measured = try drain(topic, properties)
                guard repetition > 0 else { continue }
                rates[side].append(measured.rate)
                peaks[side] = max(peaks[side], measured.bytes)
            }
        }
        print(
            "  memory while reading: at most \(peaks[0] >> 20) MiB as shipped, "
                + "\(peaks[1] >> 20) MiB without a bound")
        return [
            Row(
                name: "slow-queue", unit: "messages/s",
                ours: Rates(name: "bounded queue, as shipped", rates: rates[0]),
                denominator: Rates(name: "unbounded queue", rates: rates[1]))
        ]
    }

    private static func drain(
        _ topic: PreloadedTopic, _ properties: [String: String]
    ) throws(BenchError) -> (rate: Double, bytes: Int) {
        let before = Memory.forgetPeak()
        var passage = try Passage(topic, properties, freesAside: true)
        var bytes = 0
        var hash: UInt64 = 14_695_981_039_346_656_037
        while !passage.isOver {
            _ = try passage.turn { _, payload, _ in
                bytes &+= payload.count
                unsafe payload.withUnsafeBytes { bytes in
                    for _ in 0..<hashes {
                        for at in stride(from: 0, to: bytes.count - 7, by: 8) {
                            let word = unsafe bytes.loadUnaligned(
                                fromByteOffset: at, as: UInt64.self)
                            hash = (hash ^ word) &* 1_099_511_628_211
                        }
                    }
                }
            }
            _ = try passage.newPartitions()
        }
        let peak = Memory.peak
        guard bytes == topic.bytes, hash != 0 else {
            throw BenchError("\(bytes) of \(topic.bytes) bytes came back from the broker")
        }
        return (passage.close(), max(0, peak - before))
    }
}

/// What this process has in memory, by the kernel's account.
private enum Memory {
    /// Gives back what is free and starts the peak anew; answers what is left.
    static func forgetPeak() -> Int {
        // Swift's view of the C library has no malloc.h.
        typealias Trim = @convention(c) (Int) -> Int32
        if let address = unsafe dlsym(dlopen(nil, RTLD_NOW), "malloc_trim") {
            _ = unsafe unsafeBitCast(address, to: Trim.self)(0)
        }
        if let file = unsafe fopen("/proc/self/clear_refs", "w") {
            _ = unsafe fputs("5", file)
            _ = unsafe fclose(file)
        }
        return peak
    }

    /// The most it was since; 0 where the system does not say.
    static var peak: Int { Machine.bytes("VmHWM", in: "/proc/self/status") ?? 0 }
}
