import Fleet

@testable import Telemetry

/// A decoder with everything around it, and words for asking what came out.
struct Harness {
    var decoder: MessageDecoder
    var batch = SampleBatch()
    var directory = Directory()
    var vocabulary = Vocabulary()
    var offset: Int64 = 0
    /// 2026-11-21T08:00:00Z, the time that most fixtures carry.
    var now = Instant(milliseconds: 1_795_248_000_000)
    var recordTime = Instant(milliseconds: 1_795_248_000_000)
    var partition: UInt16 = 0

    init(_ format: WireFormat = .auto, _ change: (inout DecoderSettings) -> Void = { _ in }) {
        var settings = DecoderSettings()
        change(&settings)
        decoder = MessageDecoder(format: format, settings: settings)
        batch.partitions = [
            Partition(topic: "telemetry", number: 0), Partition(topic: "telemetry", number: 1),
        ]
    }

    mutating func feed(_ text: String) throws(Undecodable) { try feed(Array(text.utf8)) }

    mutating func feed(_ bytes: [UInt8]) throws(Undecodable) {
        offset += 1
        let origin = MessageOrigin(partition: partition, offset: offset, recordTime: recordTime)
        try decoder.decode(
            bytes.span, from: origin, now: now, into: &batch, directory: &directory,
            vocabulary: &vocabulary)
    }

    /// Why `text` was refused, or nil where it was not.
    mutating func refusal(_ text: String) -> Undecodable.Reason? {
        refusal(Array(text.utf8))
    }

    mutating func refusal(_ bytes: [UInt8]) -> Undecodable.Reason? {
        do throws(Undecodable) {
            try feed(bytes)
            return nil
        } catch { return error.reason }
    }

    var ids: [String] { directory.devices.map(\.id) }

    /// The newest value of a metric of a device, lane or reading.
    func value(_ id: String, _ metric: Metric) -> Double? {
        guard let device = directory.index(of: id) else { return nil }
        for (index, row) in batch.rows.enumerated().reversed()
        where row.device == device && Int(row.group) == metric.group {
            let reading = batch.readings.last {
                Int($0.row) == index && Int($0.lane) == metric.lane
            }
            if let reading { return reading.value }
            let lane = batch.lanes[index][metric.lane]
            if !lane.isNaN { return Double(lane) }
        }
        return nil
    }

    func value(_ metric: Metric) -> Double? { ids.first.flatMap { value($0, metric) } }

    func label(_ key: LabelKey) -> String { directory.devices.first?.labels[key] ?? "" }

    var faults: [Int32] { batch.faults.map(\.code) }

    /// Every point is in exactly one place, and the columns belong together.
    var isConsistent: Bool {
        let carried = batch.rows.reduce(0 as UInt64) { $0 + UInt64($1.points) }
        let tally = batch.tally
        return tally.points == tally.applied + tally.duplicate + tally.rejected + carried
            && tally.late == 0 && batch.rows.count == batch.lanes.count
            && batch.readings.allSatisfy { Int($0.row) < batch.rows.count }
            && batch.rows.allSatisfy { Int($0.device.value) < directory.count }
            && Int(tally.faults) == batch.faults.count
    }
}

/// Messages as the producers write them.
enum Fixture {
    static let native = """
        {"v":1,"ts":1795248000123,"device":"nvidia/GPU-6b0d","host":"gpu-node-0017","index":4,\
        "kind":"gpu","vendor":"nvidia","model":"h100-sxm5-80gb","labels":{"region":"us-east-1",\
        "cluster":"prod-a","pod":"su-07","rack":"r12","slice":"","job":"llm-70b",\
        "job_kind":"train","team":"llm","service":""},"m":{"util.busy":1.0,"util.tensor":0.37,\
        "mem.used":74813800448,"mem.total":85520809984,"power.draw":655.7,"power.limit":700,\
        "temp.core":63,"clock.core":1980},"e":[{"type":"fault","code":79,\
        "text":"GPU has fallen off the bus"}]}
        """

    static let influx =
        #"nvidia_smi,arch=Hopper,compute_mode=Default,host=gpu-node-0017,index=4,"#
        + #"name=NVIDIA\ H100\ 80GB\ HBM3,pstate=P0,"#
        + #"uuid=GPU-6b0d549b-6f03-675a-1600-a35a099950d8 clocks_current_sm=1980i,"#
        + #"clocks_event_reason_hw_thermal_slowdown=0i,clocks_event_reason_sw_power_cap=1i,"#
        + #"memory_used=71348i,memory_total=81559i,pcie_link_gen_current=5i,"#
        + #"pcie_link_width_current=16i,temperature_gpu=57i,temperature_memory=66i,"#
        + #"utilization_gpu=100i,power_draw=671.42,power_limit=700,driver_version="570.1","#
        + #"remapped_rows_pending="No" 1795248000000000000"# + "\n"

    static let telegraf = """
        {"fields":{"clocks_current_sm":1980,"memory_used":71348,"memory_total":81559,\
        "pcie_rx_util":1000,"pcie_tx_util":250,"utilization_gpu":97,"power_draw":671.42,\
        "temperature_gpu_tlimit":24,"ecc_errors_volatile_dram_correctable":3,\
        "ecc_errors_volatile_sram_correctable":4,"remapped_rows_failure":"Yes",\
        "clocks_event_reasons_counters_sw_power_cap":2500000,"encoder_stats_session_count":0},\
        "name":"nvidia_smi","tags":{"host":"gpu-node-0017","index":"4",\
        "name":"NVIDIA H100 80GB HBM3","uuid":"GPU-6b0d549b"},"timestamp":1795248000}
        """

    static let vector = """
        {"name":"DCGM_FI_DEV_POWER_USAGE","tags":{"UUID":"GPU-604ac76c","gpu":"0",\
        "pci_bus_id":"00000000:0F:00.0","hostname":"gpu-node-0017","modelName":"NVIDIA H100",\
        "pod":"llm-0","namespace":"team-llm"},"timestamp":"2026-11-21T08:00:00.123Z",\
        "kind":"absolute","gauge":{"value":614.883}}
        """

    static let adapter = """
        {"labels":{"Hostname":"gpu-node-0017","UUID":"GPU-604ac76c","__name__":\
        "DCGM_FI_DEV_GPU_TEMP","gpu":"0","instance":"10.0.0.7:9400","job":"dcgm"},\
        "name":"DCGM_FI_DEV_GPU_TEMP","timestamp":"2026-11-21T08:00:00Z","value":"61"}
        """

    /// A DCGM value as Vector sends it.
    static func dcgm(
        _ name: String, _ value: String, at second: Int = 0, labels: String = "",
        kind: String = "gauge"
    ) -> String {
        let stamp =
            "2026-11-21T07:\(second / 60 < 10 ? "0" : "")\(second / 60):"
            + "\(second % 60 < 10 ? "0" : "")\(second % 60)Z"
        return """
            {"name":"\(name)","tags":{"UUID":"GPU-1","gpu":"0","hostname":"h1"\(labels)},\
            "timestamp":"\(stamp)","kind":"absolute","\(kind)":{"value":\(value)}}
            """
    }

    static func native(
        _ metrics: String, device: String = "nvidia/GPU-1", more: String = ""
    )
        -> String
    {
        #"{"v":1,"ts":1795248000000,"device":"\#(device)"\#(more),"m":{\#(metrics)}}"#
    }
}
