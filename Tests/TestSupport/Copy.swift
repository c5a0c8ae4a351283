package import Foundation

/// Copies what lies in one folder into a new one, as the files of whoever runs the tests.
///
/// FileManager's own copy gives them the owner of the originals, which only root and that owner may.
package func copyFiles(of folder: URL, to copy: URL) throws {
    try FileManager.default.createDirectory(at: copy, withIntermediateDirectories: true)
    for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
        try Data(contentsOf: folder.appending(path: name)).write(to: copy.appending(path: name))
    }
}
