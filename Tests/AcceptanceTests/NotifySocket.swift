import Foundation

/// The service manager's end of the notification socket, as systemd(1) holds it.
final class NotifySocket {
    let path: String
    private let descriptor: Int32
    /// Every message so far.
    private(set) var heard: [String] = []

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
    }

    deinit { close(descriptor) }

    /// Takes what has come, and answers whether any message so far holds `text`.
    func hears(_ text: String) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while true {
            let count = unsafe recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            guard count > 0 else { break }
            heard.append(String(decoding: buffer[..<count], as: UTF8.self))
        }
        return heard.contains { $0.contains(text) }
    }
}
