extension Metric {
    // Group 0: what nearly every accelerator reports on every tick.
    package static let utilBusy = Metric(rawValue: 0)
    package static let utilSM = Metric(rawValue: 1)
    package static let utilTensor = Metric(rawValue: 2)
    package static let utilMembw = Metric(rawValue: 3)
    package static let memUsed = Metric(rawValue: 4)
    package static let memUsedRatio = Metric(rawValue: 5)
    package static let powerDraw = Metric(rawValue: 6)
    package static let powerRatio = Metric(rawValue: 7)
    package static let tempCore = Metric(rawValue: 8)
    package static let tempMem = Metric(rawValue: 9)
    package static let clockCore = Metric(rawValue: 10)
    package static let clockMem = Metric(rawValue: 11)
    package static let throttleReasons = Metric(rawValue: 12)
    package static let linkBytes = Metric(rawValue: 13)
    package static let pcieBytes = Metric(rawValue: 14)
    package static let fanRatio = Metric(rawValue: 15)

    // Group 1: limits, states and counters that come along, and change rarely.
    package static let memTotal = Metric(rawValue: 16)
    package static let powerLimit = Metric(rawValue: 17)
    package static let clockCoreMax = Metric(rawValue: 18)
    package static let tempMargin = Metric(rawValue: 19)
    package static let throttlePowerTime = Metric(rawValue: 20)
    package static let eccCorrected = Metric(rawValue: 21)
    package static let eccUncorrected = Metric(rawValue: 22)
    package static let remapPending = Metric(rawValue: 23)
    package static let remapFailed = Metric(rawValue: 24)
    package static let pcieReplays = Metric(rawValue: 25)
    package static let linkErrors = Metric(rawValue: 26)
    package static let pcieGenRatio = Metric(rawValue: 27)
    package static let pcieWidthRatio = Metric(rawValue: 28)
    package static let linkHealth = Metric(rawValue: 29)
    package static let tempInlet = Metric(rawValue: 30)
    package static let hostDevicesVisible = Metric(rawValue: 31)

    // Group 2: what few report, or in messages of its own: times, work, and telemetry itself.
    package static let throttleThermalTime = Metric(rawValue: 32)
    package static let energyTotal = Metric(rawValue: 33)
    package static let eccSRAMUncorrected = Metric(rawValue: 34)
    package static let remapUncorrected = Metric(rawValue: 35)
    package static let remapCorrected = Metric(rawValue: 36)
    package static let utilOccupancy = Metric(rawValue: 37)
    package static let jobStepTime = Metric(rawValue: 38)
    package static let jobMFU = Metric(rawValue: 39)
    package static let jobInputWait = Metric(rawValue: 40)
    package static let inferRPS = Metric(rawValue: 41)
    package static let inferQueue = Metric(rawValue: 42)
    package static let inferP99 = Metric(rawValue: 43)
    package static let telUp = Metric(rawValue: 44)
    package static let telScrapeLatency = Metric(rawValue: 45)
    package static let telPayload = Metric(rawValue: 46)
    /// The last fault code that a sticky gauge showed; its transitions become faults.
    package static let faultCode = Metric(rawValue: 47)
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
        define(.throttlePowerTime, "throttle.power_time", "s", .counter, 0...1e12, 0),
        define(.eccCorrected, "ecc.corrected", "count", .counter, 0...1e15, 0),
        define(.eccUncorrected, "ecc.uncorrected", "count", .counter, 0...1e15, 0),
        define(.remapPending, "remap.pending", "state", .state, 0...1, 0),
        define(.remapFailed, "remap.failed", "state", .state, 0...1, 0),
        define(.pcieReplays, "pcie.replays", "count", .counter, 0...1e15, 0),
        define(.linkErrors, "link.errors", "count", .counter, 0...1e15, 0),
        define(.pcieGenRatio, "pcie.gen_ratio", "ratio", .gauge, 0...1, 0),
        define(.pcieWidthRatio, "pcie.width_ratio", "ratio", .gauge, 0...1, 0),
        define(.linkHealth, "link.health", "ratio", .gauge, 0...1, 0),
        define(.tempInlet, "temp.inlet", "°C", .gauge, -20...80, 0.5),
        define(.hostDevicesVisible, "host.devices_visible", "count", .gauge, 0...4_096, 0),
        define(.throttleThermalTime, "throttle.thermal_time", "s", .counter, 0...1e12, 0),
        define(.energyTotal, "energy.total", "J", .counter, 0...1e18, 0),
        define(.eccSRAMUncorrected, "ecc.sram_uncorrected", "count", .counter, 0...1e15, 0),
        define(.remapUncorrected, "remap.uncorrected", "rows", .counter, 0...1e6, 0),
        define(.remapCorrected, "remap.corrected", "rows", .counter, 0...1e6, 0),
        define(.utilOccupancy, "util.occupancy", "ratio", .gauge, 0...1, 0.02),
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
