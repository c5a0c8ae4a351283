package import Escalation
package import Fleet
package import Rules

/// Everything that one step of the engine leaves behind: stored as a whole or not at all.
package struct LedgerWrite: Sendable {
    /// Wall-clock time of the step, read by the caller.
    package var at: Instant
    /// New or changed; replaces the record of the same id.
    package var cases: [CaseRecord] = []
    /// Ids to forget: held incidents that cleared before anybody was told.
    package var removedCases: [String] = []
    /// New or changed; replaces the delivery of the same id.
    package var deliveries: [Delivery] = []
    /// Ids of deliveries that nobody needs any more; those done or failed stay what they are.
    package var cancelledDeliveries: [String] = []
    package var audit: [AuditEntry] = []
    /// The next offset to read of each partition that moved.
    package var positions: [Partition: Int64] = [:]
    /// Devices that are new or whose labels changed.
    package var devices: [Device] = []
    /// Ids of devices that left the fleet.
    package var removedDevices: [String] = []
    /// Edges in their order: fired and changed are kept, cleared and removed take theirs away.
    package var findings: [Finding] = []
    /// Every silence that did not end yet, where any changed; nil leaves them alone.
    package var silences: [Silence]?
    /// Totals that outlive the process, such as messages read; each replaces its older value.
    package var counters: [String: UInt64] = [:]

    package init(at: Instant, audit: [AuditEntry] = []) {
        self.at = at
        self.audit = audit
    }

    package var isEmpty: Bool {
        cases.isEmpty && removedCases.isEmpty && deliveries.isEmpty && cancelledDeliveries.isEmpty
            && audit.isEmpty && positions.isEmpty && devices.isEmpty && removedDevices.isEmpty
            && findings.isEmpty && silences == nil && counters.isEmpty
    }
}

/// What a starting engine finds of its predecessor.
package struct LedgerState: Sendable {
    /// Not yet closed, by id.
    package var cases: [CaseRecord] = []
    /// Still to be sent, oldest first.
    ///
    /// One that was in flight is queued again and says that it may be a repeat.
    package var deliveries: [Delivery] = []
    package var positions: [Partition: Int64] = [:]
    /// In the order in which they were first seen.
    package var devices: [Device] = []
    package var firing: [Finding] = []
    package var silences: [Silence] = []
    package var counters: [String: UInt64] = [:]
    package var auditHead: AuditHead = .genesis
    package var previousRun: PreviousRun?
    /// Rows that this version cannot read: left in the file, to be told to a person.
    package var unreadable: [Unreadable] = []

    package init() {}

    package struct Unreadable: Sendable, Equatable {
        package let table: String
        package let id: String
        package let reason: String
    }
}

/// How the process before this one ended; nil where there was none.
package struct PreviousRun: Sendable, Equatable {
    package let startedAt: Instant
    /// The last time at which it is known to have been at work.
    package let lastCommitAt: Instant
    /// It said goodbye; otherwise it was killed, crashed or lost power.
    package let endedCleanly: Bool

    package init(startedAt: Instant, lastCommitAt: Instant, endedCleanly: Bool) {
        self.startedAt = startedAt
        self.lastCommitAt = lastCommitAt
        self.endedCleanly = endedCleanly
    }

    /// How long nobody watched, as seen at `now`; zero where the clock is behind.
    package func outage(until now: Instant) -> Duration {
        max(.zero, now - lastCommitAt)
    }
}
