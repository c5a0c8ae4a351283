/// Every alias table, by name; read when a name is seen for the first time.
struct Catalogue: Sendable {
    struct Row: Sendable {
        let source: Source
        let meaning: Meaning
        let also: Meaning?

        init(source: Source, meaning: Meaning, also: Meaning?) {
            self.source = source
            self.meaning = meaning
            self.also = also
        }

        /// The name that is the metric itself.
        init(source: Source, metric: Metric) {
            self.init(source: source, meaning: .value(metric), also: nil)
        }
    }

    enum Found: Sendable {
        case row(Row)
        /// The meaning depends on the value of a label.
        case selected(Source, Selector)
        /// A name of a source that we know, which nothing here watches.
        case ignored
        case unknown
    }

    /// By lower-case name; a Telegraf input's names after its measurement and a slash, a name with
    /// a selection before the label's value in braces.
    private var rows: [String: Row] = [:]
    private var selections: [String: (Source, Selector)] = [:]

    /// The ranks that a source gives for one metric.
    private var ranks: [UInt32: Set<UInt8>] = [:]

    static let shared = Catalogue()

    /// Telegraf inputs whose fields have names of their own.
    private static let measurements: [Source: String] = [
        .nvidiaSMI: "nvidia_smi/", .nvidiaMIG: "nvidia_smi_mig/", .rocmSMI: "amd_rocm_smi/",
    ]

    /// A name that starts so belongs to a source we know.
    private static let prefixes = [
        "dcgm_fi_", "dcgm_exp_", "amd_gpu_", "gpu_", "pcie_", "amd_pcie_", "habanalabs_", "neuron",
        "tpu.", "tpu_", "hlo_", "hlo.", "megascale.", "kubernetes.io/", "kubernetes_io:", "hw.",
        "hw_", "scrape_",
    ]

    private init() {
        add(Aliases.dcgm, .dcgm)
        add(Aliases.amd, .amd)
        add(Aliases.amd, .amd, prefix: "amd_")
        add(Aliases.tpu, .tpu)
        add(Aliases.gaudi, .gaudi)
        add(Aliases.neuron, .neuron)
        add(Aliases.hardware, .hardware)
        add(Aliases.fluentBit, .fluentBit)
        add(Aliases.scrape, .scrape)
        add(Aliases.nvidiaSMI, .nvidiaSMI, prefix: "nvidia_smi/")
        add(Aliases.nvidiaMIG, .nvidiaMIG, prefix: "nvidia_smi_mig/")
        add(Aliases.rocmSMI, .rocmSMI, prefix: "amd_rocm_smi/")
    }

    private mutating func add(_ table: [Alias], _ source: Source, prefix: String = "") {
        for alias in table {
            let row = Row(source: source, meaning: alias.meaning, also: alias.also)
            ranks[Catalogue.pair(source, alias.meaning.metric), default: []].insert(
                alias.meaning.rank)
            for name in alias.names.map({ prefix + $0.lowercased() }) {
                guard let selection = alias.selection else {
                    precondition(rows[name] == nil, "a name stands in one alias table only")
                    rows[name] = row
                    continue
                }
                selections[name] = (source, selection.label)
                for value in selection.values { rows["\(name){\(value)}"] = row }
            }
        }
    }

    private static func pair(_ source: Source, _ metric: Metric) -> UInt32 {
        UInt32(source.rawValue) << 16 | UInt32(metric.rawValue)
    }

    /// Whether `source` gives `metric` by several names of different worth.
    func isContested(_ source: Source, _ metric: Metric) -> Bool {
        (ranks[Catalogue.pair(source, metric)]?.count ?? 0) > 1
    }

    /// What `name` means, written in any case, as a field of the Telegraf input `measurement`.
    func find(_ name: String, measurement: Source = .unknown) -> Found {
        let prefix = Catalogue.measurements[measurement]
        let key = (prefix ?? "") + name.lowercased()
        if let row = rows[key] { return .row(row) }
        if let (source, label) = selections[key] { return .selected(source, label) }
        guard prefix == nil else { return .ignored }
        return Catalogue.prefixes.contains(where: key.hasPrefix) ? .ignored : .unknown
    }

    /// What `name` means where the label it depends on has `value`.
    func find(_ name: String, selected value: String) -> Row? {
        rows["\(name.lowercased()){\(value.lowercased())}"]
    }

    /// Every name with what it means, for the test that looks at each.
    var everything: [(name: String, row: Row)] {
        rows.map { ($0.key, $0.value) }.sorted { $0.name < $1.name }
    }
}
