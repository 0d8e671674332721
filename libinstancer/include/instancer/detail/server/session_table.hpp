// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <instancer/events.hpp>
#include <instancer/session.hpp>

namespace instancer::detail {

class Session;
using SessionPtr = std::shared_ptr<Session>;

/// The sessions of one server that are not over.
///
/// Threads: the control executor.
class SessionTable {
public:
    /// `on_forgotten` hears whenever a session has gone. `count` is the number of the last session, where it is shared.
    SessionTable(asio::any_io_executor control, std::function<void()> on_forgotten,
                 std::shared_ptr<std::uint64_t> count = nullptr)
        : control_(std::move(control)),
          on_forgotten_(std::move(on_forgotten)),
          count_(count ? std::move(count) : std::make_shared<std::uint64_t>(0))
    {
    }
    SessionTable(const SessionTable&) = delete;
    SessionTable& operator=(const SessionTable&) = delete;

    std::uint64_t next_id() noexcept { return ++*count_; }

    void add(SessionPtr session);

    /// The session is over. Threads: any.
    void forget(std::uint64_t id);

    std::size_t size() const noexcept { return sessions_.size(); }

    /// Ends one session; false when there is none of that number.
    bool end(std::uint64_t id, SessionEnd why);

    /// Ends each session for which `why`, called with it, says for what reason.
    void end_if(const std::function<std::optional<SessionEnd>(const Session&)>& why);

    void for_each(const std::function<void(Session&)>& visit);

    /// Tells a session of the end of the instance that it got in one of its attempts. Small enough to need no memory of
    /// its own. Threads: any, to make it.
    std::function<void(InstanceEnd)> instance_listener(const Session& session, std::uint8_t attempt);

    /// What there is to say about each of them, in the order in which they came; those of workers that take longer than
    /// `patience` are left out. 0: all are waited for.
    ///
    /// Time: one turn of each worker.
    /// Cancellation: none.
    asio::awaitable<std::vector<SessionStatus>> snapshot(std::chrono::steady_clock::duration patience = {});

private:
    /// What an instance's end refers to: a session and, in the last bits, its attempt.
    static constexpr unsigned attempt_bits = 8;

    void note_instance_end(std::uint64_t key, InstanceEnd end);

    asio::any_io_executor control_;
    const std::function<void()> on_forgotten_;
    std::unordered_map<std::uint64_t, SessionPtr> sessions_;
    const std::shared_ptr<std::uint64_t> count_;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/detail/server/session.hpp>

#include <instancer/impl/detail/server/session_table.hpp>
#endif
