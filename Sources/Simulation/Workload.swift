/// One job or service and the devices it holds.
package struct Workload: Sendable {
    package enum Kind: String, Sendable {
        /// Synchronous training: all ranks move together.
        case train
        /// Independent replicas behind one load balancer.
        case inference = "infer"
        /// A person with a notebook: idle for hours, busy for minutes.
        case notebook = "dev"
    }

    package var name: String
    package var kind: Kind
    package var team: String
    /// By ordinal: host 0 holds the first `devicesPerHost` of them.
    package var devices: Range<Int>
    /// Offset from the start of the simulation; before it for what runs already.
    package var start: Duration
    /// Nil while it runs for ever.
    package var end: Duration?

    package init(
        _ name: String, _ kind: Kind, team: String, devices: Range<Int>,
        from start: Duration = .seconds(-86_400), until end: Duration? = nil
    ) {
        self.name = name
        self.kind = kind
        self.team = team
        self.devices = devices
        self.start = start
        self.end = end
    }
}

/// When a training job loads, steps, evaluates and writes checkpoints.
///
/// Everything is a function of the time since the job began: the n-th checkpoint is known without
/// the ones before it.
struct TrainingSchedule: Sendable {
    enum Phase: Equatable {
        /// Seconds since the job began.
        case loading(Double)
        case stepping, evaluating, checkpointing
    }

    private let stream: UInt64
    let loadingSeconds: Double
    let checkpointEvery: Double
    let evaluationEvery: Double

    init(stream: UInt64) {
        self.stream = stream
        loadingSeconds = Noise.uniform(60...300, stream, 0, .schedule)
        checkpointEvery = Noise.uniform(1_800...3_600, stream, 1, .schedule)
        let steps = Noise.uniform(500...2_000, stream, 2, .schedule)
        let stepSeconds = Noise.uniform(3...20, stream, 3, .schedule)
        // Never so often that evaluation is the normal state of the job.
        evaluationEvery = max(2_400, steps * stepSeconds)
    }

    func phase(at seconds: Double) -> Phase {
        guard seconds >= loadingSeconds else { return .loading(max(0, seconds)) }
        let nearest = (seconds / checkpointEvery).rounded()
        if nearest >= 1 {
            let draw = 16 + 4 * Int(nearest)
            let begin =
                nearest * checkpointEvery + Noise.uniform(-20...20, stream, draw, .schedule)
            let length = Noise.uniform(20...60, stream, draw + 1, .schedule)
            if seconds >= begin && seconds < begin + length { return .checkpointing }
        }
        let round = (seconds / evaluationEvery).rounded(.down)
        let begin = (round + 0.4) * evaluationEvery
        let length = Noise.uniform(60...300, stream, 18 + 4 * Int(round), .schedule)
        return seconds >= begin && seconds < begin + length ? .evaluating : .stepping
    }
}
