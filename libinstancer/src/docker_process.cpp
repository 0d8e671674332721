// SPDX-License-Identifier: MIT
#include "docker_process.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string_view>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <instancer/detail/process/secret_file.hpp>
#include <instancer/system/last_error.hpp>

namespace instancer::detail::inline docker {

namespace {

/// The number after that word of /proc/PID/status which counts for files.
unsigned effective_id(int pid, std::string_view word)
{
    std::ifstream status("/proc/" + std::to_string(pid) + "/status");
    for (std::string name; status >> name; status.ignore(std::numeric_limits<std::streamsize>::max(), '\n')) {
        unsigned real = 0, effective = 0;
        if (name == word && status >> real >> effective)
            return effective;
    }
    return 0;
}

}  // namespace

Result<UniqueFd> open_process_entry(int pid, const std::string& id, const std::string& entry, int flags)
{
    const auto process = "/proc/" + std::to_string(pid);
    UniqueFd fd(::open((process + "/" + entry).c_str(), flags | O_CLOEXEC));
    if (!fd)
        return fail(Errc::start_failed, Error(last_error(), "opening " + entry + " of its process").message());
    // Asked after the opening: a process that still is the container's now was so then, too.
    std::ifstream file(process + "/cgroup");
    const std::string cgroups{std::istreambuf_iterator<char>(file), {}};
    if (cgroups.find(id) == cgroups.npos)
        return fail(Errc::start_failed, "its process cannot be seen from here");
    return fd;
}

Result<void> write_secret(int pid, const std::string& id, const InstanceSecret& secret, const std::string& text)
{
    const FileOwner process_owner(effective_id(pid, "Uid:"), effective_id(pid, "Gid:"));
    const auto root = open_process_entry(pid, id, "root", O_PATH | O_DIRECTORY);
    if (!root)
        return fail(root.error());
    const std::filesystem::path path(secret.file);
    const auto directory = open_directory_inside(root->get(), path.parent_path());
    if (!directory)
        return fail(directory.error());
    return write_secret_file(directory->get(), path.filename(), text, secret.mode,
                             secret.owner.value_or(process_owner));
}

}  // namespace instancer::detail::inline docker
