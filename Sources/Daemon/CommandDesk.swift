import Console
import Dispatch
import Escalation
import Fleet
import Synchronization

/// Carries a command from the API's thread to the engine and waits for its answer.
///
/// The answer comes after the engine has stored what it decided: an acknowledgement that was
/// answered survives a crash.
struct CommandDesk: Sendable {
    let mailbox: Mailbox<Engine.Input>
    let board: Board

    /// Longer than any commit takes; then the person is told that it is not known.
    private static let waitSeconds = 5

    func answer(_ command: ConsoleCommand) -> ConsoleReply {
        switch command {
        case .reload:
            return Signals.request(.reload)
                ? .done("the rules are being read; see the log and /api/v1/status")
                : .unavailable("the daemon is not ready to reload")
        case .incident(let id, let action, let person, let reason):
            return ask(translate(id, action, reason), id, action, person)
        }
    }

    private func translate(
        _ id: String, _ action: ConsoleCommand.Action, _ reason: String
    ) -> Command {
        switch action {
        case .ack: .acknowledge(id)
        case .unack: .unacknowledge(id)
        case .resolve: .resolve(id)
        case .snooze(let length): .snooze(id, for: length)
        case .escalate(let tier): .escalate(id, to: tier ?? next(after: id), reason: reason)
        case .note(let text): .note(id, text)
        }
    }

    /// The tier above the one that was paged last.
    private func next(after id: String) -> Tier {
        let tier = board.state.withLock { $0.cases.first { $0.id == id }?.episode.tier }
        return tier.flatMap { Tier(rawValue: $0.rawValue + 1) } ?? .backstop
    }

    private func ask(
        _ command: Command, _ id: String, _ action: ConsoleCommand.Action, _ person: String
    ) -> ConsoleReply {
        let answered = DispatchSemaphore(value: 0)
        let box = Answer()
        let taken = mailbox.offer(
            .command(command, by: person, via: "api") { result in
                box.result.withLock { $0 = result }
                answered.signal()
            })
        guard taken else {
            return .unavailable("the engine is too busy; nothing was changed, try again")
        }
        guard answered.wait(timeout: .now() + .seconds(Self.waitSeconds)) == .success else {
            return .unavailable(
                "the engine did not answer within \(Self.waitSeconds) s; look at the incident "
                    + "before you try again")
        }
        switch box.result.withLock({ $0 }) {
        case .success: return .done(Self.words(id, action, person))
        case .failure(let refusal) where refusal.kind == .notFound:
            return .notFound(refusal.description)
        case .failure(let refusal): return .refused(refusal.description)
        case nil: return .unavailable("the engine is on its way out")
        }
    }

    private final class Answer: Sendable {
        let result = Mutex<Result<Void, Refusal>?>(nil)
    }

    private static func words(
        _ id: String, _ action: ConsoleCommand.Action, _ person: String
    ) -> String {
        switch action {
        case .ack: "\(id) is acknowledged by \(person); it climbs no further"
        case .unack: "\(id) is given back; its tier is paged again"
        case .resolve: "\(id) is resolved"
        case .snooze(let length): "\(id) is quiet for \(length.short)"
        case .escalate: "\(id) is escalated"
        case .note: "the note is in the timeline of \(id)"
        }
    }
}
