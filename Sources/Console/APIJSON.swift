package import Fleet
import FoundationEssentials

/// JSON as the API speaks it: snake_case names, RFC 3339 times, sorted keys.
///
/// The server writes and the command line reads the same structs through it.
package enum APIJSON {
    package static func encode(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Documents hold finite numbers only; a slip here must still give an answer.
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "+Inf", negativeInfinity: "-Inf", nan: "NaN")
        guard let data = try? encoder.encode(value) else {
            return Array(#"{"error":"the answer could not be written as JSON"}"#.utf8)
        }
        return Array(data) + [UInt8(ascii: "\n")]
    }

    package static func decode<Value: Decodable>(
        _ type: Value.Type, _ bytes: [UInt8]
    ) throws(APIError) -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do {
            return try decoder.decode(type, from: Data(bytes))
        } catch {
            throw APIError(error: "read the answer of the API: \(error)")
        }
    }
}

/// What every refusal looks like on the wire: what was asked, what happened, what to do.
package struct APIError: Error, Codable, Sendable, Equatable, CustomStringConvertible {
    package let error: String

    package init(error: String) { self.error = error }

    package var description: String { error }
}

/// An instant that is RFC 3339 in JSON.
package struct Timestamp: Codable, Sendable, Hashable {
    package let instant: Instant

    /// Moves what no calendar names to the ends of the calendar.
    package init(_ instant: Instant) {
        self.instant = min(max(instant, .distantPast), .distantFuture)
    }

    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let instant = Instant(rfc3339: text.utf8) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "not RFC 3339: \(text)"))
        }
        self.init(instant)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(instant.rfc3339)
    }
}
