package import Configuration
import Fleet
import Telemetry

extension Settings {
    /// Reads the settings file; every problem at once.
    ///
    /// - Returns: nil where there was any problem.
    package static func load(_ text: String, file: String, problems: Problems) -> Settings? {
        guard let root = Node.read(text, file: file, into: problems)?.section() else { return nil }
        var settings = Settings()
        root.read("cluster", into: &settings.cluster) { $0.text() }
        root.read("instance", into: &settings.instance) { $0.text() }
        root.read("state", into: &settings.stateDirectory) { $0.text() }
        root.read("rules", into: &settings.rulesDirectory) { $0.text() }
        root.read("stale_after", into: &settings.staleAfter) { $0.duration() }
        root.read("retention", into: &settings.retention) {
            $0.duration(in: .seconds(3_600) ... .seconds(4_000 * 86_400))
        }
        if let section = root.required("kafka")?.section() { settings.kafka.read(section) }
        if let section = root["telemetry"]?.section() { settings.telemetry.read(section) }
        if let section = root["api"]?.section() { settings.api.read(section) }
        if let section = root["log"]?.section() { settings.log.read(section) }
        var names: Set<String> = ["feed"]
        for value in root["destinations"]?.list() ?? [] {
            guard let destination = Destination.read(value) else { continue }
            if !names.insert(destination.name).inserted {
                value.report(
                    destination.name == "feed"
                        ? "'feed' is the name of the topic of alerts; choose another"
                        : "two destinations are called '\(destination.name)'")
            }
            settings.destinations.append(destination)
        }
        root.finish()
        return problems.isEmpty ? settings : nil
    }
}

extension Section {
    /// Overwrites `target` where the key is there and its value is good.
    fileprivate func read<T>(_ key: String, into target: inout T, _ parse: (Value) -> T?) {
        guard let value = self[key], let parsed = parse(value) else { return }
        target = parsed
    }

    /// A mapping of free names to texts.
    fileprivate func texts(_ key: String) -> [String: String] {
        var found: [String: String] = [:]
        for (name, value) in self[key]?.named() ?? [] { found[name] = value.text() }
        return found
    }
}

private func choices<T: RawRepresentable<String> & CaseIterable>(_ type: T.Type) -> [(String, T)] {
    T.allCases.map { ($0.rawValue, $0) }
}

extension Settings.Kafka {
    fileprivate mutating func read(_ section: Section) {
        if let brokers = section.required("bootstrap") {
            bootstrap = brokers.list().compactMap { $0.text() }.filter { !$0.isEmpty }
            if bootstrap.isEmpty { brokers.report("'bootstrap' names no broker") }
        }
        section.read("group", into: &group) { $0.text() }
        section.read("patience", into: &patience) { $0.duration() }
        section.read("start_at", into: &startAt) { $0.choice(choices(Settings.StartAt.self)) }
        section.read("dead_letters", into: &deadLetters) { $0.text() }
        section.read("alerts", into: &alerts) { $0.text() }
        properties = section.texts("properties")
        secretFiles = section.texts("secret_files")
        var names: Set<String> = [deadLetters, alerts]
        let wanted = section.required("topics")
        if let wanted, wanted.list().isEmpty { wanted.report("'topics' names no topic") }
        for value in wanted?.list() ?? [] {
            guard let topic = Settings.Topic.read(value) else { continue }
            if !names.insert(topic.name).inserted {
                value.report("'\(topic.name)' is named twice, or is one of our own output topics")
            }
            topics.append(topic)
        }
        section.finish()
    }
}

extension Settings.Topic {
    fileprivate static func read(_ value: Value) -> Settings.Topic? {
        guard let section = value.section() else { return nil }
        var topic = Settings.Topic(name: "", format: .auto)
        topic.name = section.required("name")?.text() ?? ""
        section.read("format", into: &topic.format) { $0.choice(choices(WireFormat.self)) }
        section.finish()
        return topic.name.isEmpty ? nil : topic
    }
}

extension Settings.Telemetry {
    fileprivate mutating func read(_ section: Section) {
        section.read("devices_max", into: &devicesMax) { $0.integer(in: 1...4_000_000) }
        section.read("message_bytes_max", into: &messageBytesMax) {
            $0.integer(in: 1_024...(64 << 20))
        }
        section.read("future_skew", into: &futureSkew) { $0.duration() }
        section.read("silence_after", into: &silenceAfter) {
            $0.duration(in: .seconds(10) ... .seconds(7 * 86_400))
        }
        section.finish()
    }
}

extension Settings.API {
    /// `127.0.0.1:9469`, `[::1]:9469`; port 0 takes any that is free.
    fileprivate mutating func read(_ section: Section) {
        if let value = section["listen"], let text = value.text() {
            let colon = text.lastIndex(of: ":") ?? text.endIndex
            let host = text[..<colon].filter { $0 != "[" && $0 != "]" }
            if colon < text.endIndex, let number = UInt16(text[text.index(after: colon)...]),
                host == "127.0.0.1" || host == "::1"
            {
                address = host
                port = number
            } else {
                value.report(
                    "'listen' must be 127.0.0.1:PORT or [::1]:PORT, not '\(text)': the API has no "
                        + "TLS yet and stays on this host")
            }
        }
        section.finish()
    }
}

extension Settings.Destination {
    fileprivate static func read(_ value: Value) -> Settings.Destination? {
        guard let section = value.section() else { return nil }
        guard let name = section.required("name")?.text(),
            let kind = section.required("kind")?.choice(choices(Kind.self))
        else {
            section.finish()
            return nil
        }
        var destination = Settings.Destination(name: name, kind: kind)
        if kind != .stdout {
            destination.urls = section.required("url")?.list().compactMap(url) ?? []
            section.read("timeout", into: &destination.timeout) {
                $0.duration(in: .milliseconds(100) ... .seconds(60))
            }
            section.read("token_file", into: &destination.tokenFile) { $0.text() }
        }
        if kind == .webhook {
            section.read("secret_file", into: &destination.secretFile) { $0.text() }
            if destination.urls.count > 1 { value.report("a webhook has one url") }
        }
        section.finish()
        return destination
    }

    private static func url(_ value: Value) -> String? {
        guard let text = value.text() else { return nil }
        guard text.hasPrefix("http://") || text.hasPrefix("https://") else {
            value.report("'url' must begin with http:// or https://, not '\(text.prefix(80))'")
            return nil
        }
        return text
    }
}

extension Settings.Log {
    fileprivate mutating func read(_ section: Section) {
        section.read("format", into: &format) { $0.choice(choices(Format.self)) }
        section.read("level", into: &level) { $0.choice(choices(Level.self)) }
        section.finish()
    }
}
