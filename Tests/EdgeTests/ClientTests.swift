import HTTP
import Synchronization
import Testing

@Suite struct ClientTests {
    @Test func `a post reaches the server and its answer comes back`() throws {
        let server = try Server(port: 0) { request in
            Response(status: request.path == "/busy" ? 429 : 200, body: request.body.reversed())
        }
        let client = Client()
        let root = "http://127.0.0.1:\(server.port)"
        let answer = try client.post(
            "\(root)/x", headers: ["Content-Type: text/plain"], body: Array("page".utf8),
            timeoutMilliseconds: 2_000)
        #expect(answer.status == 200 && answer.body == Array("egap".utf8))
        let busy = try client.post(
            "\(root)/busy", headers: [], body: [], timeoutMilliseconds: 2_000)
        #expect(busy.status == 429)
        let big = try client.post(
            "\(root)/x", headers: ["Expect:"], body: [UInt8](repeating: 65, count: 2 << 20),
            timeoutMilliseconds: 5_000)
        #expect(big.status == 413)
    }

    @Test(arguments: Method.allCases)
    func `every method arrives under its name with our user agent`(_ method: Method) throws {
        let server = try Server(port: 0) { request in
            Response(
                body: Array("\(request.method) \(request.headers["user-agent"] ?? "")".utf8)
                    + request.body)
        }
        var settings = ClientSettings()
        settings.userAgent = "tocsin/1.2.3"
        let client = Client(settings)
        // Twice, because the options of the first must not leak into the second.
        for body in ["", "body"] {
            let answer = try client.send(
                method, "http://127.0.0.1:\(server.port)/", body: Array(body.utf8),
                timeoutMilliseconds: 5_000)
            let sent = method == .get ? "" : body
            #expect(
                String(decoding: answer.body, as: UTF8.self)
                    == "\(method.rawValue) tocsin/1.2.3\(sent)")
        }
    }

    struct Wait: Sendable {
        let header: String
        let seconds: ClosedRange<Int>
    }

    @Test(arguments: [
        Wait(header: "17", seconds: 17...17), Wait(header: "0", seconds: 0...0),
        Wait(header: "99999999", seconds: 86_400...86_400), Wait(header: "-5", seconds: 0...0),
        Wait(header: "Fri, 31 Dec 1999 23:59:59 GMT", seconds: 0...0),
        Wait(header: "Fri, 31 Dec 2100 23:59:59 GMT", seconds: 86_400...86_400),
        Wait(header: "soon", seconds: 0...0),
    ])
    func `a wait is read as seconds or as a date and is bounded`(_ wait: Wait) throws {
        let server = try Server(port: 0) { _ in
            Response(status: 429, headers: [.init("Retry-After", wait.header)], body: [])
        }
        let answer = try Client().send(
            .get, "http://127.0.0.1:\(server.port)/", timeoutMilliseconds: 5_000)
        #expect(wait.seconds.contains(answer.retryAfterSeconds), "\(answer.retryAfterSeconds)")
    }

    @Test func `a redirect is an answer and is not followed`() throws {
        let visits = Mutex(0)
        let server = try Server(port: 0) { _ in
            visits.withLock { $0 += 1 }
            return Response(status: 302, headers: [.init("Location", "/elsewhere")], body: [])
        }
        let answer = try Client().send(
            .get, "http://127.0.0.1:\(server.port)/", timeoutMilliseconds: 5_000)
        #expect(answer.status == 302 && visits.withLock { $0 } == 1)
    }

    struct Failure: Sendable {
        let url: String
        var header = "A: b"
        let kind: TransferError.Kind
    }

    @Test(arguments: [
        Failure(url: "http://127.0.0.1:1/", kind: .network),
        Failure(url: "file:///etc/passwd", kind: .badRequest),
        Failure(url: "http://", kind: .badRequest), Failure(url: "", kind: .badRequest),
        Failure(url: "http://127.0.0.1:1/a b", kind: .badRequest),
        Failure(url: "http://127.0.0.1:1/", header: "A: b\r\nForged: c", kind: .badRequest),
        // A label of 64 letters is no name: the resolver says so without asking a server, which may be slow.
        Failure(url: "http://\(String(repeating: "a", count: 64)).invalid/", kind: .network),
    ])
    func `every failure has its kind`(_ failure: Failure) {
        do {
            _ = try Client().post(
                failure.url, headers: [failure.header], body: [], timeoutMilliseconds: 5_000)
            Issue.record("somebody answered")
        } catch {
            #expect(error.kind == failure.kind, "\(error)")
            #expect(!error.mayHaveArrived)
        }
    }

    @Test func `an answer past the limit is an error that keeps its status`() throws {
        let server = try Server(port: 0) { request in
            Response(body: [UInt8](repeating: 0, count: Int(request.query["n"] ?? "") ?? 0))
        }
        let root = "http://127.0.0.1:\(server.port)/?n="
        let whole = try Client().send(
            .get, root + "1000", timeoutMilliseconds: 5_000, answerBytesMax: 1_000)
        #expect(whole.body.count == 1_000)
        do {
            _ = try Client().send(
                .get, root + "1001", timeoutMilliseconds: 5_000, answerBytesMax: 1_000)
            Issue.record("took more than it may")
        } catch {
            #expect(error.kind == .tooLarge && error.status == 200 && error.mayHaveArrived)
        }
    }

    @Test func `a server that never answers is a timeout after which the page may have arrived`()
        throws
    {
        let released = Gate()
        let server = try Server(port: 0) { _ in
            released.wait()
            return Response(body: [])
        }
        defer { released.open() }
        do {
            _ = try Client().post(
                "http://127.0.0.1:\(server.port)/", headers: [], body: [1],
                timeoutMilliseconds: 1_000)
            Issue.record("an answer out of nothing")
        } catch {
            #expect(error.kind == .timeout && error.mayHaveArrived)
        }
    }

    @Test func `a cancelled client sends nothing more`() throws {
        let server = try Server(port: 0) { _ in Response(body: []) }
        let url = "http://127.0.0.1:\(server.port)/"
        var settings = ClientSettings()
        let cancellation = Cancellation()
        settings.cancellation = cancellation
        let client = Client(settings)
        #expect(try client.send(.get, url, timeoutMilliseconds: 5_000).status == 200)
        cancellation.cancel()
        do {
            _ = try client.send(.get, url, timeoutMilliseconds: 5_000)
            Issue.record("went on")
        } catch {
            #expect(error.kind == .cancelled)
        }
    }

    @Test func `only scheme and host of a URL are shown`() {
        #expect(origin(of: "https://hooks.slack.com/services/T/B/x") == "https://hooks.slack.com")
        #expect(origin(of: "http://u:secret@h:80?token=x") == "http://h:80")
        #expect(origin(of: "secret") == "a bad URL")
    }
}

@Suite struct DigestTests {
    @Test func `a signature is that of RFC 4231 test case 2`() {
        let digest = signature(Array("what do ya want for nothing?".utf8), key: Array("Jefe".utf8))
        #expect(
            hex(digest) == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    }

    @Test func `hashes are those of FIPS 180`() {
        #expect(
            hex(sha256(Array("abc".utf8)))
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(
            hex(sha256([])) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    }

    @Test func `secrets are equal only where every byte is`() {
        #expect(constantTimeEquals([1, 2, 3], [1, 2, 3]) && constantTimeEquals([], []))
        #expect(!constantTimeEquals([1, 2, 3], [1, 2, 4]) && !constantTimeEquals([1], [1, 2]))
    }

    @Test func `hexadecimal reads back in either case and refuses the rest`() {
        #expect(bytes(hex: "00fFa5") == [0, 255, 0xa5] && hex([0, 255, 0xa5]) == "00ffa5")
        #expect(bytes(hex: "0") == nil && bytes(hex: "0g") == nil && bytes(hex: "") == [])
    }

    @Test func `two tokens differ`() throws {
        let first = try randomBytes(32)
        let second = try randomBytes(32)
        #expect(first.count == 32 && first != second)
        #expect(try randomBytes(0).isEmpty)
    }
}
