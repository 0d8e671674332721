// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/steady_timer.hpp>

namespace instancer::detail {

/// Calls a handler when its time has come, but not once it was cancelled or destroyed. A timer of Asio's would call one
/// that was due already.
///
/// Threads: the executor, which runs one handler at a time.
class Deadline {
public:
    explicit Deadline(asio::any_io_executor executor) : executor_(std::move(executor)) {}

    /// Calls `handler` in `delay`, instead of what was set before.
    template <class Handler>
    void set(asio::steady_timer::duration delay, Handler handler)
    {
        timer_ = std::make_shared<asio::steady_timer>(executor_, delay);
        timer_->async_wait([timer = std::weak_ptr(timer_), handler = std::move(handler)](const asio::error_code&) {
            if (!timer.expired())
                handler();
        });
    }

    void cancel() noexcept { timer_.reset(); }

private:
    asio::any_io_executor executor_;
    std::shared_ptr<asio::steady_timer> timer_;
};

}  // namespace instancer::detail
