/// Finds a partition by librdkafka's topic handle, which is stable while the partition is ours.
///
/// A handle may come again for another topic after a rebalance, so that forgets all.
@safe
struct PartitionCache {
    private var lastTopic: OpaquePointer?
    private var lastNumber: Int32 = -1
    private var lastIndex = 0
    private var topics: [Entry] = []

    @safe private struct Entry {
        let handle: OpaquePointer
        var indices: [Int] = []
    }

    mutating func forget() {
        unsafe lastTopic = nil
        topics.removeAll(keepingCapacity: true)
    }

    mutating func find(_ topic: OpaquePointer, _ number: Int32) -> Int? {
        // A fetch answers partition by partition: most records follow one of their own.
        if unsafe topic == lastTopic, number == lastNumber { return lastIndex }
        guard let entry = topics.first(where: { unsafe $0.handle == topic }),
            entry.indices.indices.contains(Int(number))
        else { return nil }
        let index = entry.indices[Int(number)]
        guard index >= 0 else { return nil }
        unsafe lastTopic = topic
        lastNumber = number
        lastIndex = index
        return index
    }

    mutating func keep(_ topic: OpaquePointer, _ number: Int32, _ index: Int) {
        // A topic has fewer partitions than a consumer may hold; anything else is not cached.
        guard (0..<Int32(Consumer.partitionsMax)).contains(number) else { return }
        var at = topics.firstIndex { unsafe $0.handle == topic }
        if at == nil {
            topics.append(unsafe Entry(handle: topic))
            at = topics.count - 1
        }
        guard let at else { return }
        let missing = Int(number) + 1 - topics[at].indices.count
        if missing > 0 {
            topics[at].indices.append(contentsOf: repeatElement(-1, count: missing))
        }
        topics[at].indices[Int(number)] = index
    }
}
