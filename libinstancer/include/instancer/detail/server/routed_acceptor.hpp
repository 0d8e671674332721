// SPDX-License-Identifier: MIT
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/error.hpp>

#include <instancer/acceptor.hpp>
#include <instancer/detail/async/async_signal.hpp>
#include <instancer/result.hpp>

namespace instancer::detail {

/// The clients that a router has for one server.
///
/// Threads: the control executor.
class RoutedClients {
public:
    RoutedClients(const asio::any_io_executor& control, std::string name) : name_(std::move(name)), changed_(control) {}

    /// False when the server takes nobody in any more.
    bool add(Accepted& accepted)
    {
        if (closed_)
            return false;
        waiting_.push_back(std::move(accepted));
        changed_.notify();
        return true;
    }

    /// Resets the clients that the server has not taken in.
    void close()
    {
        closed_ = true;
        for (auto& client : waiting_)
            client.stream().abort();
        waiting_.clear();
        changed_.notify();
    }

    /// Errors: asio::error::operation_aborted when cancelled or closed.
    asio::awaitable<Result<Accepted>> next()
    {
        bool waits = true;
        while (waits && waiting_.empty() && !closed_)
            waits = co_await changed_.wait();
        if (waiting_.empty())
            co_return fail(std::error_code(asio::error::operation_aborted));
        auto first = std::move(waiting_.front());
        waiting_.pop_front();
        co_return first;
    }

    const std::string& name() const noexcept { return name_; }

private:
    const std::string name_;
    std::deque<Accepted> waiting_;
    AsyncSignal changed_;
    bool closed_ = false;
};

/// Takes in what a router has for one server.
class RoutedAcceptor final : public Acceptor {
public:
    explicit RoutedAcceptor(std::shared_ptr<RoutedClients> clients) : clients_(std::move(clients)) {}

private:
    asio::awaitable<Result<Accepted>> do_accept(asio::any_io_executor session_executor) override
    {
        auto accepted = co_await clients_->next();
        if (accepted)
            if (auto moved = accepted->stream().rebind(session_executor); !moved)
                accepted->refuse(std::move(moved.error()));
        co_return accepted;
    }

    void do_close() override { clients_->close(); }

    std::string do_address() const override { return "router: " + clients_->name(); }

    const std::shared_ptr<RoutedClients> clients_;
};

}  // namespace instancer::detail
