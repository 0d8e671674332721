// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <climits>
#include <cstring>

#include <unistd.h>

#include <instancer/detail/config.hpp>
#include <instancer/detail/process/tree_remover.hpp>
#include <instancer/system/last_error.hpp>

namespace instancer::detail {

INSTANCER_DECL void TreeRemover::hide(const std::string& directory, const std::string& name)
{
    const auto flat = directory + "/" + flat_name;
    ::mkdir(flat.c_str(), 0700);
    static_cast<void>(std::rename((directory + "/" + name).c_str(), (flat + "/of-" + name).c_str()));
}

INSTANCER_DECL void TreeRemover::remove_all()
{
    if (!top_)
        return errno == ENOENT ? void() : report(errno, {path_});
    // What a run before us has moved aside is tried again.
    const auto take = [this](const dirent64& entry) {
        return entry.d_name != std::string_view(flat_name) && take_away(top_.get(), entry);
    };
    while (for_each_entry(top_.get(), take)) {}
    for_each_entry(top_.get(), [&](const dirent64& entry) {
        if (entry.d_name != std::string_view(flat_name) && !take(entry))
            report(errno, {path_, "/", entry.d_name});
        return false;
    });
    empty_flat();
    for (const auto* name : {flat_name, aside_name})
        ::unlinkat(top_.get(), name, AT_REMOVEDIR);
    if (!stopped() && ::rmdir(path_.c_str()) != 0 && errno != ENOENT && !reported_)
        report(errno, {path_});
}

INSTANCER_DECL TreeRemover::NumberedName::NumberedName(std::string_view prefix, std::uint64_t number)
{
    const auto end = prefix.copy(text_, prefix.size());
    *std::to_chars(text_ + end, text_ + sizeof text_ - 1, number).ptr = '\0';
}

INSTANCER_DECL bool TreeRemover::open_up(int at, const char* name) noexcept
{
    const UniqueFd entry(::openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    return entry && ::chmod(NumberedName("/proc/self/fd/", static_cast<unsigned>(entry.get())).c_str(), 0700) == 0;
}

INSTANCER_DECL bool TreeRemover::take_away(int at, const char* name, bool is_directory)
{
    if (!is_directory && (::unlinkat(at, name, 0) == 0 || errno == ENOENT))
        return true;
    // Who is not allowed to unlink a directory gets either of these, and EPERM for what is immutable as well.
    if (!is_directory && errno != EISDIR && errno != EPERM)
        return false;
    const int error = errno;
    if (::unlinkat(at, name, AT_REMOVEDIR) == 0)
        return true;
    if (errno == ENOTDIR) {
        errno = error;
        return false;
    }
    return errno != EBUSY && move(at, name, flat());
}

INSTANCER_DECL bool TreeRemover::move(int at, const char* name, int to)
{
    if (to < 0)
        return false;
    const auto moved = [&] { return ::renameat(at, name, to, NumberedName("", ++last_number_).c_str()) == 0; };
    while (!moved()) {
        if (errno == EEXIST || errno == ENOTEMPTY)
            continue;  // A name that a run before us has left.
        // To move a directory is to write to it.
        if (errno != EACCES || !open_up(at, name) || !moved())
            return false;
        break;
    }
    return true;
}

INSTANCER_DECL void TreeRemover::empty_flat()
{
    if (flat() < 0)
        return;
    while (!stopped() && for_each_entry(flat_.get(), [this](const dirent64& entry) {
        empty(entry.d_name);
        return true;
    })) {}
}

INSTANCER_DECL void TreeRemover::empty(const char* name)
{
    int error = 0;
    char stuck[NAME_MAX + 1];
    bool went_on = true;
    for (int pass = 0; pass < most_passes && went_on && !stopped(); ++pass) {
        stuck[0] = '\0';
        const UniqueFd directory = open_in_flat(name);
        error = directory ? 0 : errno;
        went_on = directory && for_each_entry(directory.get(), [&](const dirent64& entry) {
                      if (take_away(directory.get(), entry))
                          return true;
                      error = errno;
                      std::strcpy(stuck, entry.d_name);
                      return false;
                  });
        if (::unlinkat(flat_.get(), name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return;
        if (error == 0)
            error = errno;
    }
    if (!stopped())
        keep(name, stuck, error);
}

INSTANCER_DECL UniqueFd TreeRemover::open_in_flat(const char* name)
{
    UniqueFd directory(open_directory(flat_.get(), name));
    if (!directory && errno == EACCES && open_up(flat_.get(), name))
        directory.reset(open_directory(flat_.get(), name));
    if (directory)
        ::fchmod(directory.get(), 0700);
    return directory;
}

INSTANCER_DECL void TreeRemover::keep(const char* name, std::string_view stuck, int error)
{
    gave_up_ = !move(flat_.get(), name, aside());
    const NumberedName moved("", last_number_);
    report(error, {path_, "/", gave_up_ ? flat_name : aside_name, "/", gave_up_ ? name : moved.c_str(),
                   stuck.empty() ? "" : "/", stuck});
}

INSTANCER_DECL void TreeRemover::report(int error, std::initializer_list<std::string_view> path)
{
    reported_ = true;
    if (!report_)
        return;
    std::string what;
    for (const auto part : path)
        what += part;
    const auto* remedy = error == EPERM   ? "; it may be immutable: chattr -i it, and remove it"
                         : error == EBUSY ? "; it may be a mount: umount it, and remove it"
                                          : "; remove it by hand";
    report_(what + " cannot be removed: " + system_error(error).message() + remedy);
}

INSTANCER_DECL int TreeRemover::place(UniqueFd& fd, const char* name)
{
    if (!fd && (::mkdirat(top_.get(), name, 0700) == 0 || errno == EEXIST))
        fd.reset(open_directory(top_.get(), name));
    return fd.get();
}

}  // namespace instancer::detail
