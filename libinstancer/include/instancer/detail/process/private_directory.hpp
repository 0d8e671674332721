// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <instancer/backend/process_options.hpp>
#include <instancer/result.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// Where directories of instances are made.
inline std::filesystem::path temporary_root()
{
    std::error_code error;
    auto path = std::filesystem::temp_directory_path(error);
    return error ? std::filesystem::path("/tmp") : path;
}

/// Locks a directory for as long as the descriptor is open anywhere; none when somebody else has locked it.
inline UniqueFd lock_directory(const std::string& path)
{
    UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (directory && ::flock(directory.get(), LOCK_EX | LOCK_NB) != 0)
        directory.reset();
    return directory;
}

/// A directory that holds one private directory per instance.
class PrivateDirectory {
public:
    static Result<PrivateDirectory> create(const std::string& name)
    {
        const auto path = (temporary_root() / name).string();
        // Passable, so that an instance that runs as another user reaches its own directory; not readable.
        if (::mkdir(path.c_str(), 0711) != 0 || ::chmod(path.c_str(), 0711) != 0)
            return fail(last_error(), "making the directory " + path);
        return PrivateDirectory(path, lock_directory(path));
    }

    /// Tells a next run that this directory is still somebody's, the cleanup process included.
    const UniqueFd& lock() const noexcept { return lock_; }

    /// Where the directory `name` is, or will be.
    std::string path_of(const std::string& name) const { return path_ + "/" + name; }

    /// Makes a directory for one instance, a copy of `source` unless that is empty, which belongs to `user`. What was
    /// made before a failure stays, for the caller to remove.
    Result<void> add(const std::string& name, const std::string& source, const ProcessUser* user)
    {
        namespace fs = std::filesystem;
        const auto path = path_of(name);
        std::error_code error;
        if (::mkdir(path.c_str(), 0700) != 0)
            return fail(last_error(), "making the directory " + path);
        if (!source.empty())
            fs::copy(source, path, fs::copy_options::recursive | fs::copy_options::copy_symlinks, error);
        if (!error && user)
            error = give_to(path, *user);
        if (error)
            return fail(error, source.empty() ? "preparing " + path : "copying " + source + " to " + path);
        return {};
    }

    const std::string& path() const noexcept { return path_; }

private:
    PrivateDirectory(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}

    static std::error_code give_to(const std::string& path, const ProcessUser& user)
    {
        namespace fs = std::filesystem;
        std::error_code error;
        const auto give = [&](const std::string& file) {
            if (!error && ::lchown(file.c_str(), user.uid(), user.gid()) != 0)
                error = last_error();
        };
        for (fs::recursive_directory_iterator at(path, error), end; !error && at != end; at.increment(error))
            give(at->path().string());
        // Last: until then nobody else can reach what is in it and put a link in our way.
        give(path);
        return error;
    }

    std::string path_;
    UniqueFd lock_;
};

}  // namespace instancer::detail
