import Fleet

/// What is particular to one device and never changes.
struct DeviceTraits: Sendable {
    let stream: UInt64
    /// °C per W.
    let thermalResistance: Double
    /// In standard deviations; 10 W each under load.
    let powerOffset: Double
    /// Per hour.
    let correctedErrorRate: Double
}

/// The plan, resolved: who holds which device when, and what befalls it when.
final class FleetRoster: Sendable {
    struct Job: Sendable {
        let kind: Workload.Kind
        let stream: UInt64
        let start: Int64
        let end: Int64
        let schedule: TrainingSchedule
    }

    let start: Int64
    let period: Int64
    let rackCount: Int
    /// By host, in milliseconds.
    let phases: [Int64]
    let traits: [DeviceTraits]
    let jobs: [Job]
    /// Jobs by device.
    let holders: [[Int]]
    let effects: [[Effect]]
    /// By host: when how many devices are off the bus.
    let missing: [[Effect]]
    /// By host: when its messages are held back.
    let outages: [[Effect]]
    let events: [ScheduledEvent]
    private let devicesPerHost: Int

    struct ScheduledEvent: Sendable {
        let device: Int
        let time: Int64
        let event: TickEvent
    }

    init(_ plan: FleetPlan) {
        let noise = Noise(seed: plan.seed)
        start = plan.start.milliseconds
        period = plan.period.milliseconds
        devicesPerHost = plan.devicesPerHost
        rackCount = (plan.hosts + plan.hostsPerRack - 1) / plan.hostsPerRack
        let period = period
        phases = (0..<plan.hosts).map { host in
            Int64(Double(period) * Noise.uniform(noise.stream(.host, host), 0, .phase))
        }
        traits = (0..<plan.deviceCount).map { device in
            let stream = noise.stream(.device, device)
            // One device in a hundred has fifty times the background of correctable errors.
            let isNoisy = Noise.uniform(stream, 0, .place) < 0.01
            return DeviceTraits(
                stream: stream,
                thermalResistance: 0.052 * (1 + 0.03 * Noise.normal(stream, 0, .character)),
                powerOffset: Noise.normal(stream, 1, .character),
                correctedErrorRate: isNoisy ? 0.1 : 0.002)
        }
        jobs = plan.workloads.enumerated().map { index, workload in
            let stream = noise.stream(.workload, index)
            return Job(
                kind: workload.kind, stream: stream,
                start: (plan.start + workload.start).milliseconds,
                end: workload.end.map { (plan.start + $0).milliseconds } ?? .max,
                schedule: TrainingSchedule(stream: stream))
        }
        var holders: [[Int]] = Array(repeating: [], count: plan.deviceCount)
        for (index, workload) in plan.workloads.enumerated() {
            for device in workload.devices { holders[device].append(index) }
        }
        self.holders = holders
        var spread = FaultSpread(plan, noise)
        for (index, fault) in plan.faults.enumerated() { spread.add(fault, number: index) }
        effects = spread.effects
        missing = spread.missing
        outages = spread.outages
        events = spread.events.sorted { ($0.time, $0.device) < ($1.time, $1.device) }
    }

    /// The later of two workloads that overlap holds the device.
    func job(of device: Int, at time: Int64) -> Int? {
        holders[device].last { time >= jobs[$0].start && time < jobs[$0].end }
    }

    /// The eight slots of a chassis, front to back; air warms on its way.
    func slotOffset(of device: Int) -> Double {
        let offsets = [0, 0.6, 1.2, 1.8, 3.0, 3.6, 4.2, 4.8]
        return offsets[device % devicesPerHost % offsets.count]
    }

    func devicesVisible(on host: Int, at time: Int64) -> Int {
        missing[host].isEmpty
            ? devicesPerHost : devicesPerHost - missing[host].count { $0.isActive(at: time) }
    }
}

/// Faults, dealt out to the devices and hosts that feel them.
private struct FaultSpread {
    private let plan: FleetPlan
    private let noise: Noise
    var effects: [[Effect]]
    var missing: [[Effect]]
    var outages: [[Effect]]
    var events: [FleetRoster.ScheduledEvent] = []

    init(_ plan: FleetPlan, _ noise: Noise) {
        self.plan = plan
        self.noise = noise
        effects = Array(repeating: [], count: plan.deviceCount)
        missing = Array(repeating: [], count: plan.hosts)
        outages = Array(repeating: [], count: plan.hosts)
    }

    mutating func add(_ fault: Fault, number: Int) {
        let stream = noise.stream(.fault, number)
        let start = (plan.start + fault.start).milliseconds
        let end = (plan.start + fault.start + fault.duration).milliseconds
        let devices = members(of: fault.target)
        func put(_ action: Effect.Action) {
            for device in devices {
                effects[device].append(Effect(action: action, start: start, end: end))
            }
        }
        switch fault.kind {
        case .offBus:
            put(.silent)
            for device in devices {
                missing[device / plan.devicesPerHost].append(
                    Effect(action: .silent, start: start, end: end))
            }
        case .hostDown: put(.silent)
        case .pipelineOutage(let share):
            holdBack(share, Effect(action: .silent, start: start, end: end), stream)
        case .uncorrectableECC: put(.uncorrectableECC)
        case .remapFailed: put(.remapFailed)
        case .hardwareThermal(let ramp): put(.thermal(rampMilliseconds: ramp.milliseconds))
        case .powerBrake: put(.brake)
        case .clockStuck(let megahertz): put(.clockStuck(megahertz))
        case .linkErrors(let rate): put(.linkErrors(perSecond: rate))
        case .straggler(let slowdown):
            addStraggler(devices.lowerBound, slowdown, start, end)
        case .hang:
            let ratio = Noise.uniform(0.27...0.53, stream, 0, .character)
            put(.hang(watts: ratio * DeviceLoad.powerLimit))
        case .crashAllocated: put(.idle(keepsMemory: true))
        case .idleAllocated: put(.idle(keepsMemory: false))
        case .flatline: put(.flatline)
        case .trafficDrop(let factor): put(.load(factor: factor))
        }
        for (seconds, event) in fault.kind.events {
            // What comes before the fault comes 0–5 s before it.
            let offset =
                seconds < 0 ? seconds * Noise.uniform(stream, 0, .event) : seconds
            let time = start + Int64(offset * 1_000)
            events.append(
                FleetRoster.ScheduledEvent(device: devices.lowerBound, time: time, event: event))
        }
    }

    private mutating func addStraggler(
        _ victim: Int, _ slowdown: Double, _ start: Int64, _ end: Int64
    ) {
        let job = plan.workloads.first { $0.kind == .train && $0.devices.contains(victim) }
        for device in job?.devices ?? victim..<victim + 1 {
            let action: Effect.Action =
                device == victim ? .slowRank(slowdown) : .waitingRank(slowdown)
            effects[device].append(Effect(action: action, start: start, end: end))
        }
    }

    /// The hosts with the smallest draws, at least one.
    private mutating func holdBack(_ share: Double, _ effect: Effect, _ stream: UInt64) {
        let wanted = min(plan.hosts, max(1, Int((share * Double(plan.hosts)).rounded())))
        let order = (0..<plan.hosts).sorted {
            (Noise.bits(stream, $0, .place), $0) < (Noise.bits(stream, $1, .place), $1)
        }
        for host in order.prefix(wanted) { outages[host].append(effect) }
    }

    private func members(of target: Fault.Target) -> Range<Int> { plan.devices(of: target) }
}

extension FleetPlan {
    /// The devices that a target covers.
    func devices(of target: Fault.Target) -> Range<Int> {
        switch target {
        case .device(let ordinal): ordinal..<ordinal + 1
        case .host(let ordinal): ordinal * devicesPerHost..<(ordinal + 1) * devicesPerHost
        case .workload(let name): workloads.first { $0.name == name }?.devices ?? 0..<0
        case .fleet: 0..<deviceCount
        }
    }
}
