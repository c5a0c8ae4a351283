/// A request that has arrived whole.
package struct Request: Sendable {
    package struct Parameter: Sendable, Equatable {
        package let name: String
        package let value: String

        package init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    /// `HEAD` arrives as `GET`: whoever answers the one answers the other (RFC 9110, 9.3.2).
    package let method: String
    /// Decoded, without the query; begins with a slash and holds no control character.
    package let path: String
    /// Decoded query parameters; the last of equal names wins.
    package let query: [String: String]
    /// Decoded query parameters in their order, for names that may come more than once.
    package let parameters: [Parameter]
    /// Header fields by their names in lower case; equal names are joined by a comma.
    package let headers: [String: String]
    package let body: [UInt8]

    package init(
        method: String, path: String, query: [String: String] = [:], parameters: [Parameter] = [],
        headers: [String: String] = [:], body: [UInt8] = []
    ) {
        self.method = method
        self.path = path
        self.parameters =
            parameters.isEmpty
            ? query.sorted { $0.key < $1.key }.map { Parameter(name: $0.key, value: $0.value) }
            : parameters
        self.query =
            query.isEmpty
            ? Dictionary(parameters.map { ($0.name, $0.value) }) { _, last in last } : query
        self.headers = headers
        self.body = body
    }
}

/// The path and query of a request line, decoded, or the status to refuse it with.
package enum Target: Equatable, Sendable {
    case known(path: String, parameters: [Request.Parameter])
    case refused(status: UInt32, reason: String)

    /// Longer than any link the console makes, shorter than what libmicrohttpd keeps of a header.
    package static let bytesMax = 8_192
    package static let parametersMax = 64

    /// Reads `/path?name=value`, or the same behind `http://host` (RFC 9112, 3.2).
    package init(_ raw: [UInt8]) {
        guard raw.count <= Target.bytesMax else {
            self = .refused(status: 414, reason: "the URL is longer than \(Target.bytesMax) bytes")
            return
        }
        let parts = Target.local(raw).split(
            separator: UInt8(ascii: "?"), maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, first.first == UInt8(ascii: "/"),
            let path = Target.decoded(first, plusIsBlank: false),
            !path.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f })
        else {
            self = .refused(status: 400, reason: "the path is not percent-encoded UTF-8")
            return
        }
        let fields = (parts.count > 1 ? parts[1] : []).split(separator: UInt8(ascii: "&"))
        guard fields.count <= Target.parametersMax else {
            self = .refused(
                status: 400, reason: "the query has more than \(Target.parametersMax) parameters")
            return
        }
        var parameters: [Request.Parameter] = []
        for field in fields {
            let pair = field.split(
                separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = Target.decoded(pair[0], plusIsBlank: true),
                let value = Target.decoded(pair.count > 1 ? pair[1] : [], plusIsBlank: true)
            else {
                self = .refused(status: 400, reason: "the query is not percent-encoded UTF-8")
                return
            }
            parameters.append(Request.Parameter(name: name, value: value))
        }
        self = .known(path: path, parameters: parameters)
    }

    /// The part behind `scheme://authority`, where a client sent the absolute form.
    private static func local(_ raw: [UInt8]) -> ArraySlice<UInt8> {
        let slash = UInt8(ascii: "/")
        guard raw.first != slash, let colon = raw.firstIndex(of: UInt8(ascii: ":")),
            raw[colon...].starts(with: Array("://".utf8))
        else { return raw[...] }
        return raw[(colon + 3)...].drop { $0 != slash }
    }

    /// - Returns: nil for a broken escape, for bytes that are not UTF-8, and for NUL, which would
    ///   end the string early in every C library behind us.
    private static func decoded(_ raw: ArraySlice<UInt8>, plusIsBlank: Bool) -> String? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(raw.count)
        var rest = raw
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "%"):
                guard let high = rest.popFirst()?.hexDigit, let low = rest.popFirst()?.hexDigit
                else { return nil }
                bytes.append(high << 4 | low)
            case UInt8(ascii: "+") where plusIsBlank: bytes.append(UInt8(ascii: " "))
            default: bytes.append(byte)
            }
        }
        guard !bytes.contains(0) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }
}
