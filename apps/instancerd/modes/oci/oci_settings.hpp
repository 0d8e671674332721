// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include <instancer/backend/oci_store.hpp>

namespace instancer::daemon {

/// Containers that are started without an engine. What they share with those of an engine is in DockerOptions.
class OciSettings {
public:
    std::string root;                                 ///< Path of the files that all containers share.
    std::string archive;                              ///< Of an image, in place of `root`.
    std::string store = OciStore::default_directory;  ///< Where images are unpacked.
    std::string runtime;                              ///< Empty: crun, or else runc.

    OciSettings() = default;
};

}  // namespace instancer::daemon
