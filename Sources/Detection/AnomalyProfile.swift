/// When a score becomes an alert.
package struct AnomalyProfile: Sendable {
    /// What the sum of evidence must reach.
    package var threshold: Double
    /// Samples after an alert in which only something much worse speaks.
    package var quietSamples: UInt32 = 110
    /// How much worse, right after the alert.
    package var escalation = 5.0
    /// Added to the time before its hour is taken: the offset of a site that lives by local time.
    package var offsetMilliseconds: Int64 = 0

    package init(threshold: Double) { self.threshold = threshold }

    /// For a person who looks at a screen.
    package static let sensitive = AnomalyProfile(threshold: 1.533)
}
