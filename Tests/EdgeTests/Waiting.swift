import Foundation
import Synchronization

/// Opens once; whoever waits goes on then, or gives up after a minute.
final class Gate: Sendable {
    private let condition = NSCondition()
    private let isOpen = Mutex(false)

    func open() {
        condition.lock()
        isOpen.withLock { $0 = true }
        condition.broadcast()
        condition.unlock()
    }

    @discardableResult func wait() -> Bool {
        let limit = Date(timeIntervalSinceNow: 60)
        condition.lock()
        defer { condition.unlock() }
        while !isOpen.withLock({ $0 }) {
            guard condition.wait(until: limit) else { return isOpen.withLock { $0 } }
        }
        return true
    }
}

/// Reads a socket to its end on a thread of its own.
final class Reader: Sendable {
    private let done = Gate()
    private let count = Mutex(0)
    private let socket: Mutex<RawSocket>

    init(_ socket: consuming sending RawSocket) {
        self.socket = Mutex(socket)
        Thread { self.read() }.start()
    }

    func bytes() -> Int { done.wait() ? count.withLock { $0 } : -1 }

    private func read() {
        let bytes = socket.withLock { $0.received().utf8.count }
        count.withLock { $0 = bytes }
        done.open()
    }
}

/// A file that is gone with its owner.
final class TemporaryFile {
    let path: String

    init(_ text: String) throws {
        path =
            FileManager.default.temporaryDirectory
            .appending(path: "tocsin-\(UUID().uuidString)").path
        try text.write(toFile: path, atomically: true, encoding: .utf8)
    }

    deinit { unsafe unlink(path) }
}
