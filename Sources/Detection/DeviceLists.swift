package import Fleet

/// Lists of devices side by side in one array, each in order of device index.
///
/// Whoever walks through many short lists counts no reference for each, and reads ahead into the
/// next. The room of a list doubles when it is full, and what it leaves behind another one takes:
/// no more than three places in four are empty, beside the least room of each list.
package struct DeviceLists: Sendable {
    /// Where one list lies; a list without room is empty.
    package struct Place: Sendable {
        fileprivate var first: Int32 = 0
        fileprivate var count: Int32 = 0
        fileprivate var room: Int32 = 0

        /// Its indices in `devices`.
        package var range: Range<Int> { Int(first)..<Int(first &+ count) }

        package var isEmpty: Bool { count == 0 }
    }

    /// All lists; between them lies what is of nobody.
    package private(set) var devices: [DeviceIndex] = []
    /// By the binary logarithm of their room: where rooms begin that lists grew out of.
    private var free = [[Int32]](repeating: [], count: Int32.bitWidth)

    /// The devices of a host lie in one line of 64 bytes or in two, and those of the next one behind.
    private static let roomMin: Int32 = 8

    mutating func insert(_ device: DeviceIndex, _ list: inout Place) {
        if list.count == list.room { widen(&list) }
        let place = lowerBound(device, list.range)
        let end = list.range.upperBound
        for moved in stride(from: end, to: place, by: -1) { devices[moved] = devices[moved - 1] }
        devices[place] = device
        list.count += 1
    }

    mutating func remove(_ device: DeviceIndex, _ list: inout Place) {
        let range = list.range
        let place = lowerBound(device, range)
        guard place < range.upperBound, devices[place] == device else { return }
        for moved in place..<range.upperBound - 1 { devices[moved] = devices[moved + 1] }
        list.count -= 1
    }

    private mutating func widen(_ list: inout Place) {
        let room = max(list.room * 2, DeviceLists.roomMin)
        let first = free[room.trailingZeroBitCount].popLast() ?? Int32(devices.count)
        if Int(first) == devices.count {
            devices.append(contentsOf: repeatElement(DeviceIndex(0), count: Int(room)))
        }
        for (offset, old) in list.range.enumerated() { devices[Int(first) + offset] = devices[old] }
        if list.room > 0 { free[list.room.trailingZeroBitCount].append(list.first) }
        list.first = first
        list.room = room
    }

    /// Where `device` stands, or would stand, in a list.
    private func lowerBound(_ device: DeviceIndex, _ list: Range<Int>) -> Int {
        var low = list.lowerBound
        var high = list.upperBound
        while low < high {
            let middle = (low + high) / 2
            if devices[middle] < device { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
