package import Fleet
import Telemetry

/// Reads the rows of recorded telemetry as ticks.
///
/// The format is comma-separated text with a header: `timestamp` in seconds, `gpu` as an index, and
/// the columns named below in any order; columns that nobody knows are ignored. A field that is
/// empty or not a number is a value that was not measured.
package struct RecordingReader: Sendable {
    /// One row, and which device it is of.
    package struct Row: Sendable {
        package var device = 0
        package var tick = Tick()
        /// Such as `steady`; a true label of the regime.
        package var phase = ""
        /// Numeric values that the row gives.
        package var values = 0

        package init() {}
    }

    package enum LineError: Error, Equatable {
        /// More than `lineBytesMax`.
        case tooLong
        case wrongFieldCount(wanted: Int, found: Int)
        case badTimestamp
        case badDevice
    }

    /// Twenty columns of numbers fit ten times over.
    package static let lineBytesMax = 4_096
    /// No machine carries more accelerators than this.
    package static let devicesMax = 1_024

    private enum Column: Sendable {
        case ignored, timestamp, phase, device
        /// The value times a factor, added to what another column gave the same metric.
        case value(Metric, factor: Double)
    }

    private let columns: [Column]

    /// Refuses a header without the two columns that no row can do without.
    package init(header: some Collection<UInt8>) throws(SimulationError) {
        let names = header.split(separator: UInt8(ascii: ",")).map {
            String(decoding: $0, as: UTF8.self)
        }
        for name in ["timestamp", "gpu"] where !names.contains(name) {
            throw SimulationError(
                "a recording without a column \(name): its header is"
                    + " \(names.prefix(8).joined(separator: ","))…")
        }
        columns = names.map { RecordingReader.known[$0] ?? .ignored }
    }

    private static let known: [String: Column] = [
        "timestamp": .timestamp, "phase": .phase, "gpu": .device,
        "power_w": .value(.powerDraw, factor: 1),
        "temp_c": .value(.tempCore, factor: 1),
        "mem_used_mib": .value(.memUsed, factor: 1_048_576),
        "mem_total_mib": .value(.memTotal, factor: 1_048_576),
        "gpu_util_pct": .value(.utilBusy, factor: 0.01),
        "sm_active": .value(.utilSM, factor: 1),
        "tensor_active": .value(.utilTensor, factor: 1),
        "dram_active": .value(.utilMembw, factor: 1),
        "pcie_tx_bytes_s": .value(.pcieBytes, factor: 1),
        "pcie_rx_bytes_s": .value(.pcieBytes, factor: 1),
        "nvlink_tx_bytes_s": .value(.linkBytes, factor: 1),
        "nvlink_rx_bytes_s": .value(.linkBytes, factor: 1),
        "throttle_reasons": .value(.throttleReasons, factor: 1),
        "energy_mj": .value(.energyTotal, factor: 0.001),
    ]

    /// Reads one line, without its line feed, into `row`.
    package func read(_ line: some Collection<UInt8>, into row: inout Row) throws(LineError) {
        guard line.count <= RecordingReader.lineBytesMax else { throw .tooLong }
        let fields = line.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        guard fields.count == columns.count else {
            throw .wrongFieldCount(wanted: columns.count, found: fields.count)
        }
        row.tick.clear()
        row.values = 0
        for (column, field) in zip(columns, fields) {
            let text = String(decoding: field, as: UTF8.self)
            switch column {
            case .ignored: break
            case .phase: row.phase = text
            case .timestamp:
                guard let seconds = Double(text), (0..<9e11).contains(seconds) else {
                    throw .badTimestamp
                }
                row.tick.time = Instant(milliseconds: Int64((seconds * 1_000).rounded()))
            case .device:
                guard let index = Int(text), (0..<RecordingReader.devicesMax).contains(index)
                else { throw .badDevice }
                row.device = index
            case .value(let metric, let factor):
                guard let value = Double(text), value.isFinite else { continue }
                row.values += 1
                let before = row.tick[metric]
                row.tick[metric] = before.isNaN ? value * factor : before + value * factor
            }
        }
    }
}

/// Turns recorded rows into messages of another place and time.
package struct RecordingPublisher: Sendable {
    /// Where every row went.
    package struct Tally: Sendable, Equatable {
        package var rows: UInt64 = 0
        /// Held back by the filter: a device that was made to fall silent.
        package var filtered: UInt64 = 0
        package var unreadable: UInt64 = 0
        package var published: UInt64 = 0
        /// Numeric values in what was published.
        package var points: UInt64 = 0
    }

    package private(set) var tally = Tally()
    private let reader: RecordingReader
    private let encoder: PayloadEncoder
    private let shift: Duration
    private let host: String
    private let labels: Labels
    private var templates: [Int: PayloadTemplate] = [:]
    private var row = RecordingReader.Row()

    /// Rows move by `shift`, to where the rest of a test plays; `labels` say whose devices they are.
    package init(
        header: some Collection<UInt8>, format: PayloadFormat, host: String, labels: Labels,
        shift: Duration
    ) throws(SimulationError) {
        reader = try RecordingReader(header: header)
        encoder = PayloadEncoder(format)
        self.host = host
        self.shift = shift
        var complete = labels
        complete[.host] = host
        complete[.vendor] = "nvidia"
        complete[.model] = DeviceIdentity.model
        complete[.kind] = "gpu"
        self.labels = complete
    }

    /// Who the recorded device with this index is, on this host.
    package static func identity(
        ofDevice index: Int, on host: String, _ labels: Labels = Labels()
    )
        -> DeviceIdentity
    {
        // The same recording under another host name must be other devices.
        let seed = host.utf8.reduce(UInt64(14_695_981_039_346_656_037)) {
            ($0 ^ UInt64($1)) &* 1_099_511_628_211
        }
        let uuid = DeviceIdentity.uuid(from: Noise(seed: seed).stream(.device, index))
        return DeviceIdentity(uuid: uuid, host: host, index: index, labels: labels)
    }

    /// Appends the message of one line, unless `keeps` refuses it by device and shifted time.
    package mutating func publish(
        _ line: some Collection<UInt8>, into batch: inout MessageBatch,
        where keeps: (_ device: Int, _ time: Instant) -> Bool = { _, _ in true }
    ) {
        tally.rows += 1
        do {
            try reader.read(line, into: &row)
        } catch {
            tally.unreadable += 1
            return
        }
        row.tick.time += shift
        guard keeps(row.device, row.tick.time) else {
            tally.filtered += 1
            return
        }
        let before = batch.messages.count
        encoder.append(
            row.tick, as: template(ofDevice: row.device), deliveredAt: row.tick.time, to: &batch)
        for message in batch.messages[before...] {
            tally.points += UInt64(message.points)
        }
        tally.published += 1
    }

    private mutating func template(ofDevice index: Int) -> PayloadTemplate {
        if let known = templates[index] { return known }
        let identity = RecordingPublisher.identity(ofDevice: index, on: host, labels)
        let template = encoder.template(identity, labels)
        templates[index] = template
        return template
    }
}
