package import Fleet

/// Maps wall time to event time, and back: one second of wall time is `compression` of event time.
package struct Pacer: Sendable {
    package let wallStart: Instant
    package let eventStart: Instant
    package let compression: Double

    /// A compression of 1 is real time; values that no clock can follow become 1.
    package init(wallStart: Instant, eventStart: Instant, compression: Double) {
        self.wallStart = wallStart
        self.eventStart = eventStart
        self.compression = compression.isFinite && compression > 0 ? compression : 1
    }

    package func eventTime(atWall wall: Instant) -> Instant {
        eventStart + Pacer.scaled(wall - wallStart, by: compression)
    }

    package func wallTime(ofEvent event: Instant) -> Instant {
        wallStart + Pacer.scaled(event - eventStart, by: 1 / compression)
    }

    private static func scaled(_ duration: Duration, by factor: Double) -> Duration {
        let milliseconds = Double(duration.milliseconds) * factor
        guard milliseconds.magnitude < 9e15 else {
            return .milliseconds(milliseconds > 0 ? Int64(9e15) : Int64(-9e15))
        }
        return .milliseconds(Int64(milliseconds.rounded()))
    }
}
