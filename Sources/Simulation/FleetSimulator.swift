import Fleet
import Glibc
import Telemetry

/// A fleet that behaves, and misbehaves, the same way every time it is asked.
///
/// A value: no clock, no state of the world. `tick` gives any step of any device; `next` gives the
/// messages of all devices in the order in which a broker would receive them.
package struct FleetSimulator: Sendable {
    package let plan: FleetPlan
    package let identities: [DeviceIdentity]
    let roster: FleetRoster
    let physics: FleetPhysics
    let encoder: PayloadEncoder
    /// By device: unallocated, then one for each workload that ever holds it.
    let templates: [[PayloadTemplate]]
    var schedule: DeliverySchedule
    private var cache: StepCache
    /// What became of the samples so far.
    package internal(set) var tally = DeliveryTally()

    package init(_ plan: FleetPlan) throws(SimulationError) {
        try plan.check()
        self.plan = plan
        let identities = plan.identities()
        self.identities = identities
        let roster = FleetRoster(plan)
        self.roster = roster
        physics = FleetPhysics(plan, roster)
        let encoder = PayloadEncoder(plan.format)
        self.encoder = encoder
        templates = identities.enumerated().map { ordinal, identity in
            [encoder.template(identity, identity.labels)]
                + roster.holders[ordinal].map { holder in
                    let labels = plan.labels(
                        of: identity, ordinal: ordinal, in: plan.workloads[holder])
                    return encoder.template(identity, labels)
                }
        }
        schedule = DeliverySchedule()
        cache = StepCache(devices: plan.deviceCount, depth: physics.thermal.weights.count)
    }

    /// What `device` reports at `step`.
    ///
    /// - Returns: false when it reports nothing, because it is off the bus or its host is down.
    package func tick(of device: Int, at step: Int, into tick: inout Tick) -> Bool {
        let targets = physics.thermal.weights.indices.reversed().map { age in
            let around = physics.surroundings(at: step - age)
            return physics.target(
                device, physics.load(of: device, at: step - age, around), around)
        }
        let around = physics.surroundings(at: step)
        let state = DeviceState(
            load: physics.load(of: device, at: step, around), temperature: filtered(targets))
        return fill(&tick, device, step, around, state)
    }

    /// The same as `tick(of:at:into:)`, remembering what neighbouring steps share.
    mutating func remembered(_ device: Int, at step: Int, into tick: inout Tick) -> Bool {
        guard let state = cache.state(of: device, at: step, physics) else {
            return self.tick(of: device, at: step, into: &tick)
        }
        // Bound first: as an argument it would make the call copy the whole simulator.
        let around = cache.surroundings(at: step, physics)
        return fill(&tick, device, step, around, state)
    }

    /// Oldest first.
    private func filtered(_ targets: [Double]) -> Double {
        var sum = 0.0
        for (age, weight) in physics.thermal.weights.enumerated() {
            sum += weight * targets[targets.count - 1 - age]
        }
        return sum
    }

    private func fill(
        _ tick: inout Tick, _ device: Int, _ step: Int, _ around: Surroundings,
        _ state: DeviceState
    ) -> Bool {
        let time = physics.time(of: device, at: step)
        let effects = roster.effects[device]
        if !effects.isEmpty {
            if effects.contains(where: { $0.isSilent && $0.isActive(at: time) }) { return false }
            if let frozen = effects.first(where: { $0.isFlatline && $0.isActive(at: time) }) {
                return freeze(&tick, device, since: frozen.start, showing: time)
            }
        }
        let load = state.load
        let traits = roster.traits[device]
        var core = state.temperature
        for effect in effects { core = effect.heated(core, at: time) }
        core = (core + 0.3 * Noise.normal(traits.stream, step, .core)).rounded()
        tick.clear()
        tick.time = Instant(milliseconds: time)
        tick[.utilBusy] = load.busy
        tick[.utilSM] = load.sm
        tick[.utilTensor] = load.tensor
        tick[.utilMembw] = min(1, max(0, load.membw))
        tick[.memUsed] = load.memory.rounded()
        tick[.memTotal] = DeviceLoad.totalMemory
        tick[.powerDraw] = load.power
        tick[.powerLimit] = DeviceLoad.powerLimit
        tick[.tempCore] = core
        tick[.tempMem] =
            (core + 12 + 10 * load.membw + 0.5 * Noise.normal(traits.stream, step, .hbm)).rounded()
        tick[.tempMargin] = DeviceLoad.slowdownTemperature - core
        tick[.clockCore] = load.clock.rounded()
        tick[.clockMem] = 2_619
        tick[.clockCoreMax] = DeviceLoad.clockMax
        tick[.throttleReasons] = Double(load.throttle)
        tick[.linkBytes] = load.link.rounded()
        tick[.pcieBytes] = load.pcie.rounded()
        fillStates(&tick, device, time, effects, around)
        return true
    }

    private func fillStates(
        _ tick: inout Tick, _ device: Int, _ time: Int64, _ effects: [Effect],
        _ around: Surroundings
    ) {
        let host = device / plan.devicesPerHost
        let traits = roster.traits[device]
        // Counters began a thousand hours before the simulation.
        let hours = Double(time - roster.start) / 3_600_000 + 1_000
        let phase = Noise.uniform(traits.stream, 0, .phase)
        tick[.eccCorrected] = max(0, (traits.correctedErrorRate * hours + phase).rounded(.down))
        tick[.pcieReplays] = max(0, (0.001 * hours + phase).rounded(.down))
        var uncorrected = 0.0
        var linkErrors = max(0, (0.000_1 * hours + phase).rounded(.down))
        var remapFailed = 0.0
        for effect in effects where time >= effect.start {
            switch effect.action {
            case .uncorrectableECC: uncorrected += 1
            case .remapFailed: remapFailed = effect.isActive(at: time) ? 1 : remapFailed
            case .linkErrors(let rate):
                let seconds = Double(min(time, effect.end) - effect.start) / 1_000
                linkErrors += (rate * seconds).rounded(.down)
            default: break
            }
        }
        tick[.eccUncorrected] = uncorrected
        tick[.linkErrors] = linkErrors
        tick[.remapPending] = 0
        tick[.remapFailed] = remapFailed
        tick[.pcieGenRatio] = 1
        tick[.pcieWidthRatio] = 1
        tick[.linkHealth] = 1
        tick[.tempInlet] = around.inlet[host / plan.hostsPerRack]
        tick[.hostDevicesVisible] = Double(roster.devicesVisible(on: host, at: time))
        tick[.faultCode] = effects.isEmpty ? 0 : Double(lastFaultCode(of: device, at: time))
    }

    private func lastFaultCode(of device: Int, at time: Int64) -> Int {
        roster.events.last { $0.device == device && $0.time <= time }?.event.code ?? 0
    }

    /// The last step before `start` again and again, with the time of now.
    private func freeze(
        _ tick: inout Tick, _ device: Int, since start: Int64, showing time: Int64
    ) -> Bool {
        let first = physics.time(of: device, at: 0)
        let (whole, rest) = (start - 1 - first).quotientAndRemainder(dividingBy: roster.period)
        let reports = self.tick(of: device, at: Int(rest < 0 ? whole - 1 : whole), into: &tick)
        tick.time = Instant(milliseconds: time)
        return reports
    }

    /// The template that fits who holds `device` at `time`.
    func template(of device: Int, at time: Int64) -> PayloadTemplate {
        guard let job = roster.job(of: device, at: time),
            let place = roster.holders[device].lastIndex(of: job)
        else { return templates[device][0] }
        return templates[device][place + 1]
    }
}

extension Effect {
    var isSilent: Bool {
        if case .silent = action { return true }
        return false
    }

    var isFlatline: Bool {
        if case .flatline = action { return true }
        return false
    }

    /// The temperature under a cooling failure: a straight ramp to just above the slowdown
    /// temperature, and back with the device's own time constant once it is over.
    func heated(_ temperature: Double, at time: Int64) -> Double {
        guard case .thermal(let ramp) = action, time >= start else { return temperature }
        let hot = DeviceLoad.slowdownTemperature + 1.5
        let peak = min(1, Double(min(time, end) - start) / Double(max(1, ramp)))
        let fading = time < end ? 1 : exp(-Double(time - end) / 45_000)
        return temperature + (hot - temperature) * peak * fading
    }
}

private struct DeviceState {
    let load: DeviceLoad
    let temperature: Double
}

/// What the pull path remembers: targets of the thermal filter, and the surroundings of a few steps.
private struct StepCache: Sendable {
    /// `depth` targets per device, as a ring.
    private var targets: [Double]
    /// Last step in the ring, by device.
    private var last: [Int]
    private var recent: [Surroundings]
    private let depth: Int

    init(devices: Int, depth: Int) {
        self.depth = depth
        targets = Array(repeating: 0, count: devices * depth)
        last = Array(repeating: Int.min / 2, count: devices)
        recent = Array(repeating: Surroundings(), count: depth + 2)
    }

    mutating func surroundings(at step: Int, _ physics: FleetPhysics) -> Surroundings {
        let slot = self.slot(step, recent.count)
        if recent[slot].step != step { recent[slot] = physics.surroundings(at: step) }
        return recent[slot]
    }

    /// Nil for a step older than the ring's newest: a late one is computed on its own.
    mutating func state(of device: Int, at step: Int, _ physics: FleetPhysics) -> DeviceState? {
        guard step >= last[device] else { return nil }
        var newest: DeviceLoad?
        for missing in max(last[device] + 1, step - depth + 1)..<(step + 1) {
            let around = surroundings(at: missing, physics)
            let load = physics.load(of: device, at: missing, around)
            targets[device * depth + slot(missing, depth)] = physics.target(device, load, around)
            newest = load
        }
        last[device] = step
        // Newest first, as in the definition: the same sums in the same order.
        var sum = 0.0
        var place = slot(step, depth)
        for weight in physics.thermal.weights {
            sum += weight * targets[device * depth + place]
            place = place == 0 ? depth - 1 : place - 1
        }
        let load = newest ?? physics.load(of: device, at: step, surroundings(at: step, physics))
        return DeviceState(load: load, temperature: sum)
    }

    private func slot(_ step: Int, _ count: Int) -> Int {
        let rest = step % count
        return rest < 0 ? rest + count : rest
    }
}
