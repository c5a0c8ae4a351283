/// Why the daemon did not start, in one line, and the code that it exits with.
///
/// The codes are those of sysexits.h, which systemd and scripts know.
package struct StartFailure: Error, CustomStringConvertible {
    package enum Kind: Int32, Sendable {
        /// Unknown command or option.
        case usage = 64
        /// A broker that stays out of reach, a port that is taken.
        case unavailable = 69
        /// An invariant of ours is broken.
        case software = 70
        /// The state directory cannot be written.
        case cannotCreate = 73
        /// The ledger was written by a newer version, or is damaged.
        case dataError = 65
        /// Worth another try: restart and see.
        case temporary = 75
        /// Settings or rules are wrong.
        case configuration = 78
    }

    package let kind: Kind
    /// What was asked, what happened, what to do.
    package let reason: String

    package init(_ kind: Kind, _ reason: String) {
        self.kind = kind
        self.reason = reason
    }

    package var description: String { reason }
}
