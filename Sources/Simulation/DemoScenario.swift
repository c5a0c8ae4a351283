package import Fleet

/// 64 devices, seven quiet hours, and then fifty minutes in which five things go wrong.
///
/// Each fault has time to be named by its own rule before the next one begins, and lives on devices
/// that no other fault touches.
package struct DemoScenario: Sendable {
    /// Long enough for the frozen reference of six hours that `job-straggler` needs.
    package static let history: Duration = .seconds(7 * 3_600)
    package static let length: Duration = .seconds(50 * 60)

    package let plan: FleetPlan
    /// Where the history ends and the faults begin.
    package let liveStart: Instant
    package var liveEnd: Instant { liveStart + DemoScenario.length }

    /// With `losesHost`, a whole host goes down as well, at 42 minutes.
    package init(
        seed: UInt64, liveStart: Instant, losesHost: Bool = false,
        format: PayloadFormat = .native, delivery: DeliveryModel = .realistic
    ) {
        self.liveStart = liveStart
        var plan = FleetPlan.dev(seed: seed, start: liveStart - DemoScenario.history)
        plan.format = format
        plan.delivery = delivery
        func live(_ minutes: Int) -> Duration { DemoScenario.history + .seconds(minutes * 60) }
        // Allocated six minutes before the end of the history and never used: its thirty minutes
        // are over at minute 24. It never ran, so no rule may call it stalled.
        plan.workloads.append(
            Workload("sweep-eval", .train, team: "research", devices: 56..<60, from: live(-6)))
        plan.faults = [
            Fault(
                .idleAllocated, of: .workload("sweep-eval"), at: live(-6), for: .seconds(56 * 60)),
            // gpu-node-0005 gpu 3 and gpu-node-0006 gpu 1: replicas of the service, whose loss
            // stops nobody else.
            Fault(
                .offBus(announced: true), of: .device(35), at: live(3), for: .seconds(47 * 60)),
            Fault(
                .hardwareThermal(ramp: .seconds(240)), of: .device(41), at: live(8),
                for: .seconds(20 * 60)),
            // gpu-node-0003 gpu 5, rank 21 of 32.
            Fault(
                .straggler(slowdown: 0.12), of: .device(21), at: live(14), for: .seconds(36 * 60)),
            Fault(.hang, of: .workload("vision-ft"), at: live(31), for: .seconds(15 * 60)),
        ]
        if losesHost {
            plan.faults.append(
                Fault(.hostDown, of: .host(7), at: live(42), for: .seconds(8 * 60)))
        }
        self.plan = plan
    }
}
