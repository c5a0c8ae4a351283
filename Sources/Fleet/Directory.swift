/// A device by its place in the directory: dense, stable for the life of the process.
///
/// Public, so that it is inlined.
public struct DeviceIndex: Hashable, Comparable, Codable, BitwiseCopyable, Sendable {
    package let value: UInt32

    /// The index of a place in the directory.
    public init(_ value: UInt32) { self.value = value }

    /// Whether one was seen first before the other.
    public static func < (left: DeviceIndex, right: DeviceIndex) -> Bool {
        left.value < right.value
    }
}

/// What is known of one device.
package struct Device: Sendable, Codable {
    /// `vendor/stable id`, such as `nvidia/GPU-6b0d549b-…` (reference: identity of a device).
    package let id: String
    package internal(set) var labels: Labels
    package internal(set) var firstSeen: Instant
    /// Event time of the newest sample or fault.
    package internal(set) var lastSeen: Instant
    /// Where its samples last came from; decides whose watermark may call it absent.
    package internal(set) var origin: Partition

    package var entity: Entity { Entity(kind: .device, name: id) }
}

/// One partition of one topic.
package struct Partition: Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
    package let topic: String
    package let number: Int32

    package init(topic: String, number: Int32) {
        self.topic = topic
        self.number = number
    }

    package var description: String { "\(topic)[\(number)]" }

    package static func < (left: Partition, right: Partition) -> Bool {
        (left.topic, left.number) < (right.topic, right.number)
    }
}

/// Every device that was ever seen, up to a bound.
///
/// Indices are handed out in order and never reused while the process lives, so that the state of
/// a detector can be an array beside this one.
package struct Directory: Sendable {
    package private(set) var devices: [Device] = []
    /// Identities refused because the directory was full.
    package private(set) var refused: UInt64 = 0
    private var indices: [String: DeviceIndex] = [:]
    /// Devices whose entry is new or changed since `takeChanges`, each once.
    private var changes: [DeviceIndex] = []
    private var isChanged: [Bool] = []
    package let devicesMax: Int
    private let notesSight: Bool

    /// An empty one.
    ///
    /// - Parameters:
    ///   - devicesMax: about 4 KB of detector state stand behind each device.
    ///   - notesSight: whether `touch` keeps when a device was last seen; of two directories of the
    ///     same devices one is enough.
    package init(devicesMax: Int = 1_000_000, notesSight: Bool = true) {
        self.devicesMax = devicesMax
        self.notesSight = notesSight
    }

    package subscript(index: DeviceIndex) -> Device { devices[Int(index.value)] }

    package var count: Int { devices.count }

    package func index(of id: String) -> DeviceIndex? { indices[id] }

    /// The index of `id`, registered now if it is new.
    ///
    /// Labels that are present replace older ones; a key that is missing keeps its value, except
    /// the workload keys, which a device loses when its job ends: those follow `labels` exactly.
    ///
    /// - Returns: nil when the directory is full; counted in `refused`.
    package mutating func register(
        _ id: String, labels: Labels, origin: Partition, at time: Instant
    ) -> DeviceIndex? {
        if let index = indices[id] {
            let place = Int(index.value)
            var merged = devices[place].labels
            merged.merge(labels)
            if merged != devices[place].labels || origin != devices[place].origin {
                devices[place].labels = merged
                devices[place].origin = origin
                noteChange(of: index)
            }
            return index
        }
        guard devices.count < devicesMax else {
            refused += 1
            return nil
        }
        let index = DeviceIndex(UInt32(devices.count))
        devices.append(
            Device(id: id, labels: labels, firstSeen: time, lastSeen: time, origin: origin))
        indices[id] = index
        isChanged.append(false)
        noteChange(of: index)
        return index
    }

    /// The devices that are new, or whose labels or origin changed, since the last call.
    ///
    /// Whoever keeps state beside this directory asks once per batch instead of comparing labels.
    package mutating func takeChanges() -> [DeviceIndex] {
        for index in changes { isChanged[Int(index.value)] = false }
        defer { changes.removeAll(keepingCapacity: true) }
        return changes
    }

    /// An entry that is new or changed, on its way to another directory of the same devices.
    package struct Change: Sendable {
        fileprivate let index: DeviceIndex
        fileprivate let device: Device
    }

    /// The same as `takeChanges`, with the entries as they are now.
    package mutating func takeEntries() -> [Change] {
        takeChanges().map { Change(index: $0, device: self[$0]) }
    }

    /// Takes over an entry of a directory that hands all of its entries to this one, in order.
    ///
    /// When a device was last seen is this directory's own, once it knows the device.
    package mutating func take(_ change: Change) {
        let place = Int(change.index.value)
        if place < devices.count {
            devices[place].labels = change.device.labels
            devices[place].origin = change.device.origin
        } else {
            precondition(place == devices.count, "an entry came before one that is older")
            devices.append(change.device)
            indices[change.device.id] = change.index
            isChanged.append(false)
        }
        noteChange(of: change.index)
    }

    private mutating func noteChange(of index: DeviceIndex) {
        guard !isChanged[Int(index.value)] else { return }
        isChanged[Int(index.value)] = true
        changes.append(index)
    }

    /// Puts back a device that an earlier process knew.
    package mutating func restore(_ device: Device) {
        guard indices[device.id] == nil, devices.count < devicesMax else { return }
        let index = DeviceIndex(UInt32(devices.count))
        indices[device.id] = index
        devices.append(device)
        isChanged.append(false)
        noteChange(of: index)
    }

    /// Notes that a sample of `index` carried `time`; older ones change nothing.
    package mutating func touch(_ index: DeviceIndex, at time: Instant) {
        guard notesSight, devices[Int(index.value)].lastSeen < time else { return }
        devices[Int(index.value)].lastSeen = time
    }

    /// Notes a sample of `index` and from which of `partitions` it came, if it is any of them; it may be
    /// another than before.
    ///
    /// A partition by itself would be retained for each sample.
    package mutating func touch(
        _ index: DeviceIndex, at time: Instant, from partitions: [Partition], _ number: Int
    ) {
        touch(index, at: time)
        guard number < partitions.count,
            devices[Int(index.value)].origin != partitions[number]
        else { return }
        devices[Int(index.value)].origin = partitions[number]
        noteChange(of: index)
    }
}

extension Labels {
    fileprivate static let workload: Set<LabelKey> = [
        .job, .rank, .service, .workload, .team, .user, .namespace,
    ]

    fileprivate mutating func merge(_ newer: Labels) {
        for key in LabelKey.allCases where Labels.workload.contains(key) || !newer[key].isEmpty {
            self[key] = newer[key]
        }
    }
}
