import Fleet

/// What the detectors keep of one device beside its lanes; times are milliseconds of event time.
///
/// Public, so that it is inlined.
public struct DeviceState: Sendable {
    package internal(set) var lastSeen: Int64
    package internal(set) var firstSeen: Int64
    /// When `running` last became true or false.
    package internal(set) var runningChanged: Int64
    package internal(set) var lastRan: Int64
    package internal(set) var gates: Gates = []
    /// Typical seconds between samples; gaps do not count.
    package internal(set) var interval: Float = 10
    package internal(set) var clock: Int32 = -1
    /// Its vendor's exporter sends nothing for an idle device.
    package internal(set) var idleIsSilent = false
    /// Absent so long that nobody expects it back; it returns with its next sample.
    package internal(set) var isRetired = false
    /// How many incidents and maintenances hold its baselines, and since when.
    var holds: UInt16 = 0
    var heldSince: Int64 = .min
    var busy: Float = .nan
    var busyAt: Int64 = 0
    var limits = Limits()
    var ticks: UInt8 = 0
    /// This process has seen a sample of it.
    private var isHeard = false
    private var groups = SIMD8<Int32>(repeating: -1)

    init(firstSeen: Int64, lastSeen: Int64) {
        self.firstSeen = firstSeen
        self.lastSeen = lastSeen
        runningChanged = firstSeen
        lastRan = .min
    }

    /// The group of a kind that it is in; -1 for none.
    public internal(set) subscript(kind: CohortKind) -> Int32 {
        get { groups[kind.rawValue] }
        set { groups[kind.rawValue] = newValue }
    }

    /// Notes a sample, newer than any before.
    ///
    /// - Returns: whether it had left the roster, and comes back.
    @inline(__always)
    mutating func heard(at time: Int64) -> Bool {
        // What was before the first one, our own outage among it, says nothing of its cadence.
        if isHeard { tick(after: time - lastSeen) }
        isHeard = true
        lastSeen = time
        guard isRetired else { return false }
        isRetired = false
        return true
    }

    /// Learns the distance between two ticks.
    @inline(__always)
    private mutating func tick(after milliseconds: Int64) {
        let seconds = Float(milliseconds) * 0.001
        guard ticks > 0 else {
            // A first distance beyond ten minutes is a gap, whatever the cadence.
            interval = seconds < 600 ? seconds : interval
            ticks = 1
            return
        }
        // A lost sample doubles one distance; a slower cadence shows in all of them.
        interval += (min(seconds, 3 * interval) - interval) * 0.125
        ticks = min(ticks + 1, 200)
    }

    /// Feeds util.busy; the fast mean has a time constant of two minutes.
    @inline(__always)
    mutating func feed(busy value: Float, at time: Int64) {
        let elapsed = Float(time - busyAt) * 0.001
        busyAt = time
        if busy.isNaN || elapsed > 600 || elapsed < 0 {
            busy = value
        } else {
            busy += (value - busy) * (elapsed / (120 + elapsed))
        }
    }

    @inline(__always)
    mutating func updateGates(at time: Int64, _ spans: GateSpans) {
        var next = gates
        // Hysteresis: a mean that trembles around one half must not restart `settled`.
        let level: Float = gates.contains(.active) ? 0.45 : 0.5
        next.set(.active, busy > level)
        let runs = next.contains(.active) && next.contains(.allocated)
        if runs != gates.contains(.running) { runningChanged = time }
        next.set(.running, runs)
        if runs { lastRan = time }
        next.set(.settled, time - runningChanged >= spans.settledAfter)
        next.set(.warm, time - firstSeen >= spans.warmAfter)
        next.set(.recentlyRan, lastRan != .min && time - lastRan <= spans.ranWithin)
        gates = next
    }
}

/// The spans of time that gates ask for, out of all settings: a copy of these would cost more than
/// they do.
struct GateSpans {
    let settledAfter: Int64
    let warmAfter: Int64
    let ranWithin: Int64

    init(_ settings: DetectionSettings) {
        settledAfter = settings.settledAfter
        warmAfter = settings.warmAfter
        ranWithin = settings.ranWithin
    }
}

extension Gates {
    @inline(__always)
    mutating func set(_ gate: Gates, _ isOpen: Bool) {
        if isOpen { insert(gate) } else { remove(gate) }
    }
}

/// What a site may choose about the detectors; times are milliseconds.
package struct DetectionSettings: Sendable {
    /// Steps of event time at which absences and groups are looked at.
    package var stepMilliseconds: Int64 = 5_000
    /// A device that is silent this long, without a job that lives, leaves the roster.
    package var retireAfter: Int64 = 86_400_000
    /// A silent device is still counted to its job for this long.
    package var carryJobFor: Int64 = 300_000
    package var settledAfter: Int64 = 300_000
    package var warmAfter: Int64 = 600_000
    /// An incident that lasts longer has become the normal.
    package var adoptAfter: Int64 = 86_400_000
    package var ranWithin: Int64 = 3_600_000
    /// Vendors whose exporters send nothing for an idle device.
    package var silentWhenIdle: Set<String> = ["tpu", "google", "neuron", "aws"]

    package init() {}
}
