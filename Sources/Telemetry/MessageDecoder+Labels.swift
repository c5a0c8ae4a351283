import Bytes
import Fleet

/// A label set that was read once.
struct KnownLabels: Sendable {
    static let nobody = UInt32.max

    /// The device's index, or `nobody` where the labels name none.
    var device: UInt32
    /// A hash over the identity and the labels that were kept.
    var fingerprint: UInt64
    /// By selector: the number of its value.
    var selectors: SIMD8<UInt16>
    var code: Int32
    var link: Int32
    var isPartition: Bool
}

extension MessageDecoder {
    /// The place in `known` of the labels of the current record, as `source` reads them.
    @inline(__always)
    mutating func labels(
        _ source: Source, _ level: Meaning.Level, _ bytes: Span<UInt8>,
        _ batch: inout SampleBatch, _ directory: inout Directory
    ) throws(Undecodable) -> Int {
        let dialect: Attributes.Dialect =
            record.isNative ? .native : source.dialect(isTelegraf: record.isTelegraf)
        let salt = source.salt(level, dialect)
        if salt == record.lastSalt { return record.lastKnown }
        // Runs that stood apart must not be taken for one that lacks what was between them.
        let key = record.runs.count > 1 ? salt | Self.apart : salt
        let hash = map.hash(bytes, record.runs, salt: key)
        if let place = map.find(bytes, record.runs, salt: key, hash: hash).map(Int.init) {
            let labels = known[place]
            counted.labelHits &+= 1
            record.lastSalt = salt
            record.lastKnown = place
            guard labels.device != KnownLabels.nobody else { return place }
            if fingerprints[Int(labels.device)] == labels.fingerprint {
                touch(DeviceIndex(labels.device), &batch, &directory)
                return place
            }
            // The same device spoke with other labels in between: a job came back.
            known[place] = try read(source, level, dialect, bytes, &batch, &directory)
            return place
        }
        counted.labelMisses &+= 1
        let made = try read(source, level, dialect, bytes, &batch, &directory)
        known.append(made)
        map.add(bytes, record.runs, salt: key, hash: hash, value: Int32(known.count - 1))
        record.lastSalt = salt
        record.lastKnown = known.count - 1
        return record.lastKnown
    }

    private static let apart: UInt32 = 1 << 31

    mutating func touch(
        _ device: DeviceIndex, _ batch: inout SampleBatch, _ directory: inout Directory
    ) {
        let time = record.isFuture ? Instant.distantPast : record.time
        directory.touch(device, at: time, from: batch.partitions, Int(record.origin.partition))
    }

    /// Reads the labels as text, finds or registers the device, and keeps what they say of it.
    private mutating func read(
        _ source: Source, _ level: Meaning.Level, _ dialect: Attributes.Dialect,
        _ bytes: Span<UInt8>, _ batch: inout SampleBatch, _ directory: inout Directory
    ) throws(Undecodable) -> KnownLabels {
        var attributes = Attributes()
        if record.labels >= 0 {
            if record.isNative {
                try readNative(record.labels, bytes, &attributes)
            } else {
                try readObject(record.labels, bytes, &attributes, dialect, source)
            }
        }
        let identity = Identity(attributes: attributes, source: source, level: level)
        var made = KnownLabels(
            device: KnownLabels.nobody, fingerprint: 0, selectors: SIMD8(),
            code: attributes.code, link: attributes.link, isPartition: identity.isPartition)
        for (selector, value) in attributes.selections {
            made.selectors[selector.rawValue] = number(of: value)
        }
        guard let id = identity.id else { return made }
        let labels = identity.labels(settings)
        let index = Int(record.origin.partition)
        let origin =
            index < batch.partitions.count
            ? batch.partitions[index] : Partition(topic: "", number: Int32(index))
        let time = record.isFuture ? record.origin.recordTime : record.time
        guard let device = directory.register(id, labels: labels, origin: origin, at: time) else {
            return made
        }
        made.device = device.value
        made.fingerprint = digest(id, labels)
        while fingerprints.count <= Int(device.value) { fingerprints.append(0) }
        fingerprints[Int(device.value)] = made.fingerprint
        if !record.isFuture { directory.touch(device, at: time) }
        return made
    }

    private mutating func number(of value: String) -> UInt16 {
        if let number = selectorValues.firstIndex(of: value) { return UInt16(number) }
        guard selectorValues.count < 4_096 else { return 0 }
        selectorValues.append(value)
        return UInt16(selectorValues.count - 1)
    }

    private func digest(_ id: String, _ labels: Labels) -> UInt64 {
        func mixed(_ text: String, _ seed: UInt64) -> UInt64 {
            text.utf8.span.hash(0, text.utf8.count, seed: seed)
        }
        var hash = mixed(id, 0)
        for key in LabelKey.allCases where !labels[key].isEmpty {
            hash = mixed(labels[key], hash ^ UInt64(key.rawValue))
        }
        return hash
    }

    private mutating func readObject(
        _ object: Int, _ bytes: Span<UInt8>, _ attributes: inout Attributes,
        _ dialect: Attributes.Dialect, _ source: Source
    ) throws(Undecodable) {
        var node = object + 1
        let end = Int(tape[object].next)
        while node + 1 < end {
            let value = tape[node + 1]
            if let key = Text.read(bytes, tape[node], isInflux: tape.isInflux),
                let use = Attributes.use(of: key, dialect, source)
            {
                guard let text = text(node + 1, bytes) else {
                    throw Undecodable(.notUTF8, at: Int(value.start))
                }
                attributes.add(text, as: use)
            }
            node = Int(value.next)
        }
    }

    private mutating func readNative(
        _ root: Int, _ bytes: Span<UInt8>, _ attributes: inout Attributes
    ) throws(Undecodable) {
        var node = root + 1
        let end = Int(tape[root].next)
        while node + 1 < end {
            let value = tape[node + 1]
            let role = tape.role(node, bytes)
            if let slot = Self.nativeSlot(role) {
                guard let text = text(node + 1, bytes) else {
                    throw Undecodable(.notUTF8, at: Int(value.start))
                }
                attributes.set(slot, text)
            } else if role == .labels, value.kind == .object {
                try readObject(node + 1, bytes, &attributes, .native, .canonical)
            }
            node = Int(value.next)
        }
    }

    /// What a member of a native message says of the device.
    private static func nativeSlot(_ role: KeyTable.Role) -> Attributes.Slot? {
        switch role {
        case .device: .id
        case .host: .host
        case .index: .index
        case .kind: .kind
        case .vendor: .vendor
        case .model: .model
        default: nil
        }
    }

    /// A label's value; the first text of a list, because Vector may send every value of a tag.
    private mutating func text(_ index: Int, _ bytes: Span<UInt8>) -> String? {
        let node = tape[index]
        switch node.kind {
        case .string: return Text.read(bytes, node, isInflux: tape.isInflux)
        case .number: return bytes.text(node.range)
        case .yes: return "true"
        case .no: return "false"
        case .array:
            var element = index + 1
            while element < Int(node.next) {
                if tape[element].kind == .string { return text(element, bytes) }
                element = Int(tape[element].next)
            }
            return ""
        case .null, .object, .line: return ""
        }
    }
}
