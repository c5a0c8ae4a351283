import Fleet

/// The next deadline of each of many cases, and the earliest of them all.
///
/// A binary heap that keeps stale entries until they surface: changing a deadline costs a logarithm,
/// and the heap is built anew when most of it is stale.
struct DeadlineQueue: Sendable {
    private struct Entry: Sendable {
        let at: Instant
        let id: String

        static func < (left: Entry, right: Entry) -> Bool {
            left.at == right.at ? left.id < right.id : left.at < right.at
        }
    }

    private var heap: [Entry] = []
    private var current: [String: Instant] = [:]

    /// Sets or clears the deadline of `id`.
    mutating func set(_ id: String, to deadline: Instant?) {
        guard current[id] != deadline else { return }
        current[id] = deadline
        if let deadline {
            heap.append(Entry(at: deadline, id: id))
            rise(heap.count - 1)
        }
        if heap.count > 64, heap.count > 4 * current.count {
            heap = current.map { Entry(at: $0.value, id: $0.key) }.sorted(by: <)
        }
        while let top = heap.first, current[top.id] != top.at { removeTop() }
    }

    /// The earliest deadline; of two at once, the id that sorts first.
    var first: (at: Instant, id: String)? { heap.first.map { ($0.at, $0.id) } }

    private mutating func removeTop() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        sink(0)
    }

    private mutating func rise(_ start: Int) {
        var index = start
        while index > 0, heap[index] < heap[(index - 1) / 2] {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    private mutating func sink(_ start: Int) {
        var index = start
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2]
            where child < heap.count && heap[child] < heap[least] {
                least = child
            }
            guard least != index else { return }
            heap.swapAt(index, least)
            index = least
        }
    }
}
