import CRdKafka
import Glibc

/// Hosts librdkafka's mock cluster for `demo` and for tests, in a process of its own.
///
/// Never in the daemon's: one client of a group with another assignment strategy makes the mock
/// abort its process.
@main struct MockBroker {
    static let help = """
        usage: tocsin-mockbroker [--brokers N] [--topic NAME:PARTITIONS]... [--debug CONTEXTS]

        Hosts an in-memory Kafka cluster on loopback ports of its own choice, for demonstrations
        and tests. Prints "READY host:port,..." and then obeys lines on standard input, each
        answered by "ok" or "err REASON":

          topic NAME PARTITIONS REPLICAS      create a topic
          down ID | up ID                     close or open a broker's port
          rtt ID MS                           add latency to a broker
          leader TOPIC PARTITION ID           move a partition's leader
          coord group|transaction KEY ID      move a coordinator
          err APIKEY CODE [COUNT]             the next COUNT requests of that kind fail
          berr ID APIKEY CODE MS [COUNT]      the same on one broker, after MS milliseconds
          terr TOPIC CODE                     metadata error of a topic
          quit                                end, as does the end of the input

        It also ends when the process that started it does. It keeps at most 5 MiB of each
        partition, and nothing at all when it ends.

        """

    static func main() {
        switch Options.parse(CommandLine.arguments.dropFirst()) {
        case .help: print(help, terminator: "")
        case .wrong(let reason):
            complain("\(reason)\ntry tocsin-mockbroker --help")
            exit(64)
        case .run(let options):
            guard let cluster = MockCluster.start(options) else { exit(1) }
            cluster.serve()
        }
    }

    static func complain(_ text: String) {
        var line = Array("tocsin-mockbroker: \(text)\n".utf8)
        _ = unsafe write(STDERR_FILENO, &line, line.count)
    }
}

/// The command line, read.
struct Options {
    enum Reading {
        case run(Options)
        case help
        case wrong(String)
    }

    var brokers: Int32 = 1
    var topics: [(name: String, partitions: Int32)] = []
    var debug: String?

    static func parse(_ arguments: ArraySlice<String>) -> Reading {
        var options = Options()
        var rest = arguments
        while let argument = rest.popFirst() {
            if argument == "--help" || argument == "-h" { return .help }
            let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
            guard ["--brokers", "--topic", "--debug"].contains(parts[0]) else {
                return .wrong("unknown option \(argument)")
            }
            guard let value = parts.count == 2 ? parts[1] : rest.popFirst() else {
                return .wrong("\(argument) needs a value")
            }
            if let reason = options.take(parts[0], value) { return .wrong(reason) }
        }
        return .run(options)
    }

    private mutating func take(_ option: String, _ value: String) -> String? {
        switch option {
        case "--brokers":
            guard let count = Int32(value), (1...100).contains(count) else {
                return "--brokers \(value): not a number from 1 to 100"
            }
            brokers = count
        case "--topic":
            let parts = value.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty, let count = Int32(parts[1]),
                (1...10_000).contains(count)
            else { return "--topic \(value): not NAME:PARTITIONS, such as metrics:12" }
            topics.append((String(parts[0]), count))
        default: debug = value
        }
        return nil
    }
}

/// The mock cluster and the client that hosts it.
@safe
struct MockCluster: ~Copyable {
    private let client: OpaquePointer
    private let cluster: OpaquePointer
    private let parent = getppid()

    private init(client: OpaquePointer, cluster: OpaquePointer) {
        unsafe self.client = client
        unsafe self.cluster = cluster
    }

    deinit {
        unsafe rd_kafka_mock_cluster_destroy(cluster)
        unsafe rd_kafka_destroy(client)
    }

    static func start(_ options: Options) -> MockCluster? {
        var text = [CChar](repeating: 0, count: 512)
        guard let conf = unsafe rd_kafka_conf_new() else { fatalError("out of memory") }
        if let debug = options.debug,
            unsafe rd_kafka_conf_set(conf, "debug", debug, &text, text.count) != RD_KAFKA_CONF_OK
        {
            MockBroker.complain("--debug \(debug): \(string(text))")
            unsafe rd_kafka_conf_destroy(conf)
            return nil
        }
        guard let client = unsafe rd_kafka_new(RD_KAFKA_PRODUCER, conf, &text, text.count) else {
            MockBroker.complain(string(text))
            unsafe rd_kafka_conf_destroy(conf)
            return nil
        }
        guard let cluster = unsafe rd_kafka_mock_cluster_new(client, options.brokers) else {
            MockBroker.complain("librdkafka could not start its mock cluster")
            unsafe rd_kafka_destroy(client)
            return nil
        }
        let mock = unsafe MockCluster(client: client, cluster: cluster)
        for (name, partitions) in options.topics {
            let code = unsafe rd_kafka_mock_topic_create(
                cluster, name, partitions, min(3, options.brokers))
            guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
                MockBroker.complain("--topic \(name): \(Self.name(code))")
                return nil
            }
        }
        return mock
    }

    /// Obeys lines until the input ends, or the parent does.
    func serve() {
        unsafe say("READY \(String(cString: rd_kafka_mock_cluster_bootstraps(cluster)))")
        var pending: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while true {
            var input = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
            // A sibling may have inherited the other end of the pipe and keep it open, so the end
            // of the input alone would not tell that the parent is gone.
            let ready = unsafe poll(&input, 1, 1_000)
            guard getppid() == parent else { return }
            guard ready > 0 else { continue }
            let count = unsafe read(STDIN_FILENO, &buffer, buffer.count)
            guard count > 0 else {
                if count < 0, errno == EINTR { continue }
                return
            }
            pending.append(contentsOf: buffer[0..<count])
            while let end = pending.firstIndex(of: UInt8(ascii: "\n")) {
                let line = String(decoding: pending[..<end], as: UTF8.self)
                pending.removeSubrange(...end)
                guard let answer = obey(line.split(separator: " ").map(String.init)) else { return }
                if !answer.isEmpty { say(answer) }
            }
            // A line without an end is nobody's command.
            if pending.count > 65_536 { return }
        }
    }

    /// One command's answer; nil to end, empty for an empty line.
    private func obey(_ words: [String]) -> String? {
        guard let verb = words.first else { return "" }
        let rest = Array(words.dropFirst())
        if verb == "quit" { return nil }
        guard let code = command(verb, rest) else {
            return "err \(verb): unknown, or its arguments are not as --help says"
        }
        return code == RD_KAFKA_RESP_ERR_NO_ERROR ? "ok" : "err \(Self.name(code))"
    }

    private func command(_ verb: String, _ words: [String]) -> rd_kafka_resp_err_t? {
        switch (verb, words.count) {
        case ("topic", 3):
            guard let partitions = Int32(words[1]), let replicas = Int32(words[2]),
                (1...10_000).contains(partitions), replicas >= 1
            else { return nil }
            return unsafe rd_kafka_mock_topic_create(cluster, words[0], partitions, replicas)
        case ("down", 1):
            return Int32(words[0]).map { unsafe rd_kafka_mock_broker_set_down(cluster, $0) }
        case ("up", 1):
            return Int32(words[0]).map { unsafe rd_kafka_mock_broker_set_up(cluster, $0) }
        case ("rtt", 2):
            guard let id = Int32(words[0]), let delay = Int32(words[1]) else { return nil }
            return unsafe rd_kafka_mock_broker_set_rtt(cluster, id, delay)
        case ("leader", 3):
            guard let number = Int32(words[1]), let id = Int32(words[2]) else { return nil }
            return unsafe rd_kafka_mock_partition_set_leader(cluster, words[0], number, id)
        case ("coord", 3):
            guard let id = Int32(words[2]) else { return nil }
            return unsafe rd_kafka_mock_coordinator_set(cluster, words[0], words[1], id)
        case ("terr", 2):
            guard let code = Int32(words[1]) else { return nil }
            unsafe rd_kafka_mock_topic_set_error(
                cluster, words[0], rd_kafka_resp_err_t(rawValue: code))
            return RD_KAFKA_RESP_ERR_NO_ERROR
        case ("err", 2...3): return pushErrors(words)
        case ("berr", 4...5): return pushBrokerErrors(words)
        default: return nil
        }
    }

    private func pushErrors(_ words: [String]) -> rd_kafka_resp_err_t? {
        guard let key = Int16(words[0]), let code = Int32(words[1]),
            let count = Int(words.count > 2 ? words[2] : "1"), (1...10_000).contains(count)
        else { return nil }
        let codes = [rd_kafka_resp_err_t](
            repeating: rd_kafka_resp_err_t(rawValue: code), count: count)
        unsafe rd_kafka_mock_push_request_errors_array(cluster, key, codes.count, codes)
        return RD_KAFKA_RESP_ERR_NO_ERROR
    }

    private func pushBrokerErrors(_ words: [String]) -> rd_kafka_resp_err_t? {
        guard let id = Int32(words[0]), let key = Int16(words[1]), let code = Int32(words[2]),
            let delay = Int32(words[3]), let count = Int(words.count > 4 ? words[4] : "1"),
            (1...10_000).contains(count)
        else { return nil }
        for _ in 0..<count {
            let result = unsafe rd_kafka_mock_push_broker_error(cluster, id, key, code, delay)
            guard result == RD_KAFKA_RESP_ERR_NO_ERROR else { return result }
        }
        return RD_KAFKA_RESP_ERR_NO_ERROR
    }

    private func say(_ text: String) {
        // Not print: into a pipe it would wait for a full buffer, and the parent for a line.
        var line = Array("\(text)\n".utf8)
        _ = unsafe write(STDOUT_FILENO, &line, line.count)
    }

    private static func name(_ code: rd_kafka_resp_err_t) -> String {
        unsafe String(cString: rd_kafka_err2name(code))
    }

    private static func string(_ buffer: [CChar]) -> String {
        String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
