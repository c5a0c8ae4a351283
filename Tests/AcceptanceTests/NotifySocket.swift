import Foundation
import Synchronization

/// The service manager's end of the notification socket, as systemd(1) holds it.
///
/// It listens all the time: the kernel keeps ten messages, and who sends one more waits.
final class NotifySocket {
    let path: String
    private let descriptor: Int32
    private let ear = Ear()

    /// Every message so far.
    private final class Ear: Sendable {
        let heard = Mutex<[String]>([])

        func listen(_ descriptor: Int32) {
            var buffer = [UInt8](repeating: 0, count: 4_096)
            while true {
                let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { break }
                let message = String(decoding: buffer[..<count], as: UTF8.self)
                heard.withLock { $0.append(message) }
            }
            close(descriptor)
        }
    }

    init(_ path: String) throws {
        self.path = path
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let name = Array(path.utf8)
        let room = MemoryLayout.size(ofValue: address.sun_path)
        guard descriptor >= 0, name.count < room else {
            throw Trouble("no socket at \(path)")
        }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: name) }
        let bound = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard bound == 0 else { throw Trouble("cannot bind \(path): \(errno)") }
        Thread { [ear, descriptor] in ear.listen(descriptor) }.start()
    }

    deinit { shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// Whether any message so far holds `text`.
    func hears(_ text: String) -> Bool {
        ear.heard.withLock { $0.contains { $0.contains(text) } }
    }
}
