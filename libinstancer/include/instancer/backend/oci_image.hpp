// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace instancer {

/// The files of an image, and how the image says that its program is started.
class OciImage {
public:
    std::filesystem::path root;  ///< Absolute path of its files. Every instance shares them: mount it read-only.
    std::string digest;          ///< Of its configuration, which names it: `sha256:` and 64 digits.
    std::vector<std::string> entrypoint;  ///< What the program's arguments begin with.
    std::vector<std::string> command;     ///< What follows `entrypoint` unless the operator names a command.
    std::vector<std::pair<std::string, std::string>> env;  ///< Names and values.
    std::string user;                                      ///< As `USER` has it, for `find_oci_user`; empty for root.
    std::string working_directory;                         ///< Absolute; `/` if the image says nothing.
    std::vector<std::uint16_t> exposed_ports;              ///< Of TCP, in ascending order.
    std::vector<std::string> volumes;                      ///< Absolute paths that the image wants to be writable.

    OciImage() = default;
};

}  // namespace instancer
