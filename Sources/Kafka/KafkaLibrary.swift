import CRdKafka
import Glibc

/// The librdkafka that this process was linked with, which need not be the one it was built with.
package enum KafkaLibrary {
    /// As librdkafka writes it: `2.0.2`.
    package static var version: String { unsafe Text.string(rd_kafka_version_str()) }

    /// Hexadecimal 0xMMmmrrpp, as in `rd_kafka_version()`.
    static var number: Int32 { rd_kafka_version() }

    /// What it was built with: compression codecs, TLS, SASL mechanisms.
    package static let features: Set<String> = {
        var size = 1_024
        var text = [CChar](repeating: 0, count: size)
        guard let conf = unsafe rd_kafka_conf_new() else { fatalError("out of memory") }
        defer { unsafe rd_kafka_conf_destroy(conf) }
        guard
            unsafe rd_kafka_conf_get(conf, "builtin.features", &text, &size) == RD_KAFKA_CONF_OK
        else { return [] }
        return Set(Text.string(text).split(separator: ",").map(String.init))
    }()

    /// Whether it knows a key, asked of the library itself, so that newer ones are used to the full.
    package static func knows(_ key: String, _ value: String) -> Bool {
        guard let conf = unsafe rd_kafka_conf_new() else { fatalError("out of memory") }
        defer { unsafe rd_kafka_conf_destroy(conf) }
        return unsafe rd_kafka_conf_set(conf, key, value, nil, 0) == RD_KAFKA_CONF_OK
    }

    /// Before 2.2.0 a full local queue is looked at again only after a second (#2879).
    static let sleepsWhenFull = !knows("fetch.queue.backoff.ms", "1")

    /// Before 2.3.0 destroying a cooperative-sticky consumer that joined but was never assigned
    /// anything ends the process (librdkafka #4312, fixed by #4381).
    static var destroysUnassignedConsumers: Bool { number >= 0x0203_0000 }

    /// Before 2.1.0 a seek waits a thousandth of what it is told (#4230).
    static func seekMilliseconds(_ wanted: Int32) -> Int32 {
        number < 0x0201_0000 ? wanted &* 1_000 : wanted
    }
}

/// The monotonic clock, for deadlines only: never an event time.
enum Monotonic {
    static var milliseconds: Int64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) &* 1_000 &+ Int64(time.tv_nsec) / 1_000_000
    }
}
