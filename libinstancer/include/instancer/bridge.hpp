// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>
#include <utility>

#include <asio/awaitable.hpp>

#include <instancer/session.hpp>
#include <instancer/stream.hpp>
#include <instancer/usage.hpp>

namespace instancer {

/// The two ends that a Bridge joins, what has passed, and what the bridge must hear from outside.
///
/// Threads: the executor of both streams.
class Link {
public:
    /// A bridge that is to hear when the instance has ended and everything that it said is delivered. It closes the
    /// client then.
    class Observer {
    public:
        virtual void link_over() = 0;

    protected:
        ~Observer() = default;
    };

    /// `stopped` is set, by whatever thread, before the instance is stopped from outside.
    ///
    /// Lifetime: `usage` and `stopped` must outlive the link.
    Link(Stream client, Stream instance, Usage& usage, const std::atomic<bool>* stopped = nullptr)
        : client_(std::move(client)), instance_(std::move(instance)), usage_(&usage), stopped_(stopped)
    {
    }

    /// Says whose session it is.
    ///
    /// Lifetime: `session` must outlive the link.
    void introduce(const SessionInfo& session) noexcept { session_ = &session; }

    /// Whose session it is; empty when nobody said.
    const SessionInfo& session() const noexcept
    {
        static const SessionInfo unknown;
        return session_ ? *session_ : unknown;
    }

    /// What the client sent beyond its greeting, for a bridge that takes it; it goes before all else.
    ///
    /// Lifetime: `data` must outlive the link.
    void set_early_data(std::string_view data) noexcept { early_data_ = data; }
    std::string_view early_data() const noexcept { return early_data_; }

    Stream& client() noexcept { return client_; }
    Stream& instance() noexcept { return instance_; }

    std::uint64_t bytes_up() const noexcept { return up_; }
    std::uint64_t bytes_down() const noexcept { return down_; }

    /// For the bridge: bytes went from client to instance.
    void count_up(std::uint64_t bytes) noexcept
    {
        up_ += bytes;
        usage_->up(bytes);
    }

    /// For the bridge: bytes went from instance to client.
    void count_down(std::uint64_t bytes) noexcept
    {
        down_ += bytes;
        usage_->down(bytes);
    }

    /// For the bridge: the end of the instance's stream, if it comes now, is not the instance's own doing, and its
    /// client must not take it for an end in order.
    bool stopped() const noexcept { return stopped_ && *stopped_; }

    /// For the bridge: null to stop.
    void observe(Observer* observer) noexcept { observer_ = observer; }

    /// For the bridge: the client has been given the last byte of the instance and the end after it.
    void delivered() noexcept
    {
        delivered_ = true;
        close_if_over();
    }

    /// The instance has ended. Once everything that it said is delivered, the client is closed as the system would
    /// close it if the client were connected directly: bytes that it sends from then on are answered by a reset.
    void instance_ended() noexcept
    {
        ended_ = true;
        close_if_over();
    }

    /// The instance has ended and everything that it said is delivered.
    bool over() const noexcept { return delivered_ && ended_; }

private:
    void close_if_over() noexcept
    {
        if (over() && observer_)
            observer_->link_over();
        else if (over())
            client_.close();
    }

    Stream client_;
    Stream instance_;
    Usage* usage_;
    const std::atomic<bool>* stopped_;
    const SessionInfo* session_ = nullptr;
    std::string_view early_data_;
    Observer* observer_ = nullptr;
    std::uint64_t up_ = 0;
    std::uint64_t down_ = 0;
    bool delivered_ = false;
    bool ended_ = false;
};

/// How a bridge came to its end.
enum class BridgeEnd {
    completed,       ///< Both directions ended in order.
    client_reset,    ///< The client reset its connection.
    instance_reset,  ///< The instance reset its connection.
    ended_by_hook,   ///< A hook ended the session.
    hook_failed,     ///< A hook threw an exception.
    cancelled,       ///< Cancelled from outside.
};

/// Moves the bytes of one session, both ways, until both directions have ended.
///
/// Threads: the executor of the streams.
class Bridge {
public:
    Bridge() = default;
    Bridge(const Bridge&) = delete;
    Bridge& operator=(const Bridge&) = delete;
    virtual ~Bridge() = default;

    /// Joins the two ends of `link`. Both are closed or aborted when it completes.
    ///
    /// Concurrency: any number of calls, each with its own link.
    /// Cancellation: terminal; both ends are aborted.
    /// Lifetime: `link` must stay until completion.
    asio::awaitable<BridgeEnd> run(Link& link) { return do_run(link); }

    /// Whether `run` passes on the early data of a link too; otherwise it must have been passed on before.
    virtual bool takes_early_data() const noexcept { return false; }

private:
    virtual asio::awaitable<BridgeEnd> do_run(Link& link) = 0;
};

}  // namespace instancer
