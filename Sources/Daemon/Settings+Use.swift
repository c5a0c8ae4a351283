import Configuration
import Fleet
import Foundation
import Rules
import Kafka
import Notification
import Observability
import Telemetry

extension Settings {
    /// Reads and checks the settings file.
    static func read(_ file: String) throws(StartFailure) -> Settings {
        let text: String
        do {
            text = try String(contentsOf: URL(filePath: file), encoding: .utf8)
        } catch {
            throw StartFailure(
                .configuration,
                "settings: cannot read \(file): \(reason(error)); name one with --settings FILE")
        }
        let problems = Problems()
        guard let settings = Settings.load(text, file: file, problems: problems) else {
            throw StartFailure(.configuration, problems.report)
        }
        return settings
    }

    var instanceName: String {
        instance.isEmpty ? ProcessInfo.processInfo.hostName : instance
    }

    var decoding: DecoderSettings {
        var decoding = DecoderSettings()
        decoding.messageBytesMax = telemetry.messageBytesMax
        decoding.futureSkew = telemetry.futureSkew
        return decoding
    }
}

extension Problems {
    /// Every problem on a line of its own.
    package var report: String { sorted.map(\.description).joined(separator: "\n") }
}

extension RuleFolder {
    /// Reads the folder that the settings name.
    static func read(_ settings: Settings) throws(StartFailure) -> RuleFolder {
        let problems = Problems()
        guard
            let folder = RuleFolder.load(
                settings.rulesDirectory, destinations: Set(settings.destinations.map(\.name)),
                problems: problems)
        else { throw StartFailure(.configuration, problems.report) }
        return folder
    }
}

extension Settings.Kafka {
    struct ClientProperties {
        let consumer: [String: String]
        let producer: [String: String]
        let warnings: [String]
    }

    /// What both clients are opened with; every wrong key at once, in librdkafka's words.
    func clientProperties(instance: String) throws(StartFailure) -> ClientProperties {
        var shared = properties
        for (key, name) in secretFiles {
            shared[key] = String(decoding: try Secrets.read(name), as: UTF8.self)
        }
        var problems = properties.keys.filter { secretFiles[$0] != nil }.sorted()
            .map { "kafka: \($0) is set twice: in properties and in secret_files" }
        for key in properties.keys.sorted() where KafkaConfiguration.isSecret(key) {
            problems.append("kafka: \(key) is a secret: put it in a file named in secret_files")
        }
        for role in KafkaRole.allCases {
            for problem in KafkaConfiguration.check(shared, role: role) {
                let line = "kafka: \(problem)"
                if !problems.contains(line) { problems.append(line) }
            }
        }
        guard problems.isEmpty else {
            throw StartFailure(.configuration, problems.joined(separator: "\n"))
        }
        shared["bootstrap.servers"] = bootstrap.joined(separator: ",")
        shared["client.id"] = "tocsin-\(instance)"
        var consumer = shared
        consumer["group.id"] = group
        // A process that was killed is still a member until its session ends, 45 s in which nobody
        // reads; under the same name its successor takes its place at once.
        if consumer["group.instance.id"] == nil {
            consumer["group.instance.id"] = "tocsin-\(instance)"
        }
        return ClientProperties(
            consumer: consumer, producer: shared, warnings: KafkaConfiguration.warnings(consumer))
    }
}

extension Settings.Log.Level {
    var observed: Level {
        switch self {
        case .debug: .debug
        case .info: .info
        case .warning: .warning
        case .error: .error
        }
    }
}

extension Settings.Log.Format {
    var observed: LogFormat? {
        switch self {
        case .auto: nil
        case .text: .text
        case .json: .json
        }
    }
}

extension Settings.Destination {
    /// The channel behind this destination, with its secrets read.
    func channel(_ instance: Instance, log: Log) throws(StartFailure) -> any Channel {
        var described = DestinationSettings(name: name, kind: .stdout, urls: urls)
        switch kind {
        case .stdout: described.kind = .stdout
        case .webhook: described.kind = .webhook
        case .alertmanager: described.kind = .alertmanager
        }
        described.timeout = timeout
        if !secretFile.isEmpty { described.secret = try Secrets.read(secretFile) }
        if !tokenFile.isEmpty {
            let token = String(decoding: try Secrets.read(tokenFile), as: UTF8.self)
            described.headers.append("Authorization: Bearer \(token)")
        }
        guard let channel = described.channel(from: instance, log: log) else {
            throw StartFailure(.software, "destination \(name): no channel for its kind")
        }
        return channel
    }
}
