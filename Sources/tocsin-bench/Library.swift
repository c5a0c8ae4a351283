import Glibc

typealias KernelCall =
    @convention(c) (
        UnsafeMutablePointer<Float>, UnsafePointer<UInt32>, UnsafePointer<Int32>,
        UnsafePointer<Float>, Int, UnsafePointer<Float>, UnsafeMutablePointer<UInt16>, Int
    ) -> Void

/// The denominators, in a library that is opened at run time: nothing that we ship links it.
///
/// Opened once and kept until the process ends.
@safe
struct Library {
    let kernel: KernelCall
    let kernelFused: KernelCall
    let kernelPlain: KernelCall
    let stream: @convention(c) (UnsafeMutablePointer<Float>, Int) -> Void
    let pages: @convention(c) (Int) -> UnsafeMutableRawPointer?
    let release: @convention(c) (UnsafeMutableRawPointer, Int) -> Void
    let jsonNew: @convention(c) (UnsafePointer<CChar>) -> UnsafeMutableRawPointer?
    let jsonTick:
        @convention(c) (
            UnsafeMutableRawPointer, UnsafePointer<CChar>, Int, UnsafeMutableRawPointer
        ) -> Int32
    let jsonPadding: Int
    let kernelName: String
    let jsonName: String

    init(path: String) throws(BenchError) {
        guard let handle = unsafe dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
            let reason = unsafe dlerror().map { unsafe String(cString: $0) } ?? "no reason given"
            throw BenchError(
                "cannot open the denominators: \(reason); run scripts/build-bench.sh first")
        }
        func symbol<T>(_ name: String, as type: T.Type) throws(BenchError) -> T {
            guard let address = unsafe dlsym(handle, name) else {
                throw BenchError(
                    "\(path) has no \(name): it is older than this benchmark; "
                        + "run scripts/build-bench.sh")
            }
            return unsafe unsafeBitCast(address, to: type)
        }
        typealias Text = @convention(c) () -> UnsafePointer<CChar>
        func text(_ name: String) throws(BenchError) -> String {
            let call = try unsafe symbol(name, as: Text.self)
            return unsafe String(cString: call())
        }
        unsafe kernel = try symbol("tocsin_kernel", as: KernelCall.self)
        unsafe kernelFused = try symbol("tocsin_kernel_fused", as: KernelCall.self)
        unsafe kernelPlain = try symbol("tocsin_kernel_plain", as: KernelCall.self)
        unsafe stream = try symbol(
            "tocsin_stream", as: (@convention(c) (UnsafeMutablePointer<Float>, Int) -> Void).self)
        unsafe pages = try symbol(
            "tocsin_pages", as: (@convention(c) (Int) -> UnsafeMutableRawPointer?).self)
        unsafe release = try symbol(
            "tocsin_release", as: (@convention(c) (UnsafeMutableRawPointer, Int) -> Void).self)
        unsafe jsonNew = try symbol(
            "tocsin_json_new",
            as: (@convention(c) (UnsafePointer<CChar>) -> UnsafeMutableRawPointer?).self)
        unsafe jsonTick = try symbol(
            "tocsin_json_tick",
            as: (@convention(c) (
                UnsafeMutableRawPointer, UnsafePointer<CChar>, Int, UnsafeMutableRawPointer
            ) -> Int32).self)
        jsonPadding = Int(
            try symbol("tocsin_json_padding", as: (@convention(c) () -> Int32).self)())
        kernelName = try text("tocsin_kernel_name")
        let version = try text("tocsin_json_version")
        let isa = try text("tocsin_json_isa")
        jsonName = "simdjson \(version) On-Demand (\(isa))"
    }
}
