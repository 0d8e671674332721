// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>

#include <instancer/detail/config.hpp>
#include <instancer/stream.hpp>

namespace instancer::detail {

inline asio::awaitable<Result<void>> ready_at_once() { co_return Result<void>(); }

}  // namespace instancer::detail

namespace instancer {

INSTANCER_DECL asio::awaitable<Result<void>> Stream::wait(Readiness what)
{
    return unread_ && what == Readiness::readable ? detail::ready_at_once() : impl_->wait(what);
}

INSTANCER_DECL asio::awaitable<Result<std::size_t>> Stream::read_some(std::span<std::byte> buffer)
{
    for (;;) {
        auto count = try_read(buffer);
        if (count || count.error() != std::error_code(asio::error::would_block))
            co_return count;
        auto ready = co_await impl_->wait(Readiness::readable);
        if (!ready)
            co_return fail(std::move(ready.error()));
    }
}

INSTANCER_DECL asio::awaitable<Result<std::size_t>> Stream::peek_some(std::span<std::byte> buffer)
{
    for (;;) {
        auto count = try_peek(buffer);
        if (count || count.error() != std::error_code(asio::error::would_block))
            co_return count;
        auto ready = co_await impl_->wait(Readiness::readable);
        if (!ready)
            co_return fail(std::move(ready.error()));
    }
}

INSTANCER_DECL Result<std::size_t> Stream::try_peek(std::span<std::byte> buffer)
{
    if (!unread_) {
        auto count = impl_->try_peek(buffer);
        if (count || count.error() != Errc::not_supported)
            return count;
        count = impl_->try_read(buffer);
        if (count)
            unread(buffer.first(*count));
        return count;
    }
    const auto count = std::min(buffer.size(), unread_->size());
    std::copy_n(unread_->begin(), count, buffer.begin());
    return count;
}

INSTANCER_DECL void Stream::consume(std::size_t count)
{
    std::array<std::byte, 512> waste;
    while (count > 0) {
        const auto read = try_read(std::span(waste).first(std::min(count, waste.size())));
        if (read.value_or(0) == 0)
            return;
        count -= *read;
    }
}

INSTANCER_DECL void Stream::unread(std::span<const std::byte> bytes)
{
    if (bytes.empty())
        return;
    if (!unread_)
        unread_ = std::make_unique<std::vector<std::byte>>();
    unread_->insert(unread_->begin(), bytes.begin(), bytes.end());
}

INSTANCER_DECL Result<std::size_t> Stream::read_unread(std::span<std::byte> buffer)
{
    const auto count = std::min(buffer.size(), unread_->size());
    std::copy_n(unread_->begin(), count, buffer.begin());
    unread_->erase(unread_->begin(), unread_->begin() + static_cast<std::ptrdiff_t>(count));
    if (unread_->empty())
        unread_.reset();
    return count;
}

INSTANCER_DECL asio::awaitable<Result<void>> Stream::write_all(std::span<const std::byte> data)
{
    while (!data.empty()) {
        auto count = impl_->try_write(data);
        if (count) {
            data = data.subspan(*count);
            continue;
        }
        if (count.error() != std::error_code(asio::error::would_block))
            co_return fail(std::move(count.error()));
        auto ready = co_await impl_->wait(Readiness::writable);
        if (!ready)
            co_return ready;
    }
    co_return Result<void>();
}

INSTANCER_DECL asio::awaitable<Result<void>> Stream::write_all(std::string_view text)
{
    return write_all(std::as_bytes(std::span<const char>(text)));
}

}  // namespace instancer
