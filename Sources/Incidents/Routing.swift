package import Fleet

/// What the gathering of findings asks of others: the policy, and who knows the fleet.
package struct Routing {
    /// Where a finding goes.
    package struct Group: Hashable, Sendable {
        package var route: String
        /// Whether different symptoms of one node are different incidents.
        package var bySymptom: Bool

        package init(route: String, bySymptom: Bool) {
            self.route = route
            self.bySymptom = bySymptom
        }
    }

    package var group: (Matcher.Facts) -> Group
    /// Ids of the devices that belong to a host, a rack, a job or a cluster; empty where unknown.
    package var members: (Entity) -> [String]
    package var explains: [String: Set<String>]
    /// Events of which several on one host within `burstWindow` are one incident, such as XIDs.
    package var isBurst: (Matcher.Facts) -> Bool
    package var burstWindow: Duration

    package init(
        group: @escaping (Matcher.Facts) -> Group,
        members: @escaping (Entity) -> [String] = { _ in [] },
        explains: [String: Set<String>] = [:],
        isBurst: @escaping (Matcher.Facts) -> Bool = { _ in false },
        burstWindow: Duration = .seconds(60)
    ) {
        self.group = group
        self.members = members
        self.explains = explains
        self.isBurst = isBurst
        self.burstWindow = burstWindow
    }

    func relates(_ cause: String, to effect: String) -> Bool {
        cause == effect || explains[cause]?.contains(effect) == true
            || explains[cause]?.contains("*") == true
    }
}
