// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <deque>
#include <memory>
#include <span>
#include <utility>

namespace instancer::detail {

/// Bytes that several queues refer to. They are written once; there may be room for more behind them.
class Chunk {
public:
    explicit Chunk(std::size_t capacity)
        : bytes_(std::make_unique_for_overwrite<std::byte[]>(capacity)), capacity_(capacity)
    {
    }

    std::size_t room() const noexcept { return capacity_ - size_; }

    /// Copies `data`, for which there must be room, and returns where it is.
    std::span<const std::byte> append(std::span<const std::byte> data) noexcept
    {
        const std::span<const std::byte> copy(bytes_.get() + size_, data.size());
        std::memcpy(bytes_.get() + size_, data.data(), data.size());
        size_ += data.size();
        return copy;
    }

private:
    std::unique_ptr<std::byte[]> bytes_;
    std::size_t capacity_;
    std::size_t size_ = 0;
};

/// Bytes to come, in order, as parts of chunks that other queues may hold as well.
class ChunkQueue {
public:
    bool empty() const noexcept { return parts_.empty(); }

    /// Bytes, and what it takes to remember where they are: so a bound on it bounds memory, however small the parts.
    std::size_t cost() const noexcept { return size_ + parts_.size() * sizeof(Part); }

    std::size_t size() const noexcept { return size_; }

    /// The first bytes of a queue that is not empty.
    std::span<const std::byte> front() const noexcept { return parts_.front().bytes; }

    /// Drops so many of `front()`.
    void pop(std::size_t count) noexcept
    {
        size_ -= count;
        auto& bytes = parts_.front().bytes;
        bytes = bytes.subspan(count);
        if (bytes.empty())
            parts_.pop_front();
    }

    /// `bytes`, at least one, are part of `chunk`.
    void push(const std::shared_ptr<const Chunk>& chunk, std::span<const std::byte> bytes)
    {
        size_ += bytes.size();
        if (!parts_.empty() && parts_.back().chunk == chunk) {
            auto& last = parts_.back().bytes;
            if (last.data() + last.size() == bytes.data()) {
                last = {last.data(), last.size() + bytes.size()};
                return;
            }
        }
        parts_.emplace_back(chunk, bytes);
    }

    void clear() noexcept
    {
        parts_.clear();
        size_ = 0;
    }

private:
    struct Part {
        Part(std::shared_ptr<const Chunk> of, std::span<const std::byte> what) : chunk(std::move(of)), bytes(what) {}

        std::shared_ptr<const Chunk> chunk;
        std::span<const std::byte> bytes;
    };

    std::deque<Part> parts_;
    std::size_t size_ = 0;
};

/// Makes chunks for queues: what is small goes behind what came before.
class ChunkStore {
public:
    /// Where `push` of any queue finds the copy of `data`.
    std::pair<std::shared_ptr<const Chunk>, std::span<const std::byte>> keep(std::span<const std::byte> data)
    {
        if (!recent_ || recent_->room() < data.size())
            recent_ = std::make_shared<Chunk>(std::max(data.size(), least));
        const auto bytes = recent_->append(data);
        return {recent_, bytes};
    }

    /// No queue holds anything: neither need this.
    void release() noexcept { recent_.reset(); }

private:
    /// Bytes of a chunk. A guess: several short messages share one.
    static constexpr std::size_t least = 16 * 1024;

    std::shared_ptr<Chunk> recent_;
};

}  // namespace instancer::detail
