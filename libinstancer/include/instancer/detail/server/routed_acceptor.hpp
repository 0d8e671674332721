// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/error.hpp>

#include <instancer/acceptor.hpp>
#include <instancer/async/async_event.hpp>
#include <instancer/detail/async/async_signal.hpp>
#include <instancer/result.hpp>

namespace instancer::detail {

/// The clients that a router has for one server: each stays with the router until the server calls it.
///
/// Threads: the control executor.
class RoutedClients {
public:
    RoutedClients(const asio::any_io_executor& control, std::string name) : name_(std::move(name)), changed_(control) {}

    /// The client of that number waits from now on, until `give` or `remove`. `called` is set once the server wants it,
    /// or wants nobody any more.
    void add(std::uint64_t id, AsyncEvent& called)
    {
        if (closed_)
            return called.set();
        waiting_.emplace(id, &called);
        call_next();
    }

    /// Hands over the client that was called. False when the server takes nobody in any more.
    bool give(Accepted& accepted)
    {
        called_.reset();
        if (closed_)
            return false;
        given_.emplace(std::move(accepted));
        changed_.notify();
        return true;
    }

    /// The client has left, whether it was called or not.
    void remove(std::uint64_t id)
    {
        waiting_.erase(id);
        if (called_ != id)
            return;
        called_.reset();
        wanted_ = true;
        call_next();
    }

    /// The server takes nobody in any more.
    void close()
    {
        closed_ = true;
        for (const auto& [id, called] : waiting_)
            called->set();
        waiting_.clear();
        if (given_)
            given_->stream().abort();
        given_.reset();
        changed_.notify();
    }

    /// Errors: asio::error::operation_aborted when cancelled or closed.
    asio::awaitable<Result<Accepted>> next()
    {
        wanted_ = !given_ && !called_;
        call_next();
        bool waits = true;
        while (waits && !given_ && !closed_)
            waits = co_await changed_.wait();
        wanted_ = false;
        if (!given_)
            co_return fail(std::error_code(asio::error::operation_aborted));
        auto accepted = std::move(*given_);
        given_.reset();
        co_return accepted;
    }

    const std::string& name() const noexcept { return name_; }

private:
    void call_next()
    {
        if (!wanted_ || waiting_.empty())
            return;
        const auto first = waiting_.extract(waiting_.begin());
        wanted_ = false;
        called_ = first.key();
        first.mapped()->set();
    }

    const std::string name_;
    std::map<std::uint64_t, AsyncEvent*> waiting_;
    std::optional<std::uint64_t> called_;  ///< Is on its way.
    std::optional<Accepted> given_;        ///< Until `next` goes on.
    AsyncSignal changed_;
    bool wanted_ = false;
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
