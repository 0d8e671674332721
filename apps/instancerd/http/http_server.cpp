// SPDX-License-Identifier: MIT
#include "http/http_server.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/async/as_result.hpp>
#include <instancer/lingering_close.hpp>

namespace instancer::daemon {

using namespace asio::experimental::awaitable_operators;

namespace {

/// Wakes one coroutine from any thread, however often it is rung.
class Bell : public std::enable_shared_from_this<Bell> {
public:
    explicit Bell(const asio::any_io_executor& executor) : executor_(executor), timer_(executor) {}

    /// Threads: any.
    void ring()
    {
        if (!rung_.exchange(true))
            asio::post(executor_, [self = shared_from_this()] { self->timer_.cancel(); });
    }

    /// Completes when it was rung since the last call, at `latest`, or early.
    asio::awaitable<void> wait(std::chrono::steady_clock::time_point latest)
    {
        const auto keep = shared_from_this();
        timer_.expires_at(latest);
        if (!rung_.exchange(false))
            co_await timer_.async_wait(as_result);
        rung_ = false;
    }

private:
    asio::any_io_executor executor_;
    asio::steady_timer timer_;
    std::atomic<bool> rung_{false};
};

HttpResponse too_many_feeds()
{
    return HttpResponse::error(503, "too-many-streams",
                               "too many clients follow already; end one, or ask without following");
}

}  // namespace

/// Counts as long as it lives.
class HttpServer::FeedPlace {
public:
    explicit FeedPlace(std::size_t& count) : count_(count) { ++count_; }
    FeedPlace(const FeedPlace&) = delete;
    FeedPlace& operator=(const FeedPlace&) = delete;
    ~FeedPlace() { --count_; }

private:
    std::size_t& count_;
};

HttpServer::HttpServer(HttpOptions options, HttpHandler handle)
    : options_(std::move(options)), handle_(std::move(handle)), handlers_(options_.threads)
{
}

Parsed<void> HttpServer::listen(const Address& address, InheritedSockets& inherited)
{
    return append(acceptors_, listen_on(context_.get_executor(), address, UnixPermissions(0600), inherited));
}

std::vector<std::string> HttpServer::addresses() const
{
    std::vector<std::string> all;
    for (const auto& acceptor : acceptors_)
        all.push_back(acceptor->address());
    return all;
}

void HttpServer::start()
{
    for (const auto& acceptor : acceptors_)
        asio::co_spawn(context_, accept_loop(*acceptor), asio::detached);
    thread_ = std::jthread([this] { context_.run(); });
}

void HttpServer::stop()
{
    if (!thread_.joinable())
        return;
    asio::post(context_, [this] { close_all(); });
    thread_.join();
    acceptors_.clear();
}

void HttpServer::close_all()
{
    closing_ = true;
    for (const auto& acceptor : acceptors_)
        acceptor->close();
    for (auto& connection : connections_)
        connection.stream.close();
    work_.reset();
}

asio::awaitable<void> HttpServer::accept_loop(Acceptor& acceptor)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    while (!closing_) {
        auto accepted = co_await acceptor.accept(context_.get_executor());
        if (accepted && !closing_) {
            take_in(std::move(accepted->stream()));
        } else if (!accepted && accepted.error() == std::error_code(asio::error::operation_aborted)) {
            co_return;
        } else if (!accepted) {
            // Out of descriptors, as a rule.
            asio::steady_timer pause(context_, std::chrono::milliseconds(100));
            co_await pause.async_wait(as_result);
        }
    }
}

void HttpServer::take_in(Stream stream)
{
    if (!make_room())
        return;  // All of them wait for answers: this one is hung up on.
    connections_.emplace_back(std::move(stream));
    asio::co_spawn(context_, talk(std::prev(connections_.end())), asio::detached);
}

bool HttpServer::make_room()
{
    if (connections_.size() < options_.max_connections)
        return true;
    const auto oldest = std::find_if(connections_.begin(), connections_.end(), [](const Connection& connection) {
        return connection.is_reading && !connection.is_displaced;
    });
    if (oldest == connections_.end())
        return false;
    oldest->is_displaced = true;
    oldest->stream.close();
    return true;
}

asio::awaitable<void> HttpServer::talk(Connections::iterator connection)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    try {
        auto conversation = converse(*connection);
        co_await std::move(conversation);
    } catch (const std::exception&) {
        // No memory: that connection ends.
    }
    // The answer must not be lost for what was sent and nobody wants to read.
    if (!closing_ && !connection->is_displaced)
        lingering_close(connection->stream);
    connections_.erase(connection);
}

asio::awaitable<void> HttpServer::converse(Connection& connection)
{
    RequestReader request;
    auto reading = read(connection.stream, request);
    const bool is_there = co_await std::move(reading);
    connection.is_reading = false;
    if (!is_there)
        co_return;
    auto answering = answer(request);
    const auto reply = co_await std::move(answering);
    if (closing_)
        co_return;
    std::optional<FeedPlace> place;
    if (reply.feed)
        place.emplace(feeds_);
    auto writing = write(connection.stream, reply.bytes);
    const bool written = co_await std::move(writing);
    if (!written || !reply.feed)
        co_return;
    auto following = follow(connection.stream, *reply.feed);
    co_await std::move(following);
}

asio::awaitable<bool> HttpServer::read(Stream& stream, RequestReader& request)
{
    asio::steady_timer limit(context_, options_.read_time);
    std::array<std::byte, 4096> buffer;
    while (request.state() == RequestReader::State::wants_more) {
        const auto first = co_await (stream.read_some(buffer) || limit.async_wait(as_result));
        if (first.index() != 0)
            co_return !request.is_empty();
        const auto& count = std::get<0>(first);
        if (count.value_or(0) == 0)
            co_return false;
        request.feed({reinterpret_cast<const char*>(buffer.data()), *count});
    }
    co_return true;
}

asio::awaitable<HttpReply> HttpServer::answer(const RequestReader& request)
{
    auto call = [this, &request] { return codec_.answer(request, handle_); };
    auto calling = handlers_.run(std::move(call));
    auto reply = co_await std::move(calling);
    if (!reply.failure.empty() && options_.complain)
        options_.complain("a request by HTTP failed: " + reply.failure);
    if (reply.feed && feeds_ >= options_.max_feeds)
        reply = codec_.answer(request, [](const HttpRequest&) { return too_many_feeds(); });
    co_return reply;
}

asio::awaitable<bool> HttpServer::write(Stream& stream, std::string_view text)
{
    asio::steady_timer limit(context_, options_.write_time);
    const auto first = co_await (stream.write_all(text) || limit.async_wait(as_result));
    co_return first.index() == 0 && std::get<0>(first).has_value();
}

asio::awaitable<void> HttpServer::follow(Stream& stream, HttpFeed& feed)
{
    const auto bell = std::make_shared<Bell>(context_.get_executor());
    feed.on_more([bell] { bell->ring(); });
    for (bool goes_on = true; goes_on && !closing_;) {
        auto text = feed.take();
        if (text.empty()) {
            const auto latest = std::chrono::steady_clock::now() + options_.heartbeat;
            const auto first = co_await (bell->wait(latest) || stream.wait(Readiness::gone));
            if (first.index() != 0)
                co_return;
            if (std::chrono::steady_clock::now() < latest)
                continue;
            text = feed.heartbeat();
        }
        auto writing = write(stream, text);
        goes_on = co_await std::move(writing);
    }
}

}  // namespace instancer::daemon
