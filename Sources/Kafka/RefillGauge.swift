/// Tells when enough was taken out of the local queue that it is worth filling again.
///
/// Before 2.2 librdkafka looks at a full queue no more than once a second: the thread of a broker
/// whose partitions are all held back sleeps, however soon the queue is drained, and a consumer that
/// keeps pace with the network is left with nothing for most of that second. A queue cannot run dry
/// from full without a quarter of its limit having been taken; that is when its filler is woken.
struct RefillGauge {
    private let records: Int
    private let bytes: Int
    private var recordsTaken = 0
    private var bytesTaken = 0

    /// For a queue that is full at so many records or so many bytes, whichever comes first.
    init(recordsMax: Int, bytesMax: Int) {
        records = max(1, recordsMax / 4)
        bytes = max(1, bytesMax / 4)
    }

    /// Notes one record that left the queue; true where it is time.
    mutating func take(bytes count: Int) -> Bool {
        recordsTaken &+= 1
        bytesTaken &+= count
        guard recordsTaken >= records || bytesTaken >= bytes else { return false }
        recordsTaken = 0
        bytesTaken = 0
        return true
    }
}

extension RefillGauge {
    /// The gauge of a consumer with these properties; nil where librdkafka does not oversleep.
    init?(_ properties: [String: String]) {
        guard KafkaLibrary.sleepsWhenFull else { return nil }
        let (records, bytes) = KafkaConfiguration.queueLimits(properties)
        self.init(recordsMax: records, bytesMax: bytes)
    }
}

extension KafkaConfiguration {
    /// The records and bytes at which the local queue of a consumer with these properties is full.
    static func queueLimits(_ properties: [String: String]) -> (records: Int, bytes: Int) {
        func limit(_ key: String) -> Int {
            let ours = defaults(.consumer).first { $0.key == key }?.value
            return (properties[key] ?? ours).flatMap { Int($0) } ?? 1
        }
        return (limit("queued.min.messages"), limit("queued.max.messages.kbytes") &* 1_024)
    }
}
