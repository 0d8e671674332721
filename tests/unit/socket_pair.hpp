// SPDX-License-Identifier: MIT
// Two connected sockets, real ones.
#pragma once

#include <cstddef>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <asio/awaitable.hpp>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <instancer/socket_stream.hpp>
#include <instancer/unique_fd.hpp>

namespace socket_pair {

using instancer::Stream;
using instancer::UniqueFd;

using Pair = std::pair<UniqueFd, UniqueFd>;

inline Pair unix_domain()
{
    int fds[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

/// Over loopback. Small buffers, so that a side that does not read is felt soon.
inline Pair tcp(int buffer_size = 0)
{
    UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    UniqueFd one(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (buffer_size != 0)
        for (const int fd : {listener.get(), one.get()})
            for (const int which : {SO_SNDBUF, SO_RCVBUF})
                ::setsockopt(fd, SOL_SOCKET, which, &buffer_size, sizeof buffer_size);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listener.get(), 1) == 0);
    REQUIRE(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    REQUIRE(::connect(one.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
    UniqueFd other(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    REQUIRE(other);
    return {std::move(one), std::move(other)};
}

/// Bytes that repeat nowhere near, so that a lost or doubled piece shows.
inline std::string noise(std::size_t size, unsigned seed)
{
    std::mt19937 random(seed);
    std::string bytes(size, '\0');
    for (auto& byte : bytes)
        byte = static_cast<char>(random());
    return bytes;
}

inline asio::awaitable<std::string> read_exactly(Stream& stream, std::size_t size)
{
    std::string all(size, '\0');
    for (std::size_t have = 0; have < size;) {
        const auto rest = std::as_writable_bytes(std::span(all).subspan(have));
        const auto count = co_await stream.read_some(rest);
        if (!count || *count == 0)
            co_return all.substr(0, have) + (count ? " EOF" : " " + count.error().message());
        have += *count;
    }
    co_return all;
}

/// Everything up to the end, in reads of random sizes; `reset` tells of a reset after it, if wanted.
inline asio::awaitable<std::string> read_all(Stream& stream, bool* reset = nullptr, unsigned seed = 1)
{
    std::mt19937 random(seed);
    std::string all, buffer(16 * 1024, '\0');
    for (;;) {
        const auto some = std::as_writable_bytes(std::span(buffer).first(1 + random() % (1u << random() % 15)));
        const auto count = co_await stream.read_some(some);
        if (reset)
            *reset = !count && count.error() == std::error_code(asio::error::connection_reset);
        if (!count || *count == 0)
            co_return all;
        all.append(buffer, 0, *count);
    }
}

/// Writes in pieces of random sizes and then ends in order.
inline asio::awaitable<bool> write_and_end(Stream& stream, std::string_view data, unsigned seed = 1)
{
    std::mt19937 random(seed);
    while (!data.empty()) {
        const auto piece = data.substr(0, 1 + random() % (1u << random() % 18));
        const auto written = co_await stream.write_all(piece);
        if (!written)
            co_return false;
        data.remove_prefix(piece.size());
    }
    co_return stream.shutdown_send().has_value();
}

}  // namespace socket_pair
