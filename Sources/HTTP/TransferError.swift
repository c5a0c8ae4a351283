/// Why no answer came back: what was asked, what happened, and what kind of trouble it is.
package struct TransferError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What a caller does about it (reference, wire formats 4.9).
    package enum Kind: String, Sendable, CaseIterable {
        /// No route, no name, refused, reset: worth another try.
        case network
        /// Nobody answered in time: worth another try.
        case timeout
        /// The certificate of the other side, or ours, is not good: someone must mend it.
        case verification
        /// The answer was longer than the caller would read.
        case tooLarge
        /// The address or a header cannot be sent: the settings are wrong.
        case badRequest
        /// The caller gave up.
        case cancelled
    }

    package let kind: Kind
    /// libcurl's code (libcurl-errors(3)); 0 where the request was refused before libcurl saw it.
    package let code: UInt32
    /// Status of an answer that was cut off, 0 where none had come.
    package let status: Int
    /// Some bytes of the request had left: the other side may have acted on it.
    package let mayHaveArrived: Bool
    /// Method, scheme and host; never the path, which holds the secret of many webhooks.
    package let request: String
    package let reason: String

    package init(
        kind: Kind, code: UInt32 = 0, status: Int = 0, mayHaveArrived: Bool = false,
        request: String, reason: String
    ) {
        self.kind = kind
        self.code = code
        self.status = status
        self.mayHaveArrived = mayHaveArrived
        self.request = request
        self.reason = reason
    }

    package var description: String { "\(request): \(reason) (\(kind.rawValue), curl \(code))" }
}

/// Scheme, host and port of a URL: what may be shown of an address that can hold a secret.
package func origin(of url: String) -> String {
    let parts = url.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false)
    guard parts.count >= 3, parts[1].isEmpty, parts[0].hasSuffix(":") else { return "a bad URL" }
    let authority = parts[2].split(separator: "@", omittingEmptySubsequences: false).last ?? ""
    let host = authority.prefix { $0 != "?" && $0 != "#" }
    return "\(parts[0])//\(host.prefix(256))"
}
