// SPDX-License-Identifier: MIT
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
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
    /// `address` is `unix:///path`.
    explicit DockerEngine(std::string address) : address_(std::move(address)) {}

    /// The path of the engine's socket; empty when it is not reached by one.
    std::string socket_path() const;

    /// `path` begins after the version: `/containers/json`.
    ///
    /// Errors: Errc::backend_unavailable. An answer that says no is not an error here.
    Result<EngineReply> call(const std::string& method, const std::string& path, const std::string& body = {});

    /// Reads an answer that goes on for long. `opened` is called when it has begun well, `data` with each piece.
    ///
    /// Returns when the answer ends, with its body when it was a refusal.
    Result<EngineReply> stream(const std::string& method, const std::string& path, std::function<void()> opened,
                               std::function<void(std::string_view)> data);

    /// `/v1.41`; asks the engine when it is not known yet.
    Result<std::string> version_prefix();

    /// The engine may be another one from now on.
    void forget_version();

    /// Interrupts all calls, and lets later ones fail.
    void stop();

private:
    class Use;

    Result<EngineReply> send(const std::string& method, const std::string& path, const std::string& body,
                             std::function<void()> opened, std::function<void(std::string_view)> data);
    Error unreachable(std::string why) const;

    const std::string address_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::string version_prefix_;
    std::set<httplib::ClientImpl*> in_use_;
    bool stopping_ = false;
};

}  // namespace instancer::detail::inline docker
