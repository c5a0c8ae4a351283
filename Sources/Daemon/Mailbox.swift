import Dispatch
import Synchronization

/// A bounded queue between two threads: senders are told when it is full, one receiver takes all.
package final class Mailbox<Element: Sendable>: Sendable {
    private let waiting = Mutex<[Element]>([])
    private let arrived = DispatchSemaphore(value: 0)
    private let bound: Int

    package init(bound: Int) { self.bound = bound }

    /// Puts `element` in, unless the box is full.
    ///
    /// - Returns: false when it was full; the caller keeps the element and its policy decides.
    package func offer(_ element: Element) -> Bool {
        let taken = waiting.withLock { waiting in
            guard waiting.count < bound else { return false }
            waiting.append(element)
            return true
        }
        if taken { arrived.signal() }
        return taken
    }

    /// Everything that waits, oldest first; waits up to `milliseconds` for the first.
    package func take(waiting milliseconds: Int) -> [Element] {
        guard arrived.wait(timeout: .now() + .milliseconds(milliseconds)) == .success else {
            return []
        }
        let taken = waiting.withLock { waiting in
            defer { waiting.removeAll(keepingCapacity: true) }
            return waiting
        }
        // One signal was sent for each element; the first was the one waited for.
        for _ in taken.dropFirst() { _ = arrived.wait(timeout: .now()) }
        return taken
    }

    package var count: Int { waiting.withLock { $0.count } }
}
