// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <instancer/detail/process/directory_entries.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// Removes whatever instances wrote below a directory of ours in which nobody else can make anything.
///
/// A tree is taken apart from its top: each directory in it is first moved to one flat place, so that depth costs
/// neither descriptors nor memory, and no path and no `..` is followed that somebody could still change. A mount cannot
/// be moved, and so its contents stay. What cannot be removed is moved aside, for whoever reads the log.
///
/// Without a report it allocates nothing: the cleanup process uses it in memory that it was forked from.
///
/// Lifetime: the name of the directory must outlive it.
/// Threads: one remover of a directory at a time.
class TreeRemover {
public:
    /// Told of what cannot be removed, with the remedy. May be empty.
    using Report = std::function<void(const std::string&)>;

    /// `stop` may be set from any thread; then removing ends early.
    TreeRemover(const std::string& directory, Report report, const std::atomic<bool>* stop = nullptr)
        : path_(directory), report_(std::move(report)), stop_(stop)
    {
        top_.reset(open_directory(AT_FDCWD, path_.c_str()));
    }

    /// Takes the entry `name` of `directory` to where nobody else finds it, if that is possible at once.
    static void hide(const std::string& directory, const std::string& name);

    /// Removes the entry `name` of the directory, and what is hidden.
    void remove(const std::string& name)
    {
        if (top_ && !take_away(top_.get(), name.c_str()))
            report(errno, {path_, "/", name});
        empty_flat();
    }

    /// Removes the directory with all that is in it.
    void remove_all();

private:
    static constexpr auto flat_name = ".removing", aside_name = ".kept";
    /// A guess: one pass is enough unless a process still writes there.
    static constexpr int most_passes = 8;

    /// `prefix` and a number.
    class NumberedName {
    public:
        NumberedName(std::string_view prefix, std::uint64_t number);

        const char* c_str() const noexcept { return text_; }

    private:
        char text_[40];
    };

    bool stopped() const noexcept { return gave_up_ || (stop_ != nullptr && stop_->load(std::memory_order_relaxed)); }

    static int open_directory(int at, const char* name) noexcept
    {
        return ::openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }

    /// Gives us back what an instance forbade in a directory of ours.
    static bool open_up(int at, const char* name) noexcept;

    /// Calls `visit` with each entry; whether any call returned true.
    template <class Visit>
    bool for_each_entry(int at, const Visit& visit)
    {
        const UniqueFd directory(open_directory(at, "."));
        DirectoryEntries<32 * 1024> entries(directory.get());
        bool any = false;
        while (const auto* entry = entries.next())
            if (!stopped())
                any = visit(*entry) || any;
        return any;
    }

    /// Removes an entry, or moves it to the flat place. False: neither is possible, with `errno`.
    bool take_away(int at, const char* name, bool is_directory = false);
    bool take_away(int at, const dirent64& entry) { return take_away(at, entry.d_name, entry.d_type == DT_DIR); }

    bool move(int at, const char* name, int to);

    /// Empties the flat place, to which what is in there comes as well.
    void empty_flat();

    /// Removes one directory of the flat place; what it holds and cannot be removed is moved aside with it.
    void empty(const char* name);

    /// A directory that can be read and written to, whatever its instance forbade.
    UniqueFd open_in_flat(const char* name);

    /// `stuck` is what cannot be removed in it; empty when that is not known.
    void keep(const char* name, std::string_view stuck, int error);

    /// `path` is what cannot be removed, in parts.
    void report(int error, std::initializer_list<std::string_view> path);

    int flat() { return place(flat_, flat_name); }
    int aside() { return place(aside_, aside_name); }

    int place(UniqueFd& fd, const char* name);

    const std::string& path_;
    const Report report_;
    const std::atomic<bool>* stop_;
    UniqueFd top_, flat_, aside_;
    std::uint64_t last_number_ = 0;
    bool reported_ = false;
    bool gave_up_ = false;  ///< Since what cannot be removed cannot be moved aside either.
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/process/tree_remover.hpp>
#endif
