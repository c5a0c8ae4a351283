import Glibc

/// Why a lock was not given.
package enum FileLockError: Error, Equatable {
    /// Another process, or another owner in this one, holds it; the holder in its own words.
    case held(by: String)
    /// The lock file cannot be opened or locked: errno and its words.
    case failed(code: Int32, reason: String)
}

/// Sole ownership of a directory, by `flock` on a file in it, for as long as the value lives.
///
/// The kernel gives the lock back when the process ends, however it ends. The file stays: removing
/// it would let two owners hold locks on two files of one name.
@safe
package struct FileLock: ~Copyable {
    private let file: Int32

    /// Takes the lock at once or not at all, and writes into the file who holds it.
    package static func take(_ path: String) throws(FileLockError) -> FileLock {
        let file = unsafe open(path, O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0o640)
        guard file >= 0 else { throw failure() }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            let error = errno == EWOULDBLOCK ? FileLockError.held(by: holder(file)) : failure()
            close(file)
            throw error
        }
        let lock = FileLock(file: file)
        var host = [CChar](repeating: 0, count: 256)
        unsafe gethostname(&host, host.count - 1)
        let name = String(
            decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let line = Array("\(getpid()) \(name)\n".utf8)
        // Only words for the next one who asks: a full disk must not keep the lock from its owner.
        if ftruncate(file, 0) == 0 { unsafe pwrite(file, line, line.count, 0) }
        return lock
    }

    private init(file: Int32) { self.file = file }

    /// A child that is being started holds a copy of every descriptor until its program is loaded: given
    /// back by closing alone, the lock would stay with it for that moment.
    deinit {
        flock(file, LOCK_UN)
        close(file)
    }

    private static func failure() -> FileLockError {
        let code = errno
        return .failed(code: code, reason: unsafe String(cString: strerror(code)))
    }

    private static func holder(_ file: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 300)
        let count = unsafe pread(file, &bytes, bytes.count, 0)
        let words = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
            .split { $0 == " " || $0 == "\n" }
        guard let first = words.first, let process = Int32(first) else { return "another process" }
        return words.count > 1 ? "process \(process) on \(words[1])" : "process \(process)"
    }
}
