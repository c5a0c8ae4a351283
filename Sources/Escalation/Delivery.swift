package import Fleet

/// A page on its way to one destination: a row of the outbox.
///
/// Written in the transaction that made the page, so that what was decided is sent, also after a
/// crash in between. A row found `inflight` at start is sent again under the same id.
package struct Delivery: Codable, Sendable, Identifiable {
    package enum State: String, Codable, Sendable {
        case queued, inflight, done, failed, cancelled
    }

    /// `<page id>.<destination>`: also the idempotency key that the receiver sees.
    package let id: String
    package let destination: String
    package let page: Page
    package var state: State
    package var attempts: Int
    package var nextAttempt: Instant
    /// HTTP status or librdkafka code of the last attempt; 0 where there was none.
    package var lastCode: Int
    package var lastError: String
    /// May already have reached its receiver: the process ended while it was in flight.
    package var mayRepeat: Bool

    package init(destination: String, page: Page) {
        id = "\(page.id).\(destination)"
        self.destination = destination
        self.page = page
        state = .queued
        attempts = 0
        nextAttempt = page.at
        lastCode = 0
        lastError = ""
        mayRepeat = false
    }
}
