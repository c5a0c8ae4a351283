import Glibc
import HTTP
import Synchronization
import TestSupport
import Testing

@Suite struct ServerTests {
    @Test func `a request arrives with its query and its header fields`() throws {
        let seen = Mutex<Request?>(nil)
        let server = try Server(port: 0) { request in
            seen.withLock { $0 = request }
            return Response(body: [])
        }
        let socket = try RawSocket(port: server.port)
        socket.send(
            "GET /a%20b/c?x=1&filter=host%3D%22a%22&filter=r+1&empty&x=2 HTTP/1.1\r\nHost: h\r\n"
                + "X-Token: S%cret\r\nAccept: a\r\naccept: b\r\nConnection: close\r\n\r\n")
        #expect(socket.status() == 200)
        let request = try #require(seen.withLock { $0 })
        #expect(request.method == "GET" && request.path == "/a b/c")
        #expect(request.query == ["x": "2", "filter": "r 1", "empty": ""])
        #expect(request.parameters.map(\.value) == ["1", "host=\"a\"", "r 1", "", "2"])
        #expect(request.headers["x-token"] == "S%cret" && request.headers["accept"] == "a, b")
    }

    @Test func `a response carries its header fields and none with a line break`() throws {
        let server = try Server(port: 0) { _ in
            Response(
                status: 401,
                headers: [.init("WWW-Authenticate", "Bearer"), .init("X-Bad", "a\r\nX-Forged: 1")],
                body: Array("{}".utf8))
        }
        let socket = try RawSocket(port: server.port)
        socket.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        let answer = socket.received()
        #expect(answer.hasPrefix("HTTP/1.1 401 ") && answer.hasSuffix("\r\n\r\n{}"))
        #expect(answer.contains("WWW-Authenticate: Bearer\r\n"))
        #expect(!answer.contains("Forged"))
    }

    @Test func `a head request is answered like a get without the body`() throws {
        let server = try Server(port: 0) { request in
            Response(status: request.method == "GET" ? 200 : 405, body: Array("12345".utf8))
        }
        let socket = try RawSocket(port: server.port)
        socket.send("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        let answer = socket.received()
        #expect(answer.hasPrefix("HTTP/1.1 200 ") && answer.contains("Content-Length: 5\r\n"))
        #expect(answer.hasSuffix("\r\n\r\n"))
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let request: String
        let status: Int
    }

    static let cases = [
        Case(
            testDescription: "a plain one", request: "GET /x HTTP/1.1\r\nHost: h\r\n\r\n",
            status: 200),
        Case(
            testDescription: "the absolute form",
            request: "GET http://h:1/x?q=1 HTTP/1.1\r\nHost: h\r\n\r\n", status: 200),
        Case(
            testDescription: "half an escape", request: "GET /%4 HTTP/1.1\r\nHost: h\r\n\r\n",
            status: 400),
        Case(
            testDescription: "NUL in the path", request: "GET /a%00b HTTP/1.1\r\nHost: h\r\n\r\n",
            status: 400),
        Case(
            testDescription: "a line feed in the path",
            request: "GET /a%0Ab HTTP/1.1\r\nHost: h\r\n\r\n", status: 400),
        Case(
            testDescription: "bytes that are not UTF-8",
            request: "GET /%ff%fe HTTP/1.1\r\nHost: h\r\n\r\n", status: 400),
        Case(
            testDescription: "64 parameters",
            request: "GET /?" + Array(repeating: "a=1", count: 64).joined(separator: "&")
                + " HTTP/1.1\r\nHost: h\r\n\r\n", status: 200),
        Case(
            testDescription: "65 parameters",
            request: "GET /?" + Array(repeating: "a=1", count: 65).joined(separator: "&")
                + " HTTP/1.1\r\nHost: h\r\n\r\n", status: 400),
        Case(
            testDescription: "the longest URL",
            request: "GET /" + String(repeating: "a", count: 8_191)
                + " HTTP/1.1\r\nHost: h\r\n\r\n",
            status: 200),
        Case(
            testDescription: "a URL one byte longer",
            request: "GET /" + String(repeating: "a", count: 8_192)
                + " HTTP/1.1\r\nHost: h\r\n\r\n",
            status: 414),
        Case(
            testDescription: "64 header fields",
            request: "GET / HTTP/1.1\r\nHost: h\r\n" + String(repeating: "A: b\r\n", count: 63)
                + "\r\n", status: 200),
        Case(
            testDescription: "65 header fields",
            request: "GET / HTTP/1.1\r\nHost: h\r\n" + String(repeating: "A: b\r\n", count: 64)
                + "\r\n", status: 431),
        Case(
            testDescription: "40 kB of header fields",
            request: "GET / HTTP/1.1\r\nHost: h\r\nA: " + String(repeating: "b", count: 40_000)
                + "\r\n\r\n", status: 431),
        Case(testDescription: "no host", request: "GET / HTTP/1.1\r\n\r\n", status: 400),
        Case(
            testDescription: "1,000 bytes of body",
            request: "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n"
                + String(repeating: "x", count: 1_000), status: 200),
        Case(
            testDescription: "1,001 bytes of body",
            request: "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n"
                + String(repeating: "x", count: 1_001), status: 413),
        Case(
            testDescription: "1,001 bytes of body in chunks",
            request: "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n"
                + String(repeating: "x", count: 1_001) + "\r\n0\r\n\r\n", status: 413),
        Case(
            testDescription: "a body of an exabyte announced by one who asks first",
            request: "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                + "Content-Length: 1000000000000000000\r\n\r\n", status: 413),
        Case(
            testDescription: "a length that is no number",
            request: "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n\r\n", status: 400),
    ]

    @Test(arguments: cases)
    func `every request gets the status it deserves`(_ each: Case) throws {
        var settings = ServerSettings()
        settings.bodyBytesMax = 1_000
        let server = try Server(settings) { _ in Response(body: []) }
        let socket = try RawSocket(port: server.port)
        socket.send(each.request)
        #expect(socket.status() == each.status)
    }

    @Test func `garbage is answered or cut off, and the next request is served`() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SeededGenerator(seed: seed)
        let server = try Server(port: 0) { request in
            Response(
                headers: [.init("X-Echo", request.query.values.joined())],
                body: request.body + Array(request.path.utf8))
        }
        let seeds = [
            "GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n",
            "POST /a%41 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
            "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
        ].map { Array($0.utf8) }
        for round in 0..<400 {
            var bytes = seeds[Int(generator.next() % 4)]
            for _ in 0...generator.next() % 8 {
                let place = Int(generator.next() % UInt64(bytes.count))
                switch generator.next() % 4 {
                case 0: bytes[place] = UInt8(truncatingIfNeeded: generator.next())
                case 1: bytes.insert(UInt8(truncatingIfNeeded: generator.next()), at: place)
                case 2: bytes.insert(contentsOf: bytes[place...].prefix(40), at: place)
                default: if bytes.count > 4 { bytes.remove(at: place) }
                }
            }
            let socket = try RawSocket(port: server.port)
            socket.send(bytes)
            socket.finish()
            let answer = socket.received()
            #expect(answer.isEmpty || answer.hasPrefix("HTTP/1."), "seed \(seed) round \(round)")
        }
        let socket = try RawSocket(port: server.port)
        socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(socket.status() == 200, "seed \(seed)")
    }

    @Test func `clients that hang up in the middle of a request hold no connection`() throws {
        var settings = ServerSettings()
        settings.connectionsMax = 8
        let server = try Server(settings) { _ in Response(body: []) }
        for _ in 0..<200 {
            let socket = try RawSocket(port: server.port)
            socket.send("GET / HTTP/1.1\r\nHost: h\r\n")
            socket.finish()
            #expect(socket.received().isEmpty)
        }
        let socket = try RawSocket(port: server.port)
        socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(socket.status() == 200)
    }

    @Test func `a taken port is named in the error`() throws {
        let first = try Server(port: 0) { _ in Response(body: []) }
        do {
            _ = try Server(port: first.port) { _ in Response(body: []) }
            Issue.record("two servers on one port")
        } catch {
            #expect(error.code == EADDRINUSE)
            #expect("\(error)".hasPrefix("port \(first.port) is taken: "))
        }
        withExtendedLifetime(first) {}
    }

    @Test func `a port is free again as soon as its server has stopped`() throws {
        let first = try Server(port: 0) { _ in Response(body: []) }
        let socket = try RawSocket(port: first.port)
        socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(socket.status() == 200)
        first.stop()
        first.stop()
        let second = try Server(port: first.port) { _ in Response(body: []) }
        #expect(second.port == first.port)
    }

    /// A child holds copies of all descriptors from its first moment until its program is loaded.
    @Test func `a stopped server leaves its port, whoever has a copy of its socket`() throws {
        let first = try Server(port: 0) { _ in Response(body: []) }
        let copy = try #require(copyOfListener(on: first.port))
        defer { close(copy) }
        first.stop()
        let second = try Server(port: first.port) { _ in Response(body: []) }
        #expect(second.port == first.port)
    }

    private func copyOfListener(on port: UInt16) -> Int32? {
        for descriptor in 0..<Int32(4_096) {
            var isListening: Int32 = 0
            var size = socklen_t(MemoryLayout<Int32>.size)
            guard
                unsafe getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &isListening, &size) == 0,
                isListening == 1
            else { continue }
            var name = sockaddr_in()
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let done = unsafe withUnsafeMutablePointer(to: &name) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                    unsafe getsockname(descriptor, pointer, &length)
                }
            }
            if done == 0, name.sin_family == sa_family_t(AF_INET), name.sin_port == port.bigEndian {
                return dup(descriptor)
            }
        }
        return nil
    }

    @Test func `it listens on IPv6 and refuses names and foreign addresses`() throws {
        do {
            let server = try Server(ServerSettings(address: "::1")) { _ in
                Response(body: Array("six".utf8))
            }
            let answer = try Client().send(
                .get, "http://[::1]:\(server.port)/", timeoutMilliseconds: 5_000)
            #expect(answer.body == Array("six".utf8))
        } catch let error as ListenError {
            // A container may have no IPv6 at all; then this is the error to see.
            #expect([EADDRNOTAVAIL, EAFNOSUPPORT].contains(error.code))
        }
        for (address, code) in [("localhost", EINVAL), ("", EINVAL), ("192.0.2.1", EADDRNOTAVAIL)] {
            do {
                _ = try Server(ServerSettings(address: address)) { _ in Response(body: []) }
                Issue.record("listens on \(address)")
            } catch {
                #expect(error.code == code && "\(error)".contains(address))
            }
        }
    }

    @Test func `stopping lets the request in hand be answered`() throws {
        let entered = Gate()
        let released = Gate()
        let server = try Server(port: 0) { _ in
            entered.open()
            released.wait()
            return Response(body: [UInt8](repeating: 65, count: 1 << 20))
        }
        let socket = try RawSocket(port: server.port)
        socket.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        #expect(entered.wait())
        released.open()
        let reader = Reader(socket)
        server.stop(withinMilliseconds: 5_000)
        #expect(reader.bytes() > 1 << 20)
    }

    @Test func `a client that trusts the certificate is served over TLS and no other`() throws {
        var settings = ServerSettings()
        settings.certificate = Array(TestCertificate.certificate.utf8)
        settings.key = Array(TestCertificate.key.utf8)
        let server = try Server(settings) { _ in Response(body: Array("secret".utf8)) }
        let url = "https://127.0.0.1:\(server.port)/hooks/T0KEN"
        do {
            _ = try Client().send(.get, url, timeoutMilliseconds: 5_000)
            Issue.record("trusts a stranger")
        } catch {
            #expect(error.kind == .verification && !"\(error)".contains("T0KEN"))
        }
        let file = try TemporaryFile(TestCertificate.certificate)
        var trusting = ClientSettings()
        trusting.authorityFile = file.path
        let answer = try Client(trusting).send(.get, url, timeoutMilliseconds: 5_000)
        #expect(answer.body == Array("secret".utf8))

        settings.key = Array("no key".utf8)
        #expect(throws: ListenError.self) { try Server(settings) { _ in Response(body: []) } }
        // What did not start keeps no port.
        let free = try Server(port: 0) { _ in Response(body: []) }
        settings.port = free.port
        free.stop()
        #expect(throws: ListenError.self) { try Server(settings) { _ in Response(body: []) } }
        #expect(try Server(port: settings.port) { _ in Response(body: []) }.port == settings.port)
    }
}
