/// Makes alerts of evidence: what counts, and what is quiet after an alert.
struct AnomalyJudge: Sendable {
    /// What a score must exceed to alert again early.
    private var bar = 0.0
    /// Mean evidence of about the last five samples.
    private var recent = 0.0
    private var sinceAlert: UInt32 = .max

    /// Takes the evidence of one sample, `count` having come before it.
    ///
    /// - Returns: the score, and whether it is an alert.
    @inline(__always)
    mutating func decide(
        _ evidence: Double, after count: UInt32, _ profile: AnomalyProfile
    ) -> (total: Double, alerts: Bool) {
        recent += 0.2 * (evidence - recent)
        // To a young series most states are new: what it says counts less.
        let samples = Double(count) + 1
        let age = samples / (samples + profile.youthSamples)
        let total = min(evidence, profile.support * recent) * age
        let isQuiet = sinceAlert < profile.quietSamples && total <= bar
        guard count >= profile.warmSamples, total >= profile.threshold, !isQuiet else {
            if sinceAlert < .max { sinceAlert += 1 }
            bar *= AnomalyJudge.decay
            return (total, false)
        }
        sinceAlert = 1
        bar = total * profile.escalation * AnomalyJudge.decay
        return (total, true)
    }

    /// exp(-1/90): what is seven times as bad at once is as bad as before after 175 samples.
    private static var decay: Double { 0.988_950_394_274_346 }
}
