import Fleet

/// The shapes of messages: which part is the time, which are labels, which are values.
extension MessageDecoder {
    /// Takes one JSON object of whatever format the topic has.
    mutating func takeObject(
        _ object: Int, _ bytes: Span<UInt8>, _ batch: inout SampleBatch,
        _ directory: inout Directory, _ vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        guard tape[object].kind == .object else {
            throw Undecodable(
                format == .auto ? .unknownFormat : .missingField, at: Int(tape[object].start))
        }
        let shape = members(of: object, bytes)
        switch format == .auto ? recognise(shape) : format {
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

    /// Starts a record whose labels are one object, or none.
    private mutating func start(
        _ time: Int, labels: Int, _ bytes: Span<UInt8>, _ batch: inout SampleBatch
    ) throws(Undecodable) {
        let labels = isKind(labels, .object) ? labels : -1
        record.start(at: try self.time(time, bytes), labels: labels, row: batch.rows.count)
        if labels >= 0 { record.add(tape[labels].start, tape[labels].end) }
    }

    /// The event time at `node`, or the record's where there is none.
    private mutating func time(_ node: Int, _ bytes: Span<UInt8>) throws(Undecodable) -> Instant {
        guard node >= 0, tape[node].kind != .null else { return record.origin.recordTime }
        guard let time = Timestamp.read(bytes, tape[node], unit: settings.timestampUnit) else {
            throw Undecodable(.badTimestamp, at: Int(tape[node].start))
        }
        return time
    }
}

/// Where the members of an object stand on the tape, or -1; of equal keys the last one.
struct Members {
    var version = -1
    var time = -1
    var metrics = -1
    var events = -1
    var labels = -1
    var tags = -1
    var fields = -1
    var name = -1
    var value = -1
    var metric = -1
    var kind = -1
    var gauge = -1
    var counter = -1
    var list = -1
}

extension MessageDecoder {
    /// Finds the members that any format needs, in one pass.
    mutating func members(of object: Int, _ bytes: Span<UInt8>) -> Members {
        var found = Members()
        var node = object + 1
        let end = Int(tape[object].next)
        while node + 1 < end {
            let place = node + 1
            switch tape.role(node, bytes) {
            case .version: found.version = place
            case .time: found.time = place
            case .metrics: found.metrics = place
            case .events: found.events = place
            case .labels: found.labels = place
            case .tags: found.tags = place
            case .fields: found.fields = place
            case .name: found.name = place
            case .value: found.value = place
            case .metric: found.metric = place
            case .kind: found.kind = place
            case .gauge: found.gauge = place
            case .counter: found.counter = place
            case .list: found.list = place
            case .none, .device, .host, .index, .vendor, .model: break
            }
            node = Int(tape[place].next)
        }
        return found
    }

    /// Whether there is a node, of this kind.
    fileprivate mutating func isKind(_ node: Int, _ kind: Node.Kind) -> Bool {
        node >= 0 && tape[node].kind == kind
    }

    /// The format that these members belong to, whatever their order; wire formats §3.11.
    fileprivate mutating func recognise(_ found: Members) -> WireFormat? {
        if isKind(found.version, .number), found.metrics >= 0 || found.events >= 0 {
            return .native
        }
        if isKind(found.metric, .object) || (found.kind >= 0 && found.name >= 0) { return .vector }
        if isKind(found.fields, .object) || isKind(found.list, .array) { return .telegrafJSON }
        let isAdapter = found.labels >= 0 && found.name >= 0 && found.value >= 0
        return isAdapter ? .prometheusAdapter : nil
    }
}

extension MessageDecoder {
    private mutating func takeNative(
        _ object: Int, _ shape: Members, _ bytes: Span<UInt8>, _ batch: inout SampleBatch,
        _ directory: inout Directory, _ vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        let start = Int(tape[object].start)
        guard shape.version >= 0 else { throw Undecodable(.missingField, at: start) }
        guard isKind(shape.version, .number), tape[shape.version].value == 1 else {
            throw Undecodable(.unsupportedVersion, at: Int(tape[shape.version].start))
        }
        guard shape.metrics >= 0 || shape.events >= 0 else {
            throw Undecodable(.missingField, at: start)
        }
        try require(shape.metrics, .object)
        try require(shape.events, .array)
        record.start(
            at: try time(shape.time, bytes), labels: object, row: batch.rows.count)
        record.isNative = true
        addNativeRuns(object, bytes)
        // Faults first: they are read before any value takes effect, so a bad one undoes nothing.
        if isKind(shape.events, .array) {
            try takeFaults(shape.events, bytes, &batch, &directory)
        }
        guard isKind(shape.metrics, .object) else { return }
        try takeFields(
            shape.metrics, measurement: .unknown, bytes, &batch, &directory, &vocabulary)
    }

    /// A member may be missing or null, but not of another kind.
    private mutating func require(_ node: Int, _ kind: Node.Kind) throws(Undecodable) {
        guard node < 0 || tape[node].kind == kind || tape[node].kind == .null else {
            throw Undecodable(.malformed, at: Int(tape[node].start))
        }
    }

    /// The members that say who sent this; all others may change from message to message.
    private mutating func addNativeRuns(_ object: Int, _ bytes: Span<UInt8>) {
        var node = object + 1
        let end = Int(tape[object].next)
        var isNext = false
        while node + 1 < end {
            let key = tape[node]
            let value = tape[node + 1]
            switch tape.role(node, bytes) {
            case .device, .host, .index, .kind, .vendor, .model, .labels:
                let valueEnd = value.kind == .string ? value.end &+ 1 : value.end
                // With whatever white space there is around the comma between two of them.
                record.add(
                    isNext ? record.runs[record.runs.count - 1].upperBound + 1 : key.start &- 1,
                    valueEnd)
                isNext = true
            default: isNext = false
            }
            node = Int(value.next)
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
            let labels = known[try self.labels(.canonical, .board, bytes, &batch, &directory)]
            guard labels.device != KnownLabels.nobody, taken < settings.faultsPerMessageMax else {
                batch.tally.faultsRefused &+= 1
                continue
            }
            taken += 1
            let time = record.isFuture ? min(record.origin.recordTime, record.clock) : record.time
            emit(DeviceIndex(labels.device), code, text, time, &batch)
        }
    }

    private mutating func fault(
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
            if bytes.spells(key, keys.code), case .number(let number) = scalar(bytes, value) {
                code = Int32(exactly: number)
            } else if bytes.spells(key, keys.text), value.kind == .string {
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

    /// Takes members as long as each is a number of one lane of the device at hand.
    ///
    /// - Returns: the first member that needs a closer look, or `end`.
    @inline(__always)
    private mutating func takeRun(
        _ first: Int, _ end: Int, _ measurement: Source, _ batch: inout SampleBatch
    ) -> Int {
        guard record.lastKnown >= 0, record.lastSalt != .max, !record.isFuture,
            !record.isPointwise
        else { return first }
        let labels = known[record.lastKnown]
        guard labels.device != KnownLabels.nobody, !labels.isPartition else { return first }
        let isOpaque = record.isNative ? opaqueNative : opaqueOther
        let salt = resolver.salt(measurement, isOpaque)
        return record.take(
            first..<end, tape.nodes, resolver.byKey, resolver.plain, labels.device, salt: salt,
            &batch.tally)
    }

    /// Takes every member of an object as a value, then what they make together.
    private mutating func takeFields(
        _ object: Int, measurement: Source, _ bytes: Span<UInt8>, _ batch: inout SampleBatch,
        _ directory: inout Directory, _ vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        var node = object + 1
        let end = Int(tape[object].next)
        while node + 1 < end {
            node = takeRun(node, end, measurement, &batch)
            guard node + 1 < end else { break }
            let value = tape[node + 1]
            if value.kind == .number {
                try takeNumber(
                    tape[node], value.value, measurement: measurement, bytes, &batch, &directory,
                    &vocabulary)
            } else if value.kind != .null, value.kind != .object, value.kind != .array {
                try take(
                    tape[node], scalar(bytes, value), measurement: measurement, isNumeric: false,
                    bytes, &batch, &directory, &vocabulary)
            }
            node = Int(value.next)
        }
        finishRecord(&batch)
    }
}

extension MessageDecoder {
    private mutating func takeTelegraf(
        _ object: Int, _ shape: Members, _ bytes: Span<UInt8>, _ batch: inout SampleBatch,
        _ directory: inout Directory, _ vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        // A later field may need labels that turn out not to be UTF-8.
        memory.begin(canFail: true)
        if shape.fields < 0, isKind(shape.list, .array) {
            var node = shape.list + 1
            while node < Int(tape[shape.list].next) {
                guard tape[node].kind == .object else {
                    throw Undecodable(.malformed, at: Int(tape[node].start))
                }
                let inner = members(of: node, bytes)
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
        guard isKind(shape.name, .string), isKind(shape.fields, .object) else {
            throw Undecodable(.missingField, at: Int(tape[object].start))
        }
        try start(shape.time, labels: shape.tags, bytes, &batch)
        try takeMeasurement(shape.name, shape.fields, bytes, &batch, &directory, &vocabulary)
    }

    mutating func takeLine(
        _ line: Int, _ bytes: Span<UInt8>, _ batch: inout SampleBatch,
        _ directory: inout Directory, _ vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        let name = line + 1
        let tags = name + 1
        let fields = Int(tape[tags].next)
        let stamp = Int(tape[fields].next)
        try start(stamp, labels: tags, bytes, &batch)
        try takeMeasurement(name, fields, bytes, &batch, &directory, &vocabulary)
    }

    private mutating func takeMeasurement(
        _ name: Int, _ fields: Int, _ bytes: Span<UInt8>, _ batch: inout SampleBatch,
        _ directory: inout Directory, _ vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        record.isTelegraf = true
        let source = source(of: tape[name], bytes)
        if source == .unknown, let field = singleValue(fields, bytes) {
            // The prometheus input, first version: the measurement is the metric.
            record.isPointwise = true
            try takeNumber(
                tape[name], tape[field].value, measurement: .unknown, bytes, &batch, &directory,
                &vocabulary)
            return finishRecord(&batch)
        }
        try takeFields(fields, measurement: source, bytes, &batch, &directory, &vocabulary)
    }

    /// The Telegraf input that a measurement's name stands for.
    mutating func source(of name: Node, _ bytes: Span<UInt8>) -> Source {
        if bytes.spells(name.range, keys.nvidiaSMI) { return .nvidiaSMI }
        if bytes.spells(name.range, keys.rocmSMI) { return .rocmSMI }
        return bytes.spells(name.range, keys.nvidiaMIG) ? .nvidiaMIG : .unknown
    }

    /// The value of a lone field `gauge`, `counter`, `value` or `untyped`.
    private mutating func singleValue(_ fields: Int, _ bytes: Span<UInt8>) -> Int? {
        let key = fields + 1
        guard key + 1 < Int(tape[fields].next), tape[key + 1].next == tape[fields].next,
            tape[key + 1].kind == .number
        else { return nil }
        let range = tape[key].range
        let isValue =
            bytes.spells(range, keys.gauge) || bytes.spells(range, keys.counter)
            || bytes.spells(range, keys.value) || bytes.spells(range, keys.untyped)
        return isValue ? key + 1 : nil
    }
}

extension MessageDecoder {
    private mutating func takeVector(
        _ object: Int, _ outer: Members, _ bytes: Span<UInt8>, _ batch: inout SampleBatch,
        _ directory: inout Directory, _ vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        var shape = outer
        if isKind(outer.metric, .object) { shape = members(of: outer.metric, bytes) }
        guard isKind(shape.name, .string) else {
            throw Undecodable(.missingField, at: Int(tape[object].start))
        }
        try start(shape.time, labels: shape.tags, bytes, &batch)
        record.isPointwise = true
        let isIncrement =
            isKind(shape.kind, .string) && bytes.spells(tape[shape.kind].range, keys.incremental)
        let body = shape.gauge >= 0 ? shape.gauge : shape.counter
        let value = isKind(body, .object) ? members(of: body, bytes).value : -1
        guard value >= 0 else {
            // A distribution, set, histogram or summary: there, and not for us.
            batch.tally.points &+= 1
            batch.tally.ignored &+= 1
            return
        }
        // An increment of a gauge says nothing without the gauge.
        guard !isIncrement || shape.gauge < 0 else {
            batch.tally.points &+= 1
            batch.tally.ignored &+= 1
            return
        }
        let scalar: Scalar =
            tape[value].kind == .null ? .unreadable : self.scalar(bytes, tape[value])
        try take(
            tape[shape.name], scalar, measurement: .unknown, isNumeric: true,
            isIncrement: isIncrement, bytes, &batch, &directory, &vocabulary)
        finishRecord(&batch)
    }

    private mutating func takeAdapter(
        _ object: Int, _ shape: Members, _ bytes: Span<UInt8>, _ batch: inout SampleBatch,
        _ directory: inout Directory, _ vocabulary: inout Vocabulary
    ) throws(Undecodable) {
        guard isKind(shape.name, .string), shape.value >= 0 else {
            throw Undecodable(.missingField, at: Int(tape[object].start))
        }
        let labels = isKind(shape.labels, .object) ? shape.labels : -1
        record.start(at: try time(shape.time, bytes), labels: labels, row: batch.rows.count)
        record.isPointwise = true
        if labels >= 0 { addRunsWithoutName(labels, bytes) }
        try take(
            tape[shape.name], scalar(bytes, tape[shape.value]), measurement: .unknown,
            isNumeric: true, bytes, &batch, &directory, &vocabulary)
        finishRecord(&batch)
    }

    /// All labels but `__name__`, so that the series of one device share one entry.
    private mutating func addRunsWithoutName(_ object: Int, _ bytes: Span<UInt8>) {
        var node = object + 1
        let end = Int(tape[object].next)
        while node + 1 < end {
            let key = tape[node]
            let value = tape[node + 1]
            if !bytes.spells(key.range, keys.prometheusName) {
                record.add(key.start &- 1, value.kind == .string ? value.end &+ 1 : value.end)
            }
            node = Int(value.next)
        }
    }
}
