package import Fleet

/// What a log line says beside its message; the names are ours, the values may be anybody's.
package typealias Fields = KeyValuePairs<String, any CustomStringConvertible>

/// One line of log, whatever its fields contain.
///
/// A value that comes from outside can neither end the line, nor start a second, nor pass for
/// another field, nor move a terminal's cursor; it is cut at `valueBytesMax`, and the line at
/// `bytesMax`, which a pipe takes in one piece (PIPE_BUF is 4,096, pipe(7)).
package struct LogLine {
    package static let bytesMax = 4_096
    package static let valueBytesMax = 1_024

    package let level: Level
    package let message: String
    package let fields: Fields
    /// Lines of the same kind that were left out before this one.
    package var suppressed: UInt64 = 0

    package init(_ level: Level, _ message: String, _ fields: Fields = [:]) {
        self.level = level
        self.message = message
        self.fields = fields
    }

    /// The line with its line feed, at most `bytesMax` bytes.
    package func bytes(_ format: LogFormat, at time: Instant) -> [UInt8] {
        switch format {
        case .journal: plain("<\(level.rawValue)>")
        case .text: plain("\(time.rfc3339) \(level.name) ")
        case .json: json(time)
        }
    }

    private func plain(_ prefix: String) -> [UInt8] {
        var line = Array(prefix.utf8)
        line.append(contentsOf: LogLine.escaped(message, isQuoted: false))
        for (name, value) in fields { LogLine.append(name, value.description, to: &line) }
        if suppressed > 0 { LogLine.append("suppressed", String(suppressed), to: &line) }
        return LogLine.ended(line)
    }

    private static func append(_ name: String, _ value: String, to line: inout [UInt8]) {
        line.append(UInt8(ascii: " "))
        line.append(contentsOf: LogLine.key(name).utf8)
        line.append(UInt8(ascii: "="))
        line.append(contentsOf: LogLine.value(value))
    }

    /// Bare where it is one plain word, in quotes otherwise.
    private static func value(_ value: String) -> [UInt8] {
        let isPlain = value.utf8.allSatisfy {
            $0 > 0x20 && $0 < 0x7f && !"\"=\\".utf8.contains($0)
        }
        guard !isPlain || value.isEmpty else { return Array(value.utf8.prefix(valueBytesMax)) }
        return Array("\"".utf8) + escaped(value, isQuoted: true) + Array("\"".utf8)
    }

    private static func escaped(_ text: String, isQuoted: Bool) -> [UInt8] {
        var bytes: [UInt8] = []
        for scalar in text.unicodeScalars {
            guard bytes.count < valueBytesMax else { return bytes + Array("…".utf8) }
            switch scalar {
            case "\n": bytes.append(contentsOf: "\\n".utf8)
            case "\r": bytes.append(contentsOf: "\\r".utf8)
            case "\t": bytes.append(contentsOf: "\\t".utf8)
            case "\"" where isQuoted: bytes.append(contentsOf: "\\\"".utf8)
            case "\\" where isQuoted: bytes.append(contentsOf: "\\\\".utf8)
            case _ where scalar.isTreacherous:
                bytes.append(contentsOf: "\\u{\(String(scalar.value, radix: 16))}".utf8)
            default:
                bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
            }
        }
        return bytes
    }

    private static func key(_ name: String) -> String {
        String(
            name.unicodeScalars.prefix(64).map { scalar in
                scalar.isASCII && (scalar.properties.isAlphabetic || "0"..."9" ~= scalar)
                    || scalar == "." ? Character(scalar) : "_"
            })
    }

    private static func ended(_ line: [UInt8]) -> [UInt8] {
        guard line.count >= bytesMax else { return line + [UInt8(ascii: "\n")] }
        var end = bytesMax - 4
        while end > 0, line[end] & 0xc0 == 0x80 { end -= 1 }
        return line[..<end] + Array("…\n".utf8)
    }

    private func json(_ time: Instant) -> [UInt8] {
        var left = LogLine.bytesMax - 512
        let line = JSONWriter.object { writer in
            writer.member("time", time.rfc3339)
            writer.member("level", level.name)
            writer.member("message", LogLine.cut(message, &left))
            if suppressed > 0 { writer.member("suppressed", suppressed) }
            for (name, value) in fields {
                guard left > 64 else { return writer.member("truncated", true) }
                writer.name(LogLine.key(name))
                left -= name.utf8.count + 8
                switch value {
                case let value as Bool: writer.boolean(value)
                case let value as Int: writer.integer(value)
                case let value as UInt64: writer.integer(value)
                case let value as Double: writer.number(value)
                default: writer.string(LogLine.cut(value.description, &left))
                }
            }
        }
        return line + [UInt8(ascii: "\n")]
    }

    /// Cuts so that even fully escaped text, six bytes for one, stays within what is left.
    private static func cut(_ text: String, _ left: inout Int) -> String {
        let limit = max(0, min(valueBytesMax, left))
        var cost = 0
        var kept = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            let needsEscape = scalar == "\"" || scalar == "\\" || scalar.isTreacherous
            cost += needsEscape ? 6 : UTF8.width(scalar)
            guard cost <= limit else {
                kept.append("…")
                break
            }
            kept.append(scalar)
        }
        left -= cost
        return String(kept)
    }
}

extension Unicode.Scalar {
    /// Controls, line ends, and marks that turn the direction of what follows (Trojan Source).
    fileprivate var isTreacherous: Bool {
        switch value {
        case 0..<0x20, 0x7f...0x9f, 0x2028...0x202e, 0x2066...0x2069, 0xfeff: true
        default: false
        }
    }
}
