extension Metric {
    // Group 0: what nearly every accelerator reports on every tick.
    @inlinable package static var utilBusy: Metric { Metric(rawValue: 0) }
    @inlinable package static var utilSM: Metric { Metric(rawValue: 1) }
    @inlinable package static var utilTensor: Metric { Metric(rawValue: 2) }
    @inlinable package static var utilMembw: Metric { Metric(rawValue: 3) }
    @inlinable package static var memUsed: Metric { Metric(rawValue: 4) }
    @inlinable package static var memUsedRatio: Metric { Metric(rawValue: 5) }
    @inlinable package static var powerDraw: Metric { Metric(rawValue: 6) }
    @inlinable package static var powerRatio: Metric { Metric(rawValue: 7) }
    @inlinable package static var tempCore: Metric { Metric(rawValue: 8) }
    @inlinable package static var tempMem: Metric { Metric(rawValue: 9) }
    @inlinable package static var clockCore: Metric { Metric(rawValue: 10) }
    @inlinable package static var clockMem: Metric { Metric(rawValue: 11) }
    @inlinable package static var throttleReasons: Metric { Metric(rawValue: 12) }
    @inlinable package static var linkBytes: Metric { Metric(rawValue: 13) }
    @inlinable package static var pcieBytes: Metric { Metric(rawValue: 14) }
    @inlinable package static var fanRatio: Metric { Metric(rawValue: 15) }

    // Group 1: limits, counters and states, which change rarely.
    @inlinable package static var memTotal: Metric { Metric(rawValue: 16) }
    @inlinable package static var powerLimit: Metric { Metric(rawValue: 17) }
    @inlinable package static var clockCoreMax: Metric { Metric(rawValue: 18) }
    @inlinable package static var tempMargin: Metric { Metric(rawValue: 19) }
    @inlinable package static var energyTotal: Metric { Metric(rawValue: 20) }
    @inlinable package static var throttleThermalTime: Metric { Metric(rawValue: 21) }
    @inlinable package static var throttlePowerTime: Metric { Metric(rawValue: 22) }
    @inlinable package static var eccCorrected: Metric { Metric(rawValue: 23) }
    @inlinable package static var eccUncorrected: Metric { Metric(rawValue: 24) }
    @inlinable package static var eccSRAMUncorrected: Metric { Metric(rawValue: 25) }
    @inlinable package static var remapUncorrected: Metric { Metric(rawValue: 26) }
    @inlinable package static var remapCorrected: Metric { Metric(rawValue: 27) }
    @inlinable package static var remapPending: Metric { Metric(rawValue: 28) }
    @inlinable package static var remapFailed: Metric { Metric(rawValue: 29) }
    @inlinable package static var pcieReplays: Metric { Metric(rawValue: 30) }
    @inlinable package static var linkErrors: Metric { Metric(rawValue: 31) }

    // Group 2: links, host and workload.
    @inlinable package static var pcieGenRatio: Metric { Metric(rawValue: 32) }
    @inlinable package static var pcieWidthRatio: Metric { Metric(rawValue: 33) }
    @inlinable package static var linkHealth: Metric { Metric(rawValue: 34) }
    @inlinable package static var utilOccupancy: Metric { Metric(rawValue: 35) }
    @inlinable package static var tempInlet: Metric { Metric(rawValue: 36) }
    @inlinable package static var hostDevicesVisible: Metric { Metric(rawValue: 37) }
    @inlinable package static var jobStepTime: Metric { Metric(rawValue: 38) }
    @inlinable package static var jobMFU: Metric { Metric(rawValue: 39) }
    @inlinable package static var jobInputWait: Metric { Metric(rawValue: 40) }
    @inlinable package static var inferRPS: Metric { Metric(rawValue: 41) }
    @inlinable package static var inferQueue: Metric { Metric(rawValue: 42) }
    @inlinable package static var inferP99: Metric { Metric(rawValue: 43) }
    @inlinable package static var telUp: Metric { Metric(rawValue: 44) }
    @inlinable package static var telScrapeLatency: Metric { Metric(rawValue: 45) }
    @inlinable package static var telPayload: Metric { Metric(rawValue: 46) }
    /// The last fault code that a sticky gauge showed; its transitions become faults.
    @inlinable package static var faultCode: Metric { Metric(rawValue: 47) }
}

extension Vocabulary {
    /// Ranges and floors: reference, accelerators 1.6 (valid range; noise sigma of 10 s samples).
    package static let canonical: [MetricDefinition] = [
        define(.utilBusy, "util.busy", "ratio", .gauge, 0...1, 0.01),
        define(.utilSM, "util.sm", "ratio", .gauge, 0...1, 0.02),
        define(.utilTensor, "util.tensor", "ratio", .gauge, 0...1, 0.006),
        define(.utilMembw, "util.membw", "ratio", .gauge, 0...1, 0.02),
        define(.memUsed, "mem.used", "B", .gauge, 0...1e13, 64e6),
        define(.memUsedRatio, "mem.used_ratio", "ratio", .gauge, 0...1.01, 0.001),
        define(.powerDraw, "power.draw", "W", .gauge, 0...3_000, 5),
        define(.powerRatio, "power.ratio", "ratio", .gauge, 0...1.5, 0.01),
        define(.tempCore, "temp.core", "°C", .gauge, 1...120, 1),
        define(.tempMem, "temp.mem", "°C", .gauge, 1...125, 1),
        define(.clockCore, "clock.core", "MHz", .gauge, 100...4_000, 15),
        define(.clockMem, "clock.mem", "MHz", .gauge, 100...20_000, 15),
        define(.throttleReasons, "throttle.reasons", "bitmask", .state, 0...511, 0),
        define(.linkBytes, "link.bytes", "B/s", .gauge, 0...4e12, 1e8),
        define(.pcieBytes, "pcie.bytes", "B/s", .gauge, 0...1e12, 1e8),
        define(.fanRatio, "fan.ratio", "ratio", .gauge, 0...1.2, 0.02),
        define(.memTotal, "mem.total", "B", .gauge, 1...1e13, 0),
        define(.powerLimit, "power.limit", "W", .gauge, 50...3_000, 0),
        define(.clockCoreMax, "clock.core_max", "MHz", .gauge, 100...5_000, 0),
        define(.tempMargin, "temp.margin", "°C", .gauge, -20...120, 1),
        define(.energyTotal, "energy.total", "J", .counter, 0...1e18, 0),
        define(.throttleThermalTime, "throttle.thermal_time", "s", .counter, 0...1e12, 0),
        define(.throttlePowerTime, "throttle.power_time", "s", .counter, 0...1e12, 0),
        define(.eccCorrected, "ecc.corrected", "count", .counter, 0...1e15, 0),
        define(.eccUncorrected, "ecc.uncorrected", "count", .counter, 0...1e15, 0),
        define(.eccSRAMUncorrected, "ecc.sram_uncorrected", "count", .counter, 0...1e15, 0),
        define(.remapUncorrected, "remap.uncorrected", "rows", .counter, 0...1e6, 0),
        define(.remapCorrected, "remap.corrected", "rows", .counter, 0...1e6, 0),
        define(.remapPending, "remap.pending", "state", .state, 0...1, 0),
        define(.remapFailed, "remap.failed", "state", .state, 0...1, 0),
        define(.pcieReplays, "pcie.replays", "count", .counter, 0...1e15, 0),
        define(.linkErrors, "link.errors", "count", .counter, 0...1e15, 0),
        define(.pcieGenRatio, "pcie.gen_ratio", "ratio", .gauge, 0...1, 0),
        define(.pcieWidthRatio, "pcie.width_ratio", "ratio", .gauge, 0...1, 0),
        define(.linkHealth, "link.health", "ratio", .gauge, 0...1, 0),
        define(.utilOccupancy, "util.occupancy", "ratio", .gauge, 0...1, 0.02),
        define(.tempInlet, "temp.inlet", "°C", .gauge, -20...80, 0.5),
        define(.hostDevicesVisible, "host.devices_visible", "count", .gauge, 0...4_096, 0),
        define(.jobStepTime, "job.step_time", "s", .gauge, 0...1e6, 0),
        define(.jobMFU, "job.mfu", "ratio", .gauge, 0...1, 0.005),
        define(.jobInputWait, "job.input_wait", "ratio", .gauge, 0...1, 0.01),
        define(.inferRPS, "infer.rps", "1/s", .gauge, 0...1e9, 0),
        define(.inferQueue, "infer.queue", "count", .gauge, 0...1e9, 0),
        define(.inferP99, "infer.p99", "s", .gauge, 0...1e6, 0),
        define(.telUp, "tel.up", "state", .state, 0...1, 0),
        define(.telScrapeLatency, "tel.scrape_latency", "s", .gauge, 0...1e6, 0.05),
        define(.telPayload, "tel.payload", "count", .gauge, 0...1e9, 0),
        define(.faultCode, "fault.code", "code", .state, 0...100_000, 0),
    ]

    private static func define(
        _ metric: Metric, _ name: String, _ unit: String, _ kind: MetricKind,
        _ valid: ClosedRange<Double>, _ floor: Double
    ) -> MetricDefinition {
        MetricDefinition(
            metric: metric, name: name, unit: unit, kind: kind, valid: valid, floor: floor)
    }
}
