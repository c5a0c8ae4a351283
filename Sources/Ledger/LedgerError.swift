import Glibc
package import SQLite

/// Why the record cannot be opened, read or written, in words for the person who must act.
package enum LedgerError: Error, Equatable, CustomStringConvertible {
    case directoryMissing(String)
    case notADirectory(String)
    /// The directory or file, this process's user id, and the system's words.
    case notWritable(String, user: UInt32, reason: String)
    /// The directory, and the holder in its own words.
    case locked(String, by: String)
    case diskFull(String, DatabaseError)
    case corrupt(String, reason: String)
    /// The file is a sound database of some other program, with its `application_id`.
    case foreign(String, applicationID: Int64)
    case newerSchema(String, found: Int, known: Int)
    /// There is no ledger to read yet, or one that only its owner can bring up to date.
    case notYetWritten(String)
    case notDurable(String, DatabaseError)
    case busy(String, DatabaseError)
    /// A value that has no JSON form; nothing of its write was stored.
    case unencodable(String, reason: String)
    case failed(String, asked: String, DatabaseError)

    /// Whether the same call may succeed later without anybody touching the file.
    ///
    /// After any other error the process should end and let its successor read what is there.
    package var mayRetry: Bool {
        switch self {
        case .diskFull, .busy: true
        default: false
        }
    }

    package var description: String {
        switch self {
        case .directoryMissing(let path):
            "open the ledger: the state directory \(path) does not exist. Create it for the user "
                + "that runs tocsin, or set StateDirectory= in the unit"
        case .notADirectory(let path):
            "open the ledger: \(path) is not a directory. Name a directory as state directory"
        case .notWritable(let path, let user, let reason):
            "open the ledger: \(path) cannot be written by uid \(user): \(reason). "
                + "Run `chown -R \(user)` on it, or run tocsin as its owner; under systemd check "
                + "StateDirectory= and ReadWritePaths="
        case .locked(let path, let holder):
            "open the ledger: \(path) is in use by \(holder). Two daemons cannot share a state "
                + "directory: stop the other one, or give this one its own directory"
        case .diskFull(let file, let error):
            "write \(file): \(error.reason). Nothing of this step was stored; free space on its "
                + "file system. The step is tried again"
        case .corrupt(let file, let reason):
            "read \(file): the database is damaged (\(reason)). It was left as it is. Stop tocsin, "
                + "keep the file with its -wal (`mv`, do not delete), try `sqlite3 \(file) "
                + ".recover`, or start with an empty ledger: incidents that still fire are found "
                + "again and page again; acknowledgements are lost"
        case .foreign(let file, let applicationID):
            "open \(file): it belongs to another program (application_id \(applicationID)). It was "
                + "not touched; name another state directory"
        case .newerSchema(let file, let found, let known):
            "open \(file): it was written by a newer tocsin (schema \(found)); this one knows up "
                + "to schema \(known). It was not touched; install the newer version again, or "
                + "restore the copy from before the upgrade"
        case .notYetWritten(let file):
            "read \(file): it holds no record of this version yet. Start tocsin on this state "
                + "directory once"
        case .notDurable(let file, let error):
            "open \(file): commits would not be safe on the disk: \(error.reason). Put the state "
                + "directory on a local file system"
        case .busy(let file, let error):
            "write \(file): another program holds its lock (\(error.reason)). Close any sqlite3 "
                + "prompt on it. The step is tried again"
        case .unencodable(let what, let reason):
            "store \(what): it has no JSON form (\(reason)). Nothing of this step was stored; "
                + "please report this"
        case .failed(let file, let asked, let error):
            "\(asked) \(file): \(error). Check the disk and the system log; restart tocsin, which "
                + "reads what was stored"
        }
    }

    /// Sorts what SQLite said into what a person can do.
    init(_ error: DatabaseError, file: String, asked: String) {
        self =
            switch error.kind {
            case .diskFull: .diskFull(file, error)
            case .corrupt, .notADatabase: .corrupt(file, reason: error.reason)
            case .busy: .busy(file, error)
            case .notDurable: .notDurable(file, error)
            case .cannotOpen, .readOnly: .notWritable(file, user: geteuid(), reason: error.reason)
            default: .failed(file, asked: asked, error)
            }
    }
}
