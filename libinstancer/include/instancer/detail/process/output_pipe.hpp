// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>

#include <instancer/async/as_result.hpp>
#include <instancer/async/async_event.hpp>
#include <instancer/detail/process/output_lines.hpp>
#include <instancer/detail/process/read_allowance.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// Our end of the pipe into which an instance writes what is for the operator. An instance that writes more in a second
/// than is read of it finds its pipe full, and waits: the others must not feel how much it has to say.
///
/// Threads: the executor.
class OutputPipe {
public:
    explicit OutputPipe(const asio::any_io_executor& executor) : pipe_(executor), renewal_(executor), over_(executor) {}

    /// Takes the end to read from.
    ///
    /// Errors: what the system reports.
    Result<void> assign(UniqueFd reading_end);

    bool is_open() const noexcept { return pipe_.is_open(); }

    /// Feeds `lines` until nobody can write any more, or until `finish`.
    ///
    /// Concurrency: one call.
    asio::awaitable<void> read(OutputLines lines);

    /// The instance has ended: what can be read now is all there will be. Completes when it is reported.
    asio::awaitable<void> finish();

private:
    void use(std::size_t bytes) noexcept
    {
        if (rest_)
            *rest_ -= bytes;
        else
            allowance_.use(bytes);
    }

    asio::posix::stream_descriptor pipe_;
    asio::steady_timer renewal_;  ///< Of the allowance.
    AsyncEvent over_;
    ReadAllowance allowance_;
    std::optional<std::size_t> rest_;  ///< Once it is known how much there will be.
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/process/output_pipe.hpp>
#endif
