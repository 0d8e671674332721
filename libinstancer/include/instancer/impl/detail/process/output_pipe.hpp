// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>

#include <asio/post.hpp>
#include <sys/ioctl.h>
#include <unistd.h>

#include <instancer/async/as_result.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/process/output_pipe.hpp>

namespace instancer::detail {

INSTANCER_DECL Result<void> OutputPipe::assign(UniqueFd reading_end)
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

INSTANCER_DECL asio::awaitable<void> OutputPipe::read(OutputLines lines)
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

INSTANCER_DECL asio::awaitable<void> OutputPipe::finish()
{
    int bytes = 0;
    if (pipe_.is_open() && ::ioctl(pipe_.native_handle(), FIONREAD, &bytes) == 0)
        rest_ = static_cast<std::size_t>(std::max(bytes, 0));
    if (pipe_.is_open())
        pipe_.cancel();
    renewal_.cancel();
    co_await over_.wait();
}

}  // namespace instancer::detail
