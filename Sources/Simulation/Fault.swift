/// One thing that goes wrong, or wastes: what, when and where.
package struct Fault: Sendable {
    /// The catalogue (reference, rules and simulator 5.5).
    package enum Kind: Sendable, Equatable {
        /// F01: the device falls silent, with XID 79 up to 5 s before if `announced`.
        case offBus(announced: Bool)
        /// F02: every device of the host falls silent.
        case hostDown
        /// F03: a share of the hosts is delivered only when it is over.
        case pipelineOutage(hostShare: Double)
        /// F04: one uncorrectable error and the XIDs 48, 94 and 45 within 2 s.
        case uncorrectableECC
        /// F05: a row could not be remapped.
        case remapFailed
        /// F07: the core heats up over `ramp`; at the slowdown temperature the clock halves.
        case hardwareThermal(ramp: Duration)
        /// F10: the power supply asserts the brake on a whole host.
        case powerBrake
        /// F12: the clock stays at a value, and no throttle reason says why.
        case clockStuck(megahertz: Double)
        /// F13: the counter of link errors rises.
        case linkErrors(perSecond: Double)
        /// F15: one rank is slower by this share, and its peers wait.
        case straggler(slowdown: Double)
        /// F16: a collective that never ends, on all ranks of a job.
        case hang
        /// F17: the processes are gone, the devices are still held.
        case crashAllocated
        /// F18: held, and never used.
        case idleAllocated
        /// F22: every value of the device repeats for ever.
        case flatline
        /// F25: the load of a service is multiplied by this.
        case trafficDrop(factor: Double)
    }

    package enum Target: Sendable, Equatable, CustomStringConvertible {
        /// By ordinal.
        case device(Int)
        case host(Int)
        /// A job or service by name.
        case workload(String)
        case fleet

        package var description: String {
            switch self {
            case .device(let ordinal): "device \(ordinal)"
            case .host(let ordinal): "host \(ordinal)"
            case .workload(let name): "workload \(name)"
            case .fleet: "the fleet"
            }
        }
    }

    package var kind: Kind
    package var target: Target
    /// Offset from the start of the simulation.
    package var start: Duration
    package var duration: Duration

    package init(_ kind: Kind, of target: Target, at start: Duration, for duration: Duration) {
        self.kind = kind
        self.target = target
        self.start = start
        self.duration = duration
    }
}

extension Fault.Kind {
    /// Number and name in the catalogue.
    package var catalogue: (number: String, name: String) {
        switch self {
        case .offBus: ("F01", "off_bus")
        case .hostDown: ("F02", "host_down")
        case .pipelineOutage: ("F03", "pipeline_outage")
        case .uncorrectableECC: ("F04", "ecc_ue")
        case .remapFailed: ("F05", "remap_failed")
        case .hardwareThermal: ("F07", "hw_thermal")
        case .powerBrake: ("F10", "power_brake")
        case .clockStuck: ("F12", "clock_stuck")
        case .linkErrors: ("F13", "nvlink_crc")
        case .straggler: ("F15", "straggler")
        case .hang: ("F16", "hang")
        case .crashAllocated: ("F17", "crash_allocated")
        case .idleAllocated: ("F18", "idle_allocated")
        case .flatline: ("F22", "flatline")
        case .trafficDrop: ("F25", "traffic_drop")
        }
    }

    /// Whether the fault can befall such a target at all.
    func fits(_ target: Fault.Target) -> Bool {
        switch (self, target) {
        case (.hostDown, .host), (.powerBrake, .host), (.pipelineOutage, .fleet): true
        case (.hang, .workload), (.crashAllocated, .workload), (.idleAllocated, .workload),
            (.trafficDrop, .workload):
            true
        case (.offBus, .device), (.uncorrectableECC, .device), (.remapFailed, .device),
            (.hardwareThermal, .device), (.clockStuck, .device), (.linkErrors, .device),
            (.straggler, .device), (.flatline, .device):
            true
        default: false
        }
    }

    var events: [(afterSeconds: Double, event: TickEvent)] {
        switch self {
        case .offBus(announced: true):
            [(-5, TickEvent(code: 79, text: "GPU has fallen off the bus"))]
        case .uncorrectableECC:
            [
                (0, TickEvent(code: 48, text: "Double Bit ECC Error")),
                (0.7, TickEvent(code: 94, text: "Contained memory error")),
                (1.8, TickEvent(code: 45, text: "Preemptive cleanup, due to previous errors")),
            ]
        case .remapFailed:
            [(0, TickEvent(code: 64, text: "Row remapping failure"))]
        default: []
        }
    }
}

/// What one fault does to one device, resolved to absolute milliseconds.
struct Effect: Sendable {
    enum Action: Sendable {
        case silent, uncorrectableECC, remapFailed, brake, hang(watts: Double), idle(
            keepsMemory: Bool)
        case flatline
        case thermal(rampMilliseconds: Int64)
        case clockStuck(Double)
        case linkErrors(perSecond: Double)
        case slowRank(Double)
        case waitingRank(Double)
        case load(factor: Double)
    }

    let action: Action
    let start: Int64
    let end: Int64

    func isActive(at time: Int64) -> Bool { time >= start && time < end }
}

/// Why a simulation cannot be set up: what was asked, and what to do.
package struct SimulationError: Error, Equatable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}
