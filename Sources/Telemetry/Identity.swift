import Fleet

/// The labels of one series or message, sorted by what they say; read where they are new.
///
/// Keys are compared in lower case with `.`, `/` and `-` as `_`, and without the `label_` that
/// kube-state-metrics puts in front: `app.kubernetes.io/name`, `label_app_kubernetes_io_name`.
struct Attributes {
    /// Which conventions the labels follow.
    enum Dialect: UInt8, Sendable {
        /// Our own: `job` is a job, `pod` is a block of racks.
        case native
        /// Tags of a Telegraf input.
        case telegraf
        /// Target labels of a scrape: `job` and `service` are the exporter's, not the workload's.
        case prometheus
    }

    enum Slot: Int, CaseIterable {
        case id, uuid, serial, index, partition, instance, pci, accelerator, machine
        case neuronDevice, neuronCore, hardwareID, hardwareType
        case vendor, model, kind, host, driver, firmware, runtime, scrapeJob, pod
        case region, zone, cluster, block, rack, slot
        case job, rank, service, workload, team, user, namespace
    }

    /// By slot; hashing each would cost more than reading the text.
    private var texts = Array(repeating: "", count: Slot.allCases.count)
    private var priorities = Array(repeating: Int8(-1), count: Slot.allCases.count)
    private(set) var selections: [(Selector, String)] = []
    /// `xid="79"`: the code that a count of faults is about.
    private(set) var code: Int32 = -1
    /// The link, port or sub-unit that the series is about, or -1.
    private(set) var link: Int32 = -1

    subscript(slot: Slot) -> String { texts[slot.rawValue] }

    mutating func set(_ slot: Slot, _ text: String, priority: Int8 = 9) {
        guard !Attributes.isBlank(text), priorities[slot.rawValue] < priority else { return }
        texts[slot.rawValue] = text
        priorities[slot.rawValue] = priority
    }

    /// What a label is read for.
    struct Use {
        fileprivate enum Aspect { case code, link, selector(Selector) }

        fileprivate var aspect: Aspect?
        /// Where its text goes; of several that are there, the higher number wins.
        fileprivate var place: (slot: Slot, priority: Int8)?
    }

    /// What a label called `key` is read for; nil where nobody reads it, and its text may be anything.
    static func use(of key: String, _ dialect: Dialect, _ source: Source) -> Use? {
        let plain = normalised(key)
        var use = Use(aspect: aspects[plain], place: places[plain])
        switch (dialect, source, plain) {
        case (.prometheus, _, "job"): use.place = (.scrapeJob, 5)
        case (.prometheus, _, "service"): use.place = nil
        case (.native, _, "pod"): use.place = (.block, 5)
        case (.telegraf, .nvidiaSMI, "name"), (.telegraf, .nvidiaMIG, "name"):
            use.place = (.model, 1)
        case (.telegraf, .rocmSMI, "name"): use.place = (.index, 1)
        case (_, .nvidiaMIG, "gpu_index"): use.place = (.instance, 2)
        default: break
        }
        return use.aspect == nil && use.place == nil ? nil : use
    }

    mutating func add(_ value: String, as use: Use) {
        switch use.aspect {
        case .code: code = Int32(value) ?? -1
        case .link: link = Attributes.link(value)
        case .selector(let selector): selections.append((selector, value.lowercased()))
        case nil: break
        }
        if let place = use.place { set(place.slot, value, priority: place.priority) }
    }

    /// Labels that say which of several series of one device this is.
    private static let aspects: [String: Use.Aspect] = {
        var aspects: [String: Use.Aspect] = ["xid": .code]
        for name in ["nvlink", "link", "link_id", "port", "clock_index", "ici_link"] {
            aspects[name] = .link
        }
        for selector in Selector.allCases {
            for name in selector.labels { aspects[name] = .selector(selector) }
        }
        return aspects
    }()

    /// At most 60 links are told apart; `tray1.chip3.ici0.int` counts by its digits.
    private static func link(_ value: String) -> Int32 {
        if let number = Int32(value), number >= 0 { return min(number, 60) }
        var folded: Int32 = 0
        for byte in value.utf8 where Byte.isDigit(byte) {
            folded = (folded &* 10 &+ Int32(byte &- Byte.zero)) % 61
        }
        return folded
    }

    private static func isBlank(_ text: String) -> Bool {
        text.isEmpty || text.utf8.count <= 5 && blanks.contains(text)
    }

    private static let blanks = ["N/A", "[N/A]", "none", "None", "<nil>", "null"]

    private static func normalised(_ key: String) -> String {
        let isPlain = key.utf8.allSatisfy {
            Byte.isDigit($0) || $0 == Byte.underscore || $0 &- UInt8(ascii: "a") < 26
        }
        let plain = isPlain ? key : rewritten(key)
        return plain.hasPrefix("label_") ? String(plain.dropFirst(6)) : plain
    }

    private static func rewritten(_ key: String) -> String {
        var plain = ""
        for scalar in key.lowercased().unicodeScalars {
            switch scalar {
            case ".", "/", "-": plain.unicodeScalars.append("_")
            default: plain.unicodeScalars.append(scalar)
            }
        }
        return plain
    }

    /// Where labels of most dialects go.
    private static let places: [String: (slot: Slot, priority: Int8)] = [
        "uuid": (.uuid, 3), "gpu_uuid": (.uuid, 2), "gpu_unique_id": (.uuid, 1),
        "serial_number": (.serial, 3), "serial": (.serial, 2), "hw_serial_number": (.serial, 3),
        "gpu": (.index, 6), "index": (.index, 5), "gpu_id": (.index, 5), "card": (.index, 4),
        "chip": (.index, 4), "device_id": (.index, 3), "device": (.index, 2),
        "gpu_partition_id": (.partition, 1), "gpu_i_id": (.instance, 1), "pci_bus_id": (.pci, 1),
        "accelerator_id": (.accelerator, 1), "instance_id": (.machine, 1),
        "neuron_device_index": (.neuronDevice, 2), "neurondevice": (.neuronDevice, 1),
        "neuroncore": (.neuronCore, 1), "hw_id": (.hardwareID, 1), "hw_type": (.hardwareType, 1),
        "vendor": (.vendor, 2), "hw_vendor": (.vendor, 2), "make": (.vendor, 1),
        "modelname": (.model, 5), "model_name": (.model, 5), "model": (.model, 4),
        "card_model": (.model, 3), "hw_model": (.model, 3), "instance_type": (.model, 0),
        "kind": (.kind, 1),
        "hostname": (.host, 9), "node": (.host, 8), "k8s_node_name": (.host, 7),
        "node_name": (.host, 7), "kubernetes_node": (.host, 6), "host_name": (.host, 6),
        "host": (.host, 5), "instance": (.host, 1),
        "dcgm_fi_driver_version": (.driver, 3), "dcgm_fi_system_driver_version": (.driver, 3),
        "hw_driver_version": (.driver, 3), "driver_version": (.driver, 2), "driver": (.driver, 1),
        "dcgm_fi_dev_vbios_version": (.firmware, 5), "vbios_version": (.firmware, 4),
        "hw_firmware_version": (.firmware, 3), "firmware_version": (.firmware, 2),
        "firmware": (.firmware, 1),
        "cuda_version": (.runtime, 5), "rocm_version": (.runtime, 5),
        "libtpu_version": (.runtime, 5), "neuron_runtime_version": (.runtime, 5),
        "runtime_version": (.runtime, 2), "runtime": (.runtime, 1),
        "exported_pod": (.pod, 3), "pod": (.pod, 2), "pod_name": (.pod, 2),
        "k8s_pod_name": (.pod, 2),
        "region": (.region, 3), "topology_kubernetes_io_region": (.region, 2),
        "cloud_region": (.region, 1),
        "zone": (.zone, 4), "topology_kubernetes_io_zone": (.zone, 3),
        "availability_zone": (.zone, 2), "location": (.zone, 1),
        "cluster": (.cluster, 4), "k8s_cluster_name": (.cluster, 3), "cluster_name": (.cluster, 2),
        "clustername": (.cluster, 1),
        "block": (.block, 4), "slice": (.block, 3),
        "cloud_google_com_gke_tpu_slice": (.block, 2), "nvidia_com_gpu_clique": (.block, 1),
        "rack": (.rack, 1), "slot": (.slot, 3),
        "hpc_job": (.job, 9), "job_id": (.job, 8), "jobid": (.job, 8), "slurm_job_id": (.job, 8),
        "training_kubeflow_org_job_name": (.job, 7),
        "jobset_sigs_k8s_io_jobset_name": (.job, 6), "batch_kubernetes_io_job_name": (.job, 5),
        "ray_io_cluster": (.job, 4), "job": (.job, 3),
        "rank": (.rank, 4), "batch_kubernetes_io_job_completion_index": (.rank, 3),
        "slurm_procid": (.rank, 2), "tpu_worker_id": (.rank, 1),
        "service": (.service, 3), "app_kubernetes_io_name": (.service, 2),
        "job_kind": (.workload, 3), "workload": (.workload, 2),
        "team": (.team, 4), "account": (.team, 3), "kueue_x_k8s_io_queue_name": (.team, 2),
        "user": (.user, 3), "job_user": (.user, 2),
        "exported_namespace": (.namespace, 4), "namespace": (.namespace, 3),
        "pod_namespace": (.namespace, 2), "k8s_namespace_name": (.namespace, 2),
    ]
}

/// Who the labels talk about: accelerators §4.1 of the reference, vendor by vendor.
///
/// An index is the order in which a driver found its cards: when one dies the others move up. So it
/// is an identity only where nothing better was sent, and then only together with the host.
struct Identity {
    let attributes: Attributes
    let source: Source
    let level: Meaning.Level

    /// The id of the device, or nil where the labels do not name one.
    private(set) var id: String?

    static let bytesMax = 256

    init(attributes: Attributes, source: Source, level: Meaning.Level) {
        self.attributes = attributes
        self.source = source
        self.level = level
        let id = level == .host ? hostID : deviceID
        if let id, id.utf8.count <= Identity.bytesMax { self.id = id }
    }

    /// Scrapes of two exporters on one host are two series: `host/gpu-17/dcgm`.
    private var hostID: String? {
        guard !host.isEmpty else { return nil }
        let job = attributes[.scrapeJob]
        return job.isEmpty ? "host/\(host)" : "host/\(host)/\(job)"
    }

    private var deviceID: String? {
        let given = attributes[.id]
        if !given.isEmpty {
            return given.utf8.contains(UInt8(ascii: "/")) ? given : "\(vendor)/\(given)"
        }
        switch source {
        case .dcgm, .nvidiaSMI, .nvidiaMIG: return nvidia
        case .rocmSMI, .amd: return amd
        case .tpu: return tpu
        case .neuron: return neuron
        case .hardware: return hardware
        case .gaudi, .fluentBit, .scrape, .canonical, .unknown: return anyVendor
        }
    }

    private var nvidia: String? {
        guard let board = joined(attributes[.uuid]) ?? byIndex else { return nil }
        let instance = attributes[.instance]
        return level == .instance && !instance.isEmpty ? "\(board)/mig-\(instance)" : board
    }

    private var amd: String? {
        let serial = attributes[.serial] == "0" ? "" : attributes[.serial]
        guard let board = joined(serial) ?? joined(attributes[.uuid]) ?? byIndex else { return nil }
        return isPartition ? "\(board)/p\(attributes[.partition])" : board
    }

    /// Whether this is a slice of an AMD card other than the first, which has no sensors.
    var isPartition: Bool {
        let partition = attributes[.partition]
        return !partition.isEmpty && partition != "0"
    }

    private var tpu: String? {
        if let chip = joined(attributes[.accelerator]) { return chip }
        let (machine, chip) = (attributes[.machine], attributes[.index])
        return machine.isEmpty || chip.isEmpty ? byIndex : "\(vendor)/\(machine)-\(chip)"
    }

    private var neuron: String? {
        let machine = attributes[.machine].isEmpty ? host : attributes[.machine]
        let (device, core) = (attributes[.neuronDevice], attributes[.neuronCore])
        guard !machine.isEmpty, !(device.isEmpty && core.isEmpty) else { return nil }
        return "\(vendor)/\(machine)" + (device.isEmpty ? "" : "/nd\(device)")
            + (core.isEmpty ? "" : "/nc\(core)")
    }

    /// `hw.id` is unique within a host only, and `hw.type` may be a fan or a disk.
    private var hardware: String? {
        let type = attributes[.hardwareType]
        guard ["", "gpu", "accelerator"].contains(type) else { return nil }
        if let serial = joined(attributes[.serial]) ?? joined(attributes[.uuid]) { return serial }
        let number = attributes[.hardwareID]
        return host.isEmpty || number.isEmpty ? nil : "\(vendor)/\(host)/\(number)"
    }

    private var anyVendor: String? {
        joined(attributes[.uuid]) ?? joined(attributes[.serial]) ?? byIndex
    }

    private func joined(_ stable: String) -> String? {
        stable.isEmpty ? nil : "\(vendor)/\(stable)"
    }

    private var byIndex: String? {
        let index = attributes[.index]
        return host.isEmpty || index.isEmpty ? nil : "\(vendor)/\(host)/\(index)"
    }

    private var vendor: String {
        if source != .tpu, let vendor = source.vendor { return vendor }
        let said = attributes[.vendor].lowercased()
        // Cloud Monitoring's names are the same for the GPUs of a node.
        if source == .tpu { return said.hasPrefix("nvidia") ? "nvidia" : "google" }
        if !said.isEmpty { return Identity.cut(said) { $0 == Byte.space || $0 == Byte.slash } }
        return attributes[.uuid].hasPrefix("GPU-") ? "nvidia" : "unknown"
    }

    private var host: String { Identity.withoutPort(attributes[.host]) }

    /// `gpu-17:9400` is `gpu-17`, `[fe80::1]:9400` is `fe80::1`, and `fe80::1` stays.
    static func withoutPort(_ host: String) -> String {
        guard host.utf8.contains(UInt8(ascii: ":")) else { return host }
        if host.hasPrefix("["), let end = host.firstIndex(of: "]") {
            return String(host[host.index(after: host.startIndex)..<end])
        }
        let pieces = host.split(separator: ":", omittingEmptySubsequences: false)
        guard pieces.count == 2, !pieces[0].isEmpty, pieces[1].allSatisfy(\.isNumber) else {
            return host
        }
        return String(pieces[0])
    }

    /// `00000000:0F:00.0` and `0000:0f:00.0` are one place: lower case, a domain of four digits.
    static func normalisedPCI(_ address: String) -> String {
        guard !address.isEmpty else { return "" }
        let lower = address.lowercased()
        let pieces = lower.split(separator: ":", omittingEmptySubsequences: false)
        guard pieces.count == 3, pieces[0].count > 4 else {
            return pieces.count == 2 ? "0000:\(lower)" : lower
        }
        return "\(pieces[0].suffix(4)):\(pieces[1]):\(pieces[2])"
    }

    /// The labels as rules know them.
    func labels(_ settings: DecoderSettings) -> Labels {
        var labels = Labels()
        labels[.vendor] = level == .host ? "" : Identity.cut(id ?? "") { $0 == Byte.slash }
        labels[.kind] = level == .host ? "host" : first(attributes[.kind], source.kind)
        labels[.host] = host
        labels[.model] = attributes[.model]
        labels[.driver] = attributes[.driver]
        labels[.firmware] = attributes[.firmware]
        labels[.runtime] = attributes[.runtime]
        labels[.region] = first(attributes[.region], settings.region)
        labels[.cluster] = first(attributes[.cluster], settings.cluster)
        labels[.zone] = attributes[.zone]
        labels[.block] = attributes[.block]
        labels[.rack] = attributes[.rack]
        labels[.slot] = first(
            attributes[.slot],
            first(Identity.normalisedPCI(attributes[.pci]), attributes[.index]))
        if level != .host, !isParent { setWorkload(&labels) }
        return labels
    }

    /// A board that is cut into MIG instances belongs to no job; its instances do.
    private var isParent: Bool {
        level == .board && !attributes[.instance].isEmpty
    }

    private func setWorkload(_ labels: inout Labels) {
        // Where nothing runs on a device, its exporter's own pod may stand in the label.
        let isExporter = attributes[.pod][...].firstRange(of: "exporter") != nil
        let pod = isExporter ? "" : attributes[.pod]
        let owner = Identity.owner(ofPod: pod)
        labels[.job] = first(attributes[.job], owner.name)
        labels[.rank] = first(attributes[.rank], owner.ordinal)
        labels[.service] = attributes[.service]
        labels[.workload] = attributes[.workload]
        labels[.team] = attributes[.team]
        labels[.user] = attributes[.user]
        labels[.namespace] =
            pod.isEmpty && !attributes[.pod].isEmpty ? "" : attributes[.namespace]
    }

    private func first(_ text: String, _ other: @autoclosure () -> String) -> String {
        text.isEmpty ? other() : text
    }

    /// What stands before the first of some bytes.
    private static func cut(_ text: String, before isEnd: (UInt8) -> Bool) -> String {
        text.utf8.firstIndex(where: isEnd).map { String(text[..<$0]) } ?? text
    }

    /// `llm-0` belongs to `llm`, `chat-7d9f8b6c5d-x2x7z` to `chat`.
    static func owner(ofPod pod: String) -> (name: String, ordinal: String) {
        guard !pod.isEmpty else { return ("", "") }
        let pieces = pod.split(separator: "-", omittingEmptySubsequences: false)
        guard pieces.count > 1, let last = pieces.last else { return (pod, "") }
        if !last.isEmpty, last.allSatisfy(\.isNumber) {
            return (pieces.dropLast().joined(separator: "-"), String(last))
        }
        guard last.count == 5, last.allSatisfy(isGenerated) else { return (pod, "") }
        let rest = pieces.dropLast()
        if let hash = rest.last, rest.count > 1, (8...10).contains(hash.count),
            hash.allSatisfy(isGenerated), hash.contains(where: \.isNumber)
        {
            return (rest.dropLast().joined(separator: "-"), "")
        }
        return last.contains(where: \.isNumber) ? (rest.joined(separator: "-"), "") : (pod, "")
    }

    private static func isGenerated(_ character: Character) -> Bool {
        character.isASCII && (character.isLowercase || character.isNumber)
    }
}
