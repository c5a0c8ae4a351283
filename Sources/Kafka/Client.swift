import CRdKafka
import Glibc

/// How a client ended.
package enum CloseOutcome: Sendable, Equatable {
    /// The group was left, all memory and threads are given back.
    case closed
    /// The time was over or librdkafka's state forbids the last step: some of its threads remain
    /// until the process ends. Positions that were committed are safe.
    case abandoned(reason: String)
}

/// Owns an `rd_kafka_t`: gives it its callbacks, and ends it within a bound.
@safe
struct Client: ~Copyable {
    let handle: OpaquePointer
    let events: ClientEvents
    private(set) var isEnded = false

    private init(handle: OpaquePointer, events: ClientEvents) {
        unsafe self.handle = handle
        self.events = events
    }

    deinit {
        guard !isEnded else { return }
        _ = unsafe Self.end(handle, events, milliseconds: 3_000)
    }

    /// Configures and starts a client; the first refused key is thrown with its exact reason.
    static func open(
        _ role: KafkaRole, _ properties: [String: String], without left: Set<String> = [],
        freesAside: Bool = false
    ) throws(KafkaError) -> Client {
        let asked = "open a Kafka \(role.rawValue)"
        guard let conf = unsafe rd_kafka_conf_new() else { fatalError("out of memory") }
        if let refusal = unsafe configure(conf, role, properties, without: left) {
            unsafe rd_kafka_conf_destroy(conf)
            throw KafkaError(
                .configuration, RD_KAFKA_RESP_ERR__INVALID_ARG, asked: asked, reason: refusal)
        }
        let events = ClientEvents(properties)
        let opaque = unsafe Unmanaged.passRetained(events)
        unsafe rd_kafka_conf_set_opaque(conf, opaque.toOpaque())
        unsafe setCallbacks(conf, role)
        if freesAside { unsafe ReadRecords.serve(conf, opaque.toOpaque()) }

        let kind = role == .consumer ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER
        var text = [CChar](repeating: 0, count: 512)
        guard let handle = unsafe rd_kafka_new(kind, conf, &text, text.count) else {
            unsafe rd_kafka_conf_destroy(conf)
            unsafe opaque.release()
            throw KafkaError(
                .configuration, RD_KAFKA_RESP_ERR__INVALID_ARG, asked: asked,
                reason: Text.string(text))
        }
        // Lines then come out of the queue that we poll, and never on one of its threads.
        unsafe rd_kafka_set_log_queue(handle, nil)
        return unsafe Client(handle: handle, events: events)
    }

    private static func configure(
        _ conf: OpaquePointer, _ role: KafkaRole, _ properties: [String: String],
        without left: Set<String>
    ) -> String? {
        guard properties["bootstrap.servers"]?.isEmpty == false else {
            return "bootstrap.servers is not set"
        }
        let problems = KafkaConfiguration.check(properties, role: role)
        guard problems.isEmpty else {
            return problems.map(\.description).joined(separator: "; ")
        }
        var pairs = KafkaConfiguration.defaults(role).filter { properties[$0.key] == nil }
        pairs += properties.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        pairs += KafkaConfiguration.required(role)
        for (key, value) in pairs where !left.contains(key) {
            if let reason = unsafe KafkaConfiguration.set(conf, key, value) {
                return "\(key): \(reason)"
            }
        }
        return nil
    }

    /// Ends the client within `milliseconds`, on a thread of its own, because destroying can hang.
    mutating func end(milliseconds: Int64) -> Bool {
        guard !isEnded else { return true }
        isEnded = true
        return unsafe Self.end(handle, events, milliseconds: milliseconds)
    }

    private static func end(
        _ handle: OpaquePointer, _ events: ClientEvents, milliseconds: Int64
    ) -> Bool {
        // librdkafka waits for every record.
        events.read.free()
        guard !events.mustNotDestroy else { return false }
        let reaper = unsafe Reaper(handle)
        guard reaper.run(milliseconds: milliseconds) else { return false }
        // Balances passRetained in open: no callback can run any more.
        unsafe Unmanaged.passUnretained(events).release()
        return true
    }

    private static func setCallbacks(_ conf: OpaquePointer, _ role: KafkaRole) {
        unsafe rd_kafka_conf_set_log_cb(conf) { handle, level, facility, text in
            guard let handle = unsafe handle,
                let events = unsafe ClientEvents.behind(rd_kafka_opaque(handle))
            else { return }
            events.note(
                line: KafkaLogLine(
                    level: Int(level), facility: unsafe Text.string(facility),
                    text: unsafe Text.string(text)))
        }
        unsafe rd_kafka_conf_set_error_cb(conf) { handle, code, reason, opaque in
            let events = unsafe ClientEvents.behind(opaque)
            events?.note(
                trouble: unsafe ClientEvents.trouble(handle, code: code, reason: reason))
        }
        unsafe rd_kafka_conf_set_stats_cb(conf) { _, json, size, opaque in
            let bytes = unsafe UnsafeRawBufferPointer(start: json, count: json == nil ? 0 : size)
            unsafe ClientEvents.behind(opaque)?.note(statistics: bytes)
            return 0  // librdkafka frees its text.
        }
        switch role {
        case .consumer:
            unsafe rd_kafka_conf_set_rebalance_cb(conf) { handle, code, list, opaque in
                guard let handle = unsafe handle, let list = unsafe list,
                    let events = unsafe ClientEvents.behind(opaque)
                else { return }
                unsafe events.rebalance(handle, code, list)
            }
            unsafe rd_kafka_conf_set_offset_commit_cb(conf) { _, code, list, opaque in
                let error = unsafe PartitionList.commitError(code, list)
                unsafe ClientEvents.behind(opaque)?.note(commit: error)
            }
        case .producer:
            unsafe rd_kafka_conf_set_dr_msg_cb(conf) { _, message, opaque in
                guard let message = unsafe message else { return }
                unsafe ClientEvents.behind(opaque)?.note(delivery: DeliveryReport(message))
            }
        }
    }
}

extension ClientEvents {
    static func behind(_ opaque: UnsafeMutableRawPointer?) -> ClientEvents? {
        guard let opaque = unsafe opaque else { return nil }
        return unsafe Unmanaged<ClientEvents>.fromOpaque(opaque).takeUnretainedValue()
    }

    static func trouble(
        _ handle: OpaquePointer?, code: Int32, reason: UnsafePointer<CChar>?
    ) -> KafkaError {
        let error = rd_kafka_resp_err_t(rawValue: code)
        let asked = "keep the connection to the cluster"
        guard error == RD_KAFKA_RESP_ERR__FATAL, let handle = unsafe handle else {
            return KafkaError(error, asked: asked, reason: unsafe Text.string(reason))
        }
        return unsafe fatalError(of: handle, asked: asked)
    }

    /// The error that ended a client, by its own code, and always of kind `fatal`.
    static func fatalError(of handle: OpaquePointer, asked: String) -> KafkaError {
        var text = [CChar](repeating: 0, count: 512)
        let code = unsafe rd_kafka_fatal_error(handle, &text, text.count)
        return KafkaError(.fatal, code, asked: asked, reason: Text.string(text))
    }

    /// Notes a rebalance for after the batch, or answers it where the client is closing.
    ///
    /// The protocol is known from our own configuration: asking for it here can block for ever
    /// while closing (librdkafka #4041).
    func rebalance(
        _ handle: OpaquePointer, _ code: rd_kafka_resp_err_t,
        _ list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>
    ) {
        let isAssignment = code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS
        guard !isClosing else {
            // While it closes, librdkafka takes an assignment for its opposite, and ends.
            let error =
                unsafe isAssignment
                ? rd_kafka_incremental_assign(handle, list)
                : rd_kafka_incremental_unassign(handle, list)
            _ = unsafe KafkaError.take(error, asked: "answer the last rebalance")
            return
        }
        let partitions = unsafe PartitionList.read(list)
        if isAssignment {
            note(rebalance: .assign(partitions))
        } else if unsafe rd_kafka_assignment_lost(handle) != 0 {
            note(rebalance: .lose(partitions))
        } else {
            note(rebalance: .revoke(partitions))
        }
    }
}

/// Destroys one client on a thread of its own, so that a hang costs a thread and not the daemon.
@safe
private final class Reaper: @unchecked Sendable {
    private let handle: OpaquePointer
    /// A pair of sockets: its end is heard with a bound, which no join has.
    private var pipe: (read: Int32, write: Int32) = (-1, -1)

    init(_ handle: OpaquePointer) { unsafe self.handle = handle }

    deinit {
        for end in [pipe.read, pipe.write] where end >= 0 { close(end) }
    }

    /// Answers whether the client was gone in time; if not, the thread keeps what it needs.
    func run(milliseconds: Int64) -> Bool {
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard unsafe socketpair(AF_UNIX, kind, 0, &ends) == 0 else { return false }
        pipe = (ends[0], ends[1])
        var thread = pthread_t()
        let me = unsafe Unmanaged.passRetained(self)
        let failed = unsafe pthread_create(
            &thread, nil,
            { opaque in
                guard let opaque = unsafe opaque else { return nil }
                unsafe Unmanaged<Reaper>.fromOpaque(opaque).takeRetainedValue().reap()
                return nil
            }, me.toOpaque())
        guard failed == 0 else {
            unsafe me.release()
            return false
        }
        pthread_detach(thread)
        return wait(until: Monotonic.milliseconds &+ max(milliseconds, 0))
    }

    private func reap() {
        // The group was left, or cannot be: what is left is memory.
        unsafe rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE)
        var done: UInt8 = 1
        unsafe write(pipe.write, &done, 1)
    }

    private func wait(until end: Int64) -> Bool {
        var heard = pollfd(fd: pipe.read, events: Int16(POLLIN), revents: 0)
        repeat {
            let left = max(0, end &- Monotonic.milliseconds)
            if unsafe poll(&heard, 1, Int32(clamping: left)) > 0 { return true }
        } while Monotonic.milliseconds < end
        return false
    }
}
