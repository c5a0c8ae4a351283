/// Google TPU: the libtpu runtime, the monitoring SDK, and GKE by way of Cloud Monitoring.
extension Aliases {
    static let tpu: [Alias] =
        [
            Alias(
                "tpu.runtime.tensorcore.dutycycle.percent", "duty_cycle_pct",
                "tpu_runtime_tensorcore_dutycycle_percent",
                means: .value(.utilBusy, Unit.percent, rank: 3)),
            Alias("tensorcore_util", means: .value(.utilTensor, Unit.percent, rank: 3)),
            Alias(
                "tpu.runtime.hbm.utilization.percent", "tpu_runtime_hbm_utilization_percent",
                means: .value(.utilMembw, Unit.percent, rank: 3)),
            Alias(
                "tpu.runtime.hbm.memory.usage.bytes", "hbm_capacity_usage",
                "tpu_runtime_hbm_memory_usage_bytes", means: .value(.memUsed, rank: 3)),
            Alias(
                "tpu.runtime.hbm.memory.total.bytes", "hbm_capacity_total",
                "tpu_runtime_hbm_memory_total_bytes", means: .value(.memTotal, rank: 3)),
            // 0 is not throttled, 1 to 10 is about that many tenths of the clock.
            Alias("tpu_throttle_score", means: .flag(0x8)),
            // 0 is a healthy link, 10 an unusable one; a chip is as healthy as its worst link.
            Alias("ici_link_health", means: .least(.linkHealth, -0.1, offset: 1)),
        ] + cloud(container: false) + cloud(container: true)

    /// The same quantities per node and per container; the node's are there without a pod too.
    private static func cloud(container: Bool) -> [Alias] {
        let place = container ? "container" : "node"
        let rank: UInt8 = container ? 1 : 2
        func names(_ last: String) -> (String, String) {
            (
                "kubernetes.io/\(place)/accelerator/\(last)",
                "kubernetes_io:\(place)_accelerator_\(last)"
            )
        }
        let rows: [(String, Metric, Double)] = [
            ("duty_cycle", .utilBusy, Unit.percent),
            ("tensorcore_utilization", .utilTensor, Unit.percent),
            ("memory_bandwidth_utilization", .utilMembw, Unit.percent),
            ("memory_used", .memUsed, 1),
            ("memory_total", .memTotal, 1),
        ]
        return rows.map { last, metric, scale in
            let (path, exported) = names(last)
            return Alias(path, exported, means: .value(metric, scale, rank: rank))
        }
    }
}
