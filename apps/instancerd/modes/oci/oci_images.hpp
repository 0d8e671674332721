// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <iosfwd>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>

#include <instancer/backend/oci_store.hpp>

#include "config/problem.hpp"
#include "config/settings.hpp"

namespace instancer::daemon {

/// The images of all services of a daemon, in stores that no other daemon can use for as long as this lives.
///
/// Threads: any.
class OciImages {
public:
    /// The image in `archive`, unpacked unless the store in `directory` has it.
    ///
    /// Time: blocks; of an image that is new, all of it is read.
    /// Cancellation: by `stop`; an import that waits for another one to end, after that.
    Result<OciImage> import(const std::string& archive, const std::string& directory, const std::stop_token& stop);

private:
    std::mutex mutex_;
    std::map<std::filesystem::path, OciStore> stores_;
};

/// Why containers without an engine cannot start here, and what is wrong with their files. Each archive is unpacked for
/// that, to where nothing of it remains.
Problems check_containers(const Settings& settings);

/// Removes the images that no service uses from the stores of the configuration, and writes which to `out`.
Parsed<void> prune_images(const Settings& settings, std::ostream& out);

}  // namespace instancer::daemon
