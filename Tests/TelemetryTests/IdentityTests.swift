import Fleet
import Testing

@testable import Telemetry

@Suite("Identity") struct IdentityTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let description: String
        let message: String
        let id: String?
        var testDescription: String { description }

        init(_ description: String, _ message: String, _ id: String?) {
            (self.description, self.message, self.id) = (description, message, id)
        }
    }

    private static func scrape(_ name: String, _ labels: String, _ value: String = "50") -> String {
        #"{"name":"\#(name)","tags":{\#(labels)},"kind":"absolute","gauge":{"value":\#(value)}}"#
    }

    private static let temperature = "DCGM_FI_DEV_GPU_TEMP"

    static let cases: [Case] = [
        Case(
            "UUID before index", scrape(temperature, #""UUID":"GPU-1","gpu":"3","hostname":"h""#),
            "nvidia/GPU-1"),
        Case("uuid of old exporters", scrape(temperature, #""uuid":"GPU-1""#), "nvidia/GPU-1"),
        Case(
            "gpu_uuid of link series",
            scrape("DCGM_FI_DEV_NVLINK_REPLAY_ERROR_TOTAL", #""gpu_uuid":"GPU-1""#),
            "nvidia/GPU-1"),
        Case(
            "index only with a host", scrape(temperature, #""gpu":"3","Hostname":"h:9400""#),
            "nvidia/h/3"),
        Case("index without a host", scrape(temperature, #""gpu":"3""#), nil),
        Case("no labels at all", scrape(temperature, ""), nil),
        Case(
            "a blank uuid is none",
            scrape(temperature, #""UUID":"N/A","gpu":"3","hostname":"h""#), "nvidia/h/3"),
        Case(
            "a MIG instance's board metric",
            scrape(
                temperature, #""UUID":"GPU-1","GPU_I_ID":"7","GPU_I_PROFILE":"1g.10gb""#),
            "nvidia/GPU-1"),
        Case(
            "a MIG instance's own ratio",
            scrape(
                "DCGM_FI_PROF_SM_ACTIVE", #""UUID":"GPU-1","GPU_I_ID":"7""#, "0.5"),
            "nvidia/GPU-1/mig-7"),
        Case(
            "an AMD serial number",
            scrape("gpu_package_power", #""serial_number":"692","gpu_uuid":"x","gpu_id":"0""#),
            "amd/692"),
        Case(
            "an AMD partition",
            scrape(
                "gpu_gfx_activity", #""serial_number":"692","gpu_partition_id":"3""#),
            "amd/692/p3"),
        Case(
            "the first AMD partition is the card",
            scrape(
                "gpu_gfx_activity", #""serial_number":"692","gpu_partition_id":"0""#), "amd/692"),
        Case(
            "a TPU chip",
            scrape(
                "kubernetes.io/node/accelerator/duty_cycle",
                #""accelerator_id":"123-2","make":"cloud-tpu""#), "google/123-2"),
        Case(
            "a TPU chip by instance",
            scrape(
                "duty_cycle_pct", #""instance_id":"123","device-id":"2""#), "google/123-2"),
        Case(
            "a Gaudi", scrape("habanalabs_utilization", #""UUID":"01P0-HL""#), "intel/01P0-HL"),
        Case(
            "a Neuron core",
            scrape(
                "neuroncore_utilization_ratio",
                #""instance_id":"i-09","neuron_device_index":"5","neuroncore":"11""#, "0.5"),
            "aws/i-09/nd5/nc11"),
        Case(
            "hw.id is unique within a host",
            scrape(
                "hw.power", #""hw.id":"0","host.name":"h","hw.vendor":"NVIDIA Corporation""#,
                "60"), "nvidia/h/0"),
        Case(
            "a disk is no accelerator",
            scrape(
                "hw.temperature", #""hw.id":"0","host.name":"h","hw.type":"physical_disk""#), nil),
        Case(
            "a card of Fluent Bit",
            scrape(
                "gpu_power_watts", #""card":"0","vendor":"amd","host":"h""#), "amd/h/0"),
        Case(
            "a scrape belongs to its host and job",
            scrape("up", #""instance":"gpu-17:9400","job":"dcgm""#, "1"), "host/gpu-17/dcgm"),
        Case("a scrape of nowhere", scrape("up", #""job":"dcgm""#, "1"), nil),
        Case(
            "ROCm by unique id",
            "amd_rocm_smi,gpu_unique_id=0xa1,name=card0,host=h power_draw=100", "amd/0xa1"),
        Case("ROCm by card", "amd_rocm_smi,name=card0,host=h power_draw=100", "amd/h/card0"),
        Case(
            "a MIG instance of Telegraf",
            "nvidia_smi_mig,uuid=GPU-1,gpu_index=9,index=0 memory_used=5i", "nvidia/GPU-1/mig-9"),
        Case("native as given", Fixture.native(#""temp.core":50"#, device: "asic/x-1"), "asic/x-1"),
        Case(
            "native without a vendor in the id",
            Fixture.native(#""temp.core":50"#, device: "x-1", more: #","vendor":"Acme""#),
            "acme/x-1"),
        Case(
            "native by host and index",
            #"{"v":1,"host":"h","index":4,"vendor":"acme","m":{"temp.core":50}}"#, "acme/h/4"),
        Case("native nameless", #"{"v":1,"host":"h","m":{"temp.core":50}}"#, nil),
        Case(
            "an id too long to keep",
            Fixture.native(
                #""temp.core":50"#, device: "x/" + String(repeating: "y", count: 255)), nil),
        Case(
            "an id just short enough",
            Fixture.native(
                #""temp.core":50"#, device: "x/" + String(repeating: "y", count: 254)),
            "x/" + String(repeating: "y", count: 254)),
    ]

    @Test(arguments: cases)
    func `a device is known by what is stable of it`(_ example: Case) throws {
        var harness = Harness()
        for _ in 0..<2 { try harness.feed(example.message) }
        #expect(harness.ids == [example.id].compactMap { $0 })
        #expect((harness.batch.tally.noDevice == 2) == (example.id == nil))
        #expect(harness.decoder.statistics.labelMisses == 1, "nobody is remembered as well")
        #expect(harness.isConsistent)
    }

    @Test func `one row with metrics of board and instance fills two devices`() throws {
        var harness = Harness()
        try harness.feed(
            "prometheus,UUID=GPU-1,GPU_I_ID=2,pod=a-0 DCGM_FI_DEV_GPU_TEMP=60,"
                + "DCGM_FI_PROF_SM_ACTIVE=0.5,DCGM_FI_DEV_POWER_USAGE=300,"
                + "DCGM_FI_PROF_DRAM_ACTIVE=0.25 1795248000000000000")
        #expect(harness.value("nvidia/GPU-1", .tempCore) == 60)
        #expect(harness.value("nvidia/GPU-1", .powerDraw) == 300)
        #expect(harness.value("nvidia/GPU-1", .utilSM) == nil)
        #expect(harness.value("nvidia/GPU-1/mig-2", .utilSM) == 0.5)
        #expect(harness.value("nvidia/GPU-1/mig-2", .utilMembw) == 0.25)
        #expect(harness.batch.rows.map(\.points) == [2, 2])
        let jobs = harness.directory.devices.map { $0.labels[.job] }
        #expect(jobs == ["", "a"], "the board belongs to no job, its instance does")
    }

    @Test func `power of zero on an AMD partition is no reading`() throws {
        var harness = Harness()
        let labels = #""serial_number":"S","gpu_partition_id":"1""#
        try harness.feed(Self.scrape("gpu_package_power", labels, "0"))
        try harness.feed(Self.scrape("gpu_gfx_activity", labels, "0"))
        #expect(harness.batch.tally.sentinel == 1)
        #expect(harness.value(.utilBusy) == 0)
        #expect(harness.isConsistent)
    }

    @Test func `only the first of many clocks is taken`() throws {
        var harness = Harness()
        for index in 0..<8 {
            try harness.feed(
                Self.scrape(
                    "gpu_clock",
                    #""serial_number":"S","clock_type":"system","clock_index":"\#(index)""#,
                    "\(2_000 + index)"))
        }
        #expect(harness.value(.clockCore) == 2_000)
        #expect(harness.batch.tally.ignored == 7)
        try harness.feed(
            Self.scrape("gpu_clock", #""serial_number":"S","clock_type":"video""#, "900"))
        #expect(harness.batch.tally.ignored == 8)
        #expect(harness.isConsistent)
    }

    @Test func `labels are read by their many names`() throws {
        var harness = Harness {
            $0.cluster = "default"; $0.region = "eu"
        }
        try harness.feed(
            Self.scrape(
                Self.temperature,
                #""UUID":"GPU-1","Hostname":"h","instance":"10.0.0.1:9400","modelName":"H100","#
                    + #""DCGM_FI_DRIVER_VERSION":"570","#
                    + #""DCGM_FI_DEV_VBIOS_VERSION":"96.00.74","#
                    + #""cuda_version":"12.8","runtime":"containerd","#
                    + #""exported_pod":"chat-7d9f8b6c5d-x2x7z","#
                    + #""pod":"dcgm-exporter-abcde","exported_namespace":"llm","#
                    + #""namespace":"gpu-operator","hpc_job":"4711","job":"scrape","#
                    + #""label_app_kubernetes_io_name":"chat","topology.kubernetes.io/zone":"a","#
                    + #""service":"dcgm-exporter","job_user":"kim","region":"us""#))
        let expected: KeyValuePairs<LabelKey, String> = [
            .vendor: "nvidia", .kind: "gpu", .host: "h", .model: "H100", .driver: "570",
            .firmware: "96.00.74", .runtime: "12.8", .job: "4711", .namespace: "llm",
            .service: "chat", .zone: "a", .user: "kim", .cluster: "default", .region: "us",
        ]
        #expect(harness.directory.devices[0].labels == Labels(expected))
    }

    @Test(arguments: [
        ("llm-0", "llm", "0"), ("llm-worker-12", "llm-worker", "12"),
        ("chat-7d9f8b6c5d-x2x7z", "chat", ""), ("my-job-x2x7z", "my-job", ""),
        ("notebook", "notebook", ""), ("data-loader", "data-loader", ""),
        ("very-smart", "very-smart", ""), ("", "", ""), ("-", "-", ""), ("a-", "a-", ""),
    ])
    func `a pod's owner is its name without what was generated`(
        _ pod: String, _ name: String, _ ordinal: String
    ) {
        let owner = Identity.owner(ofPod: pod)
        #expect(owner.name == name)
        #expect(owner.ordinal == ordinal)
    }

    @Test(arguments: [
        ("gpu-17:9400", "gpu-17"), ("gpu-17", "gpu-17"), ("[fe80::1]:9400", "fe80::1"),
        ("fe80::1", "fe80::1"), ("gpu-17:", "gpu-17"), (":9400", ":9400"), ("h:web", "h:web"),
        ("[broken", "[broken"), ("", ""),
    ])
    func `a port is no part of a host`(_ text: String, _ host: String) {
        #expect(Identity.withoutPort(text) == host)
    }

    @Test(arguments: [
        ("00000000:0F:00.0", "0000:0f:00.0"), ("0000:0f:00.0", "0000:0f:00.0"),
        ("0F:00.0", "0000:0f:00.0"), ("00010000:0F:00.0", "0000:0f:00.0"), ("", ""), ("x", "x"),
    ])
    func `a place on the bus has one spelling`(_ text: String, _ place: String) {
        #expect(Identity.normalisedPCI(text) == place)
    }
}

@Suite("Label memo") struct LabelMemoTests {
    private func message(_ job: String, _ gpu: Int, _ second: Int) -> String {
        Fixture.dcgm(
            "DCGM_FI_DEV_GPU_TEMP", "\(50 + gpu)", at: second, labels: #","hpc_job":"\#(job)""#
        )
        .replacing("GPU-1", with: "GPU-\(gpu)")
    }

    @Test func `two devices stay two when every hash is the same`() throws {
        var harness = Harness { $0.hashMask = 0 }
        for second in 0..<3 {
            for gpu in 0..<9 { try harness.feed(message("a", gpu, second)) }
        }
        #expect(harness.ids == (0..<9).map { "nvidia/GPU-\($0)" })
        for gpu in 0..<9 {
            #expect(harness.value("nvidia/GPU-\(gpu)", .tempCore) == 50 + Double(gpu))
        }
        #expect(harness.decoder.statistics.labelMisses == 9)
        #expect(harness.decoder.statistics.labelHits == 18)
        try harness.feed(Fixture.native(#""util.busy":1,"util.sm":0.5"#))
        #expect(harness.value("nvidia/GPU-1", .utilSM) == 0.5, "names are told apart as well")
    }

    @Test func `four runs of labels in one place are known by a few words, and a fifth by its own`()
    {
        // Hashes that differ in their tags alone.
        var map = ByteMap(hashMask: 0xFFFF << 48)
        let runs = (0..<5).map {
            Array("uuid=GPU-\($0),host=gpu-node-\($0),index=0,pstate=P0".utf8)
        }
        func known() -> [Int?] {
            runs.map { run in
                let bytes = run.span
                return map.guess(bytes, 0).map { Int($0.value) }
            }
        }
        for (number, run) in runs.enumerated() {
            let bytes = run.span
            let hash = map.hash(bytes, 0..<run.count, salt: 1)
            map.add(bytes, 0..<run.count, salt: 1, hash: hash, value: Int32(number))
            map.note(bytes, 0..<run.count, salt: 1, hash: hash)
            if number == 3 { #expect(known() == [0, 1, 2, 3, nil]) }
        }
        let last = known()
        #expect(last[4] == 4)
        #expect(last.count { $0 != nil } == 4, "one of the others made room")
        #expect(last.enumerated().allSatisfy { $0.element == nil || $0.element == $0.offset })
    }

    @Test func `a job that comes back is seen though its labels are known`() throws {
        var harness = Harness()
        for (second, job) in ["a", "b", "a", "a"].enumerated() {
            try harness.feed(message(job, 1, second))
            #expect(harness.label(.job) == job)
        }
        #expect(harness.decoder.statistics.labelMisses == 2)
        try harness.feed(Fixture.dcgm("DCGM_FI_DEV_GPU_TEMP", "50", at: 9))
        #expect(harness.label(.job).isEmpty, "a job that ended leaves no label")
    }

    @Test func `a device that moves to another partition is followed`() throws {
        var harness = Harness()
        try harness.feed(message("a", 1, 0))
        harness.partition = 1
        try harness.feed(message("a", 1, 1))
        #expect(harness.directory.devices[0].origin.number == 1)
        #expect(harness.directory.devices[0].lastSeen.milliseconds == 1_795_244_401_000)
        #expect(harness.batch.rows.map(\.partition) == [0, 1])
    }

    @Test func `a full memo starts afresh and loses nothing`() throws {
        var harness = Harness {
            $0.labelSetsMax = 4
            $0.namesMax = 2
        }
        for second in 0..<3 {
            for gpu in 0..<9 { try harness.feed(message("a", gpu, second)) }
            try harness.feed(Fixture.native(#""util.busy":1,"util.sm":0.5,"temp.core":50"#))
        }
        #expect(harness.decoder.statistics.labelClears >= 6)
        #expect(harness.decoder.statistics.nameClears >= 2)
        #expect(harness.ids.count == 9)
        #expect(harness.batch.tally.points == 36)
        #expect(harness.isConsistent)
    }

    @Test func `a full directory refuses a device and counts its points`() throws {
        var harness = Harness()
        harness.directory = Directory(devicesMax: 2)
        for gpu in 0..<4 { try harness.feed(message("a", gpu, 0)) }
        try harness.feed(message("a", 3, 1))
        #expect(harness.ids.count == 2)
        #expect(harness.batch.tally.noDevice == 3)
        #expect(harness.directory.refused == 2, "asked once per label set")
        try harness.feed(#"{"v":1,"device":"x/9","e":[{"code":79}]}"#)
        #expect(harness.batch.tally.faultsRefused == 1)
        #expect(harness.isConsistent)
    }

    @Test func `a smaller directory is another one and nothing of the old is believed`() throws {
        var harness = Harness()
        for gpu in 0..<4 { try harness.feed(message("a", gpu, 0)) }
        harness.directory = Directory()
        harness.batch.removeAll()
        try harness.feed(message("a", 3, 1))
        #expect(harness.ids == ["nvidia/GPU-3"])
        #expect(harness.isConsistent)
    }
}
