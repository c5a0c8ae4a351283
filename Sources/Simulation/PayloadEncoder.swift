package import Fleet
import Telemetry

/// How a message says what a device said.
package enum PayloadFormat: Sendable, Equatable {
    /// One message per tick (reference, wire formats 3.11).
    case native
    /// One message per tick as Telegraf's `nvidia_smi` writes it (3.2): no tensor, no faults.
    case telegraf(TimestampUnit)
    /// One message per value, as Vector writes what it scraped from dcgm-exporter (3.4).
    case vector

    package enum TimestampUnit: Sendable { case seconds, milliseconds }
}

/// One message for a broker.
package struct SimulatedMessage: Sendable {
    /// Into the bytes of the batch.
    package let key: Range<Int>
    package let payload: Range<Int>
    package let eventTime: Instant
    /// When it reaches the broker; messages of a batch are in this order.
    package let deliveryTime: Instant
    /// Numeric values in the payload.
    package let points: Int
    /// Discrete events in the payload.
    package let faults: Int
}

/// Messages and the bytes they share; used again and again.
package struct MessageBatch: Sendable {
    package internal(set) var bytes: [UInt8] = []
    package internal(set) var messages: [SimulatedMessage] = []

    package init() {}

    package mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        messages.removeAll(keepingCapacity: true)
    }

    /// The payload of one message as text; for people and tests.
    package func text(of message: SimulatedMessage) -> String {
        String(decoding: bytes[message.payload], as: UTF8.self)
    }

    package func keyText(of message: SimulatedMessage) -> String {
        String(decoding: bytes[message.key], as: UTF8.self)
    }
}

/// The bytes of a device that never change while its labels do not.
package struct PayloadTemplate: Sendable {
    fileprivate let key: [UInt8]
    /// From after the timestamp to before the values.
    fileprivate let head: [UInt8]
    fileprivate let tail: [UInt8]
}

/// Writes ticks as messages, by appending to a batch.
package struct PayloadEncoder: Sendable {
    package let format: PayloadFormat
    private let native: [NativeField]
    private let vector: [VectorField]

    package init(_ format: PayloadFormat) {
        self.format = format
        native = NativeField.all
        vector = VectorField.all
    }

    package func template(_ identity: DeviceIdentity, _ labels: Labels) -> PayloadTemplate {
        var head: [UInt8] = []
        var tail: [UInt8] = []
        switch format {
        case .native: head.appendNativeHead(identity, labels)
        case .telegraf: tail.appendTelegrafTags(identity, labels)
        case .vector: head.appendVectorTags(identity, labels)
        }
        return PayloadTemplate(key: Array(identity.id.utf8), head: head, tail: tail)
    }

    /// Appends the message or messages of one tick.
    package func append(
        _ tick: borrowing Tick, events: [TickEvent] = [], as template: PayloadTemplate,
        deliveredAt: Instant, to batch: inout MessageBatch
    ) {
        switch format {
        case .native:
            let frame = batch.open(template, tick.time, deliveredAt)
            let points = batch.bytes.appendNative(tick, events, native, template.head)
            batch.close(frame, points: points, faults: events.count)
        case .telegraf(let unit):
            let frame = batch.open(template, tick.time, deliveredAt)
            let points = batch.bytes.appendTelegraf(tick, unit, template.tail)
            // A message of Telegraf has fields, or is not sent.
            guard points > 0 else { return batch.abandon(frame) }
            batch.close(frame, points: points, faults: 0)
        case .vector:
            for field in vector where !tick[field.metric].isNaN {
                let frame = batch.open(template, tick.time, deliveredAt)
                batch.bytes.appendVector(tick, field, template.head)
                batch.close(frame, points: 1, faults: 0)
            }
        }
    }
}

extension MessageBatch {
    fileprivate struct Frame {
        let keyStart: Int
        let start: Int
        let eventTime: Instant
        let deliveryTime: Instant
    }

    fileprivate mutating func open(
        _ template: PayloadTemplate, _ eventTime: Instant, _ deliveryTime: Instant
    ) -> Frame {
        let keyStart = bytes.count
        bytes.append(contentsOf: template.key)
        return Frame(
            keyStart: keyStart, start: bytes.count, eventTime: eventTime,
            deliveryTime: deliveryTime)
    }

    fileprivate mutating func close(_ frame: Frame, points: Int, faults: Int) {
        messages.append(
            SimulatedMessage(
                key: frame.keyStart..<frame.start, payload: frame.start..<bytes.count,
                eventTime: frame.eventTime, deliveryTime: frame.deliveryTime, points: points,
                faults: faults))
    }

    fileprivate mutating func abandon(_ frame: Frame) {
        bytes.removeSubrange(frame.keyStart...)
    }
}

/// A metric of the vocabulary as the native format names it.
private struct NativeField: Sendable {
    let metric: Metric
    /// Quoted, with the colon: `"util.busy":`.
    let key: [UInt8]
    let decimals: Int

    /// In the order of the vocabulary; derived ones and the sticky code are not on the wire.
    static let all: [NativeField] = Vocabulary.canonical.compactMap { definition in
        guard definition.metric != .memUsedRatio, definition.metric != .powerRatio,
            definition.metric != .faultCode
        else { return nil }
        var key: [UInt8] = []
        key.append(quoted: definition.name)
        key.append(UInt8(ascii: ":"))
        return NativeField(metric: definition.metric, key: key, decimals: decimals(of: definition))
    }

    private static func decimals(of definition: MetricDefinition) -> Int {
        if definition.metric == .powerDraw || definition.metric == .energyTotal { return 3 }
        switch definition.unit {
        case "ratio": return 6
        case "°C": return 1
        case "s", "1/s": return 4
        default: return 0
        }
    }
}

extension [UInt8] {
    fileprivate mutating func appendNativeHead(_ identity: DeviceIdentity, _ labels: Labels) {
        append(contentsOf: ",\"device\":".utf8)
        append(quoted: identity.id)
        append(contentsOf: ",\"host\":".utf8)
        append(quoted: identity.host)
        append(contentsOf: ",\"index\":".utf8)
        append(Int64(identity.index))
        for key in [LabelKey.kind, .vendor, .model] {
            append(contentsOf: ",\"\(key.name)\":".utf8)
            append(quoted: labels[key])
        }
        append(contentsOf: ",\"labels\":{".utf8)
        let here: Set<LabelKey> = [.host, .kind, .vendor, .model]
        appendLabels(labels, except: here)
        append(contentsOf: "},\"m\":{".utf8)
    }

    /// `"region":"us-east-1","cluster":"prod-a"`; the kind of work is called `job_kind` on the wire.
    private mutating func appendLabels(_ labels: Labels, except: Set<LabelKey>) {
        var isFirst = true
        for (key, value) in labels.pairs where !except.contains(key) {
            if !isFirst { append(UInt8(ascii: ",")) }
            isFirst = false
            append(quoted: key == .workload ? "job_kind" : key.name)
            append(UInt8(ascii: ":"))
            append(quoted: value)
        }
    }

    fileprivate mutating func appendNative(
        _ tick: borrowing Tick, _ events: [TickEvent], _ fields: [NativeField], _ head: [UInt8]
    ) -> Int {
        append(contentsOf: "{\"v\":1,\"ts\":".utf8)
        append(tick.time.milliseconds)
        append(contentsOf: head)
        var points = 0
        for field in fields {
            let value = tick[field.metric]
            guard value.isFinite else { continue }
            if points > 0 { append(UInt8(ascii: ",")) }
            points += 1
            append(contentsOf: field.key)
            append(value, decimals: field.decimals)
        }
        append(UInt8(ascii: "}"))
        if !events.isEmpty {
            append(contentsOf: ",\"e\":[".utf8)
            for (index, event) in events.enumerated() {
                if index > 0 { append(UInt8(ascii: ",")) }
                append(contentsOf: "{\"type\":\"fault\",\"code\":".utf8)
                append(Int64(event.code))
                append(contentsOf: ",\"text\":".utf8)
                append(quoted: event.text)
                append(UInt8(ascii: "}"))
            }
            append(UInt8(ascii: "]"))
        }
        append(UInt8(ascii: "}"))
        return points
    }
}

extension [UInt8] {
    fileprivate mutating func appendTelegrafTags(_ identity: DeviceIdentity, _ labels: Labels) {
        append(contentsOf: "},\"name\":\"nvidia_smi\",\"tags\":{".utf8)
        append(contentsOf: "\"arch\":\"Hopper\",\"compute_mode\":\"Default\",\"host\":".utf8)
        append(quoted: identity.host)
        append(contentsOf: ",\"index\":\"\(identity.index)\",\"name\":".utf8)
        append(quoted: DeviceIdentity.marketingName)
        append(contentsOf: ",\"pstate\":\"P0\",\"uuid\":".utf8)
        append(quoted: identity.uuid)
        let here: Set<LabelKey> = [.host, .kind, .vendor, .model]
        if labels.pairs.contains(where: { !here.contains($0.key) }) { append(UInt8(ascii: ",")) }
        appendLabels(labels, except: here)
        append(contentsOf: "},\"timestamp\":".utf8)
    }

    fileprivate mutating func appendTelegraf(
        _ tick: borrowing Tick, _ unit: PayloadFormat.TimestampUnit, _ tail: [UInt8]
    ) -> Int {
        append(contentsOf: "{\"fields\":{".utf8)
        var points = 0
        appendField("clocks_current_memory", tick[.clockMem], &points)
        appendField("clocks_current_sm", tick[.clockCore], &points)
        let reasons = tick[.throttleReasons]
        if reasons.isFinite {
            for (bit, name) in [UInt8].throttleReasons {
                appendField(name, Int64(reasons) & bit == 0 ? 0 : 1, &points)
            }
        }
        appendField("ecc_errors_volatile_dram_correctable", tick[.eccCorrected], &points)
        appendField("ecc_errors_volatile_dram_uncorrectable", tick[.eccUncorrected], &points)
        let mebibyte = 1_048_576.0
        appendField("memory_free", (tick[.memTotal] - tick[.memUsed]) / mebibyte, &points)
        appendField("memory_total", tick[.memTotal] / mebibyte, &points)
        appendField("memory_used", tick[.memUsed] / mebibyte, &points)
        appendField("power_draw", tick[.powerDraw], &points, decimals: 2)
        appendField("power_limit", tick[.powerLimit], &points, decimals: 2)
        appendYesOrNo("remapped_rows_failure", tick[.remapFailed], after: points)
        appendYesOrNo("remapped_rows_pending", tick[.remapPending], after: points)
        appendField("temperature_gpu", tick[.tempCore], &points)
        appendField("temperature_memory", tick[.tempMem], &points)
        appendField("utilization_gpu", tick[.utilBusy] * 100, &points)
        appendField("utilization_memory", tick[.utilMembw] * 100, &points)
        append(contentsOf: tail)
        let milliseconds = tick.time.milliseconds
        append(unit == .seconds ? milliseconds / 1_000 : milliseconds)
        // Telegraf ends every message with a line feed.
        append(contentsOf: "}\n".utf8)
        return points
    }

    private mutating func appendField(
        _ name: String, _ value: Double, _ points: inout Int, decimals: Int = 0
    ) {
        guard value.isFinite else { return }
        appendFieldName(name, after: points)
        append(value, decimals: decimals)
        points += 1
    }

    /// Telegraf writes this state as a word, not as a number.
    private mutating func appendYesOrNo(_ name: String, _ value: Double, after points: Int) {
        guard value.isFinite else { return }
        appendFieldName(name, after: points)
        append(contentsOf: (value == 0 ? "\"No\"" : "\"Yes\"").utf8)
    }

    private mutating func appendFieldName(_ name: String, after points: Int) {
        if points > 0 { append(UInt8(ascii: ",")) }
        append(UInt8(ascii: "\""))
        append(contentsOf: name.utf8)
        append(contentsOf: "\":".utf8)
    }

    private static let throttleReasons: [(bit: Int64, name: String)] = [
        (0x2, "clocks_event_reason_applications_clocks_setting"),
        (0x100, "clocks_event_reason_display_clocks_setting"),
        (0x1, "clocks_event_reason_gpu_idle"),
        (0x80, "clocks_event_reason_hw_power_brake_slowdown"),
        (0x8, "clocks_event_reason_hw_slowdown"),
        (0x40, "clocks_event_reason_hw_thermal_slowdown"),
        (0x4, "clocks_event_reason_sw_power_cap"),
        (0x20, "clocks_event_reason_sw_thermal_slowdown"),
        (0x10, "clocks_event_reason_sync_boost"),
    ]
}

/// A metric as dcgm-exporter names and scales it.
private struct VectorField: Sendable {
    let metric: Metric
    /// From the brace to the tags: `{"name":"DCGM_FI_DEV_POWER_USAGE","tags":`.
    let open: [UInt8]
    let scale: Double
    let decimals: Int
    let isCounter: Bool

    init(
        _ metric: Metric, _ name: String, scale: Double = 1, decimals: Int = 0,
        isCounter: Bool = false
    ) {
        self.metric = metric
        open = Array("{\"name\":\"\(name)\",\"tags\":".utf8)
        self.scale = scale
        self.decimals = decimals
        self.isCounter = isCounter
    }

    static let all: [VectorField] = [
        VectorField(.clockCore, "DCGM_FI_DEV_SM_CLOCK"),
        VectorField(.clockMem, "DCGM_FI_DEV_MEM_CLOCK"),
        VectorField(.tempCore, "DCGM_FI_DEV_GPU_TEMP"),
        VectorField(.tempMem, "DCGM_FI_DEV_MEMORY_TEMP"),
        VectorField(.powerDraw, "DCGM_FI_DEV_POWER_USAGE", decimals: 3),
        VectorField(.powerLimit, "DCGM_FI_DEV_ENFORCED_POWER_LIMIT", decimals: 3),
        VectorField(.utilBusy, "DCGM_FI_DEV_GPU_UTIL", scale: 100),
        VectorField(.utilSM, "DCGM_FI_PROF_SM_ACTIVE", decimals: 6),
        VectorField(.utilTensor, "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", decimals: 6),
        VectorField(.utilMembw, "DCGM_FI_PROF_DRAM_ACTIVE", decimals: 6),
        VectorField(.memUsed, "DCGM_FI_DEV_FB_USED", scale: 1 / 1_048_576.0),
        VectorField(.throttleReasons, "DCGM_FI_DEV_CLOCKS_EVENT_REASONS"),
        VectorField(.eccCorrected, "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", isCounter: true),
        VectorField(.eccUncorrected, "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", isCounter: true),
        VectorField(.remapFailed, "DCGM_FI_DEV_ROW_REMAP_FAILURE"),
        VectorField(.remapPending, "DCGM_FI_DEV_ROW_REMAP_PENDING"),
        VectorField(.pcieReplays, "DCGM_FI_DEV_PCIE_REPLAY_COUNTER", isCounter: true),
        VectorField(.linkErrors, "DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL", isCounter: true),
        VectorField(.linkBytes, "DCGM_FI_PROF_NVLINK_RX_BYTES"),
        VectorField(.faultCode, "DCGM_FI_DEV_XID_ERRORS"),
    ]
}

extension [UInt8] {
    fileprivate mutating func appendVectorTags(_ identity: DeviceIdentity, _ labels: Labels) {
        append(contentsOf: "{\"UUID\":".utf8)
        append(quoted: identity.uuid)
        append(contentsOf: ",\"device\":\"nvidia\(identity.index)\"".utf8)
        append(contentsOf: ",\"gpu\":\"\(identity.index)\",\"hostname\":".utf8)
        append(quoted: identity.host)
        append(contentsOf: ",\"modelName\":".utf8)
        append(quoted: DeviceIdentity.marketingName)
        let here: Set<LabelKey> = [.host, .kind, .vendor, .model]
        if labels.pairs.contains(where: { !here.contains($0.key) }) { append(UInt8(ascii: ",")) }
        appendLabels(labels, except: here)
        append(contentsOf: "},\"timestamp\":".utf8)
    }

    fileprivate mutating func appendVector(
        _ tick: borrowing Tick, _ field: VectorField, _ head: [UInt8]
    ) {
        append(contentsOf: field.open)
        append(contentsOf: head)
        append(quoted: tick.time)
        append(
            contentsOf: (field.isCounter
                ? ",\"kind\":\"absolute\",\"counter\":{\"value\":"
                : ",\"kind\":\"absolute\",\"gauge\":{\"value\":").utf8)
        append(tick[field.metric] * field.scale, decimals: field.decimals)
        append(contentsOf: "}}".utf8)
    }
}
