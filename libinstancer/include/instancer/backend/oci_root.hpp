// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <instancer/backend/container_options.hpp>

namespace instancer {

/// A root directory of containers that is put together from files of the host. All of it is read-only.
class OciRoot {
public:
    /// A path in it, with what is there.
    using Entry = std::pair<std::string, std::string>;

    /// What programs of this host need to run: programs and libraries, certificates, the time zone, an empty /home, and
    /// lists of users and groups that name root and nobody alone.
    static OciRoot of_host();

    /// Whether nothing of the host is in it.
    bool empty() const noexcept { return binds.empty(); }

    /// Adds `path` of the host at the same path, as a link where it is one into what is there already. A path that does
    /// not exist is left out.
    void add(const std::filesystem::path& path);

    /// Whether `path` of the host is in it at the same path, and so is the place that its links lead to.
    bool shows(const std::filesystem::path& path) const;

    std::vector<ContainerMount> binds;     ///< Files and directories of the host, without what is mounted below them.
    std::vector<Entry> links;              ///< Symbolic links.
    std::vector<Entry> files;              ///< Files of its own.
    std::vector<std::string> directories;  ///< Empty directories.

    OciRoot() = default;
};

}  // namespace instancer
