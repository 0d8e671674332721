// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <instancer/identity.hpp>

namespace instancer::detail {

inline constexpr std::uint32_t no_index = 0xffffffff;

/// Finds the index of a record by its Digest: open addressing with linear probing, 8 bytes a slot. The digests
/// themselves stay in the records, which `digest_of(index)` reads.
class DigestIndex {
public:
    template <class DigestOf>
    std::uint32_t find(const Digest& digest, const DigestOf& digest_of) const
    {
        if (slots_.empty())
            return no_index;
        const auto tag = tag_of(digest);
        for (std::size_t at = home_of(digest.hash());; at = next(at)) {
            const Slot& slot = slots_[at];
            if (slot.index == no_index)
                return no_index;
            if (slot.tag == tag && digest_of(slot.index) == digest)
                return slot.index;
        }
    }

    /// `digest` must not be there yet.
    template <class DigestOf>
    void insert(const Digest& digest, std::uint32_t index, const DigestOf& digest_of)
    {
        if ((count_ + 1) * 4 > slots_.size() * 3)
            grow(digest_of);
        place(digest, index);
        ++count_;
    }

    /// Backward-shift deletion (Knuth, TAOCP 6.4, algorithm R): no tombstones.
    template <class DigestOf>
    void erase(const Digest& digest, std::uint32_t index, const DigestOf& digest_of)
    {
        std::size_t hole = home_of(digest.hash());
        while (slots_[hole].index != index)
            hole = next(hole);
        for (std::size_t at = next(hole); slots_[at].index != no_index; at = next(at)) {
            const std::size_t home = home_of(digest_of(slots_[at].index).hash());
            const std::size_t mask = slots_.size() - 1;
            if (((at - home) & mask) >= ((at - hole) & mask)) {
                slots_[hole] = slots_[at];
                hole = at;
            }
        }
        slots_[hole] = Slot();
        --count_;
    }

    std::size_t size() const noexcept { return count_; }

private:
    struct Slot {
        std::uint32_t tag = 0;
        std::uint32_t index = no_index;
    };

    static std::uint32_t tag_of(const Digest& digest) noexcept { return static_cast<std::uint32_t>(digest.hash() >> 32); }
    std::size_t home_of(std::uint64_t hash) const noexcept { return hash & (slots_.size() - 1); }
    std::size_t next(std::size_t at) const noexcept { return (at + 1) & (slots_.size() - 1); }

    void place(const Digest& digest, std::uint32_t index)
    {
        std::size_t at = home_of(digest.hash());
        while (slots_[at].index != no_index)
            at = next(at);
        slots_[at].tag = tag_of(digest);
        slots_[at].index = index;
    }

    template <class DigestOf>
    void grow(const DigestOf& digest_of)
    {
        std::vector<Slot> old(slots_.empty() ? 16 : slots_.size() * 2);
        old.swap(slots_);
        for (const Slot& slot : old)
            if (slot.index != no_index)
                place(digest_of(slot.index), slot.index);
    }

    std::vector<Slot> slots_;
    std::size_t count_ = 0;
};

}  // namespace instancer::detail
