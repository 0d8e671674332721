// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string_view>

#include <dirent.h>

namespace instancer::detail {

/// Reads the entries of a directory, `size` bytes of them at a time. Unlike readdir(3) it takes no memory from the
/// allocator, which may be locked for good where a process with several threads has forked.
///
/// Lifetime: the descriptor must outlive it.
template <std::size_t size>
class DirectoryEntries {
public:
    explicit DirectoryEntries(int directory) : directory_(directory) {}

    /// The next one but for `.` and `..`, until the next call; null at the end.
    const dirent64* next() noexcept
    {
        for (;;) {
            if (at_ == end_ && !read())
                return nullptr;
            const auto* entry = reinterpret_cast<const dirent64*>(buffer_ + at_);
            at_ += entry->d_reclen;
            const std::string_view name = entry->d_name;
            if (name != "." && name != "..")
                return entry;
        }
    }

private:
    bool read() noexcept
    {
        const auto count = ::getdents64(directory_, buffer_, size);
        at_ = 0;
        end_ = count > 0 ? static_cast<std::size_t>(count) : 0;
        return end_ != 0;
    }

    const int directory_;
    std::size_t at_ = 0, end_ = 0;
    alignas(dirent64) char buffer_[size];
};

}  // namespace instancer::detail
