import Fleet
import Glibc
import Telemetry

/// What a device does at one step, before its temperature is known.
struct DeviceLoad: Sendable {
    var busy = 0.0
    var sm = 0.0
    var tensor = 0.0
    var membw = 0.0
    /// Bytes.
    var memory = DeviceLoad.idleMemory
    /// Watts.
    var power = 0.0
    /// MHz.
    var clock = 345.0
    /// Bytes per second.
    var link = 0.0
    var pcie = 0.0
    var throttle: UInt16 = DeviceLoad.idleReason

    static let idleMemory = 0.4e9
    static let totalMemory = 81_559.0 * 1_048_576
    static let powerLimit = 700.0
    static let idlePower = 74.0
    static let clockMax = 1_980.0
    /// °C at which the hardware halves the clock.
    static let slowdownTemperature = 90.0

    static let idleReason: UInt16 = 0x1
    static let powerCapReason: UInt16 = 0x4
    static let hardwareSlowdownReason: UInt16 = 0x8
    static let hardwareThermalReason: UInt16 = 0x40
    static let powerBrakeReason: UInt16 = 0x80

    /// Scales what the load draws above idle.
    mutating func scalePower(by factor: Double) {
        power = DeviceLoad.idlePower + (power - DeviceLoad.idlePower) * factor
    }
}

/// What all devices of a step share: drawn once per step, not once per device.
struct Surroundings: Sendable {
    var step = Int.min
    /// By workload: training noise, or the load of the service.
    var common: [Double] = []
    /// By rack, in °C.
    var inlet: [Double] = []
}

/// The generative model (reference, rules and simulator 5.4): load, power and temperature.
///
/// A pure function of (plan, device, step). The autoregressions and the thermal equation are
/// finite sums over the past, so that a step needs no state from the one before. Immutable, and a
/// class only because a copy of its twenty arrays per message cost a quarter of the time.
final class FleetPhysics: Sendable {
    let plan: FleetPlan
    let roster: FleetRoster
    let noise: Noise
    let thermal: ThermalFilter
    private let fast: Autoregression
    private let jobCommon: Autoregression
    private let serviceCommon: Autoregression
    private let replica: Autoregression

    init(_ plan: FleetPlan, _ roster: FleetRoster) {
        self.plan = plan
        self.roster = roster
        noise = Noise(seed: plan.seed)
        let seconds = plan.period.seconds
        thermal = ThermalFilter(periodSeconds: seconds)
        fast = Autoregression(correlation: 0.5, periodSeconds: seconds)
        jobCommon = Autoregression(correlation: 0.8, periodSeconds: seconds)
        serviceCommon = Autoregression(correlation: 0.9, periodSeconds: seconds)
        replica = Autoregression(correlation: 0.6, periodSeconds: seconds)
    }

    /// Event time of a device's sample, in milliseconds: every host has its own phase.
    func time(of device: Int, at step: Int) -> Int64 {
        roster.start + Int64(step) * roster.period + roster.phases[device / plan.devicesPerHost]
    }

    func surroundings(at step: Int) -> Surroundings {
        let time = roster.start + Int64(step) * roster.period
        let hours = Double(time) / 3_600_000
        let common = roster.jobs.map { job in
            switch job.kind {
            case .train: jobCommon.value(job.stream, step, .common)
            case .inference:
                serviceLoad(hours: hours)
                    * exp(0.10 * serviceCommon.value(job.stream, step, .common))
            case .notebook: 0.0
            }
        }
        let inlet = (0..<roster.rackCount).map { rack in
            // Nodes 2 h apart stand for the autoregression with a time constant of 3 h.
            24 + 1.2 * sin(2 * .pi * (hours / 24 - 0.3))
                + 0.4 * Noise.smooth(noise.stream(.rack, rack), hours / 2, .inlet)
        }
        return Surroundings(step: step, common: common, inlet: inlet)
    }

    /// Mean load per replica: a day and a week, in UTC.
    private func serviceLoad(hours: Double) -> Double {
        let hourOfDay = hours.truncatingRemainder(dividingBy: 24)
        // 1970-01-01 was a Thursday; day 2 and 3 of the count are a weekend.
        let weekday = Int((hours / 24).rounded(.down)) % 7
        let weekend = weekday == 2 || weekday == 3 ? 0.70 : 1
        return 0.42 * (1 + 0.55 * sin(2 * .pi * (hourOfDay - 9) / 24)) * weekend
    }

    /// The core temperature that the load would reach if it lasted.
    func target(_ device: Int, _ load: DeviceLoad, _ around: Surroundings) -> Double {
        let host = device / plan.devicesPerHost
        return around.inlet[host / plan.hostsPerRack] + roster.slotOffset(of: device)
            + roster.traits[device].thermalResistance * load.power
    }

    func load(of device: Int, at step: Int, _ around: Surroundings) -> DeviceLoad {
        let time = time(of: device, at: step)
        let traits = roster.traits[device]
        var load = DeviceLoad()
        if let index = roster.job(of: device, at: time) {
            let job = roster.jobs[index]
            let seconds = Double(time - job.start) / 1_000
            let common = around.common[index]
            switch job.kind {
            case .train:
                train(&load, traits, step, job.schedule.phase(at: seconds), seconds, common)
            case .inference:
                serve(&load, traits, step, common * loadFactor(of: device, at: time))
            case .notebook: explore(&load, traits, step, seconds)
            }
        } else {
            idle(&load, traits, step)
        }
        for effect in roster.effects[device] where effect.isActive(at: time) {
            apply(effect, to: &load, traits, step, at: time)
        }
        return load
    }

    private func loadFactor(of device: Int, at time: Int64) -> Double {
        var product = 1.0
        for effect in roster.effects[device] where effect.isActive(at: time) {
            if case .load(let factor) = effect.action { product *= factor }
        }
        return product
    }

    private func idle(_ load: inout DeviceLoad, _ traits: DeviceTraits, _ step: Int) {
        load.power = DeviceLoad.idlePower + 3 * Noise.normal(traits.stream, step, .power)
    }

    private func train(
        _ load: inout DeviceLoad, _ traits: DeviceTraits, _ step: Int,
        _ phase: TrainingSchedule.Phase, _ seconds: Double, _ common: Double
    ) {
        let stream = traits.stream
        // Loading weights fills the memory in the first 90 s.
        let filled = 0.02 + 0.90 * min(1, max(0, seconds / 90))
        load.memory =
            DeviceLoad.totalMemory * filled
            * (1 + 0.000_5 * Noise.normal(stream, step, .memory))
        load.throttle = 0
        load.clock = DeviceLoad.clockMax
        switch phase {
        case .loading:
            load.busy = Noise.uniform(0.1...0.4, stream, step, .start)
            load.power = DeviceLoad.idlePower + 200 * load.busy
            load.pcie = 5e9
            return
        case .checkpointing:
            load.busy = 0.04
            load.power = 190 + 3 * Noise.normal(stream, step, .power)
            load.pcie = 1e10
            return
        case .stepping, .evaluating: break
        }
        let own = fast.value(stream, step, .own)
        load.busy = min(1, 0.965 + 0.008 * common + 0.006 * own)
        load.tensor = max(0, 0.42 + 0.018 * common + 0.010 * own)
        load.membw = 0.45 + 0.03 * Noise.normal(stream, step, .membw)
        load.clock -= 15 * abs(Noise.normal(stream, step, .clock))
        load.power =
            640 + 9 * common + 7 * own + 10 * traits.powerOffset
            + 1.5 * Noise.normal(stream, step, .power)
        load.pcie = 0.5e9 + 4.5e9 * Noise.uniform(stream, step, .pcie)
        if phase == .evaluating {
            load.tensor *= 0.7
            load.scalePower(by: 0.85)
        }
        load.sm = min(1, 0.86 + 0.02 * own)
        load.link =
            1.2e11 * (load.tensor / 0.42)
            * max(0, 1 + 0.05 * Noise.normal(stream, step, .link))
        if load.power > DeviceLoad.powerLimit {
            load.clock = DeviceLoad.clockMax * pow(DeviceLoad.powerLimit / load.power, 1 / 2.2)
            load.power = DeviceLoad.powerLimit
            load.throttle |= DeviceLoad.powerCapReason
        }
    }

    private func serve(
        _ load: inout DeviceLoad, _ traits: DeviceTraits, _ step: Int, _ demand: Double
    ) {
        let stream = traits.stream
        let share = min(1, demand * exp(0.15 * replica.value(stream, step, .own)))
        load.busy = share
        load.sm = 0.8 * share
        load.tensor = 0.25 * share
        load.membw = 0.3 + 0.5 * share
        load.memory = 0.90 * DeviceLoad.totalMemory
        load.power = 90 + 460 * pow(share, 0.7) + 1.5 * Noise.normal(stream, step, .power)
        load.clock = DeviceLoad.clockMax
        load.link = 2e10 * share * max(0, 1 + 0.05 * Noise.normal(stream, step, .link))
        load.pcie = 0.1e9 + 1.9e9 * share
        load.throttle = 0
    }

    /// One burst of 1–10 min in every three hours.
    private func explore(
        _ load: inout DeviceLoad, _ traits: DeviceTraits, _ step: Int, _ seconds: Double
    ) {
        idle(&load, traits, step)
        load.memory = 0.25 * DeviceLoad.totalMemory
        let slot = Int(seconds / 10_800)
        let begin =
            Double(slot) * 10_800 + Noise.uniform(0...9_000, traits.stream, slot, .schedule)
        let length = Noise.uniform(60...600, traits.stream, slot, .place)
        guard seconds >= begin, seconds < begin + length else { return }
        load.busy = Noise.uniform(0.3...0.9, traits.stream, step, .start)
        load.sm = 0.6 * load.busy
        load.tensor = 0.2 * load.busy
        load.membw = 0.3 * load.busy
        load.power = DeviceLoad.idlePower + 380 * load.busy
        load.clock = DeviceLoad.clockMax
        load.throttle = 0
    }

    private func apply(
        _ effect: Effect, to load: inout DeviceLoad, _ traits: DeviceTraits, _ step: Int,
        at time: Int64
    ) {
        switch effect.action {
        case .idle(let keepsMemory):
            let memory = load.memory
            load = DeviceLoad()
            idle(&load, traits, step)
            if keepsMemory { load.memory = memory }
        case .hang(let watts):
            // Every rank spins in the collective: busy by the clock, and computing nothing.
            load.busy = 1
            load.sm = 0.05
            load.tensor = 0
            load.membw = 0.02
            load.power = watts + 0.6 * Noise.normal(traits.stream, step, .power)
            load.clock = DeviceLoad.clockMax
            load.link = 0
            load.pcie = 0
            load.throttle = 0
            load.memory = 0.92 * DeviceLoad.totalMemory
        case .slowRank(let slowdown):
            // It works without a pause, so its share of busy tensor cycles stays.
            load.clock *= 1 - slowdown
            load.scalePower(by: 1 - slowdown)
            load.link *= 1 - slowdown
        case .waitingRank(let slowdown):
            load.tensor *= 1 - slowdown
            load.link *= 1 - slowdown
            // Spinning costs less than computing, but not nothing.
            load.scalePower(by: 1 - 0.6 * slowdown)
        case .clockStuck(let megahertz):
            load.scalePower(by: min(1, megahertz / load.clock))
            load.clock = megahertz
            load.throttle = 0
        case .brake:
            load.clock *= 0.5
            load.power *= 0.5
            load.throttle |= DeviceLoad.powerBrakeReason
        case .thermal(let ramp):
            guard time - effect.start >= ramp else { return }
            load.clock *= 0.5
            load.scalePower(by: 0.55)
            load.throttle |=
                DeviceLoad.hardwareThermalReason | DeviceLoad.hardwareSlowdownReason
        case .silent, .uncorrectableECC, .remapFailed, .linkErrors, .load, .flatline: break
        }
    }
}

/// dT/dt = (target − T)/45 s, as a weighted mean of past targets.
struct ThermalFilter: Sendable {
    /// Newest first; they add up to one.
    let weights: [Double]

    init(periodSeconds: Double) {
        let keep = exp(-periodSeconds / 45)
        // Five time constants: what is left out weighs less than 1 %.
        let terms = max(2, Int((225 / periodSeconds).rounded(.up)) + 1)
        var weights = (0..<terms).map { (1 - keep) * pow(keep, Double($0)) }
        weights[terms - 1] = pow(keep, Double(terms - 1))
        self.weights = weights
    }
}
