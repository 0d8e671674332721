// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include <sys/stat.h>
#include <unistd.h>

#include <instancer/backend/process_options.hpp>
#include <instancer/result.hpp>

namespace instancer::detail {

/// Where an instance's own environment lets it look for programs, unless it is configured otherwise.
inline constexpr std::string_view default_search_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Null when `path` can be executed, else why it cannot.
inline const char* execution_problem(const std::string& path) noexcept
{
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0)
        return std::strerror(errno);
    if (S_ISDIR(status.st_mode))
        return "is a directory";
    return S_ISREG(status.st_mode) && ::access(path.c_str(), X_OK) == 0 ? nullptr : "is not executable";
}

/// What the command of `options` starts: a path as it is written, anything else as found along the PATH that the
/// instance will have. A path below `{dir}` is taken as it is, because it is not there yet.
///
/// Errors: Errc::bad_request, with the remedy.
inline Result<std::string> find_program(const ProcessOptions& options)
{
    const auto& name = options.command.front();
    const auto varies = [](const std::string& text) { return text.find("{dir}") != std::string::npos; };
    if (name.find('/') != std::string::npos) {
        const bool relative = name.front() != '/';
        if (varies(name) || (relative && varies(options.working_directory)))
            return name;
        const bool elsewhere = relative && !options.working_directory.empty();
        const auto problem = execution_problem(elsewhere ? options.working_directory + "/" + name : name);
        if (!problem)
            return name;
        const bool is_file = problem == std::string_view("is not executable");
        return fail(Errc::bad_request,
                    name + ": " + problem + "; " +
                        (is_file ? "chmod +x it, or name its interpreter first" : "correct the path"));
    }
    std::string path(default_search_path);
    for (const auto& [key, value] : options.env)
        if (key == "PATH")
            path = value;
    for (std::size_t begin = 0; begin <= path.size();) {
        const auto end = std::min(path.find(':', begin), path.size());
        const auto directory = path.substr(begin, end - begin);
        // A relative directory would be another one for the instance.
        if (const auto candidate = directory + "/" + name; directory.starts_with('/') && !execution_problem(candidate))
            return candidate;
        begin = end + 1;
    }
    const auto local = (options.working_directory.empty() ? "." : options.working_directory) + "/" + name;
    if (!execution_problem(local))
        return fail(Errc::bad_request,
                    "there is no program '" + name + "' in " + path + "; did you mean ./" + name + "?");
    return fail(Errc::bad_request, "there is no program '" + name + "' in " + path +
                                       "; install it, write its path, or set PATH in its environment");
}

}  // namespace instancer::detail
