import CMicrohttpd
import Glibc
import Synchronization

/// Where a server listens and how much it takes in.
package struct ServerSettings: Sendable {
    /// An IP address; loopback, because whoever reaches the port can read every incident.
    package var address = "127.0.0.1"
    /// 0 is any free port.
    package var port: UInt16 = 0
    package var connectionsMax = 256
    package var bodyBytesMax = 1 << 20
    package var headersMax = 64
    /// A connection on which nothing moves for so long is closed.
    package var idleSeconds = 30
    /// A thread for each connection: an answer that takes its time holds up nobody else.
    package var hasThreadPerConnection = false
    /// PEM text of the certificate chain and its key; plain HTTP where both are empty.
    package var certificate: [UInt8] = []
    package var key: [UInt8] = []

    package init(address: String = "127.0.0.1", port: UInt16 = 0) {
        self.address = address
        self.port = port
    }
}

/// The HTTP server: libmicrohttpd's own threads answer with a plain function.
///
/// Whatever a client sends, it gets a status: 400 for a URL that cannot be read, 413 for a body
/// past `bodyBytesMax`, 414 for a long URL, 431 for too many header fields. Past `connectionsMax`
/// new connections wait to be closed. The function must not block, unless each connection has a thread.
@safe
package final class Server {
    private var daemon: OpaquePointer?
    private let door: Door
    package let address: String
    package let port: UInt16

    package convenience init(
        port: UInt16, connectionsMax: Int = 256, bodyBytesMax: Int = 1 << 20,
        answer: @escaping @Sendable (Request) -> Response
    ) throws(ListenError) {
        var settings = ServerSettings(port: port)
        settings.connectionsMax = connectionsMax
        settings.bodyBytesMax = bodyBytesMax
        try self.init(settings, answer: answer)
    }

    package init(
        _ settings: ServerSettings, answer: @escaping @Sendable (Request) -> Response
    ) throws(ListenError) {
        let listener = try Listener(address: settings.address, port: settings.port)
        door = Door(settings, answer: answer)
        address = settings.address
        port = listener.port
        // Where libmicrohttpd cannot start it closes the socket that it was given. Closed here as well,
        // that number would by then be somebody else's: so it gets a copy, and ours is ours to close.
        let given = fcntl(listener.descriptor, F_DUPFD_CLOEXEC, 0)
        guard given >= 0 else {
            let code = errno
            close(listener.descriptor)
            throw ListenError(address: address, port: port, code: code)
        }
        let (started, code) = unsafe Server.start(settings, given, listener.port, door)
        guard let started = unsafe started else {
            shutdown(listener.descriptor, Int32(SHUT_RDWR))
            let closed = close(listener.descriptor)
            assert(closed == 0, "somebody else closed it")
            throw ListenError(address: address, port: port, code: code)
        }
        close(listener.descriptor)
        unsafe daemon = started
    }

    deinit { stop(withinMilliseconds: 0) }

    /// Takes no new connection, lets the requests in hand be answered, then closes every connection.
    ///
    /// Idempotent. Must not be called from the answering function, which it waits for.
    package func stop(withinMilliseconds limit: Int = 2_000) {
        guard let running = unsafe daemon else { return }
        unsafe daemon = nil
        let listening = unsafe MHD_quiesce_daemon(running)
        var left = limit
        while door.inHand > 0, left > 0 {
            poll(nil, 0, 5)
            left -= 5
        }
        unsafe MHD_stop_daemon(running)
        guard listening >= 0 else { return }
        // A child that is being started has a copy, which would keep the port for that moment.
        shutdown(listening, Int32(SHUT_RDWR))
        close(listening)
    }

    private static func start(
        _ settings: ServerSettings, _ listening: Int32, _ port: UInt16, _ door: Door
    ) -> (OpaquePointer?, Int32) {
        // Not epoll: libmicrohttpd 0.9.75 waits for edges there and misses the end of a stream that
        // came together with data. 256 clients that send half a request and hang up then hold every
        // connection until it is idle for too long (measured); with poll(2) they are gone at once.
        var flags = MHD_USE_POLL_INTERNAL_THREAD.rawValue | MHD_USE_ITC.rawValue
        let context = unsafe Unmanaged.passUnretained(door).toOpaque()
        var options = unsafe [
            option(.LISTEN_SOCKET, Int(listening)),
            option(.CONNECTION_LIMIT, max(1, settings.connectionsMax)),
            option(.CONNECTION_TIMEOUT, max(1, settings.idleSeconds)),
            // The request line and all header fields of one request: past it, 431.
            option(.CONNECTION_MEMORY_LIMIT, 32_768),
            // Refuses what two readers could read in two ways (request smuggling).
            option(.STRICT_FOR_CLIENT, 1),
            option(
                .URI_LOG_CALLBACK,
                Int(bitPattern: unsafeBitCast(announced, to: UnsafeRawPointer.self)), context),
            option(
                .NOTIFY_COMPLETED,
                Int(bitPattern: unsafeBitCast(completed, to: UnsafeRawPointer.self)), context),
        ]
        // Not a pool: a thread of it takes in a second connection and then waits for the first.
        if settings.hasThreadPerConnection { flags |= MHD_USE_THREAD_PER_CONNECTION.rawValue }
        let certificate = unsafe strdup(String(decoding: settings.certificate, as: UTF8.self))
        let key = unsafe strdup(String(decoding: settings.key, as: UTF8.self))
        defer {
            unsafe free(certificate)
            unsafe free(key)
        }
        let isSecure = !settings.certificate.isEmpty || !settings.key.isEmpty
        if isSecure {
            flags |= MHD_USE_TLS.rawValue
            unsafe options.append(option(.HTTPS_MEM_CERT, 0, UnsafeMutableRawPointer(certificate)))
            unsafe options.append(option(.HTTPS_MEM_KEY, 0, UnsafeMutableRawPointer(key)))
        }
        unsafe options.append(option(.END, 0))
        errno = 0
        let started = unsafe mhd_start(flags, port, arrived, context, &options)
        return unsafe (started, isSecure ? 0 : errno)
    }

    private static func option(
        _ option: MHD_OPTION, _ value: Int, _ pointer: UnsafeMutableRawPointer? = nil
    ) -> MHD_OptionItem {
        unsafe MHD_OptionItem(option: option, value: value, ptr_value: pointer)
    }
}

private final class Door: Sendable {
    let bodyBytesMax: Int
    let headersMax: Int
    let answer: @Sendable (Request) -> Response
    private let requests = Atomic(0)

    init(_ settings: ServerSettings, answer: @escaping @Sendable (Request) -> Response) {
        bodyBytesMax = settings.bodyBytesMax
        headersMax = settings.headersMax
        self.answer = answer
    }

    var inHand: Int { requests.load(ordering: .relaxed) }

    func began() { requests.add(1, ordering: .relaxed) }

    func ended() { requests.subtract(1, ordering: .relaxed) }
}

/// One request while its parts arrive; touched by the thread of its connection alone.
private final class Arriving {
    let target: Target
    var headers: [String: String] = [:]
    var headerCount = 0
    var body: [UInt8] = []
    var bodyBytes = 0
    var hasHeaders = false
    var refusal: Response?

    init(_ uri: [UInt8]) { target = Target(uri) }

    func add(header name: String, _ value: String) {
        headerCount += 1
        let key = name.lowercased()
        headers[key] = headers[key].map { "\($0), \(value)" } ?? value
    }

    /// Decides, as soon as the header fields are there, whether the body is worth reading.
    func judge(_ door: Door) {
        hasHeaders = true
        if case .refused(let status, let reason) = target {
            refusal = .refusal(status, reason)
        } else if headerCount > door.headersMax {
            refusal = .refusal(431, "more than \(door.headersMax) header fields")
        } else if let announced = headers["content-length"].flatMap({ Int($0) }),
            announced > door.bodyBytesMax
        {
            refusal = tooLarge(door)
        }
    }

    /// - Returns: false where so much was sent in vain that the connection is better closed.
    func append(_ part: UnsafeRawBufferPointer, _ door: Door) -> Bool {
        bodyBytes += part.count
        if bodyBytes > door.bodyBytesMax {
            refusal = refusal ?? tooLarge(door)
            body = []
        }
        if refusal == nil { unsafe body.append(contentsOf: part) }
        // A client that is told 413 in the middle of its body often sees a reset instead: read on
        // for a while, so that the honest mistake gets its answer.
        return bodyBytes / 4 <= door.bodyBytesMax
    }

    func response(method: String, _ door: Door) -> Response {
        if let refusal { return refusal }
        guard case .known(let path, let parameters) = target else {
            return .refusal(400, "the URL cannot be read")
        }
        return door.answer(
            Request(
                method: method == "HEAD" ? "GET" : method, path: path, parameters: parameters,
                headers: headers, body: body))
    }

    private func tooLarge(_ door: Door) -> Response {
        .refusal(413, "the body is larger than \(door.bodyBytesMax) bytes")
    }
}

private let announced: mhd_uri_callback = { context, uri, _ in
    guard let context = unsafe context, let uri = unsafe uri else { return nil }
    unsafe Unmanaged<Door>.fromOpaque(context).takeUnretainedValue().began()
    let bytes = unsafe UnsafeRawBufferPointer(start: uri, count: strlen(uri))
    return unsafe Unmanaged.passRetained(Arriving(Array(bytes))).toOpaque()
}

private let arrived: MHD_AccessHandlerCallback = {
    context, connection, _, method, _, bytes, count, state in
    guard let context = unsafe context, let connection = unsafe connection,
        let method = unsafe method, let count = unsafe count, let held = unsafe state?.pointee
    else { return .NO }
    let door = unsafe Unmanaged<Door>.fromOpaque(context).takeUnretainedValue()
    let arriving = unsafe Unmanaged<Arriving>.fromOpaque(held).takeUnretainedValue()
    guard arriving.hasHeaders else {
        unsafe MHD_get_connection_values(connection, .HEADER_KIND, collected, held)
        arriving.judge(door)
        // Whoever asks before sending is answered before sending.
        guard let refusal = arriving.refusal, arriving.headers["expect"] != nil else { return .YES }
        return unsafe queue(refusal, on: connection)
    }
    let received = unsafe count.pointee
    if received > 0, let bytes = unsafe bytes {
        unsafe count.pointee = 0
        let part = unsafe UnsafeRawBufferPointer(start: bytes, count: received)
        return unsafe arriving.append(part, door) ? .YES : .NO
    }
    return unsafe queue(
        arriving.response(method: String(cString: method), door), on: connection)
}

private func queue(_ response: Response, on connection: OpaquePointer) -> MHD_Result {
    let isEmpty = response.status == 204 || response.status == 304
    var body = isEmpty ? [] : response.body
    let made = unsafe MHD_create_response_from_buffer(body.count, &body, .RESPMEM_MUST_COPY)
    guard let made = unsafe made else { return .NO }
    defer { unsafe MHD_destroy_response(made) }
    if !isEmpty { unsafe MHD_add_response_header(made, "Content-Type", response.contentType) }
    // Each is refused where a line break would end it early.
    for header in response.headers {
        unsafe MHD_add_response_header(made, header.name, header.value)
    }
    let status = (200...599).contains(response.status) ? response.status : 500
    return unsafe MHD_queue_response(connection, status, made)
}

private let collected: MHD_KeyValueIterator = { context, _, name, value in
    guard let context = unsafe context, let name = unsafe name else { return .NO }
    let arriving = unsafe Unmanaged<Arriving>.fromOpaque(context).takeUnretainedValue()
    let text = unsafe value.map { unsafe String(cString: $0) } ?? ""
    unsafe arriving.add(header: String(cString: name), text)
    return .YES
}

private let completed: MHD_RequestCompletedCallback = { context, _, state, _ in
    guard let context = unsafe context, let held = unsafe state?.pointee else { return }
    unsafe Unmanaged<Door>.fromOpaque(context).takeUnretainedValue().ended()
    unsafe Unmanaged<Arriving>.fromOpaque(held).release()
    unsafe state?.pointee = nil
}
