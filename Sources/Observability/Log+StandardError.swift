package import Fleet
import Glibc

extension Log {
    /// What the service manager connected standard error to.
    ///
    /// `JOURNAL_STREAM` alone does not tell: a child may have inherited it and been redirected.
    package static var formatOfStandardError: LogFormat {
        var state = stat()
        guard let stream = unsafe getenv("JOURNAL_STREAM"), unsafe fstat(2, &state) == 0 else {
            return .text
        }
        return format(
            journalStream: unsafe String(cString: stream), device: UInt64(state.st_dev),
            inode: UInt64(state.st_ino))
    }

    /// `JOURNAL_STREAM` is `<device>:<inode>` in decimal (systemd.exec(5)).
    package static func format(
        journalStream: String, device: UInt64, inode: UInt64
    ) -> LogFormat {
        journalStream == "\(device):\(inode)" ? .journal : .text
    }

    package static let wallClock: @Sendable () -> Instant = {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return Instant(milliseconds: Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000)
    }

    /// One call for one line, so that lines of two threads never mix; a closed stream is nobody's
    /// loss, and a log must not stop the daemon.
    package static let writeToStandardError: @Sendable ([UInt8]) -> Void = { line in
        unsafe line.withUnsafeBytes { bytes in
            var rest = unsafe bytes[...]
            while unsafe !rest.isEmpty {
                let part = unsafe UnsafeRawBufferPointer(rebasing: rest)
                let count = unsafe Glibc.write(2, part.baseAddress, part.count)
                guard count > 0 || (count < 0 && errno == EINTR) else { return }
                unsafe rest = rest.dropFirst(max(0, count))
            }
        }
    }
}
