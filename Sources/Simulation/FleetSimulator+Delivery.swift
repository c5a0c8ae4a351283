package import Fleet
import Glibc
import Telemetry

/// Where every sample of a simulated fleet went.
package struct DeliveryTally: Sendable, Equatable {
    /// Samples that a device took, and would have sent.
    package var taken: UInt64 = 0
    /// Not taken: off the bus, or the host was down.
    package var silent: UInt64 = 0
    package var lost: UInt64 = 0
    package var duplicated: UInt64 = 0
    package var late: UInt64 = 0
    /// Held back by a pipeline outage and delivered after it.
    package var heldBack: UInt64 = 0
    /// Messages handed out, and the numeric values and events in them.
    package var messages: UInt64 = 0
    package var points: UInt64 = 0
    package var faults: UInt64 = 0

    package init() {}
}

/// Samples that were taken and are on their way, soonest first.
struct DeliverySchedule: Sendable {
    struct Parcel: Sendable {
        let delivery: Int64
        /// Breaks ties in the order of taking.
        let order: UInt64
        let device: Int32
        /// A step; a scheduled event where `isEvent`.
        let step: Int
        let isEvent: Bool

        func precedes(_ other: Parcel) -> Bool {
            delivery == other.delivery ? order < other.order : delivery < other.delivery
        }
    }

    private var heap: [Parcel] = []
    private var order: UInt64 = 0
    /// First step of which nothing is on its way yet.
    var nextStep = 0
    var nextEvent = 0

    var first: Parcel? { heap.first }

    mutating func removeAll() { heap.removeAll(keepingCapacity: true) }

    mutating func push(at delivery: Int64, device: Int, step: Int, isEvent: Bool = false) {
        order += 1
        var hole = heap.count
        let parcel = Parcel(
            delivery: delivery, order: order, device: Int32(device), step: step, isEvent: isEvent)
        heap.append(parcel)
        while hole > 0, parcel.precedes(heap[(hole - 1) / 2]) {
            heap[hole] = heap[(hole - 1) / 2]
            hole = (hole - 1) / 2
        }
        heap[hole] = parcel
    }

    mutating func pop() {
        guard let parcel = heap.popLast(), !heap.isEmpty else { return }
        var hole = 0
        while true {
            var child = 2 * hole + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].precedes(heap[child]) { child += 1 }
            guard heap[child].precedes(parcel) else { break }
            heap[hole] = heap[child]
            hole = child
        }
        heap[hole] = parcel
    }
}

extension FleetSimulator {
    /// Appends the messages that reach the broker up to `limit`, in that order.
    ///
    /// Stops when the batch holds `messagesMax`; ask again for the rest.
    ///
    /// - Returns: whether there may be more before `limit`.
    @discardableResult
    package mutating func next(
        upTo limit: Instant, messagesMax: Int = 65_536, into batch: inout MessageBatch
    ) -> Bool {
        var tick = Tick()
        while batch.messages.count < messagesMax {
            // Nothing that is not scheduled yet can arrive before the next step begins.
            let horizon = roster.start + Int64(schedule.nextStep) * roster.period
            if let parcel = schedule.first, parcel.delivery < horizon,
                parcel.delivery <= limit.milliseconds
            {
                schedule.pop()
                deliver(parcel, &tick, into: &batch)
                continue
            }
            guard horizon <= limit.milliseconds else { return false }
            scheduleStep(from: horizon)
        }
        return true
    }

    /// Forgets what is on its way, and goes on with the first step at or after `time`.
    package mutating func jump(to time: Instant) {
        schedule.removeAll()
        let ahead = max(0, time.milliseconds - roster.start)
        schedule.nextStep = Int((ahead + roster.period - 1) / roster.period)
        let horizon = roster.start + Int64(schedule.nextStep) * roster.period
        schedule.nextEvent =
            roster.events.firstIndex { $0.time >= horizon } ?? roster.events.count
    }

    private mutating func scheduleStep(from horizon: Int64) {
        let step = schedule.nextStep
        schedule.nextStep += 1
        while schedule.nextEvent < roster.events.count,
            roster.events[schedule.nextEvent].time < horizon + roster.period
        {
            let number = schedule.nextEvent
            schedule.nextEvent += 1
            let event = roster.events[number]
            // An event from before the simulation has no step to belong to.
            guard event.time >= horizon else { continue }
            let stream = physics.noise.stream(.event, number)
            let delivery = deliveryTime(stream, 0, taken: event.time)
            schedule.push(
                at: heldBack(delivery, event.device, taken: event.time), device: event.device,
                step: number, isEvent: true)
        }
        for device in identities.indices { scheduleSample(device, step) }
    }

    private mutating func scheduleSample(_ device: Int, _ step: Int) {
        let time = physics.time(of: device, at: step)
        let effects = roster.effects[device]
        if !effects.isEmpty, effects.contains(where: { $0.isSilent && $0.isActive(at: time) }) {
            tally.silent += 1
            return
        }
        tally.taken += 1
        let stream = roster.traits[device].stream
        let model = plan.delivery
        if model.lossShare > 0, Noise.uniform(stream, step, .loss) < model.lossShare {
            tally.lost += 1
            return
        }
        var delivery = deliveryTime(stream, step, taken: time)
        if model.lateShare > 0, Noise.uniform(stream, step, .late) < model.lateShare {
            tally.late += 1
            delivery = time + Int64(Noise.uniform(30_000...120_000, stream, step, .lateness))
        }
        let arrival = heldBack(delivery, device, taken: time)
        if arrival != delivery { tally.heldBack += 1 }
        schedule.push(at: arrival, device: device, step: step)
        if model.duplicateShare > 0, Noise.uniform(stream, step, .duplicate) < model.duplicateShare
        {
            tally.duplicated += 1
            schedule.push(at: arrival + 1_000, device: device, step: step)
        }
    }

    private func deliveryTime(_ stream: UInt64, _ step: Int, taken time: Int64) -> Int64 {
        let model = plan.delivery
        guard model.medianSeconds > 0 else { return time }
        let seconds =
            model.medianSeconds * exp(model.sigma * Noise.normal(stream, step, .delay))
        return time + Int64(seconds * 1_000)
    }

    /// During an outage: after its end, in the order of taking, within half a minute.
    private func heldBack(_ delivery: Int64, _ device: Int, taken time: Int64) -> Int64 {
        for outage in roster.outages[device / plan.devicesPerHost] where outage.isActive(at: time) {
            let share = Double(time - outage.start) / Double(outage.end - outage.start)
            return max(delivery, outage.end + Int64(share * 30_000))
        }
        return delivery
    }

    private mutating func deliver(
        _ parcel: DeliverySchedule.Parcel, _ tick: inout Tick, into batch: inout MessageBatch
    ) {
        let device = Int(parcel.device)
        let before = batch.messages.count
        var events: [TickEvent] = []
        if parcel.isEvent {
            let event = roster.events[parcel.step]
            // Telegraf's plugin has no field for a fault code.
            if case .telegraf = plan.format { return }
            tick.clear()
            tick.time = Instant(milliseconds: event.time)
            tick[.faultCode] = Double(event.event.code)
            events = [event.event]
        } else {
            guard remembered(device, at: parcel.step, into: &tick) else { return }
        }
        encoder.append(
            tick, events: events, as: template(of: device, at: tick.time.milliseconds),
            deliveredAt: Instant(milliseconds: parcel.delivery), to: &batch)
        for index in before..<batch.messages.count {
            tally.messages += 1
            tally.points += UInt64(batch.messages[index].points)
            tally.faults += UInt64(batch.messages[index].faults)
        }
    }
}
