import Fleet
import Observability

/// Tells the service manager that the engine is alive, as often as it wants to hear it.
final class Watchdog {
    private let interval: Duration?
    private var fedAt: Instant?
    private var status = ""

    init(interval: Duration? = Supervisor.watchdogInterval) { self.interval = interval }

    func feed(at now: Instant, status: String) {
        if status != self.status {
            self.status = status
            Supervisor.status(status)
        }
        guard let interval else { return }
        if let fedAt, now - fedAt < interval { return }
        fedAt = now
        Supervisor.alive()
    }
}
