import Dispatch
import Escalation
import Observability

/// Has the ledger know that a delivery is on its way, before its first byte leaves.
///
/// Only so can a crash tell that it may have arrived. Runs on the sender's thread and waits for the
/// engine's commit, some milliseconds; an engine that does not answer in time delays no page: it is
/// sent unmarked, and that is counted and said.
struct DeliveryMark: Sendable {
    let mailbox: Mailbox<Engine.Input>
    let board: Board
    let log: Log
    /// Two hundred times what a commit takes.
    var waitMilliseconds = 1_000

    func began(_ delivery: Delivery) {
        let stored = DispatchSemaphore(value: 0)
        let taken = mailbox.offer(
            .began(delivery) { stored.signal() }, urgent: true)
        guard taken,
            stored.wait(timeout: .now() + .milliseconds(waitMilliseconds)) == .success
        else {
            board.beginningsUnstored.add()
            log.error(
                "a page leaves before the ledger knows; after a crash it may come twice unmarked",
                ["id": delivery.id])
            return
        }
    }
}
