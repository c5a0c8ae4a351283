/// The AMD device-metrics-exporter; every name may carry a site's `amd_` in front.
extension Aliases {
    static let amd: [Alias] = [
        Alias("gpu_gfx_activity", means: .value(.utilBusy, Unit.percent)),
        Alias("gpu_umc_activity", means: .value(.utilMembw, Unit.percent)),
        Alias("gpu_prof_sm_active", means: .value(.utilSM, Unit.percent)),
        Alias("gpu_prof_tensor_active_percent", means: .value(.utilTensor, Unit.percent)),
        // "MB" of the exporter is mebibytes: an MI300X of 192 GiB reports 196 592.
        Alias("gpu_used_vram", means: .value(.memUsed, Unit.mebibytes)),
        Alias("gpu_total_vram", means: .value(.memTotal, Unit.mebibytes)),
        Alias("gpu_package_power", means: .value(.powerDraw, rank: 3)),
        Alias("gpu_average_package_power", means: .value(.powerDraw, rank: 2)),
        Alias("gpu_power_usage", means: .value(.powerDraw, rank: 1)),
        Alias("gpu_energy_consumed", means: .value(.energyTotal, Unit.micro)),
        Alias("gpu_junction_temperature", means: .value(.tempCore, rank: 2)),
        Alias("gpu_edge_temperature", means: .value(.tempCore, rank: 1)),
        Alias("gpu_memory_temperature", means: .value(.tempMem)),
        Alias(
            "gpu_clock", where: .clockType, is: "system", "gpu_clock_type_system",
            means: .value(.clockCore, isFirstOnly: true)),
        Alias(
            "gpu_clock", where: .clockType, is: "memory", "gpu_clock_type_memory",
            means: .value(.clockMem, isFirstOnly: true)),
        Alias("pcie_speed", means: .ratio(.pcieGenRatio, part: 0)),
        Alias("pcie_max_speed", means: .ratio(.pcieGenRatio, part: 1)),
        Alias("pcie_replay_count", means: .value(.pcieReplays)),
        Alias("gpu_ecc_correct_total", means: .value(.eccCorrected)),
        Alias("gpu_ecc_uncorrect_total", means: .value(.eccUncorrected)),
        Alias("gpu_ecc_correct_xgmi_wafl", means: .sum(.linkErrors, part: 0)),
        Alias("gpu_ecc_uncorrect_xgmi_wafl", means: .sum(.linkErrors, part: 1)),
        Alias("gpu_xgmi_link_tx", means: .rate(.linkBytes, part: 0, Unit.kilobytes)),
        Alias("gpu_xgmi_link_rx", means: .rate(.linkBytes, part: 1, Unit.kilobytes)),
        // The accumulated residencies count ticks of unknown length and are left out.
        Alias("gpu_violation_ppt_residency_percentage", means: .flag(0x4)),
        Alias(
            "gpu_violation_processor_hot_residency_percentage", means: hot(part: 6)),
        Alias(
            "gpu_violation_socket_thermal_residency_percentage", means: hot(part: 7)),
        Alias("gpu_violation_vr_thermal_residency_percentage", means: hot(part: 8)),
        Alias("gpu_violation_hbm_thermal_residency_percentage", means: hot(part: 9)),
        Alias("gpu_afid_errors", means: .stickyFault),
        Alias("gpu_nodes_total", means: .value(.hostDevicesVisible, level: .host)),
    ]

    /// Four sensors raise the same flag, each as a part of its own.
    private static func hot(part: UInt16) -> Meaning {
        Meaning(metric: .throttleReasons, combine: .flags, part: part, flags: 0x40)
    }
}
