// SPDX-License-Identifier: MIT
#pragma once

#include <instancer/detail/config.hpp>
#include <instancer/stream.hpp>

namespace instancer {

INSTANCER_DECL asio::awaitable<Result<void>> Stream::wait(Readiness what) { return impl_->wait(what); }

INSTANCER_DECL asio::awaitable<Result<std::size_t>> Stream::read_some(std::span<std::byte> buffer)
{
    for (;;) {
        auto count = impl_->try_read(buffer);
        if (count || count.error() != std::error_code(asio::error::would_block))
            co_return count;
        auto ready = co_await impl_->wait(Readiness::readable);
        if (!ready)
            co_return fail(std::move(ready.error()));
    }
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
