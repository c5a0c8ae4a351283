import Dispatch
import Glibc
import Synchronization

/// What the outside asks of the process as a whole.
package enum ProcessRequest: Sendable { case stop, reload }

/// Turns SIGTERM, SIGINT and SIGHUP into requests; SIGPIPE is nobody's concern.
///
/// The default action is switched off before the sources are resumed, so that no signal falls
/// between; the sources live as long as this value.
package final class Signals: Sendable {
    private let sources: Mutex<[any DispatchSourceSignal]>

    package init(_ handle: @escaping @Sendable (ProcessRequest) -> Void) {
        signal(SIGPIPE, SIG_IGN)
        let queue = DispatchQueue(label: "tocsin.signals")
        let wanted: [(Int32, ProcessRequest)] = [
            (SIGTERM, .stop), (SIGINT, .stop), (SIGHUP, .reload),
        ]
        var made: [any DispatchSourceSignal] = []
        for (number, request) in wanted {
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler { handle(request) }
            source.resume()
            made.append(source)
        }
        sources = Mutex(made)
    }

    /// Asks for `request` as a signal from outside would; false where nobody listens.
    static func request(_ request: ProcessRequest) -> Bool {
        kill(getpid(), request == .reload ? SIGHUP : SIGTERM) == 0
    }

    deinit { sources.withLock { $0.forEach { $0.cancel() } } }
}
