// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target is compiled with the same, strictest settings.
let house: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
    .enableUpcomingFeature("ImmutableWeakCaptures"),
]

func stage(_ name: String, _ dependencies: Target.Dependency...) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: house)
}

/// The inner loops for one instruction set; the same source in each, through symbolic links.
///
/// The flag reaches the Swift code through its importer of C. Elsewhere than on x86-64 all are alike.
/// Optimised in every configuration: without, an object for AVX-512 holds shared copies of the
/// standard library's operators, which the linker may hand to all.
func kernel(_ name: String, march: String? = nil) -> Target {
    var settings = house + [.unsafeFlags(["-O"])]
    #if arch(x86_64)
    if let march { settings.append(.unsafeFlags(["-Xcc", "-march=\(march)"])) }
    #endif
    return .target(name: name, dependencies: ["CLanes"], swiftSettings: settings)
}

/// A C library of the system, by its pkg-config and its Debian name.
func system(_ name: String, _ pkgConfig: String, _ package: String) -> Target {
    .systemLibrary(
        name: name, path: "Sources/System/\(name)", pkgConfig: pkgConfig,
        providers: [.apt([package])])
}

func tests(_ name: String, _ dependencies: Target.Dependency...) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: dependencies + ["TestSupport"], swiftSettings: house)
}

let package = Package(
    name: "tocsin",
    products: [
        .executable(name: "tocsin", targets: ["tocsin"]),
        .executable(name: "tocsin-mockbroker", targets: ["tocsin-mockbroker"]),
    ],
    targets: [
        // The pure core, in the order data flows through it.
        stage("Fleet"),
        system("CYAML", "yaml-0.1", "libyaml-dev"),
        stage("Configuration", "CYAML"),
        .systemLibrary(name: "CLanes", path: "Sources/System/CLanes"),
        kernel("KernelBaseline"),
        kernel("KernelV3", march: "x86-64-v3"),
        kernel("KernelV4", march: "x86-64-v4"),
        stage("RollingStatistics", "CLanes", "KernelBaseline", "KernelV3", "KernelV4"),
        stage("Bytes", "CLanes", "KernelBaseline", "KernelV3", "KernelV4"),
        stage("Telemetry", "Fleet", "Bytes"),
        stage("Detection", "CLanes", "Fleet", "RollingStatistics", "Telemetry"),
        stage("Rules", "Fleet", "Configuration", "RollingStatistics", "Telemetry", "Detection"),
        stage("Incidents", "Fleet", "Configuration", "Rules"),
        stage("Escalation", "Fleet", "Configuration", "Rules", "Incidents"),

        // The doors: each owns the memory of a C library, and nobody else is unsafe.
        system("CRdKafka", "rdkafka", "librdkafka-dev"),
        system("CCurl", "libcurl", "libcurl4-openssl-dev"),
        system("CMicrohttpd", "libmicrohttpd", "libmicrohttpd-dev"),
        system("CCrypto", "libcrypto", "libssl-dev"),
        system("CSQLite", "sqlite3", "libsqlite3-dev"),
        system("CSystemd", "libsystemd", "libsystemd-dev"),
        stage("Observability", "Fleet", "CSystemd"),
        stage("Kafka", "CRdKafka"),
        stage("HTTP", "CCrypto", "CCurl", "CMicrohttpd"),
        stage("SQLite", "CSQLite"),

        // The edges, where pages leave, the record is kept and people look in.
        stage("Notification", "Fleet", "Escalation", "Observability", "HTTP"),
        stage("Ledger", "Fleet", "Rules", "Incidents", "Escalation", "Observability", "SQLite"),
        stage(
            "Console", "Fleet", "Rules", "Incidents", "Escalation", "Observability", "HTTP",
            "Ledger"),

        // The whole, assembled once.
        stage(
            "Daemon", "Fleet", "Configuration", "Telemetry", "Detection", "Rules", "Incidents",
            "Escalation", "Observability", "Kafka", "HTTP", "Notification", "Ledger", "Console"),
        stage("Simulation", "Fleet", "Telemetry", "Kafka", "Observability", "Daemon"),
        .executableTarget(
            name: "tocsin", dependencies: ["Console", "Daemon", "Simulation"], swiftSettings: house),
        .executableTarget(
            name: "tocsin-mockbroker", dependencies: ["CRdKafka"], swiftSettings: house),
        .executableTarget(
            name: "tocsin-bench",
            dependencies: [
                "Fleet", "Configuration", "KernelBaseline", "RollingStatistics", "Telemetry",
                "Detection", "Rules",
                "Kafka", "Daemon", "Simulation",
            ],
            swiftSettings: house),

        .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: house),
        .target(name: "CAllocations", path: "Tests/CAllocations"),
        tests("Tidy"),
        tests("Fleet", "Fleet"),
        tests("Configuration", "Configuration"),
        tests("RollingStatistics", "KernelBaseline", "RollingStatistics"),
        tests("Telemetry", "Telemetry", "Fleet", "KernelBaseline", "Bytes", "CAllocations"),
        tests("Detection", "Detection", "Fleet", "RollingStatistics", "Telemetry"),
        tests(
            "Rules", "Rules", "Fleet", "Configuration", "Detection", "Telemetry", "Simulation"),
        tests("Incidents", "Incidents", "Fleet", "Configuration", "Rules"),
        tests("Escalation", "Escalation", "Fleet", "Configuration", "Incidents", "Rules"),
        tests("Edge", "Fleet", "Configuration", "HTTP", "Observability", "SQLite"),
        tests("Kafka", "Kafka", "CRdKafka"),
        tests("Notification", "Notification", "Fleet", "Escalation", "HTTP", "Observability"),
        tests("Ledger", "Ledger", "Fleet", "Incidents", "Escalation", "Rules", "SQLite"),
        tests(
            "Console", "Console", "Fleet", "Rules", "Incidents", "Escalation", "HTTP", "Ledger"),
        tests("Daemon", "Daemon", "Fleet", "Configuration", "Kafka", "Rules"),
        tests("Simulation", "Simulation", "Fleet", "Telemetry"),
        tests(
            "Acceptance", "CRdKafka", "Console", "Fleet", "HTTP", "Kafka", "Ledger", "Rules",
            "Simulation", "Telemetry"),
    ]
)
