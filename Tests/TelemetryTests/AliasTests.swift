import Fleet
import Foundation
import Testing

@testable import Telemetry

@Suite("Aliases") struct AliasTests {
    /// One name as a producer sends it, and what must come of it.
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let raw: String
        let metric: Metric
        let value: Double
        var labels = ""
        var testDescription: String { "\(name) \(raw)" }

        init(
            _ name: String, _ raw: String, _ metric: Metric, _ value: Double, _ labels: String = ""
        ) {
            (self.name, self.raw, self.metric, self.value) = (name, raw, metric, value)
            self.labels = labels
        }
    }

    static let dcgm: [Case] = [
        Case("DCGM_FI_DEV_GPU_UTIL", "57", .utilBusy, 0.57),
        Case("DCGM_FI_DEV_GPU_UTIL_RATIO", "1", .utilBusy, 0.01),
        Case("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "0.9", .utilBusy, 0.9),
        Case("DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO", "1", .utilBusy, 1),
        Case("DCGM_FI_PROF_SM_ACTIVE", "0.8", .utilSM, 0.8),
        Case("DCGM_FI_PROF_SM_UTIL_RATIO", "0.8", .utilSM, 0.8),
        Case("DCGM_FI_PROF_SM_OCCUPANCY", "0.3", .utilOccupancy, 0.3),
        Case("DCGM_FI_PROF_SM_OCCUPANCY_RATIO", "0.3", .utilOccupancy, 0.3),
        Case("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "0.37", .utilTensor, 0.37),
        Case("DCGM_FI_PROF_TENSOR_UTIL_RATIO", "0.37", .utilTensor, 0.37),
        Case("DCGM_FI_PROF_DRAM_ACTIVE", "0.5", .utilMembw, 0.5),
        Case("DCGM_FI_PROF_DRAM_UTIL_RATIO", "0.5", .utilMembw, 0.5),
        Case("DCGM_FI_DEV_MEM_COPY_UTIL", "40", .utilMembw, 0.4),
        Case("DCGM_FI_DEV_MEM_COPY_UTIL_RATIO", "40", .utilMembw, 0.4),
        Case("DCGM_FI_DEV_FB_USED", "1024", .memUsed, 1_073_741_824),
        Case("DCGM_FI_DEV_FB_USED_PERCENT", "0.9", .memUsedRatio, 0.9),
        Case("DCGM_FI_DEV_FB_USED_RATIO", "0.9", .memUsedRatio, 0.9),
        Case("DCGM_FI_PROF_PCIE_TX_BYTES", "5000000000", .pcieBytes, 5e9),
        Case("DCGM_FI_PROF_PCIE_RX_BYTES", "5000000000", .pcieBytes, 5e9),
        Case("DCGM_FI_PROF_NVLINK_TX_BYTES", "200000000000", .linkBytes, 2e11),
        Case("DCGM_FI_PROF_NVLINK_RX_BYTES", "200000000000", .linkBytes, 2e11),
        Case("DCGM_FI_DEV_COUNT", "8", .hostDevicesVisible, 8),
        Case("DCGM_FI_SYSTEM_GPU_QUANTITY", "8", .hostDevicesVisible, 8),
        Case("DCGM_FI_DEV_POWER_USAGE", "614.883", .powerDraw, 614.883),
        Case("DCGM_FI_DEV_BOARD_POWER_WATTS", "614.883", .powerDraw, 614.883),
        Case("DCGM_FI_DEV_POWER_USAGE_INSTANT", "614.883", .powerDraw, 614.883),
        Case("DCGM_FI_DEV_BOARD_POWER_RAW_WATTS", "614.883", .powerDraw, 614.883),
        Case("DCGM_FI_DEV_ENFORCED_POWER_LIMIT", "700", .powerLimit, 700),
        Case("DCGM_FI_DEV_BOARD_POWER_LIMIT_ENFORCED_WATTS", "700", .powerLimit, 700),
        Case("DCGM_FI_DEV_POWER_MGMT_LIMIT", "700", .powerLimit, 700),
        Case("DCGM_FI_DEV_BOARD_POWER_LIMIT_REQUESTED_WATTS", "700", .powerLimit, 700),
        Case("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "5000", .energyTotal, 5),
        Case("DCGM_FI_DEV_GPU_TEMP", "61", .tempCore, 61),
        Case("DCGM_FI_DEV_GPU_TEMP_CELSIUS", "61", .tempCore, 61),
        Case("DCGM_FI_DEV_MEMORY_TEMP", "70", .tempMem, 70),
        Case("DCGM_FI_DEV_MEMORY_TEMP_CELSIUS", "70", .tempMem, 70),
        Case("DCGM_FI_DEV_GPU_TEMP_LIMIT", "24", .tempMargin, 24),
        Case("DCGM_FI_DEV_GPU_TEMP_MARGIN_CELSIUS", "24", .tempMargin, 24),
        Case("DCGM_FI_DEV_SM_CLOCK", "1980", .clockCore, 1_980),
        Case("DCGM_FI_DEV_MEM_CLOCK", "2619", .clockMem, 2_619),
        Case("DCGM_FI_DEV_MAX_SM_CLOCK", "1980", .clockCoreMax, 1_980),
        Case("DCGM_FI_DEV_FAN_SPEED", "40", .fanRatio, 0.4),
        Case("DCGM_FI_DEV_CLOCK_THROTTLE_REASONS", "68", .throttleReasons, 0x44),
        Case("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "68", .throttleReasons, 0x44),
        Case("DCGM_FI_DEV_THERMAL_VIOLATION", "2500000000", .throttleThermalTime, 2.5),
        Case("DCGM_FI_DEV_POWER_VIOLATION", "2500000000", .throttlePowerTime, 2.5),
        Case("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "3", .pcieReplays, 3),
        Case("DCGM_FI_DEV_PCIE_REPLAY_TOTAL", "3", .pcieReplays, 3),
        Case("DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", "5", .eccCorrected, 5),
        Case("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "5", .eccUncorrected, 5),
        Case("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "2", .remapUncorrected, 2),
        Case("DCGM_FI_DEV_ROW_REMAP_UNCORRECTABLE_TOTAL", "2", .remapUncorrected, 2),
        Case("DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", "2", .remapCorrected, 2),
        Case("DCGM_FI_DEV_ROW_REMAP_CORRECTABLE_TOTAL", "2", .remapCorrected, 2),
        Case("DCGM_FI_DEV_ROW_REMAP_PENDING", "1", .remapPending, 1),
        Case("DCGM_FI_DEV_ROW_REMAP_FAILURE", "1", .remapFailed, 1),
        Case("DCGM_FI_DEV_ROW_REMAP_FAILED", "1", .remapFailed, 1),
        Case("DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL", "9", .linkErrors, 9),
        Case("DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_TOTAL", "9", .linkErrors, 9),
        Case("DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL", "9", .linkErrors, 9),
        Case("DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_TOTAL", "9", .linkErrors, 9),
        Case("DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL", "9", .linkErrors, 9),
        Case("DCGM_FI_DEV_NVLINK_REPLAY_ERROR_TOTAL", "9", .linkErrors, 9),
        Case("DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL", "9", .linkErrors, 9),
        Case("DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_TOTAL", "9", .linkErrors, 9),
        Case("DCGM_FI_DEV_XID_ERRORS", "79", .faultCode, 79),
        Case("DCGM_FI_DEV_XID_ERROR", "79", .faultCode, 79),
    ]

    static let others: [Case] = [
        Case("gpu_gfx_activity", "97", .utilBusy, 0.97),
        Case("amd_GPU_GFX_ACTIVITY", "97", .utilBusy, 0.97),
        Case("GPU_UMC_ACTIVITY", "30", .utilMembw, 0.3),
        Case("gpu_prof_sm_active", "80", .utilSM, 0.8),
        Case("gpu_prof_tensor_active_percent", "37", .utilTensor, 0.37),
        Case("gpu_used_vram", "1024", .memUsed, 1_073_741_824),
        Case("gpu_total_vram", "196592", .memTotal, 206_141_652_992),
        Case("gpu_package_power", "700", .powerDraw, 700),
        Case("gpu_average_package_power", "500", .powerDraw, 500),
        Case("gpu_power_usage", "500", .powerDraw, 500),
        Case("gpu_energy_consumed", "7000000", .energyTotal, 7),
        Case("gpu_junction_temperature", "70", .tempCore, 70),
        Case("gpu_edge_temperature", "60", .tempCore, 60),
        Case("gpu_memory_temperature", "65", .tempMem, 65),
        Case("gpu_clock{system}", "2100", .clockCore, 2_100, #","clock_type":"system""#),
        Case(
            "gpu_clock{gpu_clock_type_system}", "2100", .clockCore, 2_100,
            #","clock_type":"GPU_CLOCK_TYPE_SYSTEM""#),
        Case("gpu_clock{memory}", "1300", .clockMem, 1_300, #","clock_type":"memory""#),
        Case(
            "gpu_clock{gpu_clock_type_memory}", "1300", .clockMem, 1_300,
            #","clock_type":"GPU_CLOCK_TYPE_MEMORY""#),
        Case("pcie_replay_count", "4", .pcieReplays, 4),
        Case("gpu_ecc_correct_total", "4", .eccCorrected, 4),
        Case("gpu_ecc_uncorrect_total", "4", .eccUncorrected, 4),
        Case("gpu_ecc_correct_xgmi_wafl", "4", .linkErrors, 4),
        Case("gpu_ecc_uncorrect_xgmi_wafl", "4", .linkErrors, 4),
        Case("gpu_violation_ppt_residency_percentage", "12", .throttleReasons, 0x4),
        Case("gpu_violation_processor_hot_residency_percentage", "1", .throttleReasons, 0x40),
        Case("gpu_violation_socket_thermal_residency_percentage", "1", .throttleReasons, 0x40),
        Case("gpu_violation_vr_thermal_residency_percentage", "1", .throttleReasons, 0x40),
        Case("gpu_violation_hbm_thermal_residency_percentage", "0", .throttleReasons, 0),
        Case("gpu_afid_errors", "30", .faultCode, 30),
        Case("gpu_nodes_total", "8", .hostDevicesVisible, 8),
        Case("tpu.runtime.tensorcore.dutycycle.percent", "99", .utilBusy, 0.99),
        Case("tpu_runtime_tensorcore_dutycycle_percent", "99", .utilBusy, 0.99),
        Case("duty_cycle_pct", "99", .utilBusy, 0.99),
        Case("tensorcore_util", "15", .utilTensor, 0.15),
        Case("tpu.runtime.hbm.utilization.percent", "40", .utilMembw, 0.4),
        Case("tpu_runtime_hbm_utilization_percent", "40", .utilMembw, 0.4),
        Case("tpu.runtime.hbm.memory.usage.bytes", "1e9", .memUsed, 1e9),
        Case("tpu_runtime_hbm_memory_usage_bytes", "1e9", .memUsed, 1e9),
        Case("hbm_capacity_usage", "1e9", .memUsed, 1e9),
        Case("tpu.runtime.hbm.memory.total.bytes", "3e10", .memTotal, 3e10),
        Case("tpu_runtime_hbm_memory_total_bytes", "3e10", .memTotal, 3e10),
        Case("hbm_capacity_total", "3e10", .memTotal, 3e10),
        Case("tpu_throttle_score", "3", .throttleReasons, 0x8),
        Case("ici_link_health", "7", .linkHealth, 0.3),
        Case("kubernetes.io/node/accelerator/duty_cycle", "50", .utilBusy, 0.5),
        Case("kubernetes_io:node_accelerator_duty_cycle", "50", .utilBusy, 0.5),
        Case("kubernetes.io/container/accelerator/duty_cycle", "50", .utilBusy, 0.5),
        Case("kubernetes_io:container_accelerator_duty_cycle", "50", .utilBusy, 0.5),
        Case("kubernetes.io/node/accelerator/tensorcore_utilization", "22", .utilTensor, 0.22),
        Case("kubernetes_io:node_accelerator_tensorcore_utilization", "22", .utilTensor, 0.22),
        Case(
            "kubernetes.io/container/accelerator/tensorcore_utilization", "22", .utilTensor, 0.22),
        Case(
            "kubernetes_io:container_accelerator_tensorcore_utilization", "22", .utilTensor, 0.22),
        Case(
            "kubernetes.io/node/accelerator/memory_bandwidth_utilization", "22", .utilMembw, 0.22),
        Case(
            "kubernetes_io:node_accelerator_memory_bandwidth_utilization", "22", .utilMembw, 0.22),
        Case(
            "kubernetes.io/container/accelerator/memory_bandwidth_utilization", "22", .utilMembw,
            0.22),
        Case(
            "kubernetes_io:container_accelerator_memory_bandwidth_utilization", "22", .utilMembw,
            0.22),
        Case("kubernetes.io/node/accelerator/memory_used", "1e9", .memUsed, 1e9),
        Case("kubernetes_io:node_accelerator_memory_used", "1e9", .memUsed, 1e9),
        Case("kubernetes.io/container/accelerator/memory_used", "1e9", .memUsed, 1e9),
        Case("kubernetes_io:container_accelerator_memory_used", "1e9", .memUsed, 1e9),
        Case("kubernetes.io/node/accelerator/memory_total", "1e9", .memTotal, 1e9),
        Case("kubernetes_io:node_accelerator_memory_total", "1e9", .memTotal, 1e9),
        Case("kubernetes.io/container/accelerator/memory_total", "1e9", .memTotal, 1e9),
        Case("kubernetes_io:container_accelerator_memory_total", "1e9", .memTotal, 1e9),
        Case("habanalabs_utilization", "88", .utilBusy, 0.88),
        Case("habanalabs_memory_used_bytes", "1e9", .memUsed, 1e9),
        Case("habanalabs_memory_total_bytes", "1e11", .memTotal, 1e11),
        Case("habanalabs_power_mW", "450000", .powerDraw, 450),
        Case("habanalabs_power_default_limit_mW", "600000", .powerLimit, 600),
        Case("habanalabs_energy", "5000", .energyTotal, 5),
        Case("habanalabs_temperature_onchip", "50", .tempCore, 50),
        Case("habanalabs_clock_soc_mhz", "1600", .clockCore, 1_600),
        Case("habanalabs_clock_soc_max_mhz", "1650", .clockCoreMax, 1_650),
        Case("habanalabs_pci_link_speed", "16", .pcieGenRatio, 1),
        Case("habanalabs_pci_link_width", "16", .pcieWidthRatio, 1),
        Case("habanalabs_pcie_replay_count", "1", .pcieReplays, 1),
        Case("habanalabs_pending_rows_with_single_bit_ecc_errors", "1", .remapCorrected, 1),
        Case("habanalabs_pending_rows_with_double_bit_ecc_errors", "1", .remapUncorrected, 1),
        Case("habanalabs_pending_rows_state", "1", .remapPending, 1),
        Case("habanalabs_nic_port_status", "1", .linkHealth, 1, #","port":"3""#),
        Case("neuroncore_utilization", "70", .utilBusy, 0.7),
        Case("neuroncore_utilization_ratio", "0.7", .utilBusy, 0.7),
        Case(
            "neuron_runtime_memory_used_bytes{neuron_device}", "1e9", .memUsed, 1e9,
            #","memory_location":"neuron_device""#),
        Case(
            "neurondevice_runtime_memory_used_bytes{neuron_device}", "1e9", .memUsed, 1e9,
            #","memory_location":"neuron_device""#),
        Case("mem_ecc_corrected", "2", .eccCorrected, 2),
        Case("sram_ecc_corrected", "2", .eccCorrected, 2),
        Case("mem_ecc_uncorrected", "2", .eccUncorrected, 2),
        Case("sram_ecc_uncorrected", "2", .eccSRAMUncorrected, 2),
        Case("neurondevice_hw_ecc_events_mem_ecc_corrected", "2", .eccCorrected, 2),
        Case("neurondevice_hw_ecc_events_sram_ecc_corrected", "2", .eccCorrected, 2),
        Case("neurondevice_hw_ecc_events_mem_ecc_uncorrected", "2", .eccUncorrected, 2),
        Case("neurondevice_hw_ecc_events_sram_ecc_uncorrected", "2", .eccUncorrected, 2),
        Case("neurondevice_hw_ecc_events_total_mem_ecc_corrected", "2", .eccCorrected, 2),
        Case("neurondevice_hw_ecc_events_total_sram_ecc_corrected", "2", .eccCorrected, 2),
        Case("neurondevice_hw_ecc_events_total_mem_ecc_uncorrected", "2", .eccUncorrected, 2),
        Case("neurondevice_hw_ecc_events_total_sram_ecc_uncorrected", "2", .eccUncorrected, 2),
        event("neurondevice_hw_ecc_events_total", "mem_ecc_corrected", .eccCorrected),
        event("neurondevice_hw_ecc_events_total", "sram_ecc_corrected", .eccCorrected),
        event("neurondevice_hw_ecc_events_total", "mem_ecc_uncorrected", .eccUncorrected),
        event("neurondevice_hw_ecc_events_total", "sram_ecc_uncorrected", .eccSRAMUncorrected),
        event("hardware_ecc_events_total", "mem_ecc_corrected", .eccCorrected),
        event("hardware_ecc_events_total", "sram_ecc_corrected", .eccCorrected),
        event("hardware_ecc_events_total", "mem_ecc_uncorrected", .eccUncorrected),
        event("hardware_ecc_events_total", "sram_ecc_uncorrected", .eccUncorrected),
        Case("hw.gpu.utilization", "0.5", .utilBusy, 0.5),
        Case("hw_gpu_utilization", "0.5", .utilBusy, 0.5),
        Case("hw_gpu_utilization_ratio", "0.5", .utilBusy, 0.5),
        Case("hw.gpu.memory.usage", "1e9", .memUsed, 1e9),
        Case("hw_gpu_memory_usage", "1e9", .memUsed, 1e9),
        Case("hw_gpu_memory_usage_bytes", "1e9", .memUsed, 1e9),
        Case("hw.gpu.memory.limit", "1e9", .memTotal, 1e9),
        Case("hw_gpu_memory_limit", "1e9", .memTotal, 1e9),
        Case("hw_gpu_memory_limit_bytes", "1e9", .memTotal, 1e9),
        Case("hw.gpu.memory.utilization", "0.4", .memUsedRatio, 0.4),
        Case("hw_gpu_memory_utilization", "0.4", .memUsedRatio, 0.4),
        Case("hw_gpu_memory_utilization_ratio", "0.4", .memUsedRatio, 0.4),
        Case("hw.power", "300", .powerDraw, 300), Case("hw_power", "300", .powerDraw, 300),
        Case("hw_power_watts", "300", .powerDraw, 300),
        Case("hw.energy", "300", .energyTotal, 300), Case("hw_energy", "300", .energyTotal, 300),
        Case("hw_energy_joules_total", "300", .energyTotal, 300),
        Case("hw.temperature", "50", .tempCore, 50), Case("hw_temperature", "50", .tempCore, 50),
        Case("hw_temperature_celsius", "50", .tempCore, 50),
        Case("hw.fan.speed_ratio", "0.4", .fanRatio, 0.4),
        Case("hw_fan_speed_ratio", "0.4", .fanRatio, 0.4),
        hardwareError("hw.errors", "corrected", .eccCorrected),
        hardwareError("hw_errors", "corrected", .eccCorrected),
        hardwareError("hw_errors_total", "corrected", .eccCorrected),
        hardwareError("hw.errors", "uncorrected", .eccUncorrected),
        hardwareError("hw_errors", "uncorrected", .eccUncorrected),
        hardwareError("hw_errors_total", "uncorrected", .eccUncorrected),
        Case("gpu_utilization_percent", "44", .utilBusy, 0.44),
        Case("gpu_memory_used_bytes", "1e9", .memUsed, 1e9),
        Case("gpu_memory_total_bytes", "1e9", .memTotal, 1e9),
        Case("gpu_power_watts", "200", .powerDraw, 200),
        Case("gpu_temperature_celsius", "55", .tempCore, 55),
        Case("gpu_fan_pwm_percent", "30", .fanRatio, 0.3),
        Case("gpu_clock_mhz{sm}", "1900", .clockCore, 1_900, #","type":"sm""#),
        Case("gpu_clock_mhz{graphics}", "1900", .clockCore, 1_900, #","type":"graphics""#),
        Case("gpu_clock_mhz{memory}", "1900", .clockMem, 1_900, #","type":"memory""#),
        Case("up", "1", .telUp, 1),
        Case("scrape_duration_seconds", "0.05", .telScrapeLatency, 0.05),
        Case("scrape_samples_scraped", "210", .telPayload, 210),
    ]

    private static func event(_ name: String, _ event: String, _ metric: Metric) -> Case {
        Case("\(name){\(event)}", "2", metric, 2, #","event_type":"\#(event)""#)
    }

    private static func hardwareError(_ name: String, _ type: String, _ metric: Metric) -> Case {
        Case("\(name){\(type)}", "2", metric, 2, #","error.type":"\#(type)","hw.type":"gpu""#)
    }

    /// A name in braces is the value of a label and no part of the name on the wire.
    private static func wire(_ name: String) -> String { String(name.prefix { $0 != "{" }) }

    @Test(arguments: dcgm + others)
    func `a name from a scrape arrives in the unit of the vocabulary`(_ row: Case) throws {
        var harness = Harness()
        // Three scrapes: a sum must know its parts before it is given.
        for second in 1...3 {
            try harness.feed(
                """
                {"name":"\(Self.wire(row.name))","tags":{"UUID":"GPU-1","serial_number":"S1",\
                "accelerator_id":"99-0","instance_id":"i-1","neuron_device_index":"0","hw.id":"0",\
                "vendor":"acme","card":"0","hostname":"h1"\(row.labels)},"timestamp":\
                "2026-11-21T07:00:0\(second)Z","kind":"absolute","gauge":{"value":\(row.raw)}}
                """)
        }
        let value = try #require(harness.value(row.metric))
        #expect(abs(value - row.value) <= abs(row.value) * 1e-6)
        #expect(harness.ids.count == 1)
        #expect(harness.isConsistent)
    }

    static let telegraf: [Case] = [
        Case("nvidia_smi/utilization_gpu", "57i", .utilBusy, 0.57),
        Case("nvidia_smi/utilization_memory", "40i", .utilMembw, 0.4),
        Case("nvidia_smi/memory_used", "1024i", .memUsed, 1_073_741_824),
        Case("nvidia_smi/memory_total", "81559i", .memTotal, 85_520_809_984),
        Case("nvidia_smi/power_draw", "671.42", .powerDraw, 671.42),
        Case("nvidia_smi/power_limit", "700", .powerLimit, 700),
        Case("nvidia_smi/temperature_gpu", "57i", .tempCore, 57),
        Case("nvidia_smi/temperature_memory", "66i", .tempMem, 66),
        Case("nvidia_smi/temperature_gpu_tlimit", "30i", .tempMargin, 30),
        Case("nvidia_smi/clocks_current_sm", "1980i", .clockCore, 1_980),
        Case("nvidia_smi/clocks_current_memory", "2619i", .clockMem, 2_619),
        Case("nvidia_smi/clocks_max_sm", "1980i", .clockCoreMax, 1_980),
        Case("nvidia_smi/fan_speed", "50i", .fanRatio, 0.5),
        Case("nvidia_smi/pcie_tx_util", "1000i", .pcieBytes, 1e6),
        Case("nvidia_smi/pcie_rx_util", "1000i", .pcieBytes, 1e6),
        Case("nvidia_smi/pcie_link_gen_current", "5i", .pcieGenRatio, 1),
        Case("nvidia_smi/pcie_link_width_current", "16i", .pcieWidthRatio, 1),
        Case("nvidia_smi/clocks_event_reason_gpu_idle", "1i", .throttleReasons, 0x1),
        Case(
            "nvidia_smi/clocks_event_reason_applications_clocks_setting", "1i", .throttleReasons,
            0x2),
        Case("nvidia_smi/clocks_event_reason_sw_power_cap", "1i", .throttleReasons, 0x4),
        Case("nvidia_smi/clocks_event_reason_hw_slowdown", "1i", .throttleReasons, 0x8),
        Case("nvidia_smi/clocks_event_reason_sync_boost", "1i", .throttleReasons, 0x10),
        Case("nvidia_smi/clocks_event_reason_sw_thermal_slowdown", "1i", .throttleReasons, 0x20),
        Case("nvidia_smi/clocks_event_reason_hw_thermal_slowdown", "1i", .throttleReasons, 0x40),
        Case(
            "nvidia_smi/clocks_event_reason_hw_power_brake_slowdown", "1i", .throttleReasons, 0x80),
        Case(
            "nvidia_smi/clocks_event_reason_display_clocks_setting", "1i", .throttleReasons, 0x100),
        Case(
            "nvidia_smi/clocks_event_reasons_counters_sw_therm_slowdown", "2500000i",
            .throttleThermalTime, 2.5),
        Case(
            "nvidia_smi/clocks_event_reasons_counters_hw_therm_slowdown", "2500000i",
            .throttleThermalTime, 2.5),
        Case(
            "nvidia_smi/clocks_event_reasons_counters_sw_power_cap", "2500000i",
            .throttlePowerTime, 2.5),
        Case("nvidia_smi/ecc_errors_volatile_dram_correctable", "2i", .eccCorrected, 2),
        Case("nvidia_smi/ecc_errors_volatile_sram_correctable", "2i", .eccCorrected, 2),
        Case("nvidia_smi/ecc_errors_volatile_dram_uncorrectable", "2i", .eccUncorrected, 2),
        Case("nvidia_smi/ecc_errors_volatile_sram_uncorrectable", "2i", .eccUncorrected, 2),
        Case("nvidia_smi/ecc_errors_aggregate_sram_uncorrectable", "2i", .eccSRAMUncorrected, 2),
        Case("nvidia_smi/remapped_rows_correctable", "2i", .remapCorrected, 2),
        Case("nvidia_smi/remapped_rows_uncorrectable", "2i", .remapUncorrected, 2),
        Case("nvidia_smi/remapped_rows_pending", "\"Yes\"", .remapPending, 1),
        Case("nvidia_smi/remapped_rows_failure", "\"No\"", .remapFailed, 0),
        Case("nvidia_smi_mig/memory_fb_used", "1024i", .memUsed, 1_073_741_824),
        Case("nvidia_smi_mig/memory_used", "1024i", .memUsed, 1_073_741_824),
        Case("nvidia_smi_mig/memory_fb_total", "1024i", .memTotal, 1_073_741_824),
        Case("nvidia_smi_mig/memory_total", "1024i", .memTotal, 1_073_741_824),
        Case("nvidia_smi_mig/sram_uncorrectable", "1i", .eccSRAMUncorrected, 1),
        Case("amd_rocm_smi/utilization_gpu", "57i", .utilBusy, 0.57),
        Case("amd_rocm_smi/utilization_memory", "57i", .utilMembw, 0.57),
        Case("amd_rocm_smi/memory_used", "1000i", .memUsed, 1_000),
        Case("amd_rocm_smi/memory_total", "1000i", .memTotal, 1_000),
        Case("amd_rocm_smi/power_draw", "140", .powerDraw, 140),
        Case("amd_rocm_smi/temperature_sensor_junction", "70", .tempCore, 70),
        Case("amd_rocm_smi/temperature_sensor_edge", "60", .tempCore, 60),
        Case("amd_rocm_smi/temperature_sensor_memory", "65", .tempMem, 65),
        Case("amd_rocm_smi/clocks_current_sm", "2100i", .clockCore, 2_100),
        Case("amd_rocm_smi/clocks_current_memory", "1300i", .clockMem, 1_300),
        Case("amd_rocm_smi/fan_speed", "30i", .fanRatio, 0.3),
    ]

    @Test(arguments: telegraf)
    func `a field of a Telegraf input arrives in the unit of the vocabulary`(_ row: Case) throws {
        let pieces = row.name.split(separator: "/")
        var harness = Harness()
        try harness.feed(
            "\(pieces[0]),uuid=GPU-1,gpu_unique_id=0x1,host=h1,index=0 "
                + "\(pieces[1])=\(row.raw) 1795248000000000000")
        let value = try #require(harness.value(row.metric))
        #expect(abs(value - row.value) <= abs(row.value) * 1e-6)
        #expect(harness.isConsistent)
    }

    /// Rows whose value needs more than one name; each has a test of its own.
    static let elsewhere: Set<String> = [
        "dcgm_fi_dev_fb_free", "dcgm_fi_dev_fb_reserved", "dcgm_fi_dev_pcie_link_gen",
        "dcgm_fi_dev_pcie_max_link_gen", "dcgm_fi_dev_pcie_link_width",
        "dcgm_fi_dev_pcie_max_link_width", "dcgm_exp_xid_errors_count", "pcie_speed",
        "pcie_max_speed", "gpu_xgmi_link_tx", "gpu_xgmi_link_rx", "hw.gpu.io{transmit}",
        "hw_gpu_io{transmit}", "hw_gpu_io_bytes_total{transmit}", "hw.gpu.io{receive}",
        "hw_gpu_io{receive}", "hw_gpu_io_bytes_total{receive}",
    ]

    @Test func `every row of every table is looked at`() {
        let seen = Set((Self.dcgm + Self.others + Self.telegraf).map { $0.name.lowercased() })
        for (name, row) in Catalogue.shared.everything where !seen.contains(name) {
            let plain =
                name.hasPrefix("amd_") && row.source == .amd
                ? String(name.dropFirst(4)) : name
            #expect(seen.contains(plain) || Self.elsewhere.contains(plain), "\(name)")
        }
    }

    @Test func `each rename of DCGM that touches our names is known`() throws {
        var folder = URL(filePath: #filePath)
        var file: URL?
        while folder.path != "/", file == nil {
            folder.deleteLastPathComponent()
            let candidate = folder.appending(path: "shared/data/dcgm-field-renames.csv")
            if FileManager.default.fileExists(atPath: candidate.path) { file = candidate }
        }
        guard let file else { return print("no shared folder; renames not compared") }
        let names = Dictionary(
            uniqueKeysWithValues: Catalogue.shared.everything.map { ($0.name, $0.row) })
        var compared = 0
        for line in try String(contentsOf: file, encoding: .utf8).split(whereSeparator: \.isNewline)
            .dropFirst()
        {
            let pieces = line.split(separator: ",").map { $0.lowercased() }
            let (old, new) = (names[pieces[0]], names[pieces[1]])
            guard old != nil || new != nil else { continue }
            compared += 1
            #expect(old?.meaning.metric == new?.meaning.metric, "\(line)")
            #expect(old?.meaning.scale == new?.meaning.scale, "\(line)")
            #expect(old?.meaning.part == new?.meaning.part, "\(line)")
        }
        #expect(compared >= 20)
    }

    @Test func `names are found in any case and unknown ones are told from unwatched ones`() throws
    {
        var harness = Harness()
        try harness.feed(Fixture.dcgm("dcgm_fi_dev_GPU_temp", "61", at: 1))
        #expect(harness.value(.tempCore) == 61)
        try harness.feed(Fixture.dcgm("DCGM_FI_DEV_ENC_UTIL", "5", at: 1))
        #expect(harness.batch.tally.ignored == 1)
        try harness.feed(Fixture.dcgm("node_load1", "5", at: 1))
        #expect(harness.batch.tally.unknownMetric == 1)
        try harness.feed("cpu,host=a usage_idle=5,usage_user=2 1795248000000000000")
        #expect(harness.batch.tally.unknownMetric == 3)
        #expect(harness.isConsistent)
    }

    @Test func `native names that nobody knows become opaque series up to the bound`() throws {
        var harness = Harness()
        try harness.feed(Fixture.native(#""wafer.yield":0.5,"note":"text","flag":true"#))
        let metric = try #require(harness.vocabulary["wafer.yield"])
        #expect(harness.value(metric) == 0.5)
        #expect(harness.batch.tally.points == 1)
        let many = (0..<400).map { #""x\#($0)":\#($0)"# }.joined(separator: ",")
        try harness.feed(Fixture.native(many))
        #expect(harness.batch.tally.unknownMetric == UInt64(400 + 48 + 1 - Vocabulary.metricsMax))
        #expect(harness.isConsistent)
        var strict = Harness { $0.opaqueFormats = [] }
        try strict.feed(Fixture.native(#""wafer.yield":0.5"#))
        #expect(strict.batch.tally.unknownMetric == 1)
        var open = Harness(.vector) { $0.opaqueFormats = [.vector] }
        try open.feed(Fixture.dcgm("custom_metric", "7"))
        #expect(open.vocabulary["custom_metric"].flatMap { open.value($0) } == 7)
    }

    @Test func `canonical names are understood in every format`() throws {
        var harness = Harness()
        try harness.feed("trainer,host=h1,index=0,vendor=x job.mfu=0.41 1795248000000000000")
        #expect(harness.value(.jobMFU) == Double(Float(0.41)))
        #expect(harness.ids == ["x/h1/0"])
    }

    @Test func `the prometheus input of Telegraf is read in both of its versions`() throws {
        var harness = Harness()
        try harness.feed(
            "prometheus,UUID=GPU-1,hostname=h1,job=dcgm DCGM_FI_DEV_GPU_TEMP=61,"
                + "DCGM_FI_DEV_FB_USED=10,DCGM_FI_DEV_FB_FREE=20,DCGM_FI_DEV_FB_RESERVED=2,"
                + "DCGM_FI_DEV_PCIE_LINK_GEN=4,DCGM_FI_DEV_PCIE_MAX_LINK_GEN=5,"
                + "DCGM_FI_PROF_PCIE_TX_BYTES=1,DCGM_FI_PROF_PCIE_RX_BYTES=2,"
                + "DCGM_FI_DEV_GPU_UTIL=50,DCGM_FI_PROF_GR_ENGINE_ACTIVE=0.7 1795248000000000000")
        #expect(harness.value(.memTotal) == 33_554_432)
        #expect(harness.value(.pcieGenRatio) == Double(Float(0.8)))
        #expect(harness.value(.pcieBytes) == 3)
        #expect(harness.value(.utilBusy) == 0.5, "the better name wins within a row")
        #expect(harness.batch.tally.points == 10)
        #expect(harness.batch.tally.ignored == 1)
        #expect(harness.isConsistent)
        try harness.feed(
            "DCGM_FI_DEV_SM_CLOCK,UUID=GPU-1,hostname=h1 gauge=1980 1795248000000000000")
        #expect(harness.value(.clockCore) == 1_980)
        #expect(harness.ids == ["nvidia/GPU-1"])
        #expect(harness.isConsistent)
    }

    @Test func `half a sum in a row is held back and still counted`() throws {
        var harness = Harness()
        try harness.feed(
            "prometheus,UUID=GPU-1 DCGM_FI_DEV_FB_FREE=20,DCGM_FI_DEV_PCIE_MAX_LINK_GEN=5 "
                + "1795248000000000000")
        #expect(harness.batch.rows.isEmpty)
        #expect(harness.batch.tally.applied == 2)
        #expect(harness.isConsistent)
    }
}
