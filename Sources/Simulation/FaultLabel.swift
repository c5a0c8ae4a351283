package import Fleet

/// The truth about one injected fault: what a perfect reader of the telemetry would say.
package struct FaultLabel: Sendable, Codable, Equatable, Identifiable {
    /// Number in the catalogue and place in the plan: `F15-0003`.
    package let id: String
    /// Name in the catalogue, such as `straggler`.
    package let name: String
    package let start: Instant
    package let end: Instant
    /// From when a detector can know: after the ramp, for what creeps up.
    package let detectable: Instant
    package let entity: Entity
    /// For people: `gpu-node-0005 gpu 3`.
    package let place: String
    /// Ids of the devices that the fault touches.
    package let members: [String]
    /// The job or service that suffers; empty where none does.
    package let job: String
    /// Rules that name this fault; one of them must speak.
    package let expected: [String]
    /// Rules that speak of a true consequence; not false, and not enough.
    package let acceptable: [String]
    /// That of the mildest expected rule.
    package let severity: Severity
    /// Longest `for` among the expected rules.
    package let hold: Duration

    /// Whether somebody has to be woken for it.
    package var isPageClass: Bool { severity.isPage }

    package func accepts(_ rule: String) -> Bool {
        expected.contains(rule) || acceptable.contains(rule)
    }
}

extension FleetSimulator {
    /// One label for each fault of the plan, in its order.
    package var labels: [FaultLabel] {
        plan.faults.enumerated().map { number, fault in label(of: fault, number: number + 1) }
    }

    private func label(of fault: Fault, number: Int) -> FaultLabel {
        let catalogue = fault.kind.catalogue
        let verdict = fault.kind.verdict
        let start = plan.start + fault.start
        let members = plan.devices(of: fault.target)
        let (entity, place) = subject(of: fault.target)
        var delay = Duration.zero
        if case .hardwareThermal(let ramp) = fault.kind { delay = ramp }
        let job = roster.job(of: members.lowerBound, at: start.milliseconds)
        return FaultLabel(
            id: "\(catalogue.number)-\(FleetPlan.numbered(number, 4))", name: catalogue.name,
            start: start, end: start + fault.duration, detectable: start + delay, entity: entity,
            place: place, members: members.map { identities[$0].id },
            job: job.map { plan.workloads[$0].name } ?? "", expected: verdict.expected,
            acceptable: verdict.acceptable, severity: verdict.severity, hold: verdict.hold)
    }

    private func subject(of target: Fault.Target) -> (Entity, String) {
        switch target {
        case .device(let ordinal):
            let identity = identities[ordinal]
            return (
                Entity(kind: .device, name: identity.id),
                "\(identity.host) gpu \(identity.index)"
            )
        case .host(let ordinal):
            let name = FleetPlan.hostName(ordinal)
            return (Entity(kind: .host, name: name), name)
        case .workload(let name):
            let isService = plan.workloads.contains { $0.name == name && $0.kind == .inference }
            return (Entity(kind: isService ? .service : .job, name: name), name)
        case .fleet:
            return (Entity(kind: .pipeline, name: plan.cluster), plan.cluster)
        }
    }
}

/// Which rules should speak, and how loud.
private struct Verdict {
    var expected: [String]
    var acceptable: [String]
    var severity: Severity
    var hold: Duration
}

extension Fault.Kind {
    /// Rule ids, severities and holds: reference, rules and simulator 5.2 and 5.5.
    fileprivate var verdict: Verdict {
        switch self {
        case .offBus(let announced):
            Verdict(
                expected: ["tel-device-absent", "tel-device-count"]
                    + (announced ? ["evt-xid"] : []),
                acceptable: ["inf-replica-outlier", "job-hang", "job-stall"],
                severity: .critical, hold: .seconds(60))
        case .hostDown:
            Verdict(
                expected: ["tel-host-absent"],
                acceptable: ["tel-device-absent", "tel-device-count", "job-hang", "job-stall"],
                severity: .critical, hold: .seconds(90))
        case .pipelineOutage:
            Verdict(
                expected: ["tel-pipeline-outage"], acceptable: [], severity: .critical,
                hold: .seconds(60))
        case .uncorrectableECC:
            Verdict(
                expected: ["mem-ecc-uncorrected", "evt-xid"], acceptable: ["evt-xid-repeat"],
                severity: .critical, hold: .zero)
        case .remapFailed:
            Verdict(
                expected: ["mem-remap-failed"],
                acceptable: ["evt-xid", "mem-remap-pending", "evt-xid-repeat"],
                severity: .critical, hold: .zero)
        case .hardwareThermal:
            Verdict(
                expected: ["thm-hw-slowdown", "thm-margin-forecast"],
                acceptable: [
                    "thm-sw-thermal", "thm-mem-hot", "thm-drift", "inf-replica-outlier",
                    "job-straggler",
                ],
                severity: .critical, hold: .seconds(60))
        case .powerBrake:
            Verdict(
                expected: ["pwr-brake"], acceptable: ["job-straggler", "clk-stuck-low"],
                severity: .critical, hold: .seconds(30))
        case .clockStuck:
            Verdict(
                expected: ["clk-stuck-low"], acceptable: ["job-straggler"], severity: .high,
                hold: .seconds(300))
        case .linkErrors:
            Verdict(
                expected: ["lnk-errors"], acceptable: ["lnk-degraded"], severity: .high,
                hold: .seconds(60))
        case .straggler:
            Verdict(
                expected: ["job-straggler"], acceptable: ["clk-stuck-low", "thm-sw-thermal"],
                severity: .high, hold: .seconds(1_200))
        case .hang:
            Verdict(
                expected: ["job-hang"], acceptable: ["job-stall", "lnk-degraded"],
                severity: .critical, hold: .seconds(180))
        case .crashAllocated:
            Verdict(
                expected: ["job-stall"], acceptable: ["eff-idle-allocated", "job-restart-loop"],
                severity: .high, hold: .seconds(300))
        case .idleAllocated:
            Verdict(
                expected: ["eff-idle-allocated"], acceptable: ["job-stall"], severity: .medium,
                hold: .seconds(1_800))
        case .flatline:
            Verdict(
                expected: ["tel-flatline"], acceptable: ["tel-metric-missing"], severity: .high,
                hold: .seconds(600))
        case .trafficDrop:
            Verdict(
                expected: ["inf-load-anomaly"],
                acceptable: ["inf-replica-outlier", "inf-overprovisioned"], severity: .medium,
                hold: .seconds(900))
        }
    }
}
