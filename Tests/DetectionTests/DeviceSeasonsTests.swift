import Detection
import Fleet
import Foundation
import Testing

@Suite struct DeviceSeasonsTests {
    /// /dev/full takes the part of the disk, until an ordinary file takes its place.
    @Test func `where the disk is full room is looked for once a minute, and found again`() throws {
        let file = try #require(FileHandle(forUpdatingAtPath: "/dev/full"))
        var seasons = DeviceSeasons(file: file.fileDescriptor)
        let ask = DeviceSeasons.Ask(every: 300_000, floor: 1)
        let start: Int64 = 1_795_248_000_000
        func feed(_ seconds: Int64) {
            _ = seasons.feed(
                1, leaf: 0, device: 0, at: start + seconds * 1_000, learns: true, ask, .universal)
        }
        feed(0)
        #expect(seasons.refused == 1)

        let path = FileManager.default.temporaryDirectory
            .appending(path: "tocsin-seasons-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try #require(FileManager.default.createFile(atPath: path, contents: nil))
        let room = try #require(FileHandle(forUpdatingAtPath: path))
        try #require(dup2(room.fileDescriptor, file.fileDescriptor) >= 0)
        feed(59)
        #expect(seasons.refused == 2)
        #expect(seasons.count == 0)
        feed(60)
        #expect(seasons.refused == 2)
        #expect(seasons.count == 16)
    }
}
