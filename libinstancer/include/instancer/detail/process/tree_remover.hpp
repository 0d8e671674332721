// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <instancer/detail/socket/socket_stream.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// Removes whatever instances wrote below a directory of ours in which nobody else can make anything.
///
/// A tree is taken apart from its top: each directory in it is first moved to one flat place, so that depth costs
/// neither descriptors nor memory, and no path and no `..` is followed that somebody could still change. A mount cannot
/// be moved, and so its contents stay. What cannot be removed is moved aside, for whoever reads the log.
///
/// Threads: one remover of a directory at a time.
class TreeRemover {
public:
    /// Told of what cannot be removed, with the remedy. May be empty.
    using Report = std::function<void(const std::string&)>;

    /// `stop` may be set from any thread; then removing ends early.
    TreeRemover(std::string directory, Report report, const std::atomic<bool>* stop = nullptr)
        : path_(std::move(directory)), report_(std::move(report)), stop_(stop)
    {
        top_.reset(open_directory(AT_FDCWD, path_.c_str()));
    }

    /// Takes the entry `name` of `directory` to where nobody else finds it, if that is possible at once.
    static void hide(const std::string& directory, const std::string& name)
    {
        const auto flat = directory + "/" + flat_name;
        ::mkdir(flat.c_str(), 0700);
        static_cast<void>(std::rename((directory + "/" + name).c_str(), (flat + "/of-" + name).c_str()));
    }

    /// Removes the entry `name` of the directory, and what is hidden.
    void remove(const std::string& name)
    {
        if (top_ && !take_away(top_.get(), name.c_str()))
            report(path_ + "/" + name, errno);
        empty_flat();
    }

    /// Removes the directory with all that is in it.
    void remove_all()
    {
        if (!top_)
            return errno == ENOENT ? void() : report(path_, errno);
        // What a run before us has moved aside is tried again.
        const auto take = [this](const char* name) {
            return name != std::string_view(flat_name) && take_away(top_.get(), name);
        };
        while (for_each_entry(top_.get(), take)) {}
        for_each_entry(top_.get(), [&](const char* name) {
            if (name != std::string_view(flat_name) && !take(name))
                report(path_ + "/" + name, errno);
            return false;
        });
        empty_flat();
        for (const auto* name : {flat_name, aside_name})
            ::unlinkat(top_.get(), name, AT_REMOVEDIR);
        if (!stopped() && ::rmdir(path_.c_str()) != 0 && errno != ENOENT && !reported_)
            report(path_, errno);
    }

private:
    static constexpr auto flat_name = ".removing", aside_name = ".kept";
    static constexpr int most_passes = 8;

    class Directory {
    public:
        explicit Directory(UniqueFd fd) : stream_(::fdopendir(fd.get()))
        {
            if (stream_ != nullptr)
                fd.release();
        }
        Directory(const Directory&) = delete;
        ~Directory()
        {
            if (stream_ != nullptr)
                ::closedir(stream_);
        }
        explicit operator bool() const noexcept { return stream_ != nullptr; }
        const dirent* next() noexcept { return ::readdir(stream_); }

    private:
        DIR* stream_;
    };

    bool stopped() const noexcept { return gave_up_ || (stop_ != nullptr && stop_->load(std::memory_order_relaxed)); }

    static int open_directory(int at, const char* name) noexcept
    {
        return ::openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }

    /// Gives us back what an instance forbade in a directory of ours.
    static bool open_up(int at, const char* name) noexcept
    {
        const UniqueFd entry(::openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        return entry && ::chmod(("/proc/self/fd/" + std::to_string(entry.get())).c_str(), 0700) == 0;
    }

    /// Calls `visit` with each name; whether any call returned true.
    template <class Visit>
    bool for_each_entry(int at, const Visit& visit)
    {
        Directory directory{UniqueFd(open_directory(at, "."))};
        bool any = false;
        if (directory)
            while (const dirent* entry = directory.next()) {
                const std::string_view name = entry->d_name;
                if (name != "." && name != ".." && !stopped())
                    any = visit(entry->d_name) || any;
            }
        return any;
    }

    /// Removes an entry, or moves it to the flat place. False: neither is possible, with `errno`.
    bool take_away(int at, const char* name)
    {
        if (::unlinkat(at, name, 0) == 0 || errno == ENOENT)
            return true;
        // Who is not allowed to unlink a directory gets either of these, and EPERM for what is immutable as well.
        if (errno != EISDIR && errno != EPERM)
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

    bool move(int at, const char* name, int to)
    {
        if (to < 0)
            return false;
        const auto moved = [&] { return ::renameat(at, name, to, std::to_string(++last_number_).c_str()) == 0; };
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

    /// Empties the flat place, to which what is in there comes as well.
    void empty_flat()
    {
        if (flat() < 0)
            return;
        while (!stopped() && for_each_entry(flat_.get(), [this](const char* name) {
            empty(name);
            return true;
        })) {}
    }

    /// Removes one directory of the flat place; what it holds and cannot be removed is moved aside with it.
    void empty(const char* name)
    {
        int error = 0;
        std::string stuck;
        for (int pass = 0; pass < most_passes && !stopped(); ++pass) {
            if (::unlinkat(flat_.get(), name, AT_REMOVEDIR) == 0 || errno == ENOENT)
                return;
            error = errno;
            stuck.clear();
            const auto take = [&](int directory, const char* entry) {
                if (take_away(directory, entry))
                    return true;
                error = errno;
                stuck = entry;
                return false;
            };
            const UniqueFd directory = open_in_flat(name);
            if (!directory)
                error = errno;
            if (!directory || !for_each_entry(directory.get(), [&](const char* e) { return take(directory.get(), e); }))
                break;
        }
        if (!stopped())
            keep(name, stuck, error);
    }

    /// A directory that can be read and written to, whatever its instance forbade.
    UniqueFd open_in_flat(const char* name)
    {
        UniqueFd directory(open_directory(flat_.get(), name));
        if (!directory && errno == EACCES && open_up(flat_.get(), name))
            directory.reset(open_directory(flat_.get(), name));
        if (directory)
            ::fchmod(directory.get(), 0700);
        return directory;
    }

    void keep(const char* name, const std::string& stuck, int error)
    {
        const bool moved = move(flat_.get(), name, aside());
        const auto place = moved ? path_ + "/" + aside_name + "/" + std::to_string(last_number_)
                                 : path_ + "/" + flat_name + "/" + name;
        report(stuck.empty() ? place : place + "/" + stuck, error);
        gave_up_ = !moved;
    }

    void report(const std::string& what, int error)
    {
        reported_ = true;
        const auto* remedy = error == EPERM   ? "; it may be immutable: chattr -i it, and remove it"
                             : error == EBUSY ? "; it may be a mount: umount it, and remove it"
                                              : "; remove it by hand";
        if (report_)
            report_(what + " cannot be removed: " + std::error_code(error, std::system_category()).message() + remedy);
    }

    int flat() { return place(flat_, flat_name); }
    int aside() { return place(aside_, aside_name); }

    int place(UniqueFd& fd, const char* name)
    {
        if (!fd && (::mkdirat(top_.get(), name, 0700) == 0 || errno == EEXIST))
            fd.reset(open_directory(top_.get(), name));
        return fd.get();
    }

    std::string path_;
    Report report_;
    const std::atomic<bool>* stop_;
    UniqueFd top_, flat_, aside_;
    std::uint64_t last_number_ = 0;
    bool reported_ = false;
    bool gave_up_ = false;  ///< Since what cannot be removed cannot be moved aside either.
};

}  // namespace instancer::detail
