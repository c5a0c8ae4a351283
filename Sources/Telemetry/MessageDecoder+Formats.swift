import Fleet

/// The shapes of messages: which part is the time, which are labels, which are values.
extension MessageDecoder {
    var opaqueNative: Bool { settings.opaqueFormats.contains(.native) }
    var opaqueOther: Bool {
        !settings.opaqueFormats.isDisjoint(with: [format]) && format != .native
    }

    /// Takes one JSON object of whatever format the topic has.
    mutating func takeObject(
        _ object: Int, _ bytes: Span<UInt8>, _ batch: inout SampleBatch,
        _ directory: inout Directory, _ vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        guard tape[object].kind == .object else {
            throw Undecodable(
                format == .auto ? .unknownFormat : .missingField, at: Int(tape[object].start))
        }
        let shape = Members(tape, object, bytes)
        switch format == .auto ? shape.format : format {
        case .native: try takeNative(object, shape, bytes, &batch, &directory, &vocabulary)
        case .telegrafJSON:
            try takeTelegraf(object, shape, bytes, &batch, &directory, &vocabulary)
        case .vector: try takeVector(object, shape, bytes, &batch, &directory, &vocabulary)
        case .prometheusAdapter:
            try takeAdapter(object, shape, bytes, &batch, &directory, &vocabulary)
        case .auto, .influx, nil:
            throw Undecodable(.unknownFormat, at: Int(tape[object].start))
        }
    }

    /// The event time at `node`, or the record's where there is none.
    private func time(_ node: Int?, _ bytes: Span<UInt8>) throws(Undecodable) -> Instant {
        guard let node, tape[node].kind != .null else { return record.origin.recordTime }
        guard let time = Timestamp.read(bytes, tape[node], unit: settings.timestampUnit) else {
            throw Undecodable(.badTimestamp, at: Int(tape[node].start))
        }
        return time
    }
}

/// Where the members of a message's outermost object stand; of equal keys the last one.
struct Members {
    var version: Int?
    var time: Int?
    var metrics: Int?
    var events: Int?
    var labels: Int?
    var tags: Int?
    var fields: Int?
    var name: Int?
    var value: Int?
    var metric: Int?
    var kind: Int?
    var gauge: Int?
    var counter: Int?
    var list: Int?

    init(_ tape: borrowing Tape, _ object: Int, _ bytes: Span<UInt8>) {
        var node = object + 1
        let end = Int(tape[object].next)
        while node + 1 < end {
            let key = tape[node].range
            switch bytes.word(at: key.lowerBound) & (~0 >> UInt64(max(0, 64 - key.count * 8))) {
            case Key.v where key.count == 1: version = node + 1
            case Key.ts where key.count == 2: time = node + 1
            case Key.m where key.count == 1: metrics = node + 1
            case Key.e where key.count == 1: events = node + 1
            case Key.labels where key.count == 6: labels = node + 1
            case Key.tags where key.count == 4: tags = node + 1
            case Key.fields where key.count == 6: fields = node + 1
            case Key.name where key.count == 4: name = node + 1
            case Key.value where key.count == 5: value = node + 1
            case Key.metric where key.count == 6: metric = node + 1
            case Key.kind where key.count == 4: kind = node + 1
            case Key.gauge where key.count == 5: gauge = node + 1
            case Key.counter where key.count == 7: counter = node + 1
            case Key.metrics where key.count == 7: list = node + 1
            case Key.timestam where bytes.spells(key, "timestamp"): time = node + 1
            default: break
            }
            node = Int(tape[node + 1].next)
        }
        isVersionNumber = version.map { tape[$0].kind == .number } ?? false
        isMetricObject = metric.map { tape[$0].kind == .object } ?? false
        isListed = list.map { tape[$0].kind == .array } ?? false
        isFields = fields.map { tape[$0].kind == .object } ?? false
    }

    private let isVersionNumber: Bool
    private let isMetricObject: Bool
    private let isListed: Bool
    private let isFields: Bool

    /// The format that these members belong to, whatever their order; wire formats §3.11.
    var format: WireFormat? {
        if isVersionNumber, metrics != nil || events != nil { return .native }
        if isMetricObject || (kind != nil && name != nil) { return .vector }
        if isFields || isListed { return .telegrafJSON }
        if labels != nil, name != nil, value != nil { return .prometheusAdapter }
        return nil
    }

    private enum Key {
        static let v = low("v")
        static let ts = low("ts")
        static let m = low("m")
        static let e = low("e")
        static let labels = low("labels")
        static let tags = low("tags")
        static let fields = low("fields")
        static let name = low("name")
        static let value = low("value")
        static let metric = low("metric")
        static let kind = low("kind")
        static let gauge = low("gauge")
        static let counter = low("counter")
        static let metrics = low("metrics")
        static let timestam = low("timestamp")

        private static func low(_ text: Spelling) -> UInt64 { text.low }
    }
}

extension MessageDecoder {
    private mutating func takeNative(
        _ object: Int, _ shape: Members, _ bytes: Span<UInt8>, _ batch: inout SampleBatch,
        _ directory: inout Directory, _ vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        let start = Int(tape[object].start)
        guard let version = shape.version else { throw Undecodable(.missingField, at: start) }
        guard tape[version].kind == .number, tape[version].value == 1 else {
            throw Undecodable(.unsupportedVersion, at: Int(tape[version].start))
        }
        guard shape.metrics != nil || shape.events != nil else {
            throw Undecodable(.missingField, at: start)
        }
        for node in [shape.metrics, shape.events] {
            guard let node, tape[node].kind != .null else { continue }
            guard tape[node].kind == (node == shape.metrics ? .object : .array) else {
                throw Undecodable(.malformed, at: Int(tape[node].start))
            }
        }
        record.start(at: try time(shape.time, bytes), labels: object)
        record.isNative = true
        addNativeRuns(object, bytes)
        // Faults first: they are read before any value takes effect, so a bad one undoes nothing.
        if let events = shape.events, tape[events].kind == .array {
            try takeFaults(events, bytes, &batch, &directory)
        }
        guard let metrics = shape.metrics, tape[metrics].kind == .object else { return }
        try takeFields(metrics, measurement: .unknown, bytes, &batch, &directory, &vocabulary)
    }

    /// The members that say who sent this; all others may change from message to message.
    private mutating func addNativeRuns(_ object: Int, _ bytes: Span<UInt8>) {
        var node = object + 1
        let end = Int(tape[object].next)
        while node + 1 < end {
            let key = tape[node]
            let value = tape[node + 1]
            if isIdentity(key.range, bytes) {
                record.add(key.start &- 1, value.kind == .string ? value.end &+ 1 : value.end)
            }
            node = Int(value.next)
        }
    }

    @inline(__always)
    private func isIdentity(_ key: Range<Int>, _ bytes: Span<UInt8>) -> Bool {
        guard (4...6).contains(key.count) else { return false }
        switch bytes[key.lowerBound] {
        case UInt8(ascii: "d"): return bytes.spells(key, "device")
        case UInt8(ascii: "h"): return bytes.spells(key, "host")
        case UInt8(ascii: "i"): return bytes.spells(key, "index")
        case UInt8(ascii: "k"): return bytes.spells(key, "kind")
        case UInt8(ascii: "v"): return bytes.spells(key, "vendor")
        case UInt8(ascii: "m"): return bytes.spells(key, "model")
        case UInt8(ascii: "l"): return bytes.spells(key, "labels")
        default: return false
        }
    }

    private mutating func takeFaults(
        _ events: Int, _ bytes: Span<UInt8>, _ batch: inout SampleBatch,
        _ directory: inout Directory
    ) throws(Undecodable) {
        var node = events + 1
        var taken = 0
        while node < Int(tape[events].next) {
            let (code, text) = try fault(node, bytes)
            node = Int(tape[node].next)
            let labels = known[try self.labels(.canonical, .board, bytes, batch, &directory)]
            guard labels.device != KnownLabels.nobody, taken < settings.faultsPerMessageMax else {
                batch.tally.faultsRefused &+= 1
                continue
            }
            taken += 1
            let time = record.isFuture ? min(record.origin.recordTime, record.clock) : record.time
            emit(DeviceIndex(labels.device), code, text, time, &batch)
        }
    }

    private func fault(
        _ object: Int, _ bytes: Span<UInt8>
    ) throws(Undecodable) -> (code: Int32, text: String) {
        guard tape[object].kind == .object else {
            throw Undecodable(.malformed, at: Int(tape[object].start))
        }
        var code: Int32?
        var text = ""
        var node = object + 1
        while node + 1 < Int(tape[object].next) {
            let key = tape[node].range
            let value = tape[node + 1]
            if bytes.spells(key, NativeKey.code), case .number(let number) = scalar(bytes, value) {
                code = Int32(exactly: number)
            } else if bytes.spells(key, NativeKey.text), value.kind == .string {
                guard let read = Text.read(bytes, value, isInflux: false) else {
                    throw Undecodable(.notUTF8, at: Int(value.start))
                }
                text = read.utf8.count <= 256 ? read : String(read.unicodeScalars.prefix(64))
            }
            node = Int(value.next)
        }
        guard let code else { throw Undecodable(.missingField, at: Int(tape[object].start)) }
        return (code, text)
    }

    /// Takes every member of an object as a value, then what they make together.
    private mutating func takeFields(
        _ object: Int, measurement: Source, _ bytes: Span<UInt8>, _ batch: inout SampleBatch,
        _ directory: inout Directory, _ vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        var node = object + 1
        let end = Int(tape[object].next)
        while node + 1 < end {
            let value = tape[node + 1]
            if value.kind != .null, value.kind != .object, value.kind != .array {
                try take(
                    tape[node], scalar(bytes, value), measurement: measurement,
                    isNumeric: value.kind == .number, bytes, &batch, &directory, &vocabulary)
            }
            node = Int(value.next)
        }
        if !record.pending.isEmpty { finishRecord(&batch) }
    }
}

extension MessageDecoder {
    private mutating func takeTelegraf(
        _ object: Int, _ shape: Members, _ bytes: Span<UInt8>, _ batch: inout SampleBatch,
        _ directory: inout Directory, _ vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        if let list = shape.list, shape.fields == nil, tape[list].kind == .array {
            memory.begin(canFail: true)
            var node = list + 1
            while node < Int(tape[list].next) {
                guard tape[node].kind == .object else {
                    throw Undecodable(.malformed, at: Int(tape[node].start))
                }
                let inner = Members(tape, node, bytes)
                try takeMetric(inner, node, bytes, &batch, &directory, &vocabulary)
                node = Int(tape[node].next)
            }
            return
        }
        try takeMetric(shape, object, bytes, &batch, &directory, &vocabulary)
    }

    private mutating func takeMetric(
        _ shape: Members, _ object: Int, _ bytes: Span<UInt8>, _ batch: inout SampleBatch,
        _ directory: inout Directory, _ vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        guard let name = shape.name, tape[name].kind == .string, let fields = shape.fields,
            tape[fields].kind == .object
        else { throw Undecodable(.missingField, at: Int(tape[object].start)) }
        let tags = shape.tags.flatMap { tape[$0].kind == .object ? $0 : nil }
        record.start(at: try time(shape.time, bytes), labels: tags ?? -1)
        if let tags { record.add(tape[tags].start, tape[tags].end) }
        try takeMeasurement(name, fields, bytes, &batch, &directory, &vocabulary)
    }

    mutating func takeLine(
        _ line: Int, _ bytes: Span<UInt8>, _ batch: inout SampleBatch,
        _ directory: inout Directory, _ vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        let name = line + 1
        let tags = name + 1
        let fields = Int(tape[tags].next)
        let stamp = Int(tape[fields].next)
        record.start(at: try time(stamp, bytes), labels: tags)
        record.add(tape[tags].start, tape[tags].end)
        try takeMeasurement(name, fields, bytes, &batch, &directory, &vocabulary)
    }

    private mutating func takeMeasurement(
        _ name: Int, _ fields: Int, _ bytes: Span<UInt8>, _ batch: inout SampleBatch,
        _ directory: inout Directory, _ vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        record.isTelegraf = true
        let range = tape[name].range
        let source: Source =
            bytes.spells(range, "nvidia_smi")
            ? .nvidiaSMI
            : bytes.spells(range, "amd_rocm_smi")
                ? .rocmSMI : bytes.spells(range, "nvidia_smi_mig") ? .nvidiaMIG : .unknown
        if source == .unknown, let field = singleValue(fields, bytes) {
            // The prometheus input, first version: the measurement is the metric.
            record.isPointwise = true
            return try take(
                tape[name], scalar(bytes, tape[field]), measurement: .unknown,
                isNumeric: tape[field].kind == .number, bytes, &batch, &directory, &vocabulary)
        }
        try takeFields(fields, measurement: source, bytes, &batch, &directory, &vocabulary)
    }

    /// The value of a lone field `gauge`, `counter`, `value` or `untyped`.
    private func singleValue(_ fields: Int, _ bytes: Span<UInt8>) -> Int? {
        let key = fields + 1
        guard key + 1 < Int(tape[fields].next), tape[key + 1].next == tape[fields].next,
            tape[key + 1].kind == .number
        else { return nil }
        let range = tape[key].range
        let isValue =
            bytes.spells(range, "gauge") || bytes.spells(range, "counter")
            || bytes.spells(range, "value") || bytes.spells(range, "untyped")
        return isValue ? key + 1 : nil
    }
}

extension MessageDecoder {
    private mutating func takeVector(
        _ object: Int, _ outer: Members, _ bytes: Span<UInt8>, _ batch: inout SampleBatch,
        _ directory: inout Directory, _ vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        var shape = outer
        if let inner = outer.metric, tape[inner].kind == .object {
            shape = Members(tape, inner, bytes)
        }
        guard let name = shape.name, tape[name].kind == .string else {
            throw Undecodable(.missingField, at: Int(tape[object].start))
        }
        let tags = shape.tags.flatMap { tape[$0].kind == .object ? $0 : nil }
        record.start(at: try time(shape.time, bytes), labels: tags ?? -1)
        record.isPointwise = true
        if let tags { record.add(tape[tags].start, tape[tags].end) }
        let isIncrement = shape.kind.map { bytes.spells(tape[$0].range, "incremental") } ?? false
        guard let body = shape.gauge ?? shape.counter, let value = value(of: body, bytes) else {
            // A distribution, set, histogram or summary: there, and not for us.
            batch.tally.points &+= 1
            batch.tally.ignored &+= 1
            return
        }
        // An increment of a gauge says nothing without the gauge.
        guard !isIncrement || shape.gauge == nil else {
            batch.tally.points &+= 1
            batch.tally.ignored &+= 1
            return
        }
        let scalar: Scalar =
            tape[value].kind == .null ? .unreadable : self.scalar(bytes, tape[value])
        try take(
            tape[name], scalar, measurement: .unknown, isNumeric: true, isIncrement: isIncrement,
            bytes, &batch, &directory, &vocabulary)
    }

    private func value(of body: Int, _ bytes: Span<UInt8>) -> Int? {
        tape[body].kind == .object ? Members(tape, body, bytes).value : nil
    }

    private mutating func takeAdapter(
        _ object: Int, _ shape: Members, _ bytes: Span<UInt8>, _ batch: inout SampleBatch,
        _ directory: inout Directory, _ vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        guard let name = shape.name, tape[name].kind == .string, let value = shape.value else {
            throw Undecodable(.missingField, at: Int(tape[object].start))
        }
        let labels = shape.labels.flatMap { tape[$0].kind == .object ? $0 : nil }
        record.start(at: try time(shape.time, bytes), labels: labels ?? -1)
        record.isPointwise = true
        if let labels { addRunsWithoutName(labels, bytes) }
        try take(
            tape[name], scalar(bytes, tape[value]), measurement: .unknown, isNumeric: true, bytes,
            &batch, &directory, &vocabulary)
    }

    /// All labels but `__name__`, so that the series of one device share one entry.
    private mutating func addRunsWithoutName(_ object: Int, _ bytes: Span<UInt8>) {
        var node = object + 1
        let end = Int(tape[object].next)
        while node + 1 < end {
            let key = tape[node]
            let value = tape[node + 1]
            if !bytes.spells(key.range, "__name__") {
                record.add(key.start &- 1, value.kind == .string ? value.end &+ 1 : value.end)
            }
            node = Int(value.next)
        }
    }
}
