import Console
import Daemon
import Foundation

/// `tocsin incident …`: speaks to the running daemon over its API.
struct IncidentCommand {
    private let arguments: Arguments
    private let action: String

    private static let actions = [
        "list", "show", "ack", "unack", "snooze", "resolve", "escalate", "note",
    ]

    init(_ arguments: Arguments) throws(UsageError) {
        self.arguments = arguments
        action = arguments.positional[0]
        guard Self.actions.contains(action) else {
            throw UsageError(
                "'\(action)' is no action; there are \(Self.actions.joined(separator: ", "))")
        }
        guard action == "list" || arguments.positional.count > 1 else {
            throw UsageError("'\(action)' needs an incident; `tocsin incident list` names them")
        }
        guard (action == "note") == (arguments.positional.count == 3) else {
            throw UsageError(
                action == "note"
                    ? "'note' needs a text: tocsin incident note INCIDENT TEXT"
                    : "too many arguments: '\(arguments.positional.last ?? "")'")
        }
        guard action != "snooze" || arguments["for"] != nil else {
            throw UsageError("'snooze' needs a length: --for 30m")
        }
    }

    func run() throws -> Int32 {
        let client = try IncidentClient(
            state: arguments["state"], settings: arguments["settings"])
        if action == "list" {
            say(try client.list(all: arguments.has("all"), json: arguments.has("json")))
            return 0
        }
        let incident = arguments.positional[1]
        if action == "show" {
            say(try client.show(incident, json: arguments.has("json")))
            return 0
        }
        var members = ["by": arguments["by"] ?? Person.login]
        if let length = arguments["for"] { members["duration"] = length }
        if let tier = arguments["tier"] { members["tier"] = tier }
        if let reason = arguments["reason"] { members["reason"] = reason }
        if action == "note" { members["text"] = arguments.positional[2] }
        say(try client.act(action, on: incident, members))
        return 0
    }
}

enum Person {
    /// Who types, also behind sudo.
    static var login: String {
        for name in ["SUDO_USER", "USER", "LOGNAME"] {
            guard let value = ProcessInfo.processInfo.environment[name], !value.isEmpty,
                value != "root"
            else { continue }
            return value
        }
        return "root"
    }
}
