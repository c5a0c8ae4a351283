package import Escalation
package import Fleet
package import HTTP

/// How one attempt to send a delivery ended.
package enum Attempt: Sendable, Equatable {
    case delivered(code: Int)
    /// Worth another try, not before `after` where the other side said so.
    ///
    /// `mayHaveArrived`: it left, and nobody knows what became of it.
    case retry(after: Duration?, code: Int, reason: String, mayHaveArrived: Bool = false)
    /// Will be refused however often it is sent: someone must mend the destination.
    case permanent(code: Int, reason: String)

    package var code: Int {
        switch self {
        case .delivered(let code), .retry(_, let code, _, _), .permanent(let code, _): code
        }
    }

    package var reason: String {
        switch self {
        case .delivered: ""
        case .retry(_, _, let reason, _), .permanent(_, let reason): reason
        }
    }
}

/// Sends deliveries to one destination, one at a time, from a thread of its own.
package protocol Channel: AnyObject, Sendable {
    /// Blocks until the outcome is known, for a bounded time.
    func send(_ delivery: Delivery, at now: Instant) -> Attempt

    /// Makes a `send` under way end soon, and every later one at once; called when we stop.
    func cancel()
}

extension Channel {
    package func cancel() {}
}

/// The table of reference, wire formats 4.9, for everything that speaks HTTP.
extension Attempt {
    package init(_ answer: Answer) {
        let words =
            answer.body.isEmpty
            ? "" : ": \(plain(String(decoding: answer.body.prefix(400), as: UTF8.self), max: 200))"
        let reason = "HTTP \(answer.status)\(words)"
        let wait: Duration? =
            answer.retryAfterSeconds > 0 ? .seconds(answer.retryAfterSeconds) : nil
        self =
            switch answer.status {
            case 200...299: .delivered(code: answer.status)
            // 501 and 505 say that it will never be able to.
            case 501, 505: .permanent(code: answer.status, reason: reason)
            case 408, 425, 429, 500...599:
                .retry(after: wait, code: answer.status, reason: reason)
            case 300...399:
                .permanent(
                    code: answer.status,
                    reason: "HTTP \(answer.status): it redirects, and redirects are not followed")
            default: .permanent(code: answer.status, reason: reason)
            }
    }

    package init(_ error: TransferError) {
        self =
            switch error.kind {
            // Who answers at such length has taken it.
            case .tooLarge where (200...299).contains(error.status):
                .delivered(code: error.status)
            case .network, .timeout, .cancelled, .tooLarge:
                .retry(
                    after: nil, code: error.status, reason: error.description,
                    mayHaveArrived: error.mayHaveArrived)
            case .verification, .badRequest: .permanent(code: 0, reason: error.description)
            }
    }
}
