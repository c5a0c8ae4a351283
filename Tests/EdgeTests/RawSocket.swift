import Glibc
import Testing

/// A client that says exactly what it is told, well-formed or not.
@safe
struct RawSocket: ~Copyable {
    private let descriptor: Int32

    /// - Throws: where the server refuses or does not answer within twenty seconds.
    init(port: UInt16, address: String = "127.0.0.1") throws {
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = port.bigEndian
        unsafe inet_pton(AF_INET, address, &name.sin_addr)
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        unsafe setsockopt(
            descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        unsafe setsockopt(
            descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let done = unsafe withUnsafePointer(to: &name) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                unsafe connect(descriptor, pointer, length)
            }
        }
        try #require(done == 0, "connect: errno \(errno)")
    }

    deinit { close(descriptor) }

    /// Ignores a peer that hung up: that is an answer too.
    func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.send(
                    descriptor, buffer.baseAddress?.advanced(by: sent), bytes.count - sent,
                    Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            sent += count
        }
    }

    func send(_ text: String) { send(Array(text.utf8)) }

    /// No more will be said; the answer can still come.
    func finish() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// All that comes until the peer hangs up, or until `end` was seen.
    func received(until end: String? = nil) -> String {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while all.count < 4 << 20 {
            let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            all.append(contentsOf: buffer[..<count])
            if let end, String(decoding: all, as: UTF8.self).contains(end) { break }
        }
        return String(decoding: all, as: UTF8.self)
    }

    /// The status line's number, 0 where the peer just hung up.
    func status() -> Int {
        Int(received(until: "\r\n\r\n").split(separator: " ").dropFirst().first ?? "") ?? 0
    }
}
