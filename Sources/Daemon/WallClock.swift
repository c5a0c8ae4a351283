import Fleet
import Observability
import Synchronization

/// The one clock of the process, read at the edges and passed in everywhere else.
///
/// It never runs backwards: where the system clock was set back, it stands until that has caught
/// up, so that the record stays in order.
struct WallClock: Sendable {
    private let latest = Latest()
    private let source: @Sendable () -> Instant

    init(_ source: @escaping @Sendable () -> Instant = Log.wallClock) { self.source = source }

    func now() -> Instant {
        let read = source()
        return latest.value.withLock { latest in
            latest = max(latest, read)
            return latest
        }
    }

    private final class Latest: Sendable {
        let value = Mutex(Instant.distantPast)
    }
}
