import Kafka
import Observability

extension Log {
    /// A line of librdkafka's own, at the level it gave it.
    func kafka(_ line: KafkaLogLine) {
        switch line.level {
        case 0...3: error("librdkafka", ["at": line.facility, "says": line.text])
        case 4: warning("librdkafka", ["at": line.facility, "says": line.text])
        case 5, 6: info("librdkafka", ["at": line.facility, "says": line.text])
        default: debug("librdkafka", ["at": line.facility, "says": line.text])
        }
    }
}
