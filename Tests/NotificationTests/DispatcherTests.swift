import Escalation
import Fleet
import Foundation
import HTTP
import Notification
import Observability
import Synchronization
import Testing

@Suite struct DispatcherTests {
    /// A dispatcher over a receiver that answers from a list, then 200.
    private final class Stage: Sendable {
        let clock = Clock()
        let requests = Collector<Request>()
        let results = Collector<DeliveryResult>()
        let began = Collector<Delivery>()
        let metrics = Metrics()
        private let answers: Mutex<[Response]>

        init(_ answers: [Response]) { self.answers = Mutex(answers) }

        func server() throws -> Server {
            try Server(port: 0) { request in
                let answer = self.answers.withLock { $0.isEmpty ? nil : $0.removeFirst() }
                self.requests.add(request)
                return answer ?? Response(body: [])
            }
        }

        func dispatcher(_ channels: [String: any Channel]) throws -> Dispatcher {
            var settings = Dispatcher.Settings()
            settings.clock = { self.clock.now }
            settings.uniform = { 1 }
            settings.metrics = metrics
            settings.began = { self.began.add($0) }
            settings.finished = { self.results.add($0) }
            let dispatcher = try Dispatcher(channels, settings)
            dispatcher.start()
            return dispatcher
        }

        func hook(
            _ port: UInt16, _ edit: (inout DestinationSettings) -> Void = { _ in }
        )
            -> WebhookChannel
        {
            var settings = DestinationSettings(
                name: "hook", kind: .webhook, urls: ["http://127.0.0.1:\(port)/hooks/T0KEN"])
            edit(&settings)
            return WebhookChannel(settings, from: bell)
        }
    }

    @Test func `a receiver that says 429 gets the page after its wait and no sooner`() throws {
        let stage = Stage([
            Response(status: 429, headers: [.init("Retry-After", "20")], body: [])
        ])
        let server = try stage.server()
        let dispatcher = try stage.dispatcher(["hook": stage.hook(server.port)])
        defer { dispatcher.stop(within: .seconds(5)) }
        dispatcher.enqueue([sampleDelivery(1)])
        let first = try #require(stage.results.first(1).first)
        #expect(first.delivery.state == .queued && first.delivery.lastCode == 429)
        #expect(first.delivery.nextAttempt == start + .seconds(20))
        stage.clock.advance(.milliseconds(19_999))
        dispatcher.wake()
        #expect(dispatcher.waiting == 1 && stage.requests.all.count == 1)
        stage.clock.advance(.milliseconds(1))
        dispatcher.wake()
        #expect(stage.results.first(2).last?.delivery.state == .done)
        #expect(stage.requests.all.count == 2)
    }

    @Test func `a receiver that fails gets the page again under the same key`() throws {
        let stage = Stage([Response(status: 500, body: []), Response(status: 503, body: [])])
        let server = try stage.server()
        let dispatcher = try stage.dispatcher(["hook": stage.hook(server.port)])
        defer { dispatcher.stop(within: .seconds(5)) }
        dispatcher.enqueue([sampleDelivery(1), sampleDelivery(2, .resolved)])
        for count in 1...2 {
            _ = stage.results.first(count)
            stage.clock.advance(.seconds(60))
            dispatcher.wake()
        }
        let states = stage.results.first(4).map(\.delivery.state)
        #expect(states == [.queued, .queued, .done, .done])
        #expect(dispatcher.drain(within: .seconds(30)))
        let keys = stage.requests.all.map { $0.headers["idempotency-key"] ?? "" }
        #expect(keys == ["PAGE1.hook", "PAGE1.hook", "PAGE1.hook", "PAGE2.hook"])
        #expect(stage.began.all.map(\.state).allSatisfy { $0 == .inflight })
        let text = String(decoding: stage.metrics.exposition().body, as: UTF8.self)
        #expect(
            text.contains(
                "tocsin_deliveries_total{destination=\"hook\",reason=\"ok\",result=\"delivered\"} 2"
            ))
        #expect(
            text.contains(
                "tocsin_deliveries_total{destination=\"hook\",reason=\"server_error\",result=\"retried\"} 2"
            ))
        #expect(text.contains("tocsin_outbox_oldest_seconds 0\n"))
    }

    @Test func `a refusal is final and names no secret`() throws {
        let stage = Stage([Response(status: 400, body: Array("bad \"page\"\n".utf8))])
        let server = try stage.server()
        let dispatcher = try stage.dispatcher(["hook": stage.hook(server.port)])
        defer { dispatcher.stop(within: .seconds(5)) }
        dispatcher.enqueue([sampleDelivery(1)])
        let result = try #require(stage.results.first(1).first)
        #expect(result.delivery.state == .failed)
        #expect(result.delivery.lastError == "HTTP 400: bad \"page\"")
        #expect(dispatcher.health(of: "hook").isRefused)
        dispatcher.stop(within: .seconds(5))

        let closed = WebhookChannel(
            DestinationSettings(
                name: "hook", kind: .webhook, urls: ["http://127.0.0.1:1/hooks/T0KEN"]), from: bell)
        let attempt = closed.send(sampleDelivery(1), at: start)
        #expect(!attempt.reason.contains("T0KEN") && attempt.reason.contains("127.0.0.1:1"))
        guard case .retry(nil, 0, _, false) = attempt else {
            Issue.record("nothing arrived: \(attempt)")
            return
        }
    }

    @Test func `a receiver can verify who wrote the body and when`() throws {
        let stage = Stage([])
        let server = try stage.server()
        let key = Array("a secret longer than one block of SHA-256, which is 64 bytes: yes".utf8)
        let channel = stage.hook(server.port) { settings in
            settings.secret = key
            settings.headers = ["Authorization: Bearer b"]
        }
        #expect(channel.send(sampleDelivery(1), at: start) == .delivered(code: 200))
        let request = try #require(stage.requests.first(1).first)
        #expect(request.headers["content-type"] == "application/json")
        #expect(request.headers["user-agent"] == "tocsin/1.2.3")
        #expect(request.headers["authorization"] == "Bearer b")
        #expect(request.headers["x-tocsin-delivery"] == "PAGE1.hook")
        #expect(request.headers["x-tocsin-repeat"] == nil)
        #expect(request.headers["x-tocsin-timestamp"] == "1795248720")
        let signed = Array("1795248720.".utf8) + request.body
        #expect(request.headers["x-tocsin-signature"] == "v1=\(hex(independentHMAC(signed, key)))")
    }

    /// RFC 2104 by its definition, over a hash of which other tests know the vectors.
    private func independentHMAC(_ message: [UInt8], _ key: [UInt8]) -> [UInt8] {
        var block = key.count > 64 ? sha256(key) : key
        block += [UInt8](repeating: 0, count: 64 - block.count)
        return sha256(block.map { $0 ^ 0x5c } + sha256(block.map { $0 ^ 0x36 } + message))
    }

    @Test func `a body that is too large is sent once more in short`() throws {
        let stage = Stage([Response(status: 413, body: [])])
        let server = try stage.server()
        let page = samplePage { $0.devices = (0..<500).map { "nvidia/GPU-\($0)" } }
        let delivery = Delivery(destination: "hook", page: page)
        let channel = stage.hook(server.port) { $0.usesCloudEvents = true }
        #expect(channel.send(delivery, at: start) == .delivered(code: 200))
        let bodies = stage.requests.all.map(\.body)
        #expect(bodies.count == 2 && bodies[0].count > 4_096 && bodies[1].count <= 4_096)
        #expect(
            stage.requests.all.allSatisfy {
                $0.headers["content-type"] == "application/cloudevents+json; charset=UTF-8"
            })
        let second = try JSONSerialization.jsonObject(with: Data(bodies[1])) as? [String: Any]
        #expect(second?["subject"] as? String == "INC-7K2M9QXW4E")
    }

    @Test func `every Alertmanager peer is told and one is enough`() throws {
        let stage = Stage([])
        let server = try stage.server()
        func channel(_ urls: [String]) -> AlertmanagerChannel {
            AlertmanagerChannel(
                DestinationSettings(name: "am", kind: .alertmanager, urls: urls), from: bell,
                log: .none)
        }
        let alive = "http://127.0.0.1:\(server.port)"
        let delivery = sampleDelivery(1, to: "am")
        #expect(
            channel(["http://127.0.0.1:1", "\(alive)/"]).send(delivery, at: start)
                == .delivered(code: 200))
        #expect(stage.requests.all.map(\.path) == ["/api/v2/alerts"])
        guard case .retry = channel(["http://127.0.0.1:1"]).send(delivery, at: start) else {
            Issue.record("no peer took it")
            return
        }
        let pages = (0..<130).map { samplePage($0, incident: "INC-\($0)") }
        #expect(channel([alive]).send(pages, at: start) == .delivered(code: 200))
        let batches = try stage.requests.all.dropFirst().map {
            try JSONSerialization.jsonObject(with: Data($0.body)) as? [Any]
        }
        #expect(batches.map { $0?.count } == [64, 64, 2])
    }

    @Test func `a destination that hangs delays no other`() throws {
        let stage = Stage([])
        let released = Collector<Void>()
        let entered = Collector<Void>()
        let slow = Blocking(entered: entered, released: released)
        let fast = Script()
        let dispatcher = try stage.dispatcher(["slow": slow, "fast": fast])
        dispatcher.enqueue([
            sampleDelivery(1, to: "slow"), sampleDelivery(2, to: "slow", incident: "B"),
        ])
        _ = entered.first(1)
        dispatcher.enqueue((3...9).map { sampleDelivery($0, to: "fast", incident: "I\($0)") })
        #expect(stage.results.first(7).count == 7)
        #expect(fast.sent.all.count == 7 && dispatcher.waiting == 2)
        #expect(!dispatcher.stop(within: .milliseconds(50)), "it is still in hand")
        released.add(())
        #expect(dispatcher.stop(within: .seconds(30)))
        #expect(entered.all.count == 1, "nothing is begun after the stop")
    }

    private final class Blocking: Channel {
        let entered: Collector<Void>
        let released: Collector<Void>
        init(entered: Collector<Void>, released: Collector<Void>) {
            self.entered = entered
            self.released = released
        }

        func send(_ delivery: Delivery, at now: Instant) -> Attempt {
            entered.add(())
            _ = released.first(1)
            return .delivered(code: 200)
        }
    }

    @Test func `stopping cuts a transfer off and gives the page back as possibly sent`() throws {
        let stage = Stage([])
        let released = Collector<Void>()
        let server = try Server(port: 0) { request in
            stage.requests.add(request)
            _ = released.first(1)
            return Response(body: [])
        }
        let dispatcher = try stage.dispatcher(["hook": stage.hook(server.port)])
        dispatcher.enqueue([sampleDelivery(1)])
        _ = stage.requests.first(1)
        #expect(dispatcher.stop(within: .seconds(5)))
        released.add(())
        let result = try #require(stage.results.first(1).first)
        #expect(result.delivery.state == .queued && result.delivery.mayRepeat)
        withExtendedLifetime(server) {}
    }

    @Test func `a page for a destination that is gone fails at once`() throws {
        let stage = Stage([])
        let script = Script([refused])
        let dispatcher = try stage.dispatcher(["hook": script])
        defer { dispatcher.stop(within: .seconds(5)) }
        dispatcher.enqueue([sampleDelivery(1, to: "nobody")])
        let stray = try #require(stage.results.first(1).first)
        #expect(stray.delivery.state == .failed && stray.attempt == nil)
        #expect(stray.delivery.lastError == "there is no destination named 'nobody'")

        dispatcher.enqueue([sampleDelivery(2)])
        #expect(stage.results.first(2).last?.delivery.state == .queued)
        let other = Script()
        try dispatcher.replace(["other": other])
        #expect(stage.results.first(3).last?.delivery.state == .failed)
        dispatcher.enqueue([sampleDelivery(3, to: "other")])
        #expect(stage.results.first(4).last?.delivery.state == .done)
        #expect(other.sent.all.count == 1)
    }

    @Test func `what an earlier process left is sent under a warning`() throws {
        let stage = Stage([])
        let server = try stage.server()
        var row = sampleDelivery(1)
        row.state = .inflight
        let dispatcher = try stage.dispatcher(["hook": stage.hook(server.port)])
        defer { dispatcher.stop(within: .seconds(5)) }
        dispatcher.restore([row])
        let request = try #require(stage.requests.first(1).first)
        #expect(request.headers["x-tocsin-repeat"] == "maybe")
        #expect(String(decoding: request.body, as: UTF8.self).contains(#""mayRepeat":true"#))
    }

    @Test func `64 destinations are served and 65 refused`() throws {
        let many = (0..<65).map { ("d\($0)", Script() as any Channel) }
        #expect(throws: DestinationsError(count: 65)) {
            try Dispatcher(Dictionary(uniqueKeysWithValues: many), Dispatcher.Settings())
        }
        _ = try Dispatcher(
            Dictionary(uniqueKeysWithValues: many.dropLast()), Dispatcher.Settings())
    }

    @Test func `standard output shows the page, and a closed one is tried again`() {
        let written = Collector<[UInt8]>()
        let channel = StandardOutputChannel(from: bell) { bytes in
            written.add(bytes)
            return written.all.count > 1
        }
        guard case .retry = channel.send(sampleDelivery(1), at: start) else {
            Issue.record("nobody read it")
            return
        }
        #expect(channel.send(sampleDelivery(1), at: start) == .delivered(code: 0))
        let text = String(decoding: written.all[1], as: UTF8.self)
        #expect(text.hasPrefix("SEV1 GPU fell off the bus | ") && text.hasSuffix("page PAGE1\n\n"))
    }

    @Test func `settings are shown without their secrets`() {
        var settings = DestinationSettings(
            name: "hook", kind: .webhook, urls: ["https://u:p@h.example/T0KEN"])
        settings.secret = Array("S3CRET".utf8)
        settings.headers = ["Authorization: Bearer S3CRET"]
        #expect("\(settings)" == "hook (webhook to https://h.example, signed)")
        #expect(settings.channel(from: bell, log: .none) is WebhookChannel)
        settings.kind = .kafka
        #expect(settings.channel(from: bell, log: .none) == nil)
    }
}
