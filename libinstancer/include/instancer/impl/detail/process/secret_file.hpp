// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <instancer/detail/config.hpp>
#include <instancer/detail/crypto/random_bytes.hpp>
#include <instancer/detail/process/open_inside.hpp>
#include <instancer/detail/process/secret_file.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/text/hex.hpp>

namespace instancer::detail {

INSTANCER_DECL Result<UniqueFd> open_directory_inside(int root, const std::string& path)
{
    auto directory = open_inside(root, path, O_RDONLY | O_DIRECTORY);
    if (!directory)
        return fail(last_error(), "opening the directory " + path);
    return directory;
}

INSTANCER_DECL Result<void> write_secret_file(int directory, const std::string& name, std::string_view text,
                                              mode_t mode, const FileOwner& owner)
{
    const auto draft = "." + to_hex(random_bytes(8));
    const UniqueFd file(::openat(directory, draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!file)
        return fail(last_error(), "making the file " + name);
    const auto line = std::string(text) + "\n";
    const bool written = ::write(file.get(), line.data(), line.size()) == static_cast<ssize_t>(line.size()) &&
                         // In this order, because the mode of another user's file takes a further capability.
                         ::fchmod(file.get(), mode) == 0 && ::fchown(file.get(), owner.uid, owner.gid) == 0 &&
                         ::renameat(directory, draft.c_str(), directory, name.c_str()) == 0;
    if (written)
        return {};
    const auto error = last_error();
    ::unlinkat(directory, draft.c_str(), 0);
    return fail(error, "writing the file " + name);
}

}  // namespace instancer::detail
