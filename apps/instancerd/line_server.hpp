// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <instancer/stream.hpp>

#include "listen.hpp"

namespace instancer::daemon {

/// A control port: whoever connects sends commands, one a line, and gets an answer to each.
///
/// Threads: every member on its executor.
class LineServer : public std::enable_shared_from_this<LineServer> {
public:
    /// What a line is answered with; called for several clients at once.
    using Handler = std::function<asio::awaitable<std::string>(std::string line)>;

    /// `acceptors` were made on `executor`.
    LineServer(asio::any_io_executor executor, Acceptors acceptors, Handler handler)
        : executor_(std::move(executor)), acceptors_(std::move(acceptors)), handler_(std::move(handler))
    {
    }

    void start();

    /// Takes no more clients in, and lets go of those that there are. No handler is called after this; those that run
    /// go on.
    void stop();

private:
    using StreamPtr = std::shared_ptr<Stream>;

    static asio::awaitable<void> accept_loop(std::shared_ptr<LineServer> self, Acceptor& acceptor);
    static asio::awaitable<void> serve(std::shared_ptr<LineServer> self, StreamPtr client);
    static asio::awaitable<void> converse(LineServer& self, Stream& client);

    const asio::any_io_executor executor_;
    const Acceptors acceptors_;
    const Handler handler_;
    std::set<StreamPtr> clients_;
    bool stopped_ = false;
};

}  // namespace instancer::daemon
