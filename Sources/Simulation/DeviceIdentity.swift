package import Fleet

/// Who a simulated or recorded device is.
package struct DeviceIdentity: Sendable {
    /// `nvidia/GPU-…`: the key of its messages.
    package var id: String
    package var uuid: String
    package var host: String
    /// Place on the host.
    package var index: Int
    /// Labels while it belongs to nobody.
    package var labels: Labels

    package init(uuid: String, host: String, index: Int, labels: Labels) {
        id = "nvidia/\(uuid)"
        self.uuid = uuid
        self.host = host
        self.index = index
        self.labels = labels
    }

    static let model = "h100-sxm5-80gb"
    static let marketingName = "NVIDIA H100 80GB HBM3"

    /// A UUID in the vendor's form, from the stream of the device.
    static func uuid(from stream: UInt64) -> String {
        let high = Noise.bits(stream, 0, .identity)
        let low = Noise.bits(stream, 1, .identity)
        let digits = padded(high) + padded(low)
        var text = "GPU-"
        for (place, digit) in digits.enumerated() {
            if [8, 12, 16, 20].contains(place) { text.append("-") }
            text.append(digit)
        }
        return text
    }

    private static func padded(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

extension FleetPlan {
    /// The devices in order of host and place.
    func identities() -> [DeviceIdentity] {
        let noise = Noise(seed: seed)
        return (0..<deviceCount).map { ordinal in
            let host = ordinal / devicesPerHost
            let labels = Labels([
                .region: region, .cluster: cluster, .rack: rackName(ofHost: host),
                .host: FleetPlan.hostName(host), .vendor: "nvidia", .model: DeviceIdentity.model,
                .kind: "gpu",
            ])
            return DeviceIdentity(
                uuid: DeviceIdentity.uuid(from: noise.stream(.device, ordinal)),
                host: FleetPlan.hostName(host), index: ordinal % devicesPerHost, labels: labels)
        }
    }

    /// `gpu-node-0001` is host 0.
    package static func hostName(_ host: Int) -> String { "gpu-node-\(numbered(host + 1, 4))" }

    package func rackName(ofHost host: Int) -> String {
        "r\(FleetPlan.numbered(host / hostsPerRack + 1, 2))"
    }

    static func numbered(_ number: Int, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    /// The labels of a device while it belongs to `workload`.
    func labels(of identity: DeviceIdentity, ordinal: Int, in workload: Workload) -> Labels {
        var labels = identity.labels
        labels[.team] = workload.team
        labels[.workload] = workload.kind.rawValue
        switch workload.kind {
        case .inference: labels[.service] = workload.name
        case .notebook: labels[.job] = workload.name
        case .train:
            labels[.job] = workload.name
            labels[.rank] = String(ordinal - workload.devices.lowerBound)
        }
        return labels
    }
}
