import Glibc

/// What a number is worth without the machine that it came from: nothing.
enum Machine {
    static func describe(_ library: Library) {
        let cores = sysconf(Int32(_SC_NPROCESSORS_ONLN))
        print("processor     \(field("model name", in: "/proc/cpuinfo") ?? "unknown")")
        print("cores         \(cores)")
        print("ISA           \(isa)")
        print("kernel        \(firstLine("/proc/sys/kernel/osrelease") ?? "unknown")")
        let pages = firstLine("/sys/kernel/mm/transparent_hugepage/enabled") ?? "unknown"
        print("huge pages    \(pages)")
        print("load          \(firstLine("/proc/loadavg") ?? "unknown")")
        print("denominators  \(library.kernelName); \(library.jsonName)")
        print("librdkafka    \(librdkafka ?? "not found")")
    }

    /// The widest of the three that this processor runs, by the flags the kernel shows.
    static var isa: String {
        let flags = Set((field("flags", in: "/proc/cpuinfo") ?? "").split(separator: " "))
        let v3: [Substring] = ["avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"]
        let v4: [Substring] = ["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]
        guard v3.allSatisfy(flags.contains) else { return "baseline" }
        return v4.allSatisfy(flags.contains) ? "x86-64-v4" : "x86-64-v3"
    }

    /// Bytes that may be used without swapping; 4 GiB where the system does not say.
    static var memoryAvailable: Int { bytes("MemAvailable", in: "/proc/meminfo") ?? 4 << 30 }

    /// A field that the kernel gives in kB.
    static func bytes(_ name: String, in path: String) -> Int? {
        let text = field(name, in: path)?.drop { $0 == "\t" || $0 == " " }.split(separator: " ")
            .first
        return text.flatMap { Int($0) }.map { $0 * 1_024 }
    }

    /// What a baseline must have been measured on to mean anything here.
    static var name: String {
        "\(field("model name", in: "/proc/cpuinfo") ?? "unknown"), "
            + "\(sysconf(Int32(_SC_NPROCESSORS_ONLN))) cores, \(isa), "
            + "librdkafka \(librdkafka ?? "not found")"
    }

    /// Asked of the library itself: the one that runs is not always the one of the headers.
    private static var librdkafka: String? {
        guard let handle = unsafe dlopen("librdkafka.so.1", RTLD_LAZY | RTLD_LOCAL),
            let address = unsafe dlsym(handle, "rd_kafka_version_str")
        else { return nil }
        typealias Version = @convention(c) () -> UnsafePointer<CChar>
        let version = unsafe unsafeBitCast(address, to: Version.self)
        return unsafe String(cString: version())
    }

    private static func firstLine(_ path: String) -> String? {
        lines(path).first.map(String.init)
    }

    private static func field(_ name: String, in path: String) -> String? {
        for line in lines(path) where line.hasPrefix(name) {
            guard let colon = line.firstIndex(of: ":") else { continue }
            return String(line[line.index(after: colon)...].drop { $0 == " " })
        }
        return nil
    }

    private static func lines(_ path: String) -> [Substring] {
        guard let file = unsafe fopen(path, "r") else { return [] }
        defer { unsafe fclose(file) }
        var text: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let read = unsafe fread(&chunk, 1, chunk.count, file)
            guard read > 0 else { break }
            text += chunk[..<read]
        }
        return String(decoding: text, as: UTF8.self).split(separator: "\n")
    }
}
