// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <utility>

#include <instancer/acceptor.hpp>
#include <instancer/acceptor/access_control.hpp>
#include <instancer/result.hpp>

namespace instancer {

/// Has an AccessControl judge the clients of another acceptor.
class ControlledAcceptor final : public Acceptor {
public:
    /// Takes clients in by `inner`; `access` may be shared with others.
    ControlledAcceptor(std::unique_ptr<Acceptor> inner, std::shared_ptr<AccessControl> access)
        : inner_(std::move(inner)), access_(std::move(access))
    {
    }

private:
    asio::awaitable<Result<Accepted>> do_accept(asio::any_io_executor session_executor) override
    {
        auto accepted = co_await inner_->accept(std::move(session_executor));
        if (accepted)
            access_->receive(*accepted);
        co_return accepted;
    }

    /// A service closes all of its acceptors together.
    void do_close() override
    {
        inner_->close();
        access_->close();
    }

    Result<void> do_pause() override { return inner_->pause(); }
    Result<void> do_resume() override { return inner_->resume(); }
    Result<std::unique_ptr<Acceptor>> do_share() override { return inner_->share(); }

    std::string do_address() const override { return inner_->address(); }

    std::unique_ptr<Acceptor> inner_;
    std::shared_ptr<AccessControl> access_;
};

}  // namespace instancer
