import Foundation
import Testing

/// A real Apache Kafka for the length of one suite, where one can be had.
///
/// `TOCSIN_TEST_BOOTSTRAP` names a running one; otherwise a checkout with `shared/kafka` beside it
/// starts its own on a folder of its own, and stops it at the end.
struct RealKafka: Sendable {
    let bootstrap: String
    let saslPlaintext: String?

    @TaskLocal static var current: RealKafka?

    /// The cluster, or nil after a printed line: a machine without one skips the suite.
    static func found() -> RealKafka? {
        if let current { return current }
        print("skipped: neither TOCSIN_TEST_BOOTSTRAP nor shared/kafka is here")
        return nil
    }

    struct Trait: SuiteTrait, TestScoping {
        @concurrent func provideScope(
            for test: Test, testCase: Test.Case?,
            performing function: @concurrent @Sendable () async throws -> Void
        ) async throws {
            let environment = ProcessInfo.processInfo.environment
            if let bootstrap = environment["TOCSIN_TEST_BOOTSTRAP"] {
                let kafka = RealKafka(
                    bootstrap: bootstrap, saslPlaintext: environment["TOCSIN_TEST_SASL_PLAINTEXT"])
                return try await RealKafka.$current.withValue(kafka) { try await function() }
            }
            guard let script = Self.script() else { return try await function() }
            let folder = FileManager.default.temporaryDirectory
                .appending(path: "tocsin-kafka-\(UUID().uuidString.prefix(8))")
            defer {
                _ = try? Self.run([script, "stop", folder.path])
                try? FileManager.default.removeItem(at: folder)
            }
            let kafka = Self.parse(try Self.run([script, "start", folder.path]))
            try await RealKafka.$current.withValue(kafka) { try await function() }
        }

        private static func parse(_ exports: String) -> RealKafka? {
            func value(_ name: String) -> String? {
                exports.split(separator: "\n").first { $0.hasPrefix("export \(name)=") }
                    .map { String($0.dropFirst("export \(name)=".count)) }
            }
            guard let bootstrap = value("TOCSIN_TEST_BOOTSTRAP") else { return nil }
            return RealKafka(
                bootstrap: bootstrap, saslPlaintext: value("TOCSIN_TEST_SASL_PLAINTEXT"))
        }

        private static func script() -> String? {
            var folder = URL(filePath: #filePath)
            while folder.path != "/" {
                folder = folder.deletingLastPathComponent()
                let script = folder.appending(path: "shared/kafka/kafka").path
                if FileManager.default.fileExists(atPath: script) { return script }
            }
            return nil
        }

        /// Runs a script without our descriptors: the broker lives for the whole suite, and would keep the
        /// pipes of other tests open.
        private static let shut = """
            for open in /proc/self/fd/*; do
                number=${open##*/}
                if [ "$number" -gt 2 ]; then eval "exec $number>&-"; fi
            done
            exec /bin/bash "$0" "$@"
            """

        /// Not Foundation's Process, which waits for every descendant: the broker is one.
        private static func run(_ words: [String]) throws -> String {
            let output = FileManager.default.temporaryDirectory
                .appending(path: "tocsin-kafka-\(UUID().uuidString).out")
            defer { try? FileManager.default.removeItem(at: output) }
            var actions = unsafe posix_spawn_file_actions_t()
            unsafe posix_spawn_file_actions_init(&actions)
            defer { unsafe posix_spawn_file_actions_destroy(&actions) }
            unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
            unsafe posix_spawn_file_actions_addopen(
                &actions, 1, output.path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
            var child: pid_t = 0
            var arguments =
                unsafe (["/bin/bash", "-c", Self.shut] + words)
                .map { unsafe strdup($0) } + [nil]
            defer { unsafe arguments.forEach { unsafe free($0) } }
            guard
                unsafe posix_spawn(&child, "/bin/bash", &actions, nil, &arguments, environ) == 0
            else { throw CocoaError(.executableLoad) }
            var status: Int32 = 0
            while unsafe waitpid(child, &status, 0) < 0, errno == EINTR { continue }
            return try String(contentsOf: output, encoding: .utf8)
        }
    }
}

extension Trait where Self == RealKafka.Trait {
    /// Runs a suite with ``RealKafka/current`` set, where a cluster can be had.
    static var realKafka: Self { Self() }
}
