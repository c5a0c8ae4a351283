import CRdKafka
import Synchronization

/// Records that were read, until a thread of librdkafka's frees them.
///
/// The thread that fetches asks for memory once a record. A reader that frees as many meanwhile
/// fights with it for the allocator's lock, and each puts the other to sleep. So who reads a backlog
/// leaves its batches here, and the thread that fetches frees them itself, whenever a broker
/// answers.
@safe
final class ReadRecords: Sendable {
    /// With more waiting, the reader frees.
    let recordsMax: Int
    let bytesMax: Int

    private struct Waiting {
        /// Addresses of messages.
        var records: [UInt] = []
        var bytes = 0
        /// Whether somebody will free them.
        var isServed = false
        var batchesRefused: UInt64 = 0
        var recordsFreed: UInt64 = 0
    }
    private let waiting = Mutex(Waiting())

    /// For a consumer with these properties: no more than its queue may hold, which is what an
    /// operator who wants less memory sets.
    init(_ properties: [String: String]) {
        let limits = KafkaConfiguration.queueLimits(properties)
        recordsMax = min(limits.records, 131_072)
        bytesMax = min(limits.bytes, 64 << 20)
    }

    /// Batches that the reader freed itself, because too much was waiting.
    var batchesRefused: UInt64 { waiting.withLock { $0.batchesRefused } }

    /// Records that waited here and were freed.
    var recordsFreed: UInt64 { waiting.withLock { $0.recordsFreed } }

    /// Takes over messages by their addresses, whose payloads and keys have so many bytes; false
    /// where it does not.
    func take(_ records: [UInt], bytes: Int) -> Bool {
        waiting.withLock { waiting in
            guard waiting.isServed else { return false }
            guard waiting.records.count + records.count <= recordsMax,
                waiting.bytes + bytes <= bytesMax
            else {
                waiting.batchesRefused &+= 1
                return false
            }
            waiting.records += records
            waiting.bytes += bytes
            return true
        }
    }

    /// From now on somebody calls `free` again and again.
    func beginService() { waiting.withLock { $0.isServed = true } }

    /// Frees what waits, on the calling thread.
    func free() {
        let records = waiting.withLock { waiting in
            defer { (waiting.records, waiting.bytes) = ([], 0) }
            return waiting.records
        }
        guard !records.isEmpty else { return }
        for record in records {
            guard let message = unsafe UnsafeMutablePointer<rd_kafka_message_t>(bitPattern: record)
            else { continue }
            unsafe rd_kafka_message_destroy(message)
        }
        waiting.withLock { $0.recordsFreed &+= UInt64(records.count) }
    }

    /// Has the client that `conf` is for free what waits here whenever a broker answers it.
    ///
    /// The opaque of `conf` is the `ClientEvents` that hold this.
    static func serve(_ conf: OpaquePointer, _ opaque: UnsafeMutableRawPointer) {
        // Refused, nobody serves, and the reader frees everything itself.
        _ = unsafe rd_kafka_conf_interceptor_add_on_new(
            conf, "tocsin",
            { client, _, opaque, _, _ in
                let error = unsafe rd_kafka_interceptor_add_on_response_received(
                    client, "tocsin",
                    { _, _, _, _, _, _, _, _, _, _, opaque in
                        unsafe ClientEvents.behind(opaque)?.read.free()
                        return RD_KAFKA_RESP_ERR_NO_ERROR
                    }, opaque)
                guard error == RD_KAFKA_RESP_ERR_NO_ERROR else { return error }
                unsafe ClientEvents.behind(opaque)?.read.beginService()
                return RD_KAFKA_RESP_ERR_NO_ERROR
            }, opaque)
    }
}
