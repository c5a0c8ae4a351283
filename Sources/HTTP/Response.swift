package struct Response: Sendable {
    package struct Header: Sendable, Equatable {
        package let name: String
        package let value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    package var status: UInt32
    package var contentType: String
    /// Beside `Content-Type`; one that holds a line break is left out, not sent broken.
    package var headers: [Header]
    package let body: [UInt8]

    package init(
        status: UInt32 = 200, contentType: String = "application/json", headers: [Header] = [],
        body: [UInt8]
    ) {
        self.status = status
        self.contentType = contentType
        self.headers = headers
        self.body = body
    }

    /// `{"error":"…"}`; `reason` is a sentence of ours without quotes in it.
    static func refusal(_ status: UInt32, _ reason: String) -> Response {
        Response(status: status, body: Array("{\"error\":\"\(reason)\"}".utf8))
    }
}
