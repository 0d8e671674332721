// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace instancer::detail {

/// Bytes that go in at the end and come out at the front. It holds no memory to speak of while it is empty.
class ByteQueue {
public:
    std::size_t size() const noexcept { return bytes_.size() - taken_; }
    bool empty() const noexcept { return size() == 0; }

    std::span<const std::byte> front() const noexcept { return std::span(bytes_).subspan(taken_); }

    void append(std::span<const std::byte> data) { bytes_.insert(bytes_.end(), data.begin(), data.end()); }

    /// For whoever encodes into it: only ever append.
    std::vector<std::byte>& back() noexcept { return bytes_; }

    void consume(std::size_t count)
    {
        taken_ += count;
        if (taken_ == bytes_.size()) {
            clear();
        } else if (taken_ >= half(bytes_.size())) {
            bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(taken_));
            taken_ = 0;
        }
    }

    /// Moves out as much as fits.
    std::size_t read(std::span<std::byte> buffer)
    {
        const auto count = std::min(buffer.size(), size());
        const auto data = front().first(count);
        std::copy(data.begin(), data.end(), buffer.begin());
        consume(count);
        return count;
    }

    void clear() noexcept
    {
        taken_ = 0;
        if (bytes_.capacity() > kept)
            bytes_ = {};
        else
            bytes_.clear();
    }

private:
    /// Bytes of memory that an empty queue keeps. A guess.
    static constexpr std::size_t kept = 16 * 1024;

    static constexpr std::size_t half(std::size_t size) noexcept { return size - size / 2; }

    std::vector<std::byte> bytes_;
    std::size_t taken_ = 0;
};

}  // namespace instancer::detail
