// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json_fwd.hpp>

#include <instancer/result.hpp>

namespace httplib {
class ClientImpl;
}

namespace instancer::detail::inline docker {

/// What the engine answered.
class EngineReply {
public:
    EngineReply() = default;
    EngineReply(int status, std::string body) : status_(status), body_(std::move(body)) {}

    int status() const noexcept { return status_; }

    /// Done, or it was so already.
    bool ok() const noexcept { return (status_ >= 200 && status_ < 300) || status_ == 304; }

    const std::string& body() const noexcept { return body_; }

    /// Discarded when the body is none.
    nlohmann::json json() const;

    /// The engine's own words for a failure.
    std::string message() const;

private:
    int status_ = 0;
    std::string body_;
};

/// `text` as it may stand in a path or query.
std::string percent_encoded(std::string_view text);

/// Speaks the Engine API over a Unix socket, in the newest version that both sides know.
///
/// Threads: any; every call blocks its caller.
class DockerEngine {
public:
    using Clock = std::chrono::steady_clock;

    /// How long the engine may take to answer: what is short work for it, and what is long.
    static constexpr std::chrono::milliseconds short_work{15'000}, long_work{120'000};

    /// `address` is `unix:///path`.
    explicit DockerEngine(std::string address) : address_(std::move(address)) {}

    /// The path of the engine's socket; empty when it is not reached by one.
    std::string socket_path() const;

    /// `path` begins after the version: `/containers/json`.
    ///
    /// Time: `limit` at most.
    /// Errors: Errc::backend_unavailable, Errc::stopping. An answer that says no is not an error here.
    Result<EngineReply> call(const std::string& method, const std::string& path, const std::string& body = {},
                             std::chrono::milliseconds limit = short_work);

    /// Reads an answer that goes on for long. `opened` is called when it has begun well, `data` with each piece.
    ///
    /// Returns when the answer ends, with its body when it was a refusal.
    Result<EngineReply> stream(const std::string& method, const std::string& path, std::function<void()> opened,
                               std::function<void(std::string_view)> data);

    /// `/v1.41`; asks the engine when it is not known yet.
    Result<std::string> version_prefix();

    /// The engine may be another one from now on.
    void forget_version();

    /// Lets no later call take longer than `limit`, and closes after one that does.
    void hurry(std::chrono::milliseconds limit);

    /// Interrupts the calls that had begun by then. Whether none is left; else ask again, because a client that is
    /// about to connect has nothing yet that could be interrupted.
    bool interrupt(Clock::time_point begun = Clock::time_point::max());

    /// Lets later calls fail at once.
    void close();
    bool closed() const;

    /// Closes, and interrupts until no call is left.
    void stop();

private:
    class Use;

    Result<EngineReply> send(const std::string& method, const std::string& path, const std::string& body,
                             std::chrono::milliseconds limit, std::function<void()> opened,
                             std::function<void(std::string_view)> data);
    std::chrono::milliseconds hurried(std::chrono::milliseconds limit) const;
    Error failure(bool timed_out, std::chrono::milliseconds limit);
    Error unreachable(std::string why) const;

    const std::string address_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::string version_prefix_;
    std::map<httplib::ClientImpl*, Clock::time_point> in_use_;  ///< Since when.
    std::optional<std::chrono::milliseconds> hurry_;
    bool closed_ = false;
};

}  // namespace instancer::detail::inline docker
