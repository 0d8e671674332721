// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include <instancer/backend/oci_image.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer {

/// What is read from an archive, and how much of it at most.
class OciImport {
public:
    std::uint64_t most_bytes = std::uint64_t{16} << 30;  ///< Of all layers, unpacked.
    std::size_t most_entries = 100'000;                  ///< Files, directories and links of all layers.
    /// `OS/ARCHITECTURE` or `OS/ARCHITECTURE/VARIANT`, as in `linux/amd64`; empty for one that this machine runs.
    std::string platform;
    std::stop_token stop;  ///< Ends the import soon, with Errc::cancelled.

    OciImport() = default;
};

/// Images on disk, each unpacked once and named by the digest of its configuration.
///
/// The directory is open to its owner alone, since unpacked programs may be setuid, and one process at a time has it.
/// Root gives files the owners and capabilities that the image names; with any other user all files are that user's.
/// Threads: one call at a time.
class OciStore {
public:
    /// Where images are unless told otherwise.
    static constexpr auto default_directory = "/var/lib/instancerd/oci";

    /// Makes the directory if there is none, locks it for as long as the object lives, and removes what an interrupted
    /// import has left.
    ///
    /// Errors: Errc::bad_request when it is another user's or open to others, Errc::backend_unavailable when another
    /// process has it; what the system reports.
    static Result<OciStore> open(std::filesystem::path directory);

    /// The image in `archive`, as `docker save` writes it or as an archive of an OCI image layout, which may be
    /// compressed. Unpacks it unless the store has it. A failure leaves nothing that counts as an image.
    ///
    /// Time: reads the archive's index; of an image that is new, all of it.
    /// Cancellation: by `import.stop`, from any thread.
    /// Errors: Errc::bad_request names what the archive has that no image should; what the system reports.
    Result<OciImage> import_archive(const std::filesystem::path& archive, const OciImport& import = {});

    /// The digest that `import_archive` would give the image in `archive`. Unpacks nothing.
    ///
    /// Errors: as `import_archive`.
    Result<std::string> digest_of(const std::filesystem::path& archive, const OciImport& import = {});

    /// Removes the images of all other digests than these, and returns which.
    ///
    /// Errors: what the system reports; images before that are removed.
    Result<std::vector<std::string>> prune(const std::vector<std::string>& used_digests);

private:
    OciStore(std::filesystem::path directory, UniqueFd lock);

    std::filesystem::path directory_;
    UniqueFd lock_;
};

}  // namespace instancer
