/// NVIDIA DCGM, by way of dcgm-exporter: the names of every release and their successors.
///
/// "RATIO" in a new name says nothing: current exporters still send 0–100 for `GPU_UTIL_RATIO`, so
/// the unit is the one of this table and is never guessed from a value. The profiling fields were
/// always 0–1.
enum Aliases {
    static let dcgm: [Alias] = dcgmLoad + dcgmBoard + dcgmHealth

    private static let dcgmLoad: [Alias] = [
        Alias(
            "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_GPU_UTIL_RATIO",
            means: .value(.utilBusy, Unit.percent, rank: 2)),
        Alias(
            "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO",
            means: .value(.utilBusy, rank: 1, level: .instance)),
        Alias(
            "DCGM_FI_PROF_SM_ACTIVE", "DCGM_FI_PROF_SM_UTIL_RATIO",
            means: .value(.utilSM, level: .instance)),
        Alias(
            "DCGM_FI_PROF_SM_OCCUPANCY", "DCGM_FI_PROF_SM_OCCUPANCY_RATIO",
            means: .value(.utilOccupancy, level: .instance)),
        Alias(
            "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_PROF_TENSOR_UTIL_RATIO",
            means: .value(.utilTensor, level: .instance)),
        Alias(
            "DCGM_FI_PROF_DRAM_ACTIVE", "DCGM_FI_PROF_DRAM_UTIL_RATIO",
            means: .value(.utilMembw, rank: 2, level: .instance)),
        // Busy time of the memory controller: coarser than DRAM_ACTIVE, better than nothing.
        Alias(
            "DCGM_FI_DEV_MEM_COPY_UTIL", "DCGM_FI_DEV_MEM_COPY_UTIL_RATIO",
            means: .value(.utilMembw, Unit.percent, rank: 1)),
        Alias(
            "DCGM_FI_DEV_FB_USED",
            means: .value(.memUsed, Unit.mebibytes, level: .instance),
            also: .sum(.memTotal, part: 0, Unit.mebibytes, level: .instance)),
        Alias(
            "DCGM_FI_DEV_FB_FREE",
            means: .sum(.memTotal, part: 1, Unit.mebibytes, level: .instance)),
        Alias(
            "DCGM_FI_DEV_FB_RESERVED",
            means: .sum(.memTotal, part: 2, Unit.mebibytes, level: .instance)),
        Alias(
            "DCGM_FI_DEV_FB_USED_PERCENT", "DCGM_FI_DEV_FB_USED_RATIO",
            means: .value(.memUsedRatio, level: .instance)),
        Alias("DCGM_FI_PROF_PCIE_TX_BYTES", means: .sum(.pcieBytes, part: 0)),
        Alias("DCGM_FI_PROF_PCIE_RX_BYTES", means: .sum(.pcieBytes, part: 1)),
        Alias("DCGM_FI_PROF_NVLINK_TX_BYTES", means: .sum(.linkBytes, part: 0)),
        Alias("DCGM_FI_PROF_NVLINK_RX_BYTES", means: .sum(.linkBytes, part: 1)),
        Alias(
            "DCGM_FI_DEV_COUNT", "DCGM_FI_SYSTEM_GPU_QUANTITY",
            means: .value(.hostDevicesVisible, level: .host)),
    ]

    private static let dcgmBoard: [Alias] = [
        Alias(
            "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_BOARD_POWER_WATTS",
            means: .value(.powerDraw, rank: 2)),
        Alias(
            "DCGM_FI_DEV_POWER_USAGE_INSTANT", "DCGM_FI_DEV_BOARD_POWER_RAW_WATTS",
            means: .value(.powerDraw, rank: 1)),
        Alias(
            "DCGM_FI_DEV_ENFORCED_POWER_LIMIT", "DCGM_FI_DEV_BOARD_POWER_LIMIT_ENFORCED_WATTS",
            means: .value(.powerLimit, rank: 2)),
        Alias(
            "DCGM_FI_DEV_POWER_MGMT_LIMIT", "DCGM_FI_DEV_BOARD_POWER_LIMIT_REQUESTED_WATTS",
            means: .value(.powerLimit, rank: 1)),
        Alias("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", means: .value(.energyTotal, Unit.milli)),
        Alias("DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_GPU_TEMP_CELSIUS", means: .value(.tempCore)),
        Alias(
            "DCGM_FI_DEV_MEMORY_TEMP", "DCGM_FI_DEV_MEMORY_TEMP_CELSIUS", means: .value(.tempMem)),
        Alias(
            "DCGM_FI_DEV_GPU_TEMP_LIMIT", "DCGM_FI_DEV_GPU_TEMP_MARGIN_CELSIUS",
            means: .value(.tempMargin)),
        Alias("DCGM_FI_DEV_SM_CLOCK", means: .value(.clockCore)),
        Alias("DCGM_FI_DEV_MEM_CLOCK", means: .value(.clockMem)),
        Alias("DCGM_FI_DEV_MAX_SM_CLOCK", means: .value(.clockCoreMax)),
        Alias("DCGM_FI_DEV_FAN_SPEED", means: .value(.fanRatio, Unit.percent)),
        Alias(
            "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS", "DCGM_FI_DEV_CLOCKS_EVENT_REASONS",
            means: .value(.throttleReasons)),
        Alias("DCGM_FI_DEV_THERMAL_VIOLATION", means: .value(.throttleThermalTime, Unit.nano)),
        Alias("DCGM_FI_DEV_POWER_VIOLATION", means: .value(.throttlePowerTime, Unit.nano)),
        Alias("DCGM_FI_DEV_PCIE_LINK_GEN", means: .ratio(.pcieGenRatio, part: 0)),
        Alias("DCGM_FI_DEV_PCIE_MAX_LINK_GEN", means: .ratio(.pcieGenRatio, part: 1)),
        Alias("DCGM_FI_DEV_PCIE_LINK_WIDTH", means: .ratio(.pcieWidthRatio, part: 0)),
        Alias("DCGM_FI_DEV_PCIE_MAX_LINK_WIDTH", means: .ratio(.pcieWidthRatio, part: 1)),
    ]

    private static let dcgmHealth: [Alias] = [
        Alias(
            "DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "DCGM_FI_DEV_PCIE_REPLAY_TOTAL",
            means: .value(.pcieReplays)),
        Alias("DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", means: .value(.eccCorrected)),
        Alias("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", means: .value(.eccUncorrected)),
        Alias(
            "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS",
            "DCGM_FI_DEV_ROW_REMAP_UNCORRECTABLE_TOTAL", means: .value(.remapUncorrected)),
        Alias(
            "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", "DCGM_FI_DEV_ROW_REMAP_CORRECTABLE_TOTAL",
            means: .value(.remapCorrected)),
        Alias("DCGM_FI_DEV_ROW_REMAP_PENDING", means: .value(.remapPending)),
        Alias(
            "DCGM_FI_DEV_ROW_REMAP_FAILURE", "DCGM_FI_DEV_ROW_REMAP_FAILED",
            means: .value(.remapFailed)),
        Alias(
            "DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL",
            "DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_TOTAL", means: .sum(.linkErrors, part: 0)),
        Alias(
            "DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL",
            "DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_TOTAL", means: .sum(.linkErrors, part: 1)),
        Alias(
            "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL",
            "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_TOTAL", means: .sum(.linkErrors, part: 2)),
        Alias(
            "DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL",
            "DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_TOTAL", means: .sum(.linkErrors, part: 3)),
        Alias("DCGM_FI_DEV_XID_ERRORS", "DCGM_FI_DEV_XID_ERROR", means: .stickyFault),
        Alias("DCGM_EXP_XID_ERRORS_COUNT", means: .faultCount),
    ]
}
