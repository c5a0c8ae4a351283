import Dispatch
import Fleet
import Observability
import Synchronization

/// The one clock of the process, read at the edges and passed in everywhere else.
///
/// It never runs backwards and never stands. Where the system clock was set back, it goes on by the
/// monotonic clock, a tenth slower, until the system clock has caught up: an escalation that is due
/// in five minutes is due in five and a half, and not when the hour is made up for.
struct WallClock: Sendable {
    private struct State {
        var latest: Instant
        /// Monotonic milliseconds that `latest` accounts for.
        var counted: Int64
        var isSlow = false
        var setBack: Duration?
    }

    private final class Shared: Sendable {
        let value: Mutex<State>
        init(_ state: State) { value = Mutex(state) }
    }

    /// Less is what readings of two threads, or NTP, do in passing: not worth a word.
    private static let worthAWord = Duration.seconds(2)

    private let state: Shared
    private let source: @Sendable () -> Instant
    private let monotonic: @Sendable () -> Int64

    /// `monotonic` counts milliseconds from anywhere.
    init(
        _ source: @escaping @Sendable () -> Instant = Log.wallClock,
        monotonic: @escaping @Sendable () -> Int64 = {
            Int64(clamping: DispatchTime.now().uptimeNanoseconds / 1_000_000)
        }
    ) {
        self.source = source
        self.monotonic = monotonic
        state = Shared(State(latest: source(), counted: monotonic()))
    }

    func now() -> Instant {
        let read = source()
        let ticks = monotonic()
        return state.value.withLock { state in
            guard read < state.latest else {
                state.latest = read
                state.counted = max(state.counted, ticks)
                state.isSlow = false
                return read
            }
            if !state.isSlow {
                state.isSlow = true
                let behind = state.latest - read
                if behind > Self.worthAWord { state.setBack = behind }
            }
            // In whole steps, so that many short readings lose nothing.
            let steps = max(0, ticks - state.counted) / 10
            state.latest += .milliseconds(steps * 9)
            state.counted += steps * 10
            return state.latest
        }
    }

    /// Goes on from `moment` where that is later: the record of an earlier process stays in order,
    /// and its timers go on, also where the clock was set back in between.
    func resume(from moment: Instant) {
        state.value.withLock { state in
            guard moment > state.latest else { return }
            state.setBack = moment - state.latest
            state.latest = moment
            state.isSlow = true
        }
    }

    /// By how much the system clock was set back, once for each time; nil where it was not.
    func takeSetBack() -> Duration? { state.value.withLock { $0.setBack.take() } }

    /// How far our time is ahead of the system's.
    var ahead: Duration {
        let read = source()
        return state.value.withLock { max(.zero, $0.latest - read) }
    }
}
