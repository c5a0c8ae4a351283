import RollingStatistics
package import Telemetry

/// A slow baseline that was set aside, lane by lane.
struct KeptBaseline: Sendable {
    let mean: SIMD16<Float>
    let variance: SIMD16<Float>
}

// What is not normal must not become the normal.
extension Detection {
    /// Sets the baselines of a device aside: an incident, a maintenance or a drill begins.
    ///
    /// Until `release` scores are measured against them; what comes meanwhile forms a candidate
    /// beside them. Each call wants its own `release`.
    package mutating func hold(_ device: Int) {
        guard device < devices.count, devices[device].holds < .max else { return }
        devices[device].holds += 1
        guard devices[device].holds == 1 else { return }
        heldCount += 1
        devices[device].heldSince = max(devices[device].lastSeen, frontier)
        for group in 0..<Vocabulary.groupsMax {
            guard let slot = slots.slot(of: device, group: group) else { continue }
            let block = lanes[slot]
            kept[Int32(slot)] = KeptBaseline(mean: block.slowMean, variance: block.slowVariance)
        }
    }

    /// One reason less to hold; with the last one the baselines stand again as they were.
    package mutating func release(_ device: Int) {
        guard device < devices.count, devices[device].holds > 0 else { return }
        devices[device].holds -= 1
        guard devices[device].holds == 0 else { return }
        heldCount -= 1
        for group in 0..<Vocabulary.groupsMax {
            guard let slot = slots.slot(of: device, group: group),
                let old = kept.removeValue(forKey: Int32(slot))
            else { continue }
            var block = lanes[slot]
            // A lane that came during the incident has nothing else than what it learned in it.
            let known = old.mean .== old.mean
            block.slowMean = block.slowMean.replacing(with: old.mean, where: known)
            block.slowVariance = block.slowVariance.replacing(with: old.variance, where: known)
            lanes.restore(block, at: slot)
        }
    }

    /// Whether what a device sends is nothing to learn from.
    package borrowing func isHeld(_ device: Int) -> Bool {
        guard heldCount > 0, devices[device].holds > 0 else { return false }
        let since = devices[device].heldSince
        guard since != .min, frontier != .min else { return true }
        return frontier - since < settings.adoptAfter
    }

    /// What lasted longer than `adoptAfter` has become the normal: candidates take over.
    package mutating func adoptCandidates() {
        guard !kept.isEmpty else { return }
        for device in devices.indices where devices[device].holds > 0 && !isHeld(device) {
            for group in 0..<Vocabulary.groupsMax {
                if let slot = slots.slot(of: device, group: group) { kept[Int32(slot)] = nil }
            }
        }
    }

    /// The mean of about the last hour of one metric of a device, without what an incident taught.
    package borrowing func slowMean(of device: Int, _ metric: Metric) -> Float? {
        guard let slot = slots.slot(of: device, group: metric.group) else { return nil }
        if let old = kept[Int32(slot)]?.mean[metric.lane], !old.isNaN { return old }
        return lanes[slot].slowMean[metric.lane]
    }
}
