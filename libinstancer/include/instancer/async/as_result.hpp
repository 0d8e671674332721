// SPDX-License-Identifier: MIT
// What Asio lacks, and every difference between Asio 1.22 and later versions that this library meets, in one place.
#pragma once

#include <asio/cancellation_state.hpp>
#include <asio/version.hpp>

#if ASIO_VERSION < 102200
#error "instancer needs Asio 1.22 or later; this is an older one, or another copy of Asio comes first"
#endif
#if ASIO_VERSION >= 102300
#include <asio/as_tuple.hpp>
#else
#include <asio/experimental/as_tuple.hpp>
#endif
#include <asio/use_awaitable.hpp>

namespace instancer {

#if ASIO_VERSION >= 102300
inline constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
#else
/// Completes with a tuple (error code, results...) and never throws for a failed operation.
inline constexpr auto as_result = asio::experimental::as_tuple(asio::use_awaitable);
#endif

/// Of `co_await asio::this_coro::cancellation_state`, named first: g++ 12 miscompiles it inside a condition. Asio tells
/// only the operation that runs when a coroutine is cancelled; one that begins later must look.
inline bool is_cancelled(const asio::cancellation_state& state) noexcept
{
    return state.cancelled() != asio::cancellation_type::none;
}

}  // namespace instancer
