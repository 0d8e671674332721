// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <asio/awaitable.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>

#include <instancer/async/helper_threads.hpp>
#include <instancer/stream.hpp>

#include "daemon/listen.hpp"
#include "http/http_codec.hpp"
#include "http/http_message.hpp"
#include "http/request_reader.hpp"

namespace instancer::daemon {

/// The bounds of an HttpServer.
class HttpOptions {
public:
    std::size_t threads = 2;  ///< Handlers that run at once.
    /// At once. Beyond that the oldest one makes room that has sent no request yet.
    std::size_t max_connections = 512;
    std::size_t max_feeds = 8;  ///< Answers at once that go on; beyond that there is 503.
    std::chrono::steady_clock::duration read_time = std::chrono::seconds(5);   ///< For a whole request.
    std::chrono::steady_clock::duration write_time = std::chrono::seconds(5);  ///< For an answer, or a part of a feed.
    std::chrono::steady_clock::duration heartbeat = std::chrono::seconds(15);  ///< Of a feed that is silent.
    std::function<void(const std::string&)> complain;  ///< Hears what a handler threw. Threads: any.

    HttpOptions() = default;
};

/// Answers requests by HTTP/1.1, one a connection, on threads of its own: one reads and writes, the others run
/// handlers. A client that is slow holds up nothing but its connection.
///
/// Threads: every member on one thread, or on one at a time.
class HttpServer {
public:
    /// `handle` is called on several threads at once, and may block for a moment.
    HttpServer(HttpOptions options, HttpHandler handle);
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;
    ~HttpServer() { stop(); }

    /// Listens; a Unix socket is for the daemon's user alone. Before `start`. The error names the address and the
    /// remedy.
    Parsed<void> listen(const Address& address, InheritedSockets& inherited);

    /// Where it listens, with the ports that it really got.
    std::vector<std::string> addresses() const;

    /// Serves from now on.
    void start();

    /// Ends all connections, and waits for the handlers that are going on. It cannot start again.
    void stop();

private:
    class Connection {
    public:
        explicit Connection(Stream taken) : stream(std::move(taken)) {}

        Stream stream;
        bool is_reading = true;
        bool is_displaced = false;
    };
    using Connections = std::list<Connection>;
    class FeedPlace;

    asio::awaitable<void> accept_loop(Acceptor& acceptor);
    void take_in(Stream stream);

    /// Whether there is a place, now that one that has sent no request has left it.
    bool make_room();

    asio::awaitable<void> talk(Connections::iterator connection);
    asio::awaitable<void> converse(Connection& connection);

    /// False when the client has left.
    asio::awaitable<bool> read(Stream& stream, RequestReader& request);
    asio::awaitable<bool> write(Stream& stream, std::string_view text);
    asio::awaitable<HttpReply> answer(const RequestReader& request);
    asio::awaitable<void> follow(Stream& stream, HttpFeed& feed);

    void close_all();

    const HttpOptions options_;
    const HttpHandler handle_;
    const HttpCodec codec_;
    asio::io_context context_{1};
    asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
    Acceptors acceptors_;
    Connections connections_;  ///< The oldest one first.
    std::size_t feeds_ = 0;
    bool closing_ = false;
    HelperThreads handlers_;
    std::jthread thread_;
};

}  // namespace instancer::daemon
