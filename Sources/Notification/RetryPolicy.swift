package import Fleet

/// When a delivery is tried again, and when no more.
///
/// Full jitter: thousands of retries after an outage spread over the whole wait instead of arriving
/// together (reference, escalation 3.10).
package struct RetryPolicy: Sendable, Equatable {
    package var base: Duration = .seconds(1)
    package var factor = 2.0
    package var cap: Duration = .seconds(60)
    /// Somebody's job stands still: look more often.
    package var capCritical: Duration = .seconds(15)
    /// A receiver may not hold a page for longer; by then another channel is under way.
    package var retryAfterMax: Duration = .seconds(180)
    package var giveUpAfter: Duration = .seconds(86_400)
    /// So many failures in a row, and a destination is only probed.
    package var failuresMax = 5
    package var probeInterval: Duration = .seconds(30)

    package init() {}

    /// The wait after `attempts` attempts have failed, the first being 1.
    ///
    /// `uniform` is in 0..<1; `retryAfter` wins over the calculation.
    package func delay(
        afterAttempts attempts: Int, severity: Severity, retryAfter: Duration?, uniform: Double
    ) -> Duration {
        if let retryAfter { return min(max(.zero, retryAfter), retryAfterMax) }
        let limit = (severity == .critical ? capCritical : cap).seconds
        var ceiling = base.seconds
        for _ in 1..<max(2, min(attempts, 64)) where attempts > 1 { ceiling *= factor }
        let share = min(max(0, uniform), 1)
        return .milliseconds(Int64(min(ceiling, limit) * share * 1_000))
    }

    /// Whether a page made at `made` is no longer worth an attempt at `next`.
    package func givesUp(made: Instant, next: Instant) -> Bool { next - made > giveUpAfter }
}
