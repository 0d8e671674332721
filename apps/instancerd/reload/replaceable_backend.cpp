// SPDX-License-Identifier: MIT
#include "reload/replaceable_backend.hpp"

#include <utility>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>

#include "daemon/settle.hpp"

namespace instancer::daemon {

class ReplaceableBackend::Owned final : public Instance::State {
public:
    Owned(BackendPtr its_backend, Instance its_instance)
        : backend(std::move(its_backend)), instance(std::move(its_instance))
    {
    }

    const BackendPtr backend;
    const Instance instance;
};

ReplaceableBackend::ReplaceableBackend(Workers& workers, std::unique_ptr<InstanceBackend> first, bool recovers)
    : workers_(workers),
      // How many there can be may differ from one backend to the next.
      traits_(first->traits().max_instances(0)),
      recovers_(recovers),
      backends_(std::make_shared<Backends>())
{
    backends_->push_back(std::move(first));
}

ReplaceableBackend::~ReplaceableBackend() { backends_->clear(); }

bool ReplaceableBackend::is_like(const InstanceBackend& other) const
{
    const auto traits = other.traits();
    return traits.single_use() == traits_.single_use() && traits.ready_at_start() == traits_.ready_at_start() &&
           traits.takes_client_socket() == traits_.takes_client_socket() &&
           traits.personalizes() == traits_.personalizes();
}

void ReplaceableBackend::replace(std::unique_ptr<InstanceBackend> next)
{
    backends_->push_back(std::move(next));
    remove_unused_soon();
}

void ReplaceableBackend::remove_unused_soon()
{
    if (backends_->size() > 1)
        asio::co_spawn(workers_.control(), remove_unused(workers_, backends_), asio::detached);
}

asio::awaitable<void> ReplaceableBackend::remove_unused(Workers& workers, std::shared_ptr<Backends> backends)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    // Nobody who has just let go of an instance is still busy with its backend then.
    auto settled = settle(workers);
    co_await std::move(settled);
    if (backends->empty())
        co_return;
    const auto current = backends->back();
    std::erase_if(*backends, [&](const BackendPtr& backend) { return backend != current && backend.use_count() == 1; });
}

Instance ReplaceableBackend::owned_by(const BackendPtr& backend, Instance instance)
{
    auto name = instance.name();
    return Instance(std::move(name), std::make_shared<Owned>(backend, std::move(instance)));
}

void ReplaceableBackend::do_interrupt()
{
    for (const auto& backend : *backends_)
        backend->interrupt();
}

asio::awaitable<Result<Instance>> ReplaceableBackend::do_start(InstanceRequest request)
{
    const auto backend = backends_->back();
    auto task = backend->start(std::move(request));
    auto started = co_await std::move(task);
    if (!started)
        co_return fail(std::move(started.error()));
    co_return owned_by(backend, std::move(*started));
}

asio::awaitable<Result<Stream>> ReplaceableBackend::do_open(Instance instance, OpenRequest request)
{
    const auto& owned = instance.state<Owned>();
    auto task = owned.backend->open(owned.instance, std::move(request));
    co_return co_await std::move(task);
}

asio::any_io_executor ReplaceableBackend::do_preferred_executor(const Instance& instance) const
{
    const auto& owned = instance.state<Owned>();
    return owned.backend->preferred_executor(owned.instance);
}

asio::awaitable<InstanceExit> ReplaceableBackend::do_wait(Instance instance)
{
    const auto& owned = instance.state<Owned>();
    auto task = owned.backend->wait(owned.instance);
    co_return co_await std::move(task);
}

asio::awaitable<Result<void>> ReplaceableBackend::do_stop(Instance instance)
{
    const auto& owned = instance.state<Owned>();
    auto task = owned.backend->stop(owned.instance);
    auto stopped = co_await std::move(task);
    remove_unused_soon();
    co_return stopped;
}

asio::awaitable<Result<void>> ReplaceableBackend::do_assign(Instance instance, Identity identity)
{
    const auto& owned = instance.state<Owned>();
    auto task = owned.backend->assign(owned.instance, identity);
    co_return co_await std::move(task);
}

asio::awaitable<Result<void>> ReplaceableBackend::do_personalize(Instance instance, InstanceRequest request)
{
    const auto& owned = instance.state<Owned>();
    auto task = owned.backend->personalize(owned.instance, std::move(request));
    co_return co_await std::move(task);
}

asio::awaitable<Result<void>> ReplaceableBackend::do_note_extension(Instance instance, std::chrono::seconds total)
{
    const auto& owned = instance.state<Owned>();
    auto task = owned.backend->note_extension(owned.instance, total);
    co_return co_await std::move(task);
}

asio::awaitable<Result<std::vector<OrphanInstance>>> ReplaceableBackend::do_recover(std::string service)
{
    std::vector<OrphanInstance> all;
    if (!recovers_)
        co_return all;
    const auto backend = backends_->back();
    auto task = backend->recover(std::move(service));
    const auto found = co_await std::move(task);
    if (!found)
        co_return fail(found.error());
    for (const auto& orphan : *found) {
        all.emplace_back(owned_by(backend, orphan.instance()), orphan.identity(), orphan.age());
        all.back().extended(orphan.extended());
    }
    co_return all;
}

asio::awaitable<std::string> ReplaceableBackend::do_diagnose(Instance instance)
{
    const auto& owned = instance.state<Owned>();
    auto task = owned.backend->diagnose(owned.instance);
    co_return co_await std::move(task);
}

}  // namespace instancer::daemon
