// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include <instancer/backend/instance_secret.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// Opens the directory `path` as a process with the root directory `root` sees it: no link leads out of that.
Result<UniqueFd> open_directory_inside(int root, const std::string& path);

/// Writes `text` and a newline to the file `name`, which is replaced as a whole if it is there, whatever it is.
Result<void> write_secret_file(int directory, const std::string& name, std::string_view text, mode_t mode,
                               const FileOwner& owner);

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/process/secret_file.hpp>
#endif
