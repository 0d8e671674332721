// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <sys/stat.h>

#include <instancer/backend/process_options.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/process/binary_formats.hpp>
#include <instancer/result.hpp>

namespace instancer {

namespace detail {

/// Where an instance's own environment lets it look for programs, unless it is configured otherwise.
inline constexpr std::string_view default_search_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whether a path can be executed.
enum class Execution { possible, unknown_path, directory, not_permitted };

/// After `unknown_path`, `errno` says why it cannot be looked at.
INSTANCER_DECL Execution execution_of(const std::string& path) noexcept;

inline constexpr std::string_view no_program = "is neither a program nor a script whose first line names its "
                                               "interpreter; let it begin with #!/bin/sh or the like, "
                                               "or name its interpreter first";

/// Whether a text begins with what editors on Windows put there, in UTF-8 or UTF-16.
inline bool begins_with_byte_order_mark(std::string_view text) noexcept
{
    return text.starts_with("\xef\xbb\xbf") || text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff");
}

/// What keeps a file that may be executed from running, and the remedy; nothing for a program, a script whose
/// interpreter can be run, and whatever cannot be read.
///
/// Source: execve(2).
INSTANCER_DECL std::string trouble_of(const std::string& path,
                                      const std::filesystem::path& formats = formats_directory);

}  // namespace detail

/// The program of the command of `options`: a path as it is written, anything else as found along the PATH that the
/// instance will have. A path below `{dir}` is taken as it is, because it is not there yet.
///
/// Errors: Errc::bad_request, with the remedy; also when the command is empty.
INSTANCER_DECL Result<std::string> find_program(const ProcessOptions& options);

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/backend/find_program.hpp>
#endif
