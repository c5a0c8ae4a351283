package import Escalation
import Fleet

/// One line of the record of decisions, with its place in the chain.
package struct AuditRow: Sendable, Equatable {
    /// Counts from 1 without a gap.
    package let seq: Int64
    package let entry: AuditEntry
    /// SHA-256 over the hash of the row before and the canonical JSON of this one.
    package let hash: [UInt8]

    package init(seq: Int64, entry: AuditEntry, hash: [UInt8]) {
        self.seq = seq
        self.entry = entry
        self.hash = hash
    }
}

/// The end of the chain: keep it elsewhere, and nobody can rewrite what lies before it unseen.
package struct AuditHead: Sendable, Equatable {
    package let seq: Int64
    package let hash: [UInt8]

    /// Before the first row: 32 zero bytes.
    package static let genesis = AuditHead(
        seq: 0, hash: [UInt8](repeating: 0, count: 32))

    package init(seq: Int64, hash: [UInt8]) {
        self.seq = seq
        self.hash = hash
    }

    package var hexadecimal: String { hash.hexadecimal }

    /// The head after `entry` was added.
    func adding(_ entry: AuditEntry) -> AuditHead {
        let next = seq &+ 1
        return AuditHead(seq: next, hash: SHA256.hash(hash + entry.canonicalJSON(seq: next)))
    }
}

/// What a walk along the whole chain found.
package enum AuditVerdict: Sendable, Equatable, CustomStringConvertible {
    /// Every row follows from the one before, up to the head that was stored.
    case intact(AuditHead, rows: Int)
    /// The first row that does not, the hash or row that should stand there, and what does.
    case broken(seq: Int64, expected: String, found: String)

    package var description: String {
        switch self {
        case .intact(let head, let rows):
            "the audit chain is intact: \(rows) rows up to seq \(head.seq), head \(head.hexadecimal)"
        case .broken(let seq, let expected, let found):
            "the audit chain is broken at seq \(seq): expected \(expected), found \(found)"
        }
    }
}

extension AuditEntry {
    /// Longer details are cut: people write notes, and the record is kept for more than a year.
    package static let detailBytesMax = 4_096

    /// What Python's `json.dumps(row, sort_keys=True, separators=(',', ':'), ensure_ascii=False)`
    /// gives.
    ///
    /// So anybody can check the chain without this program. Times are milliseconds since 1970.
    func canonicalJSON(seq: Int64) -> [UInt8] {
        var json: [UInt8] = []
        json.reserveCapacity(160 + detail.utf8.count)
        json.append(contentsOf: "{\"actor\":".utf8)
        json.appendJSON(actor)
        json.append(contentsOf: ",\"at\":\(at.milliseconds),\"detail\":".utf8)
        json.appendJSON(detail)
        json.append(contentsOf: ",\"incident\":".utf8)
        json.appendJSON(incident)
        json.append(contentsOf: ",\"seq\":\(seq),\"type\":".utf8)
        json.appendJSON(type)
        json.append(contentsOf: ",\"via\":".utf8)
        json.appendJSON(via)
        json.append(UInt8(ascii: "}"))
        return json
    }

    /// The same entry with a detail of at most `detailBytesMax`, cut between characters.
    var bounded: AuditEntry {
        guard detail.utf8.count > AuditEntry.detailBytesMax else { return self }
        var cut = self
        var kept = String.UnicodeScalarView()
        var room = AuditEntry.detailBytesMax - 3
        for scalar in detail.unicodeScalars {
            room -= UTF8.width(scalar)
            guard room >= 0 else { break }
            kept.append(scalar)
        }
        cut.detail = String(kept) + "…"
        return cut
    }
}

extension [UInt8] {
    fileprivate mutating func appendJSON(_ text: String) {
        append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): append(contentsOf: #"\""#.utf8)
            case UInt8(ascii: "\\"): append(contentsOf: #"\\"#.utf8)
            case 0x08: append(contentsOf: #"\b"#.utf8)
            case 0x09: append(contentsOf: #"\t"#.utf8)
            case 0x0a: append(contentsOf: #"\n"#.utf8)
            case 0x0c: append(contentsOf: #"\f"#.utf8)
            case 0x0d: append(contentsOf: #"\r"#.utf8)
            case 0..<0x20: append(contentsOf: (#"\u00"# + [byte].hexadecimal).utf8)
            default: append(byte)
            }
        }
        append(UInt8(ascii: "\""))
    }

    package var hexadecimal: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(
            decoding: flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
