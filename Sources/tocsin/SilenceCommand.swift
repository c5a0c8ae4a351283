import Console
import Daemon

/// `tocsin silence …`: speaks to the running daemon over its API.
enum SilenceCommand {
    private static let actions = ["list", "add", "expire", "approve"]

    static func run(_ arguments: Arguments) throws -> Int32 {
        let action = arguments.positional[0]
        let rest = Array(arguments.positional.dropFirst())
        guard actions.contains(action) else {
            throw UsageError(
                "'\(action)' is no action; there are \(actions.joined(separator: ", "))")
        }
        try check(action, rest, arguments)
        let client = try IncidentClient(
            state: arguments["state"], settings: arguments["settings"])
        let person = arguments["by"] ?? Person.login
        switch action {
        case "list": say(try client.silences(json: arguments.has("json")))
        case "add":
            say(
                try client.add(
                    IncidentClient.NewSilence(
                        matchers: rest, duration: arguments["for"] ?? "",
                        reason: arguments["reason"] ?? "", by: person)))
        case "expire": say(try client.expire(silence: rest[0], by: person))
        default: say(try client.approve(silence: rest[0], by: person))
        }
        return 0
    }

    private static func check(
        _ action: String, _ rest: [String], _ arguments: Arguments
    ) throws(UsageError) {
        switch action {
        case "list":
            guard rest.isEmpty else { throw UsageError("too many arguments: '\(rest[0])'") }
        case "add":
            guard !rest.isEmpty else {
                throw UsageError("'add' needs matchers: tocsin silence add host=node-7 --for 2h …")
            }
            guard arguments["for"] != nil, arguments["reason"] != nil else {
                throw UsageError("'add' needs a length and a reason: --for 2h --reason TEXT")
            }
        default:
            guard rest.count == 1 else {
                throw UsageError(
                    "'\(action)' needs one silence; `tocsin silence list` names them")
            }
        }
    }
}
