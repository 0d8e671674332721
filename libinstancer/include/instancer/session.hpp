// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <instancer/acceptor/source.hpp>
#include <instancer/client.hpp>
#include <instancer/session_end.hpp>
#include <instancer/session_times.hpp>

namespace instancer {

/// The owner of the session.
class SessionInfo {
public:
    std::uint64_t id = 0;  ///< Counts from 1 in each Server.
    std::string service;   ///< Name of the service.
    ClientInfo client;     ///< Where the client comes from.
    std::string owner;     ///< Owner hash, 32 hex digits; empty before authentication.
    std::string label;     ///< The owner's name in logs, from the Authenticator; often empty.
    std::string instance;  ///< Name of the instance; empty when there was none.
    std::string upstream;  ///< Name of the server that it was joined to, where the instance is a group of several.

    SessionInfo() = default;
};

/// The state of a session while it goes on.
class SessionStatus : public SessionInfo {
public:
    bool joined = false;               ///< To its instance.
    std::string_view stage;            ///< `admission`, `queue` (for its instance), `connecting` or `serving`.
    std::uint64_t bytes_up = 0;        ///< Client to instance.
    std::uint64_t bytes_down = 0;      ///< Instance to client.
    std::chrono::nanoseconds age{0};   ///< Since the client connected.
    std::chrono::nanoseconds idle{0};  ///< Since the last byte in either direction; before it is joined, its age.

    SessionStatus() = default;
};

/// A summary of a session that has ended.
class SessionSummary : public SessionInfo {
public:
    SessionEnd end = SessionEnd::failed;   ///< Why it ended.
    bool rejected = false;                 ///< The client failed to prove who it is, or whatever else was asked.
    std::string detail;                    ///< More about the end, for the operator; often empty.
    std::uint64_t bytes_up = 0;            ///< Client to instance.
    std::uint64_t bytes_down = 0;          ///< Instance to client.
    std::chrono::nanoseconds duration{0};  ///< Since the client connected.
    SessionTimes times;                    ///< How long its steps took.
    std::optional<Source> source;          ///< What its client counted as where sources are counted.

    SessionSummary() = default;
};

}  // namespace instancer
