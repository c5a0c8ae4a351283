import Fleet
import Observability

/// Tells the service manager that the engine is alive, as often as it wants to hear it.
final class Watchdog {
    private let interval: Duration?
    private let alive: () -> Void
    private var fedAt: Instant?
    private var status = ""

    /// `alive` tells the service manager; nobody waits for it where `interval` is nil.
    init(
        interval: Duration? = Supervisor.watchdogInterval,
        alive: @escaping () -> Void = Supervisor.alive
    ) {
        self.interval = interval
        self.alive = alive
    }

    func feed(at now: Instant, status: String) {
        if status != self.status {
            self.status = status
            Supervisor.status(status)
        }
        guard let interval else { return }
        if let fedAt, now - fedAt < interval { return }
        fedAt = now
        alive()
    }
}
