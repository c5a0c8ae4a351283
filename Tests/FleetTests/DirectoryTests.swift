import Fleet
import Testing

@Suite("Directory") struct DirectoryTests {
    private let home = Partition(topic: "t", number: 0)
    private let then = Instant(milliseconds: 1_000)

    @Test func `indices are dense, stable and bounded`() {
        var directory = Directory(devicesMax: 3)
        let indices = ["a/1", "a/2", "a/1", "a/3", "a/4", "a/4"].map {
            directory.register($0, labels: Labels(), origin: home, at: then)?.value
        }
        #expect(indices == [0, 1, 0, 2, nil, nil])
        #expect(directory.count == 3)
        #expect(directory.refused == 2)
        #expect(directory.index(of: "a/3") == DeviceIndex(2))
        #expect(directory.index(of: "a/4") == nil)
    }

    @Test func `physical labels are kept and workload labels follow the job`() {
        var directory = Directory()
        _ = directory.register(
            "a/1", labels: Labels([.host: "h", .rack: "r1", .job: "j", .team: "t"]), origin: home,
            at: then)
        _ = directory.register(
            "a/1", labels: Labels([.host: "h2", .job: "k"]),
            origin: Partition(topic: "t", number: 1),
            at: then)
        let device = directory[DeviceIndex(0)]
        #expect(device.labels == Labels([.host: "h2", .rack: "r1", .job: "k"]))
        #expect(device.origin.number == 1)
        _ = directory.register("a/1", labels: Labels(), origin: home, at: then)
        #expect(directory[DeviceIndex(0)].labels == Labels([.host: "h2", .rack: "r1"]))
    }

    @Test func `the last sight of a device only moves forward, its origin follows`() {
        var directory = Directory()
        _ = directory.register("a/1", labels: Labels(), origin: home, at: then)
        directory.touch(DeviceIndex(0), at: Instant(milliseconds: 5_000))
        directory.touch(DeviceIndex(0), at: Instant(milliseconds: 2_000))
        #expect(directory[DeviceIndex(0)].lastSeen.milliseconds == 5_000)
        directory.touch(DeviceIndex(0), at: then, from: [Partition(topic: "t", number: 7)], 0)
        #expect(directory[DeviceIndex(0)].lastSeen.milliseconds == 5_000)
        #expect(directory[DeviceIndex(0)].origin.number == 7)
    }

    @Test func `devices of an earlier process keep their places`() {
        var before = Directory()
        for name in ["a/1", "a/2"] {
            _ = before.register(name, labels: Labels([.host: name]), origin: home, at: then)
        }
        var after = Directory(devicesMax: 2)
        for device in before.devices { after.restore(device) }
        for device in before.devices { after.restore(device) }
        #expect(after.devices.map(\.id) == ["a/1", "a/2"])
        #expect(after.index(of: "a/2") == DeviceIndex(1))
        #expect(after.register("a/3", labels: Labels(), origin: home, at: then) == nil)
    }

    @Test func `a second directory learns by entries what the first one was told`() {
        var first = Directory(notesSight: false)
        var second = Directory()
        func names(_ directory: Directory) -> [String] {
            directory.devices.map {
                "\($0.id) \($0.labels[.host]) \($0.labels[.job]) \($0.origin) "
                    + "\($0.lastSeen.milliseconds)"
            }
        }
        for name in ["a/1", "a/2"] {
            _ = first.register(
                name, labels: Labels([.host: "h", .job: "j"]), origin: home, at: then)
        }
        for entry in first.takeEntries() { second.take(entry) }
        #expect(names(second) == names(first))
        #expect(second.index(of: "a/2") == DeviceIndex(1))
        #expect(second.takeChanges() == [DeviceIndex(0), DeviceIndex(1)])

        // When they were seen is known to the second alone, and an entry that comes later keeps it.
        for index in 0..<2 as Range<UInt32> {
            first.touch(DeviceIndex(index), at: Instant(milliseconds: 9_000))
            second.touch(DeviceIndex(index), at: Instant(milliseconds: 5_000))
        }
        _ = first.register("a/3", labels: Labels(), origin: home, at: then)
        _ = first.register("a/1", labels: Labels([.host: "i"]), origin: home, at: then)
        first.touch(DeviceIndex(1), at: then, from: [Partition(topic: "t", number: 7)], 0)
        first.touch(DeviceIndex(1), at: then, from: [Partition(topic: "t", number: 8)], 0)
        for entry in first.takeEntries() { second.take(entry) }
        #expect(
            names(second) == ["a/1 i  t[0] 5000", "a/2 h j t[8] 5000", "a/3   t[0] 1000"])
        #expect(names(first) == ["a/1 i  t[0] 1000", "a/2 h j t[8] 1000", "a/3   t[0] 1000"])
        // In the order in which they came about: the numbers of cohorts depend on it.
        #expect(second.takeChanges().map(\.value) == [2, 0, 1])
        #expect(first.takeEntries().isEmpty)
    }

    @Test func `long labels are cut and empty ones are absent`() {
        var labels = Labels([.host: ""])
        #expect(labels.pairs.isEmpty)
        labels[.job] = String(repeating: "x", count: Labels.valueBytesMax)
        #expect(labels[.job].utf8.count == Labels.valueBytesMax)
        labels[.job] = String(repeating: "é", count: Labels.valueBytesMax)
        #expect(labels[.job].utf8.count <= Labels.valueBytesMax)
        #expect(!labels[.job].isEmpty)
        labels[.job] = ""
        #expect(labels.pairs.isEmpty)
        for key in LabelKey.allCases { #expect(LabelKey(name: key.name) == key) }
        #expect(LabelKey(name: "colour") == nil)
    }
}
