import Fleet
import Foundation
import HTTP
import Synchronization

/// A receiver of webhooks on loopback, which trusts nothing that it cannot verify.
final class Webhook {
    struct Call: Sendable {
        /// The idempotency key.
        let id: String
        let mayRepeat: Bool
        let incident: String
        let kind: String
        let tier: Int
        /// What is wrong with it; empty where all is well.
        let complaint: String
    }

    static let secret = "a secret of thirty-two characters"
    private let desk: Desk
    private let server: Server

    init() throws {
        let desk = Desk()
        self.desk = desk
        server = try Server(port: 0) { desk.answer($0) }
    }

    var url: String { "http://127.0.0.1:\(server.port)/pages" }
    var calls: [Call] { desk.memory.withLock { $0.calls } }

    /// From now on a page is taken and not answered, until `release`.
    func hold() { desk.memory.withLock { $0.isHolding = true } }
    func release() {
        desk.memory.withLock { $0.isHolding = false }
        desk.released.lock()
        desk.released.broadcast()
        desk.released.unlock()
    }

    func stop() {
        release()
        server.stop()
    }

    private final class Desk: Sendable {
        struct Memory {
            var calls: [Call] = []
            var isHolding = false
        }

        let memory = Mutex(Memory())
        let released = NSCondition()

        func answer(_ request: Request) -> Response {
            let call = Webhook.read(request)
            memory.withLock { $0.calls.append(call) }
            // Past the daemon's own patience of ten seconds nobody waits for an answer.
            let end = Date() + 15
            released.lock()
            while call.kind == "page", memory.withLock({ $0.isHolding }),
                released.wait(until: end)
            { continue }
            released.unlock()
            return Response(status: 204, body: [])
        }
    }

    private static func read(_ request: Request) -> Call {
        struct Body: Decodable {
            struct Page: Decodable {
                let incident, kind: String
                let tier: Int
            }
            let version: Int
            let delivery: String
            let mayRepeat: Bool
            let page: Page
        }
        let headers = request.headers
        let id = headers["idempotency-key"] ?? ""
        let repeats = headers["x-tocsin-repeat"] == "maybe"
        guard let body = try? JSONDecoder().decode(Body.self, from: Data(request.body)) else {
            return Call(
                id: id, mayRepeat: repeats, incident: "", kind: "", tier: 0,
                complaint: "not our JSON: \(String(decoding: request.body, as: UTF8.self))")
        }
        let timestamp = headers["x-tocsin-timestamp"] ?? ""
        let wanted = authentication(of: Array("\(timestamp).".utf8) + request.body)
        let age = wallClock() - Instant(milliseconds: (Int64(timestamp) ?? 0) * 1_000)
        var complaint = ""
        if headers["x-tocsin-signature"] != "v1=\(wanted)" { complaint = "a wrong signature" }
        if age < .seconds(-2) || age > .seconds(300) { complaint = "a timestamp of \(timestamp)" }
        if id.isEmpty || id != headers["x-tocsin-delivery"] || id != body.delivery {
            complaint = "no one idempotency key"
        }
        if request.method != "POST" || body.version != 1 || body.mayRepeat != repeats {
            complaint = "headers and body differ"
        }
        return Call(
            id: id, mayRepeat: repeats, incident: body.page.incident, kind: body.page.kind,
            tier: body.page.tier, complaint: complaint)
    }

    /// HMAC-SHA-256 in hexadecimal, written out (RFC 2104) so that the sender's is not asked.
    private static func authentication(of message: [UInt8]) -> String {
        var key = Array(secret.utf8)
        key += [UInt8](repeating: 0, count: 64 - key.count)
        let inner = SHA256.hash(key.map { $0 ^ 0x36 } + message)
        return SHA256.hash(key.map { $0 ^ 0x5c } + inner)
            .map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
