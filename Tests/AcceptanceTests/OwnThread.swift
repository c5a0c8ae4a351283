import Dispatch
import Testing

/// Runs a suite on a thread of its own, where it may wait without holding anybody up.
///
/// These tests wait for other processes. On the shared pool, which has one thread for each core,
/// they would hold up every other test, and be held up by them while a timer runs out.
struct OwnThread: SuiteTrait, TestScoping {
    private final class Executor: TaskExecutor {
        private let queue = DispatchQueue(label: "acceptance")

        func enqueue(_ job: consuming ExecutorJob) {
            let job = UnownedJob(job)
            queue.async { unsafe job.runSynchronously(on: self.asUnownedTaskExecutor()) }
        }
    }

    @concurrent func provideScope(
        for test: Test, testCase: Test.Case?,
        performing function: @concurrent @Sendable () async throws -> Void
    ) async throws {
        try await withTaskExecutorPreference(Executor()) { try await function() }
    }
}

extension Trait where Self == OwnThread {
    static var ownThread: Self { Self() }
}
