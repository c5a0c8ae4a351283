package import Fleet

/// What to simulate: everything that the bytes depend on.
package struct FleetPlan: Sendable {
    package var seed: UInt64
    package var hosts: Int
    package var devicesPerHost = 8
    package var hostsPerRack = 4
    /// Between two samples of one device.
    package var period: Duration = .seconds(10)
    package var start: Instant
    package var workloads: [Workload] = []
    package var faults: [Fault] = []
    package var delivery = DeliveryModel.realistic
    package var format = PayloadFormat.native
    package var region = "us-east-1"
    package var cluster = "prod-a"

    package init(seed: UInt64, hosts: Int, start: Instant) {
        self.seed = seed
        self.hosts = hosts
        self.start = start
    }

    /// 64 devices on 8 hosts with two training jobs, a service and a few free devices.
    package static func dev(seed: UInt64, start: Instant) -> FleetPlan {
        var plan = FleetPlan(seed: seed, hosts: 8, start: start)
        plan.workloads = [
            Workload("llm-pretrain", .train, team: "foundation", devices: 0..<32),
            Workload("chat-api", .inference, team: "serving", devices: 32..<48),
            Workload("vision-ft", .train, team: "vision", devices: 48..<56),
        ]
        return plan
    }

    package var deviceCount: Int { hosts * devicesPerHost }

    /// Longest fault list, job list and fleet that make sense on one machine.
    static let devicesMax = 1_000_000

    /// Refuses what cannot be simulated, and says what to change.
    func check() throws(SimulationError) {
        guard hosts > 0, devicesPerHost > 0, hostsPerRack > 0,
            hosts <= FleetPlan.devicesMax / devicesPerHost
        else {
            throw SimulationError(
                "a fleet of \(hosts) hosts with \(devicesPerHost) devices each: ask for 1 to"
                    + " \(FleetPlan.devicesMax) devices, and at least one host per rack")
        }
        guard period >= .seconds(1), period <= .seconds(3_600) else {
            throw SimulationError("a period of \(period.short): ask for 1s to 1h")
        }
        for workload in workloads { try check(workload) }
        for fault in faults { try check(fault) }
    }

    private func check(_ workload: Workload) throws(SimulationError) {
        guard !workload.devices.isEmpty, workload.devices.lowerBound >= 0,
            workload.devices.upperBound <= deviceCount
        else {
            throw SimulationError(
                "workload \(workload.name) holds devices \(workload.devices), of a fleet of"
                    + " \(deviceCount): give it some of 0..<\(deviceCount)")
        }
        let twins = workloads.count { $0.name == workload.name }
        guard twins == 1 else {
            throw SimulationError("workload \(workload.name) is there \(twins) times: rename one")
        }
    }

    private func check(_ fault: Fault) throws(SimulationError) {
        let name = fault.kind.catalogue.name
        guard fault.duration > .zero else {
            throw SimulationError("fault \(name) lasts \(fault.duration.short): make it longer")
        }
        guard fault.kind.fits(fault.target) else {
            throw SimulationError("fault \(name) cannot befall \(fault.target)")
        }
        switch fault.target {
        case .device(let ordinal) where !(0..<deviceCount).contains(ordinal):
            throw SimulationError("fault \(name) names device \(ordinal) of \(deviceCount)")
        case .host(let ordinal) where !(0..<hosts).contains(ordinal):
            throw SimulationError("fault \(name) names host \(ordinal) of \(hosts)")
        case .workload(let wanted):
            guard let found = workloads.first(where: { $0.name == wanted }) else {
                throw SimulationError(
                    "fault \(name) names workload \(wanted); there are"
                        + " \(workloads.map(\.name).joined(separator: ", "))")
            }
            if case .trafficDrop = fault.kind, found.kind != .inference {
                throw SimulationError("fault \(name) needs a service; \(wanted) is none")
            }
            if fault.kind == .hang, found.kind != .train {
                throw SimulationError("fault \(name) needs a training job; \(wanted) is none")
            }
        case .device(let ordinal):
            guard case .straggler = fault.kind else { return }
            guard workloads.contains(where: { $0.kind == .train && $0.devices.contains(ordinal) })
            else {
                throw SimulationError(
                    "fault \(name) needs a rank of a training job; device \(ordinal) is none")
            }
        default: break
        }
    }
}

/// How messages reach the broker (reference, rules and simulator 5.4).
package struct DeliveryModel: Sendable, Equatable {
    /// Of the lognormal delay.
    package var medianSeconds: Double
    package var sigma: Double
    /// Share of messages that come 30–120 s late.
    package var lateShare: Double
    package var lossShare: Double
    package var duplicateShare: Double

    package static let realistic = DeliveryModel(
        medianSeconds: 0.8, sigma: 0.6, lateShare: 0.001, lossShare: 0.000_5,
        duplicateShare: 0.000_2)

    /// At once, each exactly once, in order.
    package static let perfect = DeliveryModel(
        medianSeconds: 0, sigma: 0, lateShare: 0, lossShare: 0, duplicateShare: 0)
}
