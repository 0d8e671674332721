// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include <sys/mman.h>

namespace instancer::detail {

/// Asks for huge pages where a block is large: entries of a large table lie far apart, and with pages of 4 KiB each
/// visit to one misses the translation buffer as well.
template <class T>
class HugePageAllocator {
public:
    using value_type = T;

    HugePageAllocator() = default;
    template <class U>
    HugePageAllocator(const HugePageAllocator<U>&) noexcept
    {
    }

    T* allocate(std::size_t count)
    {
        if (!is_large(count))
            return std::allocator<T>().allocate(count);
        if (count > static_cast<std::size_t>(-1) / 2 / sizeof(T))
            throw std::bad_array_new_length();
        const std::size_t size = (count * sizeof(T) + huge_page - 1) / huge_page * huge_page;
        void* block = std::aligned_alloc(huge_page, size);
        if (!block)
            throw std::bad_alloc();
        ::madvise(block, size, MADV_HUGEPAGE);  // Where there are none, small ones do.
        return static_cast<T*>(block);
    }

    void deallocate(T* block, std::size_t count) noexcept
    {
        if (is_large(count))
            std::free(block);
        else
            std::allocator<T>().deallocate(block, count);
    }

    friend bool operator==(const HugePageAllocator&, const HugePageAllocator&) noexcept { return true; }

private:
    static constexpr std::size_t huge_page = std::size_t{2} << 20;

    static bool is_large(std::size_t count) noexcept { return count >= 2 * huge_page / sizeof(T); }
};

/// A vector that may become large and is visited at random.
template <class T>
using LargeVector = std::vector<T, HugePageAllocator<T>>;

}  // namespace instancer::detail
