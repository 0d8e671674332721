// SPDX-License-Identifier: MIT
#include "daemon/service_list.hpp"

#include <algorithm>
#include <exception>
#include <functional>
#include <utility>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>

#include <instancer/async/async_event.hpp>
#include <instancer/text/exception_text.hpp>

#include "daemon/settle.hpp"
#include "daemon/system.hpp"
#include "status/service_report.hpp"

namespace instancer::daemon {

/// Shared with every coroutine that uses the service, so that the last of them destroys it.
class ServiceList::Entry {
public:
    Entry(Id number, std::unique_ptr<RunningService> prepared, std::optional<Id> replaced_service,
          const asio::any_io_executor& control)
        : id(number), service(std::move(prepared)), replaced(replaced_service), gone(control)
    {
    }

    void retire()
    {
        if (std::exchange(state, State::ending) == State::ending || over)
            return;
        replaced_by_other = true;
        service->retire();
    }

    void drain()
    {
        state = State::ending;
        if (!over)
            service->drain();
    }

    void stop()
    {
        state = State::ending;
        if (!over)
            service->stop();
    }

    const Id id;
    const std::unique_ptr<RunningService> service;
    const std::optional<Id> replaced;
    State state = State::starting;
    bool over = false;               ///< Its run has completed.
    bool replaced_by_other = false;  ///< Another service takes its clients in.
    bool reload_wanted = false;
    bool reloading = false;
    AsyncEvent gone;
};

ServiceList::Id ServiceList::add(std::unique_ptr<RunningService> prepared, std::optional<Id> replaced)
{
    const auto control = workers_.control();
    const auto entry = std::make_shared<Entry>(++last_id_, std::move(prepared), replaced, control);
    entries_.push_back(entry);
    asio::co_spawn(control, serve(entry), asio::detached);
    return entry->id;
}

asio::awaitable<void> ServiceList::serve(EntryPtr entry)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    auto running = run(*entry);
    const auto failure = co_await std::move(running);
    entry->state = State::ending;
    entry->over = true;
    if (failure.empty() || entry->replaced_by_other)
        observer_.ended(*entry->service);
    else
        observer_.failed(*entry->service, failure);
    auto settled = settle(workers_);
    co_await std::move(settled);
    entries_.erase(std::find(entries_.begin(), entries_.end(), entry));
    entry->gone.set();
}

asio::awaitable<std::string> ServiceList::run(Entry& entry)
{
    try {
        std::function<void()> serving = [this, &entry] { note_serving(entry); };
        auto task = entry.service->run(std::move(serving));
        const auto result = co_await std::move(task);
        co_return result ? std::string() : result.error().message();
    } catch (...) {
        co_return exception_text(std::current_exception());
    }
}

void ServiceList::note_serving(Entry& entry)
{
    if (entry.state == State::starting)
        entry.state = State::serving;
    if (const auto predecessor = entry.replaced ? find(*entry.replaced) : nullptr)
        predecessor->retire();
    observer_.serving(*entry.service);
}

ServiceList::EntryPtr ServiceList::find(Id id) const
{
    const auto found =
        std::find_if(entries_.begin(), entries_.end(), [&](const auto& entry) { return entry->id == id; });
    return found == entries_.end() ? nullptr : *found;
}

RunningService* ServiceList::service(Id id) const
{
    const auto entry = find(id);
    return entry ? entry->service.get() : nullptr;
}

bool ServiceList::drain(Id id)
{
    const auto entry = find(id);
    if (entry)
        entry->drain();
    return entry != nullptr;
}

bool ServiceList::stop(Id id)
{
    const auto entry = find(id);
    if (entry)
        entry->stop();
    return entry != nullptr;
}

void ServiceList::drain_all()
{
    for (const auto& entry : entries_)
        entry->drain();
}

void ServiceList::stop_all()
{
    for (const auto& entry : entries_)
        entry->stop();
}

void ServiceList::reload_all(HelperThreads& reader)
{
    for (const auto& entry : entries_) {
        if (entry->state == State::ending)
            continue;
        entry->reload_wanted = true;
        if (std::exchange(entry->reloading, true))
            continue;
        asio::co_spawn(workers_.control(), reload(entry, reader), [this, entry](std::exception_ptr failure) {
            entry->reloading = false;
            if (failure)
                log_.warning(entry->service->name(), "reading its files again failed: " + exception_text(failure));
        });
    }
}

asio::awaitable<void> ServiceList::reload(EntryPtr entry, HelperThreads& reader)
{
    auto& service = *entry->service;
    while (std::exchange(entry->reload_wanted, false)) {
        for (const auto& file : files_of(service.settings().daemon(), service.settings().service()))
            if (was_read_once(file))
                log_.notice(service.name(), file + " gives what it holds once, and is not read again");
        auto task = service.reload(reader);
        co_await std::move(task);
    }
}

void ServiceList::report_all()
{
    for (const auto& [service, state] : running())
        asio::co_spawn(workers_.control(), log_status(service, log_), asio::detached);
}

void ServiceList::for_each(const std::function<void(const RunningService&)>& visit) const
{
    for (const auto& entry : entries_)
        if (!entry->over)
            visit(*entry->service);
}

std::vector<ServiceList::Status> ServiceList::snapshot() const
{
    std::vector<Status> all;
    for (const auto& entry : entries_)
        all.emplace_back(entry->id, entry->service->name(), entry->state, entry->replaced);
    return all;
}

std::vector<std::pair<std::shared_ptr<RunningService>, ServiceList::State>> ServiceList::running() const
{
    std::vector<std::pair<std::shared_ptr<RunningService>, State>> all;
    for (const auto& entry : entries_)
        if (!entry->over)
            all.emplace_back(std::shared_ptr<RunningService>(entry, entry->service.get()), entry->state);
    return all;
}

bool ServiceList::none_starting() const
{
    return std::none_of(entries_.begin(), entries_.end(),
                        [](const auto& entry) { return entry->state == State::starting; });
}

asio::awaitable<void> ServiceList::wait_empty()
{
    while (!entries_.empty()) {
        const auto entry = entries_.front();
        co_await entry->gone.wait();
    }
}

}  // namespace instancer::daemon
