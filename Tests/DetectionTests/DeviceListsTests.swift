import Fleet
import TestSupport
import Testing

@testable import Detection

@Suite struct DeviceListsTests {
    @Test(arguments: 1...8)
    func `lists that grow and shrink side by side hold what each was given, in order`(
        _ seed: UInt64
    ) {
        var generator = SeededGenerator(seed: seed)
        var lists = DeviceLists()
        var places = [DeviceLists.Place](repeating: DeviceLists.Place(), count: 12)
        var expected = [Set<UInt32>](repeating: [], count: places.count)
        for _ in 0..<4_000 {
            let list = Int.random(in: 0..<places.count, using: &generator)
            let device = UInt32.random(in: 0..<300, using: &generator)
            // Half of the lists stay short, and the others grow.
            let shrinks = Int.random(in: 0..<5, using: &generator) < (list % 2 == 0 ? 3 : 1)
            if shrinks {
                lists.remove(DeviceIndex(device), &places[list])
                expected[list].remove(device)
            } else if expected[list].insert(device).inserted {
                lists.insert(DeviceIndex(device), &places[list])
            }
        }
        for (place, devices) in zip(places, expected) {
            #expect(lists.devices[place.range].map(\.value) == devices.sorted(), "seed \(seed)")
            #expect(place.isEmpty == devices.isEmpty)
        }
        // 300 devices have room for 512, and what a list grew out of before is no more than that.
        #expect(lists.devices.count <= places.count * 2 * 512)
    }
}
