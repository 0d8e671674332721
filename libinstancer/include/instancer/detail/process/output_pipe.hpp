// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <optional>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <sys/ioctl.h>
#include <unistd.h>

#include <instancer/detail/async/asio_compat.hpp>
#include <instancer/detail/async/async_event.hpp>
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
    Result<void> assign(UniqueFd reading_end)
    {
        asio::error_code error;
        pipe_.assign(reading_end.get(), error);
        if (error)
            return fail(error, "watching its standard error");
        reading_end.release();
        pipe_.native_non_blocking(true, error);
        if (error)
            return fail(error, "watching its standard error");
        return {};
    }

    bool is_open() const noexcept { return pipe_.is_open(); }

    /// Feeds `lines` until nobody can write any more, or until `finish`.
    ///
    /// Concurrency: one call.
    asio::awaitable<void> read(OutputLines lines)
    {
        std::array<char, 4096> buffer;
        for (;;) {
            const auto now = ReadAllowance::Clock::now();
            const auto size = std::min(buffer.size(), rest_ ? *rest_ : allowance_.left(now));
            if (size == 0 && rest_)
                break;
            if (size == 0) {
                renewal_.expires_at(allowance_.renewal());
                co_await renewal_.async_wait(as_result);
                continue;
            }
            const auto count = ::read(pipe_.native_handle(), buffer.data(), size);
            if (count > 0) {
                use(static_cast<std::size_t>(count));
                lines.feed({buffer.data(), static_cast<std::size_t>(count)}, now);
                // Whoever writes without end must not keep the others waiting.
                co_await asio::post(pipe_.get_executor(), as_result);
            } else if (count == 0 || errno != EAGAIN || rest_) {
                break;
            } else {
                co_await pipe_.async_wait(asio::posix::stream_descriptor::wait_read, as_result);
            }
        }
        lines.finish();
        pipe_.close();
        over_.set();
    }

    /// The instance has ended: what can be read now is all there will be. Completes when it is reported.
    asio::awaitable<void> finish()
    {
        int bytes = 0;
        if (pipe_.is_open() && ::ioctl(pipe_.native_handle(), FIONREAD, &bytes) == 0)
            rest_ = static_cast<std::size_t>(std::max(bytes, 0));
        if (pipe_.is_open())
            pipe_.cancel();
        renewal_.cancel();
        co_await over_.wait();
    }

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
