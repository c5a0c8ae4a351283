/// Intel Gaudi, AWS Neuron, OpenTelemetry's hardware conventions, Fluent Bit, and the health of
/// the scrapes themselves.
extension Aliases {
    static let gaudi: [Alias] = [
        Alias("habanalabs_utilization", means: .value(.utilBusy, Unit.percent)),
        Alias("habanalabs_memory_used_bytes", means: .value(.memUsed)),
        Alias("habanalabs_memory_total_bytes", means: .value(.memTotal)),
        Alias("habanalabs_power_mW", means: .value(.powerDraw, Unit.milli)),
        Alias("habanalabs_power_default_limit_mW", means: .value(.powerLimit, Unit.milli)),
        // Straight from the vendor's library, which counts millijoules.
        Alias("habanalabs_energy", means: .value(.energyTotal, Unit.milli)),
        Alias("habanalabs_temperature_onchip", means: .value(.tempCore)),
        Alias("habanalabs_clock_soc_mhz", means: .value(.clockCore)),
        Alias("habanalabs_clock_soc_max_mhz", means: .value(.clockCoreMax)),
        Alias("habanalabs_pci_link_speed", means: .peak(.pcieGenRatio)),
        Alias("habanalabs_pci_link_width", means: .peak(.pcieWidthRatio)),
        Alias("habanalabs_pcie_replay_count", means: .value(.pcieReplays)),
        Alias(
            "habanalabs_pending_rows_with_single_bit_ecc_errors", means: .value(.remapCorrected)),
        Alias(
            "habanalabs_pending_rows_with_double_bit_ecc_errors",
            means: .value(.remapUncorrected)),
        Alias("habanalabs_pending_rows_state", means: .value(.remapPending)),
        Alias("habanalabs_nic_port_status", means: .mean(.linkHealth)),
    ]

    static let neuron: [Alias] = [
        Alias("neuroncore_utilization", means: .value(.utilBusy, Unit.percent, rank: 1)),
        Alias("neuroncore_utilization_ratio", means: .value(.utilBusy, rank: 2)),
        Alias(
            "neuron_runtime_memory_used_bytes", "neurondevice_runtime_memory_used_bytes",
            where: .memoryLocation, is: "neuron_device", means: .value(.memUsed)),
        ecc("mem_ecc_corrected", means: .sum(.eccCorrected, part: 0)),
        ecc("sram_ecc_corrected", means: .sum(.eccCorrected, part: 1)),
        ecc("mem_ecc_uncorrected", means: .sum(.eccUncorrected, part: 0)),
        ecc(
            "sram_ecc_uncorrected", means: .sum(.eccUncorrected, part: 1),
            also: .value(.eccSRAMUncorrected)),
        labelledECC("mem_ecc_corrected", means: .sum(.eccCorrected, part: 0)),
        labelledECC("sram_ecc_corrected", means: .sum(.eccCorrected, part: 1)),
        labelledECC("mem_ecc_uncorrected", means: .sum(.eccUncorrected, part: 0)),
        labelledECC(
            "sram_ecc_uncorrected", means: .sum(.eccUncorrected, part: 1),
            also: .value(.eccSRAMUncorrected)),
    ]

    private static func ecc(_ name: String, means: Meaning, also: Meaning? = nil) -> Alias {
        Alias(
            name, "neurondevice_hw_ecc_events_\(name)", "neurondevice_hw_ecc_events_total_\(name)",
            means: means, also: also)
    }

    private static func labelledECC(
        _ event: String, means: Meaning, also: Meaning? = nil
    )
        -> Alias
    {
        Alias(
            "neurondevice_hw_ecc_events_total", "hardware_ecc_events_total", where: .eventType,
            is: event, means: means, also: also)
    }

    /// Each name as OpenTelemetry writes it and as Prometheus spells it.
    static let hardware: [Alias] = [
        Alias(
            "hw.gpu.utilization", "hw_gpu_utilization", "hw_gpu_utilization_ratio",
            means: .value(.utilBusy)),
        Alias(
            "hw.gpu.memory.usage", "hw_gpu_memory_usage", "hw_gpu_memory_usage_bytes",
            means: .value(.memUsed)),
        Alias(
            "hw.gpu.memory.limit", "hw_gpu_memory_limit", "hw_gpu_memory_limit_bytes",
            means: .value(.memTotal)),
        Alias(
            "hw.gpu.memory.utilization", "hw_gpu_memory_utilization",
            "hw_gpu_memory_utilization_ratio", means: .value(.memUsedRatio)),
        Alias(
            "hw.gpu.io", "hw_gpu_io", "hw_gpu_io_bytes_total", where: .direction, is: "transmit",
            means: .rate(.pcieBytes, part: 0)),
        Alias(
            "hw.gpu.io", "hw_gpu_io", "hw_gpu_io_bytes_total", where: .direction, is: "receive",
            means: .rate(.pcieBytes, part: 1)),
        Alias("hw.power", "hw_power", "hw_power_watts", means: .value(.powerDraw)),
        Alias("hw.energy", "hw_energy", "hw_energy_joules_total", means: .value(.energyTotal)),
        Alias(
            "hw.temperature", "hw_temperature", "hw_temperature_celsius",
            means: .value(.tempCore)),
        Alias("hw.fan.speed_ratio", "hw_fan_speed_ratio", means: .value(.fanRatio)),
        Alias(
            "hw.errors", "hw_errors", "hw_errors_total", where: .errorType, is: "corrected",
            means: .value(.eccCorrected)),
        Alias(
            "hw.errors", "hw_errors", "hw_errors_total", where: .errorType, is: "uncorrected",
            means: .value(.eccUncorrected)),
    ]

    static let fluentBit: [Alias] = [
        Alias("gpu_utilization_percent", means: .value(.utilBusy, Unit.percent)),
        Alias("gpu_memory_used_bytes", means: .value(.memUsed)),
        Alias("gpu_memory_total_bytes", means: .value(.memTotal)),
        Alias("gpu_power_watts", means: .value(.powerDraw)),
        Alias("gpu_temperature_celsius", means: .value(.tempCore)),
        Alias("gpu_fan_pwm_percent", means: .value(.fanRatio, Unit.percent)),
        Alias(
            "gpu_clock_mhz", where: .type, is: "sm", means: .value(.clockCore, rank: 2)),
        Alias(
            "gpu_clock_mhz", where: .type, is: "graphics", means: .value(.clockCore, rank: 1)),
        Alias("gpu_clock_mhz", where: .type, is: "memory", means: .value(.clockMem)),
    ]

    /// What Prometheus says of its own scrapes: the only numbers that change when a device falls
    /// off the bus without a word.
    static let scrape: [Alias] = [
        Alias("up", means: .value(.telUp, level: .host)),
        Alias("scrape_duration_seconds", means: .value(.telScrapeLatency, level: .host)),
        Alias("scrape_samples_scraped", means: .value(.telPayload, level: .host)),
    ]
}
