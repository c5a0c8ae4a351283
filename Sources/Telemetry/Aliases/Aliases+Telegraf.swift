/// Telegraf's own inputs, whose field names mean something only within their measurement.
extension Aliases {
    static let nvidiaSMI: [Alias] = nvidiaSMILoad + nvidiaSMIHealth

    private static let nvidiaSMILoad: [Alias] = [
        Alias("utilization_gpu", means: .value(.utilBusy, Unit.percent)),
        Alias("utilization_memory", means: .value(.utilMembw, Unit.percent)),
        Alias("memory_used", means: .value(.memUsed, Unit.mebibytes)),
        Alias("memory_total", means: .value(.memTotal, Unit.mebibytes)),
        Alias("power_draw", means: .value(.powerDraw)),
        Alias("power_limit", means: .value(.powerLimit)),
        Alias("temperature_gpu", means: .value(.tempCore)),
        Alias("temperature_memory", means: .value(.tempMem)),
        Alias("temperature_gpu_tlimit", means: .value(.tempMargin)),
        Alias("clocks_current_sm", means: .value(.clockCore)),
        Alias("clocks_current_memory", means: .value(.clockMem)),
        Alias("clocks_max_sm", means: .value(.clockCoreMax)),
        Alias("fan_speed", means: .value(.fanRatio, Unit.percent)),
        Alias("pcie_tx_util", means: .sum(.pcieBytes, part: 0, Unit.kilobytes)),
        Alias("pcie_rx_util", means: .sum(.pcieBytes, part: 1, Unit.kilobytes)),
        Alias("pcie_link_gen_current", means: .peak(.pcieGenRatio)),
        Alias("pcie_link_width_current", means: .peak(.pcieWidthRatio)),
    ]

    private static let nvidiaSMIHealth: [Alias] = [
        Alias("clocks_event_reason_gpu_idle", means: .flag(0x1)),
        Alias("clocks_event_reason_applications_clocks_setting", means: .flag(0x2)),
        Alias("clocks_event_reason_sw_power_cap", means: .flag(0x4)),
        Alias("clocks_event_reason_hw_slowdown", means: .flag(0x8)),
        Alias("clocks_event_reason_sync_boost", means: .flag(0x10)),
        Alias("clocks_event_reason_sw_thermal_slowdown", means: .flag(0x20)),
        Alias("clocks_event_reason_hw_thermal_slowdown", means: .flag(0x40)),
        Alias("clocks_event_reason_hw_power_brake_slowdown", means: .flag(0x80)),
        Alias("clocks_event_reason_display_clocks_setting", means: .flag(0x100)),
        Alias(
            "clocks_event_reasons_counters_sw_therm_slowdown",
            means: .sum(.throttleThermalTime, part: 0, Unit.micro)),
        Alias(
            "clocks_event_reasons_counters_hw_therm_slowdown",
            means: .sum(.throttleThermalTime, part: 1, Unit.micro)),
        Alias(
            "clocks_event_reasons_counters_sw_power_cap",
            means: .value(.throttlePowerTime, Unit.micro)),
        Alias("ecc_errors_volatile_dram_correctable", means: .sum(.eccCorrected, part: 0)),
        Alias("ecc_errors_volatile_sram_correctable", means: .sum(.eccCorrected, part: 1)),
        Alias("ecc_errors_volatile_dram_uncorrectable", means: .sum(.eccUncorrected, part: 0)),
        Alias("ecc_errors_volatile_sram_uncorrectable", means: .sum(.eccUncorrected, part: 1)),
        Alias("ecc_errors_aggregate_sram_uncorrectable", means: .value(.eccSRAMUncorrected)),
        Alias("remapped_rows_correctable", means: .value(.remapCorrected)),
        Alias("remapped_rows_uncorrectable", means: .value(.remapUncorrected)),
        Alias("remapped_rows_pending", means: .value(.remapPending)),
        Alias("remapped_rows_failure", means: .value(.remapFailed)),
    ]

    static let nvidiaMIG: [Alias] = [
        Alias(
            "memory_fb_used", "memory_used",
            means: .value(.memUsed, Unit.mebibytes, level: .instance)),
        Alias(
            "memory_fb_total", "memory_total",
            means: .value(.memTotal, Unit.mebibytes, level: .instance)),
        Alias(
            "sram_uncorrectable", means: .value(.eccSRAMUncorrected, level: .instance)),
    ]

    static let rocmSMI: [Alias] = [
        Alias("utilization_gpu", means: .value(.utilBusy, Unit.percent)),
        Alias("utilization_memory", means: .value(.utilMembw, Unit.percent)),
        Alias("memory_used", means: .value(.memUsed)),
        Alias("memory_total", means: .value(.memTotal)),
        Alias("power_draw", means: .value(.powerDraw)),
        // The hotspot is what throttles; the edge sensor stands in on cards without one.
        Alias("temperature_sensor_junction", means: .value(.tempCore, rank: 2)),
        Alias("temperature_sensor_edge", means: .value(.tempCore, rank: 1)),
        Alias("temperature_sensor_memory", means: .value(.tempMem)),
        Alias("clocks_current_sm", means: .value(.clockCore)),
        Alias("clocks_current_memory", means: .value(.clockMem)),
        Alias("fan_speed", means: .value(.fanRatio, Unit.percent)),
    ]
}
