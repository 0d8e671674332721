// SPDX-License-Identifier: MIT
#include "oci_program.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <sys/stat.h>

#include <instancer/backend/find_program.hpp>
#include <instancer/detail/process/open_inside.hpp>
#include <instancer/detail/text/contains_path.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/text/split.hpp>

#include "oci_spec.hpp"

namespace instancer::detail::inline oci {

namespace {

/// Where a program is looked for that is named without a directory.
std::string search_path(const OciOptions& options)
{
    for (const auto* env : {&options.env, &options.image.env}) {
        const auto set =
            std::find_if(env->rbegin(), env->rend(), [](const auto& entry) { return entry.first == "PATH"; });
        if (set != env->rend())
            return set->second;
    }
    return std::string(default_search_path);
}

/// The paths that the program may have.
std::vector<std::string> candidates(const OciOptions& options, const std::string& program)
{
    const std::filesystem::path directory(options.image.working_directory.empty() ? "/"
                                                                                  : options.image.working_directory);
    if (program.find('/') != program.npos)
        return {(directory / program).lexically_normal().string()};
    std::vector<std::string> paths;
    for (const auto& part : split(search_path(options), ':'))
        paths.push_back((directory / part / program).lexically_normal().string());
    return paths;
}

bool is_mounted(const OciOptions& options, const std::string& path)
{
    return std::ranges::any_of(options.mounts, [&](const auto& mount) { return is_below(path, mount.target); });
}

bool is_program(int root, const std::string& path)
{
    const auto file = open_inside(root, path, O_PATH);
    struct stat status {};
    return file && ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 0111) != 0;
}

}  // namespace

Result<void> check_program(const OciOptions& options)
{
    const UniqueFd root(::open(options.image.root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root)
        return fail(last_error(), "opening the directory " + options.image.root.string());
    const auto program = container_command(options).front();
    const auto paths = candidates(options, program);
    const auto is_there = [&](const auto& path) { return is_mounted(options, path) || is_program(root.get(), path); };
    if (std::ranges::any_of(paths, is_there))
        return {};
    const bool is_path = program.find('/') != program.npos;
    return fail(Errc::bad_request, "its files have no program " + program +
                                       (is_path ? std::string() : " in " + search_path(options)) +
                                       "; correct the command");
}

}  // namespace instancer::detail::inline oci
