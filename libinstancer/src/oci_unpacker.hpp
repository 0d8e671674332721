// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include <archive_entry.h>
#include <sys/stat.h>

#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

#include "oci_stream.hpp"

namespace instancer::detail::inline oci {

/// Puts the layers of an image on top of each other, in a directory that nobody else can change.
///
/// Names are looked up as a process that has it as its root directory does, so that no entry gets outside of it.
class OciUnpacker {
public:
    /// `removed` is an empty directory of the same file system, for what later layers remove. Limits hold for all
    /// layers.
    OciUnpacker(UniqueFd root, UniqueFd removed, std::uint64_t most_bytes, std::size_t most_entries);

    /// Adds one layer, a tar archive.
    ///
    /// Errors: Errc::bad_request names the entry that no image should have; what the system reports.
    Result<void> add_layer(OciStream& tar);

private:
    /// Where an entry goes.
    class Place {
    public:
        std::string path;    ///< Without `.` and `..`; empty for the root directory.
        std::string parent;  ///< Of `path`, likewise.
        std::string leaf;    ///< `.` for the root directory.
    };

    static Result<std::string> clean_path(const std::string& name);
    static Result<Place> place_of(const std::string& name);

    Result<void> add(OciReader& reader, archive_entry* entry);
    Result<void> count(archive_entry* entry);
    Result<void> count_entry();
    Result<void> add_at(OciReader& reader, archive_entry* entry, const Place& place, int parent);
    Result<void> add_file(OciReader& reader, archive_entry* entry, const Place& place, int parent);
    Result<void> add_directory(archive_entry* entry, const Place& place, int parent);
    Result<void> add_symbolic_link(archive_entry* entry, const Place& place, int parent);
    Result<void> add_hard_link(archive_entry* entry, const Place& place, int parent);
    Result<void> set_attributes(archive_entry* entry, int parent, const std::string& leaf, mode_t type);
    Result<void> white_out(const Place& place);

    /// Calls `make`, once more without what is in its way if there is something.
    Result<void> replace(int parent, const std::string& leaf, const std::function<bool()>& make);
    Result<void> remove(int parent, const std::string& leaf);
    /// Removes what this layer has not brought from a directory, in whose own directories too.
    Result<void> remove_lower(int parent, const std::string& leaf, int depth = 0);

    /// The directory of an entry, which stays open until the next call; made if there is none.
    Result<int> open_parent(const std::string& path);
    Result<UniqueFd> make_directories(const std::string& path);
    /// A directory that no entry tells of; none with `errno`.
    UniqueFd make_directory(int parent, const std::string& leaf);
    /// Whether this layer has brought what is there.
    bool is_new(int parent, const std::string& leaf, struct stat& status) const;
    void note_new(int parent, const std::string& leaf);
    void set_directory_times();

    UniqueFd root_, removed_;
    std::uint64_t bytes_left_;
    std::size_t entries_left_;
    bool is_root_;

    std::unordered_set<ino_t> new_;  ///< What the current layer has brought.
    std::vector<std::pair<Place, timespec>> directory_times_;
    std::uint64_t removed_count_ = 0;
    UniqueFd parent_;
    std::optional<std::string> parent_path_;  ///< Of `parent_`; none once it may be elsewhere.
};

}  // namespace instancer::detail::inline oci
