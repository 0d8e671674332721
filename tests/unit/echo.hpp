// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include <asio/awaitable.hpp>

#include <instancer/stream.hpp>

/// Sends all that comes back, until the end.
inline asio::awaitable<void> echo(instancer::Stream stream)
{
    std::vector<std::byte> buffer(4096);
    for (;;) {
        const auto count = co_await stream.read_some(buffer);
        if (!count || *count == 0)
            co_return;
        const auto written = co_await stream.write_all(std::span(buffer).first(*count));
        if (!written)
            co_return;
    }
}
