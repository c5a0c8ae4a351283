import Fleet

/// Decides which devices are written to the ledger when.
///
/// New ones at once; the others once a minute, a sixtieth of the fleet each second, so that no
/// minute has a peak. A device that vanishes while the daemon is down is missed only because it is
/// in this roster.
struct RosterKeeper {
    private var known: Int
    private var second: Int64 = 0

    /// - Parameter known: devices at the start of the directory that the ledger has already.
    init(known: Int) { self.known = known }

    /// The devices to be stored with the step that leaves at `now`.
    mutating func due(_ directory: Directory, at now: Instant) -> [Device] {
        let new = directory.devices[known...]
        var due = Array(new)
        let current = now.milliseconds / 1_000
        if current != second {
            // After a pause every slot is due once, no slot twice.
            let first = max(second + 1, current - 59)
            for slot in first...current {
                for index in stride(from: Int(slot % 60), to: known, by: 60) {
                    due.append(directory.devices[index])
                }
            }
            second = current
        }
        known = directory.count
        return due
    }
}
