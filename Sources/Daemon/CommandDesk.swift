import Console
import Dispatch
import Escalation
import Fleet
import Synchronization

/// Carries a command from the API's thread to the engine and waits for its answer.
///
/// The answer comes after the engine has stored what it decided: an acknowledgement that was
/// answered survives a crash. A few may wait at one time, far fewer than the API has connections, so that
/// health and metrics are answered whatever the engine does.
final class CommandDesk: Sendable {
    private let mailbox: Mailbox<Engine.Input>
    private let board: Board
    private let clock: WallClock
    private let places = DispatchSemaphore(value: CommandDesk.waitingMax)

    /// People type; a script that asks for more at once is asked to try again.
    static let waitingMax = 8
    private let waitSeconds: Int

    /// `waitSeconds` is longer than any commit takes; then the person is told that it is not known.
    init(
        mailbox: Mailbox<Engine.Input>, board: Board, clock: WallClock, waitSeconds: Int = 5
    ) {
        self.mailbox = mailbox
        self.board = board
        self.clock = clock
        self.waitSeconds = waitSeconds
    }

    func answer(_ command: ConsoleCommand) -> ConsoleReply {
        guard !board.isStopping else { return .unavailable("the daemon is stopping") }
        switch command {
        case .reload:
            return Signals.request(.reload)
                ? .done("the rules are being read; see the log and /api/v1/status")
                : .unavailable("the daemon is not ready to reload")
        case .incident(let id, let action, let person, let reason):
            return ask(translate(id, action, reason), person) { _ in
                Self.words(id, action, person)
            }
        case .silence(let asked, let person):
            let starts = asked.starts ?? clock.now()
            let request = SilenceRequest(
                matchers: asked.matchers, starts: asked.starts, ends: starts + asked.length,
                reason: asked.reason)
            return ask(.silence(request), person) { outcome in
                let made = outcome.silences?.first {
                    $0.author == person && $0.ends == request.ends
                        && $0.matchers == request.matchers
                }
                return "\(made?.id ?? "the silence") hides until \(request.ends.rfc3339)"
            }
        case .expireSilence(let id, let person):
            return ask(.expireSilence(id), person) { _ in "\(id) is over" }
        case .approveSilence(let id, let person):
            return ask(.approveSilence(id), person) { _ in
                "\(id) is approved by \(person), also for critical incidents"
            }
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
        _ command: Command, _ person: String, _ words: (Outcome) -> String
    ) -> ConsoleReply {
        guard places.wait(timeout: .now()) == .success else {
            return .unavailable("other commands wait already; nothing was changed, try again")
        }
        defer { places.signal() }
        let answered = DispatchSemaphore(value: 0)
        let box = Answer()
        let taken = mailbox.offer(
            .command(command, by: person, via: "api") { result in
                box.result.withLock { $0 = result }
                answered.signal()
            }, urgent: true)
        guard taken else {
            return .unavailable("the engine is too busy; nothing was changed, try again")
        }
        guard answered.wait(timeout: .now() + .seconds(waitSeconds)) == .success else {
            return .unavailable(
                "the engine did not answer within \(waitSeconds) s; look at the incident "
                    + "before you try again")
        }
        switch box.result.withLock({ $0 }) {
        case .stored(let outcome): return .done(words(outcome))
        case .unstored(let outcome, let why):
            return .done(
                "\(words(outcome)); it is NOT STORED yet and ends with this process: \(why)")
        case .refused(let refusal) where refusal.kind == .notFound:
            return .notFound(refusal.description)
        case .refused(let refusal): return .refused(refusal.description)
        case nil: return .unavailable("the engine is on its way out")
        }
    }

    private final class Answer: Sendable {
        let result = Mutex<CommandAnswer?>(nil)
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
