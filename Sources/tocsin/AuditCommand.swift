import Console
import Daemon

/// `tocsin audit …`: reads the ledger itself, so that it works while the daemon is down.
enum AuditCommand {
    static func run(_ arguments: Arguments) throws -> Int32 {
        let reader = try AuditReader(
            state: arguments["state"], settings: arguments["settings"])
        switch arguments.positional[0] {
        case "list":
            let limit = try arguments.integer("limit", in: 1...100_000) ?? 50
            for line in try reader.lines(limit: limit) { say(line) }
            return 0
        case "verify":
            let (isIntact, sentence) = try reader.verify()
            say(sentence)
            return isIntact ? 0 : 1
        case let other:
            throw UsageError("'\(other)' is no action; there are list, verify")
        }
    }
}
