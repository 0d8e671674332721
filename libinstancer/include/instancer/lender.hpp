// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>

#include <instancer/result.hpp>

namespace instancer {

/// A stream that exists in this process alone, as a bridge sees it that wants to copy nothing out of it and to keep no
/// coroutine waiting: it lends what is to be read next, and calls when there is something new.
///
/// Lifetime: that of the stream.
/// Threads: the executor of the stream.
class Lender {
public:
    /// The reader that borrows.
    class Borrower {
    public:
        /// Takes of `data`, which has just come for a stream that holds nothing else, what can be delivered right now.
        /// What is left of it is lent later.
        ///
        /// Threads: called while somebody else writes: nothing may be ended, written or borrowed here.
        virtual std::size_t offer(std::span<const std::byte> data) noexcept = 0;

        /// Something else than before is to be seen: bytes, an end, room. Look later, not now.
        virtual void changed() noexcept = 0;

    protected:
        ~Borrower() = default;
    };

    /// From now on `borrower` is called; nobody when it is null.
    ///
    /// Lifetime: `borrower` must stay until another one is set.
    virtual void set_borrower(Borrower* borrower) noexcept = 0;

    /// What is to be read next; it stays until `consume` is called. Nothing at all means the end of the stream.
    ///
    /// Errors: asio::error::would_block, asio::error::connection_reset.
    virtual Result<std::span<const std::byte>> peek() = 0;

    /// So many bytes of what was lent have been delivered.
    virtual void consume(std::size_t count) = 0;

    /// Nothing more can be delivered: what is there may go, and nothing more need come.
    virtual void discard_input() = 0;

    /// How many bytes a write takes right now; `changed` is called when it was 0 and is not any more.
    virtual std::size_t writable_bytes() = 0;

protected:
    ~Lender() = default;
};

}  // namespace instancer
