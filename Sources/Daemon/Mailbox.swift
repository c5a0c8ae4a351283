import Dispatch
import Synchronization

/// A bounded queue between two threads, with two lanes: one receiver takes all, or what is urgent.
///
/// The ordinary lane is small, and a sender that finds it full waits with its work. The urgent one
/// is for what must not wait behind that: answers, commands, the word to stop. It has a bound too,
/// far beyond what its senders can have under way.
package final class Mailbox<Element: Sendable>: Sendable {
    private struct Lanes {
        var urgent: [Element] = []
        var ordinary: [Element] = []
    }

    private let lanes = Mutex(Lanes())
    private let arrived = DispatchSemaphore(value: 0)
    private let bound: Int
    private let urgentBound: Int

    /// Twice the rows of an outbox: each may have begun and have ended before anybody looks.
    package init(bound: Int, urgentBound: Int = 20_000) {
        self.bound = bound
        self.urgentBound = urgentBound
    }

    /// Puts `element` in, unless its lane is full.
    ///
    /// - Returns: false when it was full; the caller keeps the element and its policy decides.
    package func offer(_ element: Element, urgent: Bool = false) -> Bool {
        let taken = lanes.withLock { lanes in
            guard (urgent ? lanes.urgent.count < urgentBound : lanes.ordinary.count < bound) else {
                return false
            }
            if urgent { lanes.urgent.append(element) } else { lanes.ordinary.append(element) }
            return true
        }
        if taken { arrived.signal() }
        return taken
    }

    /// Everything that waits, the urgent first, each lane oldest first; waits up to `milliseconds`
    /// for something to come.
    ///
    /// With `urgentOnly` the ordinary lane stays as it is, and keeps its bound.
    package func take(waiting milliseconds: Int, urgentOnly: Bool = false) -> [Element] {
        let deadline = DispatchTime.now() + .milliseconds(milliseconds)
        while true {
            let taken = collect(urgentOnly)
            guard taken.isEmpty else {
                // Signals of what was taken: whatever comes in between is found by the next look,
                // which goes before the next wait.
                while arrived.wait(timeout: .now()) == .success { continue }
                return taken
            }
            guard arrived.wait(timeout: deadline) == .success else { return collect(urgentOnly) }
        }
    }

    private func collect(_ urgentOnly: Bool) -> [Element] {
        lanes.withLock { lanes in
            let taken = urgentOnly ? lanes.urgent : lanes.urgent + lanes.ordinary
            lanes.urgent.removeAll(keepingCapacity: lanes.urgent.count < 1_024)
            if !urgentOnly { lanes.ordinary.removeAll(keepingCapacity: true) }
            return taken
        }
    }

    package var count: Int { lanes.withLock { $0.urgent.count + $0.ordinary.count } }
}
