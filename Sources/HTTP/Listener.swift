import Glibc

/// Why nobody can listen there, in words.
package struct ListenError: Error, Equatable, Sendable, CustomStringConvertible {
    package let address: String
    package let port: UInt16
    /// errno, or 0 where the certificate was the trouble.
    package let code: Int32

    package var description: String {
        switch code {
        case EADDRINUSE:
            "port \(port) is taken: another program listens on \(address):\(port);"
                + " stop it or choose another port"
        case EACCES:
            "port \(port) is forbidden: ports below 1024 need CAP_NET_BIND_SERVICE;"
                + " choose a higher port or grant it"
        case EADDRNOTAVAIL: "no interface of this host has the address \(address)"
        case EINVAL: "'\(address)' is not an IP address; write one such as 127.0.0.1 or ::1"
        case 0: "cannot serve TLS on \(address):\(port): the certificate or its key is not usable"
        default:
            "cannot listen on \(address):\(port): \(unsafe String(cString: strerror(code)))"
        }
    }
}

/// A bound, listening socket, made here so that errno tells of `bind` and of nothing else.
struct Listener {
    let descriptor: Int32
    let port: UInt16

    init(address: String, port: UInt16) throws(ListenError) {
        var four = sockaddr_in()
        four.sin_family = sa_family_t(AF_INET)
        four.sin_port = port.bigEndian
        var six = sockaddr_in6()
        six.sin6_family = sa_family_t(AF_INET6)
        six.sin6_port = port.bigEndian

        let made: Result<Listener, ListenError>
        if unsafe inet_pton(AF_INET, address, &four.sin_addr) == 1 {
            made = Listener.listening(four, AF_INET, address, port)
        } else if unsafe inet_pton(AF_INET6, address, &six.sin6_addr) == 1 {
            made = Listener.listening(six, AF_INET6, address, port)
        } else {
            throw ListenError(address: address, port: port, code: EINVAL)
        }
        self = try made.get()
    }

    private init(descriptor: Int32, port: UInt16) {
        self.descriptor = descriptor
        self.port = port
    }

    private static func listening<Name>(
        _ name: Name, _ family: Int32, _ address: String, _ port: UInt16
    ) -> Result<Listener, ListenError> {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(family, kind, 0)
        func failed() -> Result<Listener, ListenError> {
            let code = errno
            if descriptor >= 0 { close(descriptor) }
            return .failure(ListenError(address: address, port: port, code: code))
        }
        guard descriptor >= 0 else { return failed() }
        // Connections of our predecessor that linger in TIME_WAIT must not delay a restart.
        var yes: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        guard unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, size) == 0 else {
            return failed()
        }
        var bound = name
        var length = socklen_t(MemoryLayout<Name>.size)
        let done = unsafe withUnsafeMutablePointer(to: &bound) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                unsafe bind(descriptor, pointer, length) == 0 && listen(descriptor, 128) == 0
                    && getsockname(descriptor, pointer, &length) == 0
            }
        }
        guard done else { return failed() }
        // The port stands at the same place in both families.
        let chosen = unsafe withUnsafeBytes(of: &bound) {
            unsafe UInt16(bigEndian: $0.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
        }
        return .success(Listener(descriptor: descriptor, port: chosen))
    }
}
