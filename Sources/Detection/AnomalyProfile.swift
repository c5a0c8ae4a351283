import Fleet

/// When a score becomes an alert.
package struct AnomalyProfile: Sendable {
    /// What the score must reach.
    package var threshold: Double
    /// How far the evidence of one sample counts, in multiples of the mean of the last five or so.
    ///
    /// At 3 a lone sample counts three fifths of itself, and one whose neighbours are half as
    /// unusual counts whole; at 1.2 only what goes on does.
    package var support: Double
    /// Samples after an alert in which only something much worse speaks.
    package var quietSamples: UInt32
    /// How much worse, right after the alert.
    package var escalation = 7.0
    /// At this age evidence counts half, at three times this three quarters.
    package var youthSamples: Double
    /// Samples before the first alert.
    package var warmSamples: UInt32
    /// Added to the time before its hour is taken: the offset of a site that lives by local time.
    package var offsetMilliseconds: Int64 = 0

    package init(
        threshold: Double, support: Double, quietSamples: UInt32, youthSamples: Double,
        warmSamples: UInt32
    ) {
        self.threshold = threshold
        self.support = support
        self.quietSamples = quietSamples
        self.youthSamples = youthSamples
        self.warmSamples = warmSamples
    }

    /// The profile in the local time of a moment.
    func at(_ milliseconds: Int64, _ calendar: SiteCalendar?) -> AnomalyProfile {
        guard let calendar else { return self }
        var local = self
        local.offsetMilliseconds = calendar.hourly(milliseconds).milliseconds &- milliseconds
        return local
    }

    package init?(named name: String) {
        switch name {
        case "sensitive": self = .sensitive
        case "paging": self = .paging
        default: return nil
        }
    }

    /// For a person who looks at a screen.
    package static let sensitive = AnomalyProfile(
        threshold: 1.4, support: 3, quietSamples: 110, youthSamples: 50, warmSamples: 96)
    /// For a page.
    package static let paging = AnomalyProfile(
        threshold: 1.24, support: 1.2, quietSamples: 200, youthSamples: 100, warmSamples: 288)
}
