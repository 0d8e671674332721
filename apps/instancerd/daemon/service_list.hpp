// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <asio/awaitable.hpp>

#include <instancer/async/helper_threads.hpp>
#include <instancer/workers.hpp>

#include "daemon/running_service.hpp"
#include "observe/log.hpp"

namespace instancer::daemon {

/// Hears what becomes of the services of a list, on the control executor.
class ServiceObserver {
public:
    virtual ~ServiceObserver() = default;

    /// It takes clients in.
    virtual void serving(const RunningService& service) = 0;

    /// It has ended as it was asked to.
    virtual void ended(const RunningService& service) = 0;

    /// It could not serve, or go on.
    virtual void failed(const RunningService& service, const std::string& why) = 0;
};

/// The services of a daemon. Services are added and removed while others run.
///
/// Lifetime: the workers, the observer and the log must outlive it, and it must outlive the run of the workers.
/// Threads: the control executor of the workers.
class ServiceList {
public:
    /// Counts up, so that a service that takes the place of another one can have its name.
    using Id = std::uint64_t;

    enum class State { starting, serving, ending };

    /// One service as it is now.
    class Status {
    public:
        Status(Id number, std::string service_name, State now, std::optional<Id> replaced_service = {})
            : id(number), name(std::move(service_name)), state(now), replaced(replaced_service)
        {
        }

        Id id;
        std::string name;
        State state;
        std::optional<Id> replaced;  ///< The service whose place it takes, or has taken.
    };

    ServiceList(Workers& workers, ServiceObserver& observer, Log& log)
        : workers_(workers), observer_(observer), log_(log)
    {
    }

    /// Runs a service that is prepared. It is removed and destroyed once it has ended. From when it takes clients in,
    /// `replaced` leaves them to it.
    Id add(std::unique_ptr<RunningService> prepared, std::optional<Id> replaced = {});

    /// The service of that number; none when there is none.
    ///
    /// Lifetime: until the control executor runs anything else.
    RunningService* service(Id id) const;

    /// Drains one, or ends it now. False when there is none of that number.
    bool drain(Id id);
    bool stop(Id id);

    void drain_all();
    void stop_all();

    /// Has each read its files again, on a thread of `reader`; once more where that is going on already, so that what
    /// the files hold last is in force in the end.
    ///
    /// Lifetime: `reader` must stay for as long as the workers run.
    void reload_all(HelperThreads& reader);

    /// Has each log what is there now.
    void report_all();

    /// Calls `visit` with each that has not ended.
    void for_each(const std::function<void(const RunningService&)>& visit) const;

    /// In the order in which they were added.
    std::vector<Status> snapshot() const;

    /// Those that run, each with its state, in that order.
    std::vector<std::pair<std::shared_ptr<RunningService>, State>> running() const;

    /// Whether every service takes clients in, or no longer does.
    bool none_starting() const;

    /// Completes when there is none any more.
    asio::awaitable<void> wait_empty();

private:
    class Entry;
    using EntryPtr = std::shared_ptr<Entry>;

    EntryPtr find(Id id) const;
    void note_serving(Entry& entry);
    asio::awaitable<void> serve(EntryPtr entry);
    /// What failed; empty if nothing did.
    asio::awaitable<std::string> run(Entry& entry);
    asio::awaitable<void> reload(EntryPtr entry, HelperThreads& reader);

    Workers& workers_;
    ServiceObserver& observer_;
    Log& log_;
    std::vector<EntryPtr> entries_;
    Id last_id_ = 0;
};

}  // namespace instancer::daemon
