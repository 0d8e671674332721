// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <instancer/detail/pool/digest_index.hpp>

namespace instancer::detail {

/// A record's place in an IndexList.
struct ListLinks {
    static constexpr std::uint32_t nowhere = no_index - 1;

    std::uint32_t previous = no_index;
    std::uint32_t next = nowhere;
    bool linked() const noexcept { return next != nowhere; }
};

/// For an IndexList: the ListLinks that are `member` of each of `records`, a vector or the like.
template <auto member, class Records>
auto links_in(Records& records)
{
    return [&records](std::uint32_t index) -> ListLinks& { return records[index].*member; };
}

/// A doubly linked list of records that are named by index; `links_of(index)` is a record's ListLinks. What is there
/// already is not added again, and what is not there is not removed.
class IndexList {
public:
    template <class LinksOf>
    void push_back(std::uint32_t index, const LinksOf& links_of)
    {
        insert(index, last_, no_index, links_of);
    }

    template <class LinksOf>
    void push_front(std::uint32_t index, const LinksOf& links_of)
    {
        insert(index, no_index, first_, links_of);
    }

    template <class LinksOf>
    void erase(std::uint32_t index, const LinksOf& links_of)
    {
        ListLinks& at = links_of(index);
        if (!at.linked())
            return;
        (at.previous == no_index ? first_ : links_of(at.previous).next) = at.next;
        (at.next == no_index ? last_ : links_of(at.next).previous) = at.previous;
        at = ListLinks();
        --size_;
    }

    std::uint32_t first() const noexcept { return first_; }
    std::uint32_t last() const noexcept { return last_; }
    std::uint32_t size() const noexcept { return size_; }

private:
    template <class LinksOf>
    void insert(std::uint32_t index, std::uint32_t previous, std::uint32_t next, const LinksOf& links_of)
    {
        ListLinks& at = links_of(index);
        if (at.linked())
            return;
        at.previous = previous;
        at.next = next;
        (previous == no_index ? first_ : links_of(previous).next) = index;
        (next == no_index ? last_ : links_of(next).previous) = index;
        ++size_;
    }

    std::uint32_t first_ = no_index, last_ = no_index, size_ = 0;
};

/// An IndexList that knows its first record alone, in a third of the memory.
class IndexStack {
public:
    template <class LinksOf>
    void push_front(std::uint32_t index, const LinksOf& links_of)
    {
        ListLinks& at = links_of(index);
        if (at.linked())
            return;
        at.next = first_;
        if (first_ != no_index)
            links_of(first_).previous = index;
        first_ = index;
    }

    template <class LinksOf>
    void erase(std::uint32_t index, const LinksOf& links_of)
    {
        ListLinks& at = links_of(index);
        if (!at.linked())
            return;
        (at.previous == no_index ? first_ : links_of(at.previous).next) = at.next;
        if (at.next != no_index)
            links_of(at.next).previous = at.previous;
        at = ListLinks();
    }

    std::uint32_t first() const noexcept { return first_; }

private:
    std::uint32_t first_ = no_index;
};

}  // namespace instancer::detail
