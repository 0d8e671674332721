// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <asio/any_io_executor.hpp>
#include <asio/steady_timer.hpp>

#include <instancer/coming_end.hpp>
#include <instancer/detail/container/numbered_list.hpp>
#include <instancer/events.hpp>
#include <instancer/instance.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/pool/acquire_request.hpp>
#include <instancer/pool/instance_info.hpp>
#include <instancer/pool/instance_table.hpp>
#include <instancer/pool/pool_action.hpp>
#include <instancer/stream.hpp>
#include <instancer/usage.hpp>

namespace instancer::detail {

/// What there is to an instance of a pool beside what the state knows.
class InstanceRecord {
public:
    using Clock = std::chrono::steady_clock;

    InstanceRecord(const asio::any_io_executor& control, SlotId of) : slot(of), wake(control, Clock::time_point::max())
    {
    }

    /// `warm` while nobody owns it.
    const char* state_name() const noexcept
    {
        if (stop_requested)
            return "stopping";
        if (!ready)
            return "starting";
        return owner.empty() ? "warm" : "running";
    }

    InstanceInfo info() const;

    /// What there is to say about its end.
    InstanceSummary summary(const std::string& service) const;

    /// The connection that proved it ready, for use on `executor`. Empty when it has been taken, or is of no use.
    Stream take_first(const asio::any_io_executor& executor);

    /// Notes the session of a client that is given the instance. The session's number comes back.
    std::uint32_t add_session(AcquireRequest& request);

    void remove_session(std::uint32_t session);

    /// It is ready for clients.
    void note_ready()
    {
        ready = true;
        ready_since = Clock::now();
    }

    /// How long a client that asked at `asked` has waited for its start.
    Clock::duration start_time(Clock::time_point asked) const
    {
        return std::max(ready_since - std::max(asked, since), Clock::duration::zero());
    }

    /// Tells the sessions that want to know of the end that comes; each once.
    void warn(const ComingEnd& coming);

    /// Ends its sessions, because of `why`.
    void revoke(InstanceEnd why);

    /// Has the instance stopped, because of `why`.
    void request_stop(InstanceEnd why);

    /// It may take no more time to end by itself.
    void hurry()
    {
        hurried = true;
        wake.cancel();
    }

    const SlotId slot;
    Instance instance;
    Stream first;  ///< The connection that proved it ready, until somebody takes it.
    std::shared_ptr<Usage> usage = std::make_shared<Usage>();
    NumberedList<std::function<void(InstanceEnd)>> sessions;  ///< What is called when it is taken from them.
    std::optional<InstanceRequest> claim;                     ///< Of a warm instance that was claimed.
    std::vector<PoolAction> held_grants;                      ///< Until it is personalized.
    std::string owner;
    Clock::time_point since = Clock::now();
    Clock::time_point ready_since;  ///< Of one that was started here, once it is ready.
    asio::steady_timer wake;        ///< Cancelled when something below changes.
    bool ready = false;
    bool warm = false;  ///< Was ready before it had a client.
    bool personalizing = false;
    bool exited = false;
    bool stop_requested = false;
    bool hurried = false;
    bool served_in_order = false;  ///< Its last session.
    InstanceEnd end = InstanceEnd::exited;
    std::string exit;  ///< How it ended.
    std::string detail;

private:
    /// A session that wants to know of the end of its instance by time.
    struct Warning {
        std::function<void(const ComingEnd&)> tell;
        Clock::time_point told;  ///< Of which end it knows.
    };

    /// Nothing has gone wrong, so there is nothing to explain.
    bool ended_in_order() const noexcept;

    std::map<std::uint32_t, Warning> warnings_;  ///< By session.
};

using InstanceRecordPtr = std::shared_ptr<InstanceRecord>;

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/pool/instance_record.hpp>
#endif
