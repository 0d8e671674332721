// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>

#include <instancer/async/as_result.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/server/farewell.hpp>
#include <instancer/lingering_close.hpp>

namespace instancer::detail {

/// A connection whose client may still read its last line. Those of all servers share the descriptors.
class Lingering {
public:
    Lingering() { ++count_; }
    Lingering(const Lingering&) = delete;
    Lingering& operator=(const Lingering&) = delete;
    ~Lingering() { --count_; }

    static bool are_too_many() noexcept { return count_ > most; }

private:
    static constexpr std::size_t most = 256;  ///< A guess.

    static inline std::atomic<std::size_t> count_ = 0;
};

/// Reads what comes, but not without end.
inline asio::awaitable<Result<void>> discard_input(Stream& client)
{
    std::array<std::byte, 4096> waste;
    for (int reads = 0; reads < 256; ++reads) {
        const auto count = co_await client.read_some(waste);
        if (!count)
            co_return fail(count.error());
        if (*count == 0)
            break;
    }
    co_return Result<void>();
}

inline asio::awaitable<void> see_off(Stream client, std::string line)
{
    using namespace asio::experimental::awaitable_operators;
    const Lingering counted;
    static_cast<void>(client.try_write(line));
    if (!Lingering::are_too_many() && client.shutdown_send()) {
        asio::steady_timer limit(client.get_executor(), std::chrono::seconds(2));
        co_await (discard_input(client) || limit.async_wait(as_result));
    }
    lingering_close(client);
}

INSTANCER_DECL void say_farewell(Stream client, std::string line)
{
    const auto executor = client.get_executor();
    auto task = see_off(std::move(client), std::move(line));
    asio::co_spawn(executor, std::move(task), asio::detached);
}

}  // namespace instancer::detail
