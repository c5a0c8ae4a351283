/// A slow departure from a frozen reference, in physical units.
///
/// Samples are averaged over an interval, because the noise of neighbouring ones is correlated and
/// a CUSUM of raw samples alarms every other day. The first `referenceMeans` averages become the
/// reference and stay: an adaptive one absorbs the drift. Deadband and budget are in the metric's
/// unit, because the same in deviations alarms up to three times a day and device (reference,
/// accelerators section 0, findings 7 and 8). A gap is no evidence.
package struct DriftDetector: Equatable, Sendable, Codable {
    package struct Settings: Equatable, Sendable, Codable {
        package var intervalMilliseconds: Int64 = 300_000
        /// Averages that make the reference: 288 of five minutes are a day of gated time.
        package var referenceMeans: Int = 288
        /// A departure up to this is no drift; in the unit, or a share of the reference.
        package var deadband: Double
        /// Departure beyond the deadband, times hours, that is a drift.
        package var budget: Double
        /// Whether departures are shares of the reference instead of differences.
        package var relative = false

        package init(deadband: Double, budget: Double) {
            self.deadband = deadband
            self.budget = budget
        }
    }

    package enum Verdict: Equatable, Sendable {
        case learning, steady, above, below
    }

    /// The frozen reference, once there is one.
    package private(set) var reference: Double?
    /// The last complete average.
    package private(set) var mean: Double?
    /// Unit-hours spent above and below, beyond the deadband.
    package private(set) var up = 0.0
    package private(set) var down = 0.0

    private var slot: Int64 = .min
    private var sum = 0.0
    private var count = 0
    private var learned = 0
    private var learnedSum = 0.0

    package init() {}

    /// Takes one value; the verdict changes only when an interval is complete.
    package mutating func update(
        _ value: Double, at milliseconds: Int64, _ settings: Settings
    ) -> Verdict {
        guard value.isFinite else { return verdict(settings) }
        let interval = max(settings.intervalMilliseconds, 1)
        let slot = milliseconds / interval
        // Late by up to an interval: its average is closed. More: the clock was set back.
        guard slot >= self.slot || slot < self.slot - 1 else { return verdict(settings) }
        if slot != self.slot {
            close(settings)
            self.slot = slot
        }
        sum += value
        count += 1
        return verdict(settings)
    }

    package func verdict(_ settings: Settings) -> Verdict {
        guard reference != nil else { return .learning }
        if up > settings.budget { return .above }
        return down > settings.budget ? .below : .steady
    }

    /// Learns a new reference: the device moved to another host, or was repaired.
    package mutating func rebaseline() { self = DriftDetector() }

    private mutating func close(_ settings: Settings) {
        guard count > 0 else { return }
        let mean = sum / Double(count)
        self.mean = mean
        (sum, count) = (0, 0)
        guard let reference else {
            learned += 1
            learnedSum += mean
            if learned >= settings.referenceMeans { reference = learnedSum / Double(learned) }
            return
        }
        if settings.relative && abs(reference) < 1e-9 { return }
        let departure = settings.relative ? mean / reference - 1 : mean - reference
        let hours = Double(max(settings.intervalMilliseconds, 1)) / 3_600_000
        // Full at twice the budget, so that it clears when the cause is gone.
        let full = 2 * settings.budget
        up = min(max(up + (departure - settings.deadband) * hours, 0), full)
        down = min(max(down - (departure + settings.deadband) * hours, 0), full)
    }
}
