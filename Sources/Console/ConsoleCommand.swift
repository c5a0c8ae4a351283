package import Fleet
import FoundationEssentials
package import Incidents

/// What a person asks of the engine through the API.
package enum ConsoleCommand: Sendable, Equatable {
    package enum Action: Sendable, Equatable {
        case ack, unack, resolve
        case snooze(Duration)
        /// To this tier, or to the next one.
        case escalate(Tier?)
        case note(String)
    }

    /// The whole id of an incident that exists, though perhaps not any more.
    case incident(String, Action, by: String, reason: String)
    case silence(SilenceOrder, by: String)
    case expireSilence(String, by: String)
    case approveSilence(String, by: String)
    case reload
}

/// A silence as a person asks for it.
package struct SilenceOrder: Sendable, Equatable {
    /// One of these groups must hold in full.
    package var matchers: [[Matcher]]
    /// Nil is at once.
    package var starts: Instant?
    package var length: Duration
    package var reason: String

    package init(
        matchers: [[Matcher]], starts: Instant? = nil, length: Duration, reason: String
    ) {
        self.matchers = matchers
        self.starts = starts
        self.length = length
        self.reason = reason
    }
}

/// What the engine made of a command, in a sentence for the person who gave it.
package enum ConsoleReply: Sendable, Equatable {
    case done(String)
    case notFound(String)
    /// Understood, and not possible as things stand.
    case refused(String)
    /// The engine did not answer in time, or is on its way out.
    case unavailable(String)
}

/// The body of a command, read strictly: an unknown member is a mistake, not noise.
struct CommandBody {
    /// Longer names are cut off somewhere down the line; no person has one.
    static let nameBytesMax = 100
    /// Levels of a body; a command has three.
    ///
    /// Foundation's reader of JSON calls itself for each, and traps where a body ends with its 513th open
    /// bracket: it asks for the place of its complaint one byte past the end.
    static let depthMax = 16
    static let textBytesMax = 2_000
    static let snoozeMax = Duration.seconds(86_400)
    static let verbs = ["ack", "unack", "snooze", "resolve", "escalate", "note"]

    private let members: [String: Member]

    private enum Member: Decodable {
        case text(String)
        case number(Double)
        /// Groups of texts; a plain list of texts is one group.
        case groups([[String]])
        case null
        case other

        init(from decoder: any Decoder) throws {
            guard let container = try? decoder.singleValueContainer() else {
                self = .other
                return
            }
            if container.decodeNil() {
                self = .null
            } else if let text = try? container.decode(String.self) {
                self = .text(text)
            } else if let number = try? container.decode(Double.self) {
                self = .number(number)
            } else if let texts = try? container.decode([String].self) {
                self = .groups(texts.isEmpty ? [] : [texts])
            } else if let groups = try? container.decode([[String]].self) {
                self = .groups(groups)
            } else {
                self = .other
            }
        }
    }

    init(_ bytes: [UInt8]) throws(APIError) {
        // Foundation would read UTF-16 too, in which a byte that looks like a quote may be none. No JSON in
        // UTF-8 holds a zero byte.
        guard !bytes.contains(0), String(validating: bytes, as: UTF8.self) != nil else {
            throw APIError(
                error: #"the body is not JSON in UTF-8; send an object like {"by": "ana"}"#)
        }
        guard !bytes.nestsDeeper(than: Self.depthMax) else {
            throw APIError(
                error: "the body nests deeper than \(Self.depthMax) levels; send a plain object "
                    + #"like {"by": "ana"}"#)
        }
        guard let members = try? JSONDecoder().decode([String: Member].self, from: Data(bytes))
        else {
            throw APIError(
                error: #"the body is not a JSON object; send one like {"by": "ana"}"#)
        }
        self.members = members
    }

    func action(_ verb: String) throws(APIError) -> ConsoleCommand.Action {
        switch verb {
        case "ack": return .ack
        case "unack": return .unack
        case "resolve": return .resolve
        case "snooze": return .snooze(try duration())
        case "escalate": return .escalate(try tier())
        default: return .note(try required("text", example: "replaced the riser"))
        }
    }

    func check(_ verb: String) throws(APIError) {
        var known = ["by", "reason"]
        switch verb {
        case "snooze": known.append("duration")
        case "escalate": known.append("tier")
        case "note": known = ["by", "text"]
        case "silence": known += ["matchers", "duration", "starts_at"]
        default: break
        }
        guard let unknown = members.keys.sorted().first(where: { !known.contains($0) }) else {
            return
        }
        throw APIError(
            error: "\(verb): the member \"\(Plain.line(unknown, max: 40))\" is not known; use "
                + known.joined(separator: ", "))
    }

    func by() throws(APIError) -> String {
        let name = try required("by", example: "ana")
        guard name.utf8.count <= CommandBody.nameBytesMax, Plain.line(name) == name else {
            throw APIError(
                error: "\"by\" is longer than \(CommandBody.nameBytesMax) bytes or holds "
                    + "characters that cannot be seen; give your name")
        }
        return name
    }

    /// Empty where none was given.
    func reason() throws(APIError) -> String { try text("reason") ?? "" }

    private func required(_ name: String, example: String) throws(APIError) -> String {
        guard let text = try text(name), text.contains(where: { !$0.isWhitespace }) else {
            throw APIError(error: "\"\(name)\" is missing; send {\"\(name)\": \"\(example)\", …}")
        }
        return text
    }

    private func text(_ name: String) throws(APIError) -> String? {
        switch members[name] {
        case nil, .null: return nil
        case .text(let text):
            guard text.utf8.count <= CommandBody.textBytesMax else {
                throw APIError(
                    error: "\"\(name)\" is longer than \(CommandBody.textBytesMax) bytes; "
                        + "say it shorter")
            }
            return text
        case .number, .groups, .other:
            throw APIError(error: "\"\(name)\" is not a text; put it in quotes")
        }
    }

    /// The silence that is asked for; its bounds are the engine's.
    func silence() throws(APIError) -> SilenceOrder {
        guard case .groups(let groups)? = members["matchers"], !groups.isEmpty else {
            throw APIError(
                error: #""matchers" is missing; send ["host=node-7", "symptom=thermal"], which "#
                    + #"must all hold, or several such lists in a list, of which one must"#)
        }
        var matchers: [[Matcher]] = []
        for group in groups {
            var read: [Matcher] = []
            for text in group {
                do throws(Matcher.Malformed) {
                    read.append(try Matcher(text))
                } catch {
                    throw APIError(error: "\"matchers\": \(Plain.line(error.reason, max: 200))")
                }
            }
            matchers.append(read)
        }
        var starts: Instant?
        if let text = try text("starts_at") {
            guard let read = Instant(rfc3339: text.utf8) else {
                throw APIError(
                    error: "\"starts_at\" is \"\(Plain.line(text, max: 40))\", which is no time; "
                        + "write it like 2026-11-21T08:00:00Z")
            }
            starts = read
        }
        return SilenceOrder(
            matchers: matchers, starts: starts, length: try length(),
            reason: try required("reason", example: "rack move"))
    }

    private func duration() throws(APIError) -> Duration {
        let length = try length()
        guard length >= .seconds(60), length <= CommandBody.snoozeMax else {
            throw APIError(
                error: "\"duration\" is \(length.short); an incident can be snoozed for 1m to "
                    + "24h. For longer, make a silence with an end and a reason")
        }
        return length
    }

    private func length() throws(APIError) -> Duration {
        let text = try required("duration", example: "30m")
        let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3_600, "d": 86_400]
        guard let unit = text.last.flatMap({ units[$0] }), let count = Int64(text.dropLast()),
            count > 0, count <= 86_400
        else {
            throw APIError(
                error: "\"duration\" is \"\(Plain.line(text, max: 40))\", which is no length of "
                    + "time; write it like 30m or 4h")
        }
        return .seconds(count * unit)
    }

    private func tier() throws(APIError) -> Tier? {
        var found: Tier?
        switch members["tier"] {
        case nil, .null: return nil
        case .number(let number): found = Int(exactly: number).flatMap(Tier.init(rawValue:))
        case .text(let text):
            found = Tier.allCases.first { $0.name == text || "\($0.rawValue)" == text }
        case .groups, .other: break
        }
        guard let found else {
            throw APIError(error: "\"tier\" is none of 1, 2, 3 and \"backstop\"")
        }
        return found
    }
}

extension [UInt8] {
    /// Whether brackets and braces outside of texts stand deeper than so many levels.
    fileprivate func nestsDeeper(than depthMax: Int) -> Bool {
        var depth = 0
        var isText = false
        var isEscaped = false
        for byte in self {
            if isEscaped {
                isEscaped = false
            } else if byte == UInt8(ascii: "\\"), isText {
                isEscaped = true
            } else if byte == UInt8(ascii: "\"") {
                isText.toggle()
            } else if isText {
                continue
            } else if byte == UInt8(ascii: "[") || byte == UInt8(ascii: "{") {
                depth += 1
                if depth > depthMax { return true }
            } else if byte == UInt8(ascii: "]") || byte == UInt8(ascii: "}") {
                depth -= 1
            }
        }
        return false
    }
}
