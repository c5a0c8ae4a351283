package import Fleet
import Glibc
import Synchronization

/// What the daemon says of itself, one line at a time, to wherever its service manager looks.
///
/// The message is a literal: it is the *kind* of the line, by which lines are counted and paced;
/// whatever differs from line to line belongs into the fields. A kind may come `burst` times at
/// once and then `perSecond`; the rest is left out and counted, so that a storm cannot fill a disk.
/// A line that is not wanted costs one comparison.
package final class Log: Sendable {
    /// Lines of one kind: enough to see what is going on, 86,400 × 200 B = 17 MB a day at worst.
    package static let burst = 20.0
    package static let perSecond = 1.0

    package let level: Level
    package let format: LogFormat
    private let clock: @Sendable () -> Instant
    private let write: @Sendable ([UInt8]) -> Void
    private let pace = Mutex(LogPace())

    /// Lines are dated and paced by `clock`; `write` takes one whole line, its line feed included.
    package init(
        level: Level, format: LogFormat, clock: @escaping @Sendable () -> Instant,
        write: @escaping @Sendable ([UInt8]) -> Void
    ) {
        self.level = level
        self.format = format
        self.clock = clock
        self.write = write
    }

    /// Writes to standard error, by the wall clock.
    package convenience init(level: Level = .info, format: LogFormat? = nil) {
        self.init(
            level: level, format: format ?? Log.formatOfStandardError, clock: Log.wallClock,
            write: Log.writeToStandardError)
    }

    /// A log that nobody reads, for tests.
    package static let none = Log(level: .error, format: .text, clock: Log.wallClock) { _ in }

    package func error(_ message: StaticString, _ fields: @autoclosure () -> Fields = [:]) {
        emit(.error, message, fields)
    }

    package func warning(_ message: StaticString, _ fields: @autoclosure () -> Fields = [:]) {
        emit(.warning, message, fields)
    }

    package func notice(_ message: StaticString, _ fields: @autoclosure () -> Fields = [:]) {
        emit(.notice, message, fields)
    }

    package func info(_ message: StaticString, _ fields: @autoclosure () -> Fields = [:]) {
        emit(.info, message, fields)
    }

    package func debug(_ message: StaticString, _ fields: @autoclosure () -> Fields = [:]) {
        emit(.debug, message, fields)
    }

    /// Says how many lines were left out of kinds that have gone quiet since; call it now and then.
    package func flush() {
        let now = clock()
        for (kind, count) in pace.withLock({ $0.drain() }) {
            var line = LogLine(.notice, "log lines were left out", ["kind": kind])
            line.suppressed = count
            write(line.bytes(format, at: now))
        }
    }

    /// Lines left out since the start.
    package var suppressed: UInt64 { pace.withLock { $0.suppressed } }

    private func emit(_ level: Level, _ message: StaticString, _ fields: () -> Fields) {
        guard level <= self.level else { return }
        let now = clock()
        let kind = "\(message)"
        guard let missed = pace.withLock({ $0.admit(kind, at: now) }) else { return }
        var line = LogLine(level, kind, fields())
        line.suppressed = missed
        write(line.bytes(format, at: now))
    }
}

/// A token bucket for each kind of line.
struct LogPace {
    /// More than the messages that the source holds; past it all share the last bucket.
    static let kindsMax = 1_024

    private struct Bucket {
        var tokens: Double
        var filledAt: Instant
        var suppressed: UInt64 = 0
    }

    private var buckets: [String: Bucket] = [:]
    private(set) var suppressed: UInt64 = 0

    /// - Returns: how many lines of this kind were left out since the last; nil to leave this out.
    mutating func admit(_ kind: String, at now: Instant) -> UInt64? {
        let key = buckets[kind] != nil || buckets.count < LogPace.kindsMax ? kind : "other"
        var bucket = buckets[key] ?? Bucket(tokens: Log.burst, filledAt: now)
        // A clock that steps back fills nothing.
        let elapsed = max(0, (now - bucket.filledAt).seconds)
        bucket.tokens = min(Log.burst, bucket.tokens + elapsed * Log.perSecond)
        bucket.filledAt = now
        defer { buckets[key] = bucket }
        guard bucket.tokens >= 1 else {
            bucket.suppressed += 1
            suppressed += 1
            return nil
        }
        bucket.tokens -= 1
        defer { bucket.suppressed = 0 }
        return bucket.suppressed
    }

    mutating func drain() -> [(kind: String, count: UInt64)] {
        let owed = buckets.filter { $0.value.suppressed > 0 }.sorted { $0.key < $1.key }
        for (kind, _) in owed { buckets[kind]?.suppressed = 0 }
        return owed.map { ($0.key, $0.value.suppressed) }
    }
}
