import Fleet
import Simulation
import Telemetry

/// One GPU and its agent, which says what the test wants it to say.
struct Agent {
    let identity: DeviceIdentity
    private let encoder: PayloadEncoder
    private let template: PayloadTemplate

    var id: String { identity.id }

    init(_ number: Int, on host: String, format: PayloadFormat = .native) {
        let digits = String(number)
        let padded = String(repeating: "0", count: 12 - digits.count) + digits
        let labels = Labels([
            .host: host, .cluster: "acceptance", .vendor: "nvidia", .model: "h100-sxm5-80gb",
            .kind: "gpu",
        ])
        identity = DeviceIdentity(
            uuid: "GPU-00000000-0000-0000-0000-\(padded)", host: host, index: number % 8,
            labels: labels)
        encoder = PayloadEncoder(format)
        template = encoder.template(identity, labels)
    }

    /// A GPU that idles in good health; `change` says what is different.
    func say(
        at time: Instant, fault: Int? = nil, in batch: inout MessageBatch,
        _ change: (inout Tick) -> Void = { _ in }
    ) {
        var tick = Tick(time: time)
        // A sensor that never moves would be one that is frozen.
        let wobble = Double((time.milliseconds / 1_000) % 7)
        tick[.powerDraw] = 90 + wobble * 0.137
        tick[.tempCore] = 41 + wobble
        tick[.utilBusy] = 0
        tick[.clockCore] = 345
        tick[.memUsed] = 1e9
        change(&tick)
        let events = fault.map { [TickEvent(code: $0, text: "a fault")] } ?? []
        encoder.append(tick, events: events, as: template, deliveredAt: time, to: &batch)
    }
}

/// A rule that no shipped file has.
enum SiteRule {
    static let broken = hot.replacing("severity: high", with: "severity: hihg")

    static let hot = """
        - id: site-hot-inlet
          scope: device
          metric: temp.inlet
          above: 60
          severity: high
          tier: 1
          symptom: facility
          cost: {class: none}
          runbook: Open a window near {{host}}.

        """
}
