import Console
import Fleet
import HTTP
import Testing

@Suite struct CommandTests {
    struct Good: Sendable, CustomTestStringConvertible {
        let verb: String
        let body: String
        let action: ConsoleCommand.Action
        var reason = ""
        var testDescription: String { "\(verb) \(body)" }
    }

    @Test(arguments: [
        Good(verb: "ack", body: #"{"by":"ana"}"#, action: .ack),
        Good(verb: "ack", body: #"{"by":"ana","reason":null}"#, action: .ack),
        Good(
            verb: "unack", body: #"{"by":"ana","reason":"lunch"}"#, action: .unack, reason: "lunch"),
        Good(
            verb: "snooze", body: #"{"by":"ana","duration":"30m"}"#,
            action: .snooze(.seconds(1_800))),
        Good(
            verb: "snooze", body: #"{"by":"ana","duration":"60s"}"#, action: .snooze(.seconds(60))),
        Good(
            verb: "snooze", body: #"{"by":"ana","duration":"1d"}"#,
            action: .snooze(.seconds(86_400))),
        Good(verb: "resolve", body: #"{"by":"ana"}"#, action: .resolve),
        Good(verb: "escalate", body: #"{"by":"ana"}"#, action: .escalate(nil)),
        Good(verb: "escalate", body: #"{"by":"ana","tier":3}"#, action: .escalate(.three)),
        Good(verb: "escalate", body: #"{"by":"ana","tier":"2"}"#, action: .escalate(.two)),
        Good(
            verb: "escalate", body: #"{"by":"ana","tier":"backstop"}"#, action: .escalate(.backstop)
        ),
        Good(verb: "note", body: #"{"by":"ana","text":"a\nb"}"#, action: .note("a\nb")),
    ])
    func `a command reaches the engine with the whole id`(_ good: Good) {
        var fixture = Fixture()
        fixture.view.cases = [record("INC-7QX2M40ZKD")]
        let answer = fixture.post("/api/v1/incidents/7qx/\(good.verb)", good.body)
        #expect(answer.status == 200)
        #expect(answer.text == #"{"done":"as you wish","incident":"INC-7QX2M40ZKD"}"# + "\n")
        #expect(
            fixture.engine.commands
                == [.incident("INC-7QX2M40ZKD", good.action, by: "ana", reason: good.reason)])
    }

    struct Bad: Sendable, CustomTestStringConvertible {
        let verb: String
        let body: String
        let says: String
        var testDescription: String { "\(verb) \(body.prefix(60))" }
    }

    @Test(arguments: [
        Bad(verb: "ack", body: "", says: "not a JSON object"),
        Bad(verb: "ack", body: "[]", says: "not a JSON object"),
        Bad(verb: "ack", body: #"{"by":"#, says: "not a JSON object"),
        Bad(verb: "ack", body: "{\"by\":\"a\0\"}", says: "not JSON in UTF-8"),
        // Where Foundation's reader would trap: the last byte is the 513th bracket.
        Bad(verb: "ack", body: String(repeating: "[", count: 513), says: "deeper than 16 levels"),
        Bad(verb: "ack", body: String(repeating: "[", count: 9_000), says: "deeper than 16 levels"),
        Bad(
            verb: "ack",
            body: #"{"by":"\"[","x":"# + String(repeating: "[", count: 16)
                + String(repeating: "]", count: 16) + "}", says: "deeper than 16 levels"),
        Bad(
            verb: "ack",
            body: #"{"by":7,"reason":"# + String(repeating: "[", count: 15)
                + String(repeating: "]", count: 15) + "}", says: #""by" is not a text"#),
        Bad(verb: "ack", body: #"{"by":"\ud800"}"#, says: #""by" is not a text"#),
        Bad(verb: "ack", body: "{}", says: #""by" is missing"#),
        Bad(verb: "ack", body: #"{"by":"  "}"#, says: #""by" is missing"#),
        Bad(verb: "ack", body: #"{"by":7}"#, says: #""by" is not a text"#),
        Bad(verb: "ack", body: #"{"by":"a\u0000b"}"#, says: "cannot be seen"),
        Bad(verb: "ack", body: #"{"by":"\#(String(repeating: "a", count: 101))"}"#, says: "longer"),
        Bad(verb: "ack", body: #"{"by":"ana","who":"x"}"#, says: #""who" is not known; use by"#),
        Bad(verb: "ack", body: #"{"by":"ana","duration":"1h"}"#, says: "not known"),
        Bad(verb: "snooze", body: #"{"by":"ana"}"#, says: #""duration" is missing"#),
        Bad(verb: "snooze", body: #"{"by":"ana","duration":"59s"}"#, says: "for 1m to 24h"),
        Bad(verb: "snooze", body: #"{"by":"ana","duration":"86401s"}"#, says: "write it like 30m"),
        Bad(verb: "snooze", body: #"{"by":"ana","duration":"25h"}"#, says: "is 25h; an incident"),
        Bad(verb: "snooze", body: #"{"by":"ana","duration":"-5m"}"#, says: "write it like 30m"),
        Bad(verb: "snooze", body: #"{"by":"ana","duration":30}"#, says: "put it in quotes"),
        Bad(
            verb: "snooze", body: #"{"by":"ana","duration":"9223372036854775807d"}"#,
            says: "write it like 30m"),
        Bad(verb: "escalate", body: #"{"by":"ana","tier":0}"#, says: "none of 1, 2, 3"),
        Bad(verb: "escalate", body: #"{"by":"ana","tier":5}"#, says: "none of 1, 2, 3"),
        Bad(verb: "escalate", body: #"{"by":"ana","tier":1.5}"#, says: "none of 1, 2, 3"),
        Bad(verb: "escalate", body: #"{"by":"ana","tier":1e300}"#, says: "none of 1, 2, 3"),
        Bad(verb: "escalate", body: #"{"by":"ana","tier":[2]}"#, says: "none of 1, 2, 3"),
        Bad(verb: "note", body: #"{"by":"ana"}"#, says: #""text" is missing"#),
        Bad(
            verb: "note", body: #"{"by":"ana","text":"\#(String(repeating: "x", count: 2_001))"}"#,
            says: "say it shorter"),
    ])
    func `a body that is not clear is refused before the engine hears of it`(_ bad: Bad) throws {
        var fixture = Fixture()
        fixture.view.cases = [record("INC-A")]
        let answer = fixture.post("/api/v1/incidents/INC-A/\(bad.verb)", bad.body)
        #expect(answer.status == 400)
        let reason = try APIJSON.decode(APIError.self, Array(answer.text.utf8)).error
        #expect(reason.hasPrefix("\(bad.verb) INC-A: ") && reason.contains(bad.says), "\(reason)")
        #expect(fixture.engine.commands.isEmpty)
    }

    /// In UTF-16 the sign ∀ holds the byte of a quote, behind which brackets would hide.
    @Test func `a body that is not UTF-8 is refused, whatever it hides`() throws {
        var fixture = Fixture()
        fixture.view.cases = [record("INC-A")]
        let console = fixture.console()
        let deep = #"["∀","# + String(repeating: "[", count: 512)
        let little = deep.utf16.flatMap { unit in
            [UInt8(truncatingIfNeeded: unit), UInt8(truncatingIfNeeded: unit >> 8)]
        }
        let big = deep.utf16.flatMap { [UInt8($0 >> 8), UInt8(truncatingIfNeeded: $0)] }
        let wide = deep.unicodeScalars.flatMap { scalar in
            (0..<4).map { UInt8(truncatingIfNeeded: scalar.value >> (8 * $0)) }
        }
        let bodies = [
            little, [0xff, 0xfe] + little, big, [0xfe, 0xff] + big, wide,
            [0xff, 0xfe, 0, 0] + wide,
            Array(#"{"by":"an"#.utf8) + [0xff] + Array(#""}"#.utf8),
        ]
        for body in bodies {
            let answer = console.answer(
                Request(
                    method: "POST", path: "/api/v1/incidents/INC-A/ack",
                    headers: ["authorization": "Bearer \(Fixture.token)"], body: body))
            let text = String(decoding: answer.body, as: UTF8.self)
            #expect(answer.status == 400 && text.contains("not JSON in UTF-8"), "\(text)")
        }
        #expect(fixture.engine.commands.isEmpty)
    }

    @Test func `a body at the limit is read and one byte more is too large`() {
        var fixture = Fixture()
        fixture.view.cases = [record("INC-A")]
        let body = #"{"by":"ana"}"#
        let full = body + String(repeating: " ", count: Console.bodyBytesMax - body.utf8.count)
        #expect(fixture.post("/api/v1/incidents/INC-A/ack", full).status == 200)
        #expect(fixture.post("/api/v1/incidents/INC-A/ack", full + " ").status == 413)
        #expect(fixture.engine.commands.count == 1)
    }

    @Test(arguments: [
        (nil as String?, 401), ("", 401), ("Bearer", 401), ("Basic s3cret-token", 401),
        ("Bearer s3cret-toke", 403), ("Bearer s3cret-token2", 403), ("Bearer  s3cret-token", 403),
        ("Bearer s3cret-token", 200), ("bearer s3cret-token", 200),
    ])
    func `only the token opens what changes something`(_ header: String?, _ status: Int) {
        var fixture = Fixture()
        fixture.view.cases = [record("INC-A")]
        for (path, body) in [
            ("/api/v1/incidents/INC-A/ack", #"{"by":"ana"}"#), ("/api/v1/reload", ""),
            ("/-/reload", ""),
        ] {
            #expect(fixture.post(path, body, authorization: header).status == UInt32(status))
        }
        #expect(fixture.engine.commands.count == (status == 200 ? 3 : 0))
    }

    @Test func `without a token in the settings nothing can be changed`() {
        var fixture = Fixture()
        fixture.token = ""
        fixture.view.cases = [record("INC-A")]
        for header in [nil, "Bearer", "Bearer ", "Bearer x"] as [String?] {
            let answer = fixture.post("/-/reload", authorization: header)
            #expect(answer.status == 403 && answer.text.contains("no token is configured"))
        }
        #expect(fixture.engine.commands.isEmpty)
    }

    @Test(arguments: [
        (ConsoleReply.done("done"), 200), (.notFound("gone"), 404),
        (.refused("it still fires; snooze it instead"), 409), (.unavailable("stopping"), 503),
    ])
    func `what the engine says becomes a status and its words`(_ reply: ConsoleReply, _ status: Int)
    {
        var fixture = Fixture()
        fixture.engine = Engine(reply)
        fixture.view.cases = [record("INC-A")]
        let answer = fixture.post("/api/v1/incidents/INC-A/resolve", #"{"by":"ana"}"#)
        #expect(answer.status == UInt32(status))
        if case .refused(let words) = reply { #expect(answer.text.contains(words)) }
    }
}
