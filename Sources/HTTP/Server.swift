import CMicrohttpd
import Glibc

/// A request that has arrived whole.
package struct Request: Sendable {
    package let method: String
    /// Without the query.
    package let path: String
    /// Decoded query parameters; the last of equal names wins.
    package let query: [String: String]
    /// Header fields by their names in lower case.
    package let headers: [String: String]
    package let body: [UInt8]

    package init(
        method: String, path: String, query: [String: String] = [:],
        headers: [String: String] = [:], body: [UInt8] = []
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
    }
}

package struct Response: Sendable {
    package var status: UInt32 = 200
    package var contentType = "application/json"
    package let body: [UInt8]

    package init(status: UInt32 = 200, contentType: String = "application/json", body: [UInt8]) {
        self.status = status
        self.contentType = contentType
        self.body = body
    }
}

/// The HTTP server: libmicrohttpd's own epoll thread answers with a plain function.
///
/// It answers 413 past `bodyBytesMax` and refuses connections past `connectionsMax`.
@safe
package final class Server {
    private let daemon: OpaquePointer
    private let door: Door
    package let port: UInt16

    /// - Throws: errno, where the port is taken or forbidden.
    package init(
        port: UInt16, connectionsMax: Int = 256, bodyBytesMax: Int = 1 << 20,
        answer: @escaping @Sendable (Request) -> Response
    ) throws(Errno) {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian

        let door = Door(bodyBytesMax: bodyBytesMax, answer: answer)
        let flags = MHD_USE_EPOLL_INTERNAL_THREAD.rawValue
        let started = unsafe withUnsafeMutablePointer(to: &address) { address in
            var options = unsafe [
                MHD_OptionItem(option: .SOCK_ADDR, value: 0, ptr_value: address),
                MHD_OptionItem(
                    option: .CONNECTION_LIMIT, value: connectionsMax, ptr_value: nil),
                MHD_OptionItem(
                    option: .CONNECTION_TIMEOUT, value: 30, ptr_value: nil),
                MHD_OptionItem(
                    option: .NOTIFY_COMPLETED,
                    value: Int(bitPattern: unsafeBitCast(completed, to: UnsafeRawPointer.self)),
                    ptr_value: nil),
                MHD_OptionItem(option: .END, value: 0, ptr_value: nil),
            ]
            return unsafe mhd_start(
                flags, port, arrived, Unmanaged.passUnretained(door).toOpaque(), &options)
        }
        guard let daemon = unsafe started else { throw Errno(code: errno) }
        unsafe self.daemon = daemon
        self.door = door
        let info = unsafe MHD_get_daemon_info_port(daemon)
        self.port = info
    }

    deinit { unsafe MHD_stop_daemon(daemon) }
}

package struct Errno: Error, Equatable {
    package let code: Int32
}

private final class Door {
    let bodyBytesMax: Int
    let answer: @Sendable (Request) -> Response
    init(bodyBytesMax: Int, answer: @escaping @Sendable (Request) -> Response) {
        self.bodyBytesMax = bodyBytesMax
        self.answer = answer
    }
}

private final class Arriving {
    var body: [UInt8] = []
    var tooLarge = false
}

private let arrived: MHD_AccessHandlerCallback = {
    context, connection, url, method, _, bytes, count, state in
    guard let context = unsafe context, let url = unsafe url, let method = unsafe method,
        let count = unsafe count, let state = unsafe state
    else { return .NO }
    let door = unsafe Unmanaged<Door>.fromOpaque(context).takeUnretainedValue()
    guard let held = unsafe state.pointee else {
        unsafe state.pointee = Unmanaged.passRetained(Arriving()).toOpaque()
        return .YES
    }
    let arriving = unsafe Unmanaged<Arriving>.fromOpaque(held).takeUnretainedValue()
    if unsafe count.pointee > 0 {
        let room = unsafe arriving.body.count + count.pointee <= door.bodyBytesMax
        arriving.tooLarge = arriving.tooLarge || !room
        if !arriving.tooLarge, let bytes = unsafe bytes {
            unsafe arriving.body.append(
                contentsOf: UnsafeRawBufferPointer(start: bytes, count: count.pointee))
        }
        unsafe count.pointee = 0
        return .YES
    }
    let request = unsafe Request(
        method: String(cString: method), path: String(cString: url), body: arriving.body)
    let response =
        arriving.tooLarge
        ? Response(status: 413, body: Array("{\"error\":\"body too large\"}".utf8))
        : door.answer(request)
    var body = response.body
    let made = unsafe MHD_create_response_from_buffer(
        body.count, &body, .RESPMEM_MUST_COPY)
    guard let made = unsafe made else { return .NO }
    defer { unsafe MHD_destroy_response(made) }
    unsafe MHD_add_response_header(made, "Content-Type", response.contentType)
    return unsafe MHD_queue_response(connection, response.status, made)
}

private let completed: MHD_RequestCompletedCallback = { _, _, state, _ in
    guard let held = unsafe state?.pointee else { return }
    unsafe Unmanaged<Arriving>.fromOpaque(held).release()
    unsafe state?.pointee = nil
}
