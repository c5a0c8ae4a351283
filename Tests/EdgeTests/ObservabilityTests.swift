import Fleet
import Glibc
import Observability
import Synchronization
import Testing

@Suite struct LogTests {
    private static let time = Instant(milliseconds: 1_795_248_000_123)

    private func text(_ fields: Fields, _ format: LogFormat = .text) -> String {
        let line = LogLine(.warning, "delivery failed", fields)
        return String(decoding: line.bytes(format, at: LogTests.time), as: UTF8.self)
    }

    @Test func `the three formats say the same`() {
        let fields: Fields = ["destination": "noc", "code": 503, "wait": 1.5, "reason": "a \"b\""]
        #expect(
            text(fields) == """
                2026-11-21T08:00:00.123Z warning delivery failed destination=noc code=503 wait=1.5 \
                reason="a \\"b\\""

                """)
        #expect(
            text(fields, .journal) == """
                <4>delivery failed destination=noc code=503 wait=1.5 reason="a \\"b\\""

                """)
        #expect(
            text(fields, .json) == """
                {"time":"2026-11-21T08:00:00.123Z","level":"warning","message":"delivery failed",\
                "destination":"noc","code":503,"wait":1.5,"reason":"a \\"b\\""}

                """)
    }

    @Test(arguments: LogFormat.allCases)
    func `no value can forge a line, a field or a colour`(_ format: LogFormat) {
        let hostile = "x\n<0>forged level=error\r\u{1b}[31m\u{0}\u{2028}\u{202e}\u{85}\" a=\"b\\"
        let line = text(["host": hostile, "evil key\n": "v", "empty": ""], format)
        #expect(line.last == "\n" && !line.dropLast().contains { $0.isNewline })
        #expect(!line.unicodeScalars.dropLast().contains { $0.value < 0x20 || $0.value == 0x202e })
        #expect(line.contains(format == .json ? #"x\n<0>forged"# : #"host="x\n<0>forged"#))
        #expect(line.contains("evil_key_"))
    }

    @Test(arguments: LogFormat.allCases)
    func `a line fits into one write whatever its fields`(_ format: LogFormat) {
        let long = String(repeating: "é\u{1}", count: 100_000)
        let line = LogLine(.error, long, ["a": long, "b": long, "c": long, "d": long, "e": long])
        let bytes = line.bytes(format, at: LogTests.time)
        #expect(bytes.count <= LogLine.bytesMax && bytes.last == UInt8(ascii: "\n"))
        #expect(String(validating: bytes, as: UTF8.self) != nil)
        #expect(bytes.count > 1_000)
    }

    @Test func `a storm of one kind is paced and counted while others pass`() {
        let now = Mutex(LogTests.time)
        let lines = Mutex<[String]>([])
        let log = Log(level: .info, format: .journal, clock: { now.withLock { $0 } }) { line in
            lines.withLock { $0.append(String(decoding: line, as: UTF8.self)) }
        }
        for number in 0..<1_000 { log.warning("storm", ["n": number]) }
        log.info("calm")
        log.debug("unwanted")
        #expect(lines.withLock { $0.count } == 21 && log.suppressed == 980)
        #expect(lines.withLock { $0.last } == "<6>calm\n")

        now.withLock { $0 += .seconds(1) }
        log.warning("storm")
        #expect(lines.withLock { $0.last } == "<4>storm suppressed=980\n")
        log.warning("storm")
        log.flush()
        log.flush()
        #expect(
            lines.withLock { $0.suffix(1) }
                == ["<5>log lines were left out kind=storm suppressed=1\n"])
        #expect(lines.withLock { $0.count } == 23)
        now.withLock { $0 = $0 - .seconds(3_600) }
        log.warning("storm")
        #expect(lines.withLock { $0.count } == 23, "a clock that steps back fills nothing")
    }

    @Test func `the journal is known by its device and inode`() {
        #expect(Log.format(journalStream: "8:42", device: 8, inode: 42) == .journal)
        #expect(Log.format(journalStream: "8:42", device: 8, inode: 43) == .text)
        #expect(Log.format(journalStream: "", device: 8, inode: 42) == .text)
    }
}

@Suite struct MetricsTests {
    private func registry() -> Metrics {
        let metrics = Metrics()
        metrics.counter(
            "tocsin_pages_total", "Pages \"sent\" by tier\\reason\nsince the start.",
            [.init("tier", "1"), .init("reason", "a\"b\\c\nd")]
        ).add(3)
        metrics.gauge("tocsin_outbox_oldest_seconds", "Age of the oldest.").set(1.5)
        metrics.gauge("tocsin_limit_ratio", "No limit.").set(.infinity)
        let latency = metrics.histogram(
            "tocsin_send_seconds", "Time to send.", bounds: [0.1, 1], [.init("to", "noc")])
        for value in [0.1, 0.2, 7, .nan] { latency.observe(value) }
        return metrics
    }

    @Test func `plain text is that of Prometheus 0 dot 0 dot 4`() {
        let (type, body) = registry().exposition(accept: "text/plain")
        #expect(type == "text/plain; version=0.0.4; charset=utf-8")
        #expect(
            String(decoding: body, as: UTF8.self) == #"""
                # HELP tocsin_limit_ratio No limit.
                # TYPE tocsin_limit_ratio gauge
                tocsin_limit_ratio +Inf
                # HELP tocsin_outbox_oldest_seconds Age of the oldest.
                # TYPE tocsin_outbox_oldest_seconds gauge
                tocsin_outbox_oldest_seconds 1.5
                # HELP tocsin_pages_total Pages "sent" by tier\\reason\nsince the start.
                # TYPE tocsin_pages_total counter
                tocsin_pages_total{reason="a\"b\\c\nd",tier="1"} 3
                # HELP tocsin_send_seconds Time to send.
                # TYPE tocsin_send_seconds histogram
                tocsin_send_seconds_bucket{to="noc",le="0.1"} 1
                tocsin_send_seconds_bucket{to="noc",le="1.0"} 2
                tocsin_send_seconds_bucket{to="noc",le="+Inf"} 3
                tocsin_send_seconds_sum{to="noc"} 7.3
                tocsin_send_seconds_count{to="noc"} 3

                """#)
    }

    @Test func `OpenMetrics names families without the total and ends in EOF`() {
        let accept =
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        let (type, body) = registry().exposition(accept: accept)
        #expect(type == "application/openmetrics-text; version=1.0.0; charset=utf-8")
        #expect(
            String(decoding: body, as: UTF8.self) == #"""
                # TYPE tocsin_limit_ratio gauge
                # UNIT tocsin_limit_ratio ratio
                # HELP tocsin_limit_ratio No limit.
                tocsin_limit_ratio +Inf
                # TYPE tocsin_outbox_oldest_seconds gauge
                # UNIT tocsin_outbox_oldest_seconds seconds
                # HELP tocsin_outbox_oldest_seconds Age of the oldest.
                tocsin_outbox_oldest_seconds 1.5
                # TYPE tocsin_pages counter
                # HELP tocsin_pages Pages \"sent\" by tier\\reason\nsince the start.
                tocsin_pages_total{reason="a\"b\\c\nd",tier="1"} 3
                # TYPE tocsin_send_seconds histogram
                # UNIT tocsin_send_seconds seconds
                # HELP tocsin_send_seconds Time to send.
                tocsin_send_seconds_bucket{to="noc",le="0.1"} 1
                tocsin_send_seconds_bucket{to="noc",le="1.0"} 2
                tocsin_send_seconds_bucket{to="noc",le="+Inf"} 3
                tocsin_send_seconds_sum{to="noc"} 7.3
                tocsin_send_seconds_count{to="noc"} 3
                # EOF

                """#)
    }

    @Test(arguments: [
        ("", false), ("*/*", false), ("application/openmetrics-text", true),
        ("application/openmetrics-text;version=0.0.1", false),
        ("application/openmetrics-text; version=1.0.0; q=0.2, text/plain; q=0.3", false),
        ("application/openmetrics-text;q=0", false), ("q=;;;,,,=", false),
    ])
    func `the reader chooses the format`(_ accept: String, _ isOpen: Bool) {
        let type = Metrics().exposition(accept: accept).contentType
        #expect(type.hasPrefix("application/openmetrics-text") == isOpen)
    }

    @Test func `a family never grows past its bound and loses no count`() {
        let metrics = Metrics()
        for number in 0..<(Metrics.seriesMax + 100) {
            metrics.counter("tocsin_x_total", "X.", [.init("host", "h\(number)")]).add()
        }
        let text = String(decoding: metrics.exposition().body, as: UTF8.self)
        #expect(text.contains("tocsin_x_total{host=\"other\"} 100\n"))
        #expect(text.split(separator: "\n").count == Metrics.seriesMax + 3)
    }

    @Test func `a value that is known only when asked is asked for`() {
        let metrics = Metrics()
        let gauge = metrics.gauge("tocsin_age_seconds", "Age.")
        metrics.beforeExposition { gauge.set(gauge.value + 1) }
        _ = metrics.exposition()
        #expect(String(decoding: metrics.exposition().body, as: UTF8.self).hasSuffix(" 2\n"))
    }

    @Test func `a total taken over from elsewhere never falls`() {
        let counter = Counter()
        counter.raise(to: 7)
        counter.raise(to: 5)
        counter.add()
        #expect(counter.value == 8)
    }

    @Test func `a counter without total in its name is our bug`() async {
        await #expect(processExitsWith: .failure) {
            _ = Metrics().counter("tocsin_pages", "Pages.")
        }
        await #expect(processExitsWith: .failure) {
            let metrics = Metrics()
            _ = metrics.gauge("tocsin_a", "A.")
            _ = metrics.histogram("tocsin_a", "A.", bounds: [1])
        }
    }
}

@Suite struct SupervisorTests {
    @Test func `without a service manager a notice goes nowhere`() {
        Supervisor.ready("running")
        Supervisor.alive()
        #expect(Supervisor.watchdogInterval == nil)
    }

    /// In a process of its own: it changes the environment.
    @Test func `the service manager hears each word and children do not inherit its socket`() async
    {
        await #expect(processExitsWith: .success) {
            let receiver = try #require(NoticeSocket())
            unsafe setenv("NOTIFY_SOCKET", receiver.path, 1)
            unsafe setenv("WATCHDOG_USEC", "30000000", 1)
            unsafe setenv("WATCHDOG_PID", String(getpid()), 1)
            Supervisor.ready("line one\nMAINPID=1")
            #expect(receiver.next() == "READY=1\nSTATUS=line one MAINPID=1")
            Supervisor.reloading()
            #expect(receiver.next().hasPrefix("RELOADING=1\nMONOTONIC_USEC="))
            Supervisor.alive()
            #expect(receiver.next() == "WATCHDOG=1")
            Supervisor.extendTimeout(microseconds: 5_000_000)
            #expect(receiver.next() == "EXTEND_TIMEOUT_USEC=5000000")
            Supervisor.stopping()
            #expect(receiver.next() == "STOPPING=1")
            Supervisor.failed("hung")
            #expect(receiver.next() == "WATCHDOG=trigger\nSTATUS=hung")
            #expect(Supervisor.watchdogInterval == .seconds(10))
            let inherited = Supervisor.environmentForChildren
            #expect(inherited["NOTIFY_SOCKET"] == nil && inherited["WATCHDOG_USEC"] == nil)
            #expect(inherited["PATH"] != nil)
            unsafe setenv("WATCHDOG_PID", "1", 1)
            #expect(Supervisor.watchdogInterval == nil, "it is meant for another process")
        }
    }
}

/// The service manager's side of `$NOTIFY_SOCKET`.
private struct NoticeSocket {
    let path = "@tocsin-test-\(getpid())"
    private let descriptor: Int32

    init?() {
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        let bytes = [0] + Array(path.utf8.dropFirst())
        unsafe withUnsafeMutableBytes(of: &name.sun_path) { unsafe $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
        let done = unsafe withUnsafePointer(to: &name) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                unsafe bind(descriptor, pointer, length)
            }
        }
        guard done == 0 else { return nil }
    }

    func next() -> String {
        var buffer = [UInt8](repeating: 0, count: 4_096)
        let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
        return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
    }
}
