// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include <instancer/detail/pool/large_vector.hpp>
#include <instancer/identity.hpp>

namespace instancer::detail {

inline constexpr std::uint32_t no_index = 0xffffffff;

/// Finds the index of a record by its Digest: open addressing with linear probing, 8 bytes a slot. The digests stay in
/// the records; a slot keeps 32 bits of each, which place it and tell most others apart without a look at the record.
class DigestIndex {
public:
    /// `digest_of(index)` is the digest of a record.
    template <class DigestOf>
    std::uint32_t find(const Digest& digest, const DigestOf& digest_of) const
    {
        if (slots_.empty())
            return no_index;
        const auto tag = tag_of(digest);
        for (std::size_t at = home_of(tag);; at = next(at)) {
            const Slot& slot = slots_[at];
            if (slot.index == no_index)
                return no_index;
            if (slot.tag == tag && digest_of(slot.index) == digest)
                return slot.index;
        }
    }

    /// `digest` must not be there yet.
    void insert(const Digest& digest, std::uint32_t index)
    {
        if ((count_ + 1) * 4 > slots_.size() * 3)
            grow();
        Slot slot;
        slot.tag = tag_of(digest);
        slot.index = index;
        place(slot);
        ++count_;
    }

    /// `digest` must be there with this index. Backward-shift deletion (Knuth, TAOCP 6.4, algorithm R): no tombstones.
    void erase(const Digest& digest, std::uint32_t index)
    {
        const std::size_t mask = slots_.size() - 1;
        std::size_t hole = home_of(tag_of(digest));
        while (slots_[hole].index != index)
            hole = next(hole);
        for (std::size_t at = next(hole); slots_[at].index != no_index; at = next(at))
            if (((at - home_of(slots_[at].tag)) & mask) >= ((at - hole) & mask)) {
                slots_[hole] = slots_[at];
                hole = at;
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

    static std::uint32_t tag_of(const Digest& digest) noexcept { return static_cast<std::uint32_t>(digest.hash()); }
    std::size_t home_of(std::uint32_t tag) const noexcept { return tag & (slots_.size() - 1); }
    std::size_t next(std::size_t at) const noexcept { return (at + 1) & (slots_.size() - 1); }

    void place(const Slot& slot)
    {
        std::size_t at = home_of(slot.tag);
        while (slots_[at].index != no_index)
            at = next(at);
        slots_[at] = slot;
    }

    void grow()
    {
        LargeVector<Slot> old(slots_.empty() ? 16 : slots_.size() * 2);
        old.swap(slots_);
        for (const Slot& slot : old)
            if (slot.index != no_index)
                place(slot);
    }

    LargeVector<Slot> slots_;
    std::size_t count_ = 0;
};

}  // namespace instancer::detail
