extension KafkaConfiguration {
    /// Why an operator may not set `key`, or nil where it is theirs to choose.
    package static func forbidden(_ key: String, _ role: KafkaRole) -> String? {
        if key.hasPrefix("test.mock.") {
            return "it replaces the real cluster by one inside this process"
        }
        if let reason = forbiddenEverywhere[key] { return reason }
        switch role {
        case .consumer: return forbiddenInConsumers[key]
        case .producer: return forbiddenInProducers[key]
        }
    }

    private static let forbiddenEverywhere = [
        "plugin.library.paths": "it loads foreign code into this process",
        "ssl.engine.location": "it loads foreign code into this process",
        "ssl.providers": "it loads foreign code into this process",
        "log.queue": "log lines are read by the thread that owns the client",
        "statistics.interval.ms": "the watchdog counts on a report every ten seconds",
        "metadata.broker.list": "write bootstrap.servers",
        "internal.termination.signal": "it sends signals to threads of this process",
    ]

    private static let forbiddenInConsumers = [
        "enable.auto.commit":
            "a position is committed only together with the findings that it stands for",
        "auto.commit.enable":
            "a position is committed only together with the findings that it stands for",
        "auto.commit.interval.ms":
            "a position is committed only together with the findings that it stands for",
        "enable.auto.offset.store": "positions are kept with the findings, not by the client",
        "offset.store.method": "positions are kept with the findings, not by the client",
        "auto.offset.reset":
            "an offset that retention removed is reported as a gap, never skipped in silence",
        "partition.assignment.strategy":
            "members of one group must agree, and only cooperative-sticky keeps state in place",
        "group.protocol": "ownership is proven for the classic protocol only",
        "group.remote.assignor": "ownership is proven for the classic protocol only",
        "isolation.level": "replay is exact only over committed records (read_committed)",
        "enable.partition.eof": "the end of a partition is used to know who has caught up",
        "allow.auto.create.topics": "a misspelt topic must be an error, not a new topic",
        "consume.callback.max.messages": "records are read in batches, without that callback",
    ]

    private static let forbiddenInProducers = [
        "enable.idempotence": "a retry must never write a record twice",
        "acks": "a record counts as written only when every in-sync replica has it",
        "request.required.acks":
            "a record counts as written only when every in-sync replica has it",
        "max.in.flight": "the order of records depends on it",
        "max.in.flight.requests.per.connection": "the order of records depends on it",
        "retries": "an idempotent producer retries until message.timeout.ms",
        "message.send.max.retries": "an idempotent producer retries until message.timeout.ms",
        "enable.gapless.guarantee": "it turns one lost record into the loss of the client",
        "delivery.report.only.error": "every record must be accounted for",
        "transactional.id": "transactions are begun and ended by the daemon, under its own name",
        "queuing.strategy": "the order of records depends on it",
    ]

    /// What we set where the operator does not; `required` is what nobody can change.
    ///
    /// Each line that differs from librdkafka's default has its reason beside it.
    static func defaults(_ role: KafkaRole) -> [(key: String, value: String)] {
        var pairs = [
            ("client.id", "tocsin"),
            ("broker.address.family", "any"),
            // Idle links through a firewall die unseen without it.
            ("socket.keepalive.enable", "true"),
            // Small requests wait for an acknowledgement otherwise; the default since 2.10.
            ("socket.nagle.disable", "true"),
            // Brokers close idle connections by themselves: not worth a line.
            ("log.connection.close", "false"),
            ("reconnect.backoff.ms", "100"),
            ("reconnect.backoff.max.ms", "10000"),
            ("topic.metadata.refresh.interval.ms", "60000"),
        ]
        switch role {
        case .consumer: pairs += consumerDefaults
        case .producer: pairs += producerDefaults
        }
        return pairs
    }

    private static var consumerDefaults: [(String, String)] {
        var pairs = [
            ("session.timeout.ms", "45000"),
            ("heartbeat.interval.ms", "3000"),
            ("max.poll.interval.ms", "300000"),
            // 100 ms bounds the wait of an idle broker; one byte is enough to answer at once.
            ("fetch.wait.max.ms", "100"),
            ("fetch.min.bytes", "1"),
            ("fetch.message.max.bytes", "1048576"),
            ("fetch.max.bytes", "16777216"),
            ("check.crcs", "true"),
        ]
        if KafkaLibrary.sleepsWhenFull {
            // The consumer wakes the fetching threads itself, a quarter of this before the end of
            // what is left: that must outlast their way to the broker and back.
            pairs += [
                ("queued.min.messages", "100000"), ("queued.max.messages.kbytes", "65536"),
            ]
        } else {
            // 8 MB is 15 ms of the fastest loop measured: enough to never run dry, and small.
            pairs += [
                ("fetch.queue.backoff.ms", "1"), ("queued.min.messages", "100000"),
                ("queued.max.messages.kbytes", "8192"),
            ]
        }
        return pairs
    }

    private static var producerDefaults: [(String, String)] {
        [
            ("linger.ms", "5"),
            ("compression.type", KafkaLibrary.features.contains("lz4") ? "lz4" : "none"),
            ("queue.buffering.max.messages", "100000"),
            ("queue.buffering.max.kbytes", "65536"),
            ("message.timeout.ms", "30000"),
            // As Java's default: a device's key lands on one partition whoever wrote it.
            ("partitioner", "murmur2_random"),
        ]
    }

    /// Set last, so that no operator's key can undo it.
    static func required(_ role: KafkaRole) -> [(key: String, value: String)] {
        var pairs = [("log.queue", "true"), ("statistics.interval.ms", "10000")]
        switch role {
        case .consumer:
            pairs += [
                ("enable.auto.commit", "false"), ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "error"), ("enable.partition.eof", "true"),
                ("partition.assignment.strategy", "cooperative-sticky"),
                ("isolation.level", "read_committed"), ("allow.auto.create.topics", "false"),
            ]
        case .producer:
            pairs += [("enable.idempotence", "true"), ("acks", "all")]
        }
        return pairs
    }
}
