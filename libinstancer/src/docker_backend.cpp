// SPDX-License-Identifier: MIT
#include <instancer/backend/docker_backend.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/async/as_result.hpp>

#include "docker_attach.hpp"
#include "docker_bridge_network.hpp"
#include "docker_calls.hpp"
#include "docker_container.hpp"
#include "docker_container_table.hpp"
#include "docker_diagnosis.hpp"
#include "docker_farewell.hpp"
#include "docker_json.hpp"
#include "docker_locator.hpp"
#include "docker_recovery.hpp"
#include "docker_removals.hpp"
#include "docker_secrets.hpp"
#include "docker_spec.hpp"
#include "docker_starter.hpp"
#include "docker_upkeep.hpp"

namespace instancer {

using namespace detail;

/// Puts the parts together: what an instance goes through from its start to its removal.
class DockerBackend::Impl final : public std::enable_shared_from_this<Impl>, private DockerWatch::Observer {
public:
    Impl(asio::any_io_executor control, std::string service, DockerOptions options, Events& events)
        : control_(control),
          service_(std::move(service)),
          options_(std::move(options)),
          events_(events),
          calls_(std::make_shared<DockerCalls>(std::move(control), options_.engine)),
          network_(calls_->engine(), options_.daemon, service_),
          upkeep_(std::make_shared<DockerUpkeep>(calls_, network_, options_, service_, events_,
                                                 static_cast<DockerWatch::Observer&>(*this))),
          containers_(network_),
          removals_(std::make_shared<DockerRemovals>(calls_)),
          locator_(std::make_shared<ContainerLocator>(calls_, network_, service_, events_)),
          diagnosis_(*calls_, options_.io),
          secrets_(*calls_, options_.secret),
          starter_(*calls_, *upkeep_, network_, *removals_, *locator_, diagnosis_, options_, service_),
          recovery_(*calls_, network_, containers_, *removals_, *locator_, options_, service_, events_)
    {
    }

    ~Impl() override = default;

    BackendTraits traits() const
    {
        const auto moment = BackendTraits::a_moment;
        return BackendTraits()
            .single_use(stdio())
            .personalizes(options_.secret.has_file())
            .finish_time(stdio() ? std::max(options_.stop_grace, moment) : moment);
    }

    void shutdown();
    void interrupt();

    asio::awaitable<Result<void>> prepare();
    asio::awaitable<Result<Instance>> start(InstanceRequest request);
    asio::awaitable<Result<Stream>> open(Instance instance);
    asio::awaitable<InstanceExit> wait(Instance instance);
    asio::awaitable<Result<void>> stop(Instance instance);
    asio::awaitable<Result<void>> assign(Instance instance, Identity identity);
    asio::awaitable<Result<void>> personalize(Instance instance, InstanceRequest request);
    asio::awaitable<Result<void>> note_extension(Instance instance, std::chrono::seconds total);
    asio::awaitable<Result<std::vector<OrphanInstance>>> recover();
    asio::awaitable<std::string> diagnose(Instance instance);

private:
    bool stdio() const noexcept { return options_.io == DockerIo::stdio; }

    void engine_opened() override;
    void engine_lost(const Error& why) override;
    void container_ended(const std::string& id, int exit_code) override;
    asio::awaitable<void> reconcile();
    asio::awaitable<Result<Stream>> open_attachment(std::shared_ptr<Container> container);
    asio::awaitable<void> ask_to_end(std::shared_ptr<Container> container);
    asio::awaitable<Result<void>> rename(std::shared_ptr<Container> container);

    const asio::any_io_executor control_;
    const std::string service_;
    const DockerOptions options_;
    Events& events_;
    const std::shared_ptr<DockerCalls> calls_;
    DockerBridgeNetwork network_;
    const std::shared_ptr<DockerUpkeep> upkeep_;
    ContainerTable containers_;
    const std::shared_ptr<DockerRemovals> removals_;
    const std::shared_ptr<ContainerLocator> locator_;
    ContainerDiagnosis diagnosis_;
    ContainerSecrets secrets_;
    ContainerStarter starter_;
    DockerRecovery recovery_;
};

void DockerBackend::Impl::shutdown()
{
    const bool answers = !calls_->engine().closed();
    upkeep_->close();
    calls_->close();
    locator_->close();
    containers_.clear();

    auto& preparation = upkeep_->preparation();
    DockerFarewell farewell;
    farewell.engine = options_.engine;
    farewell.daemon = options_.daemon;
    farewell.service = service_;
    if (answers && preparation.lost().empty()) {
        farewell.containers = removals_->take_remaining();
        farewell.network = preparation.has_network();
    }
    farewell.claim = preparation.release_claim();
    DockerFarewell::say(std::move(farewell));
}

void DockerBackend::Impl::interrupt()
{
    upkeep_->preparation().stop();
    calls_->interrupt();
}

// What the engine tells by itself.

void DockerBackend::Impl::engine_opened()
{
    if (calls_->set_engine_lost(false))
        events_.notice(service_, "the Docker engine is back");
    asio::post(control_, [weak = weak_from_this()] {
        if (const auto self = weak.lock())
            asio::co_spawn(self->control_, self->reconcile(), asio::detached);
    });
}

void DockerBackend::Impl::engine_lost(const Error& why)
{
    calls_->set_engine_lost(true);
    events_.warning(service_, why.text() + "; clients are refused until it is back");
}

void DockerBackend::Impl::container_ended(const std::string& id, int exit_code)
{
    asio::post(control_, [weak = weak_from_this(), id, exit_code] {
        const auto self = weak.lock();
        if (const auto container = self ? self->containers_.find(id) : nullptr)
            container->end(exit_code);
    });
}

/// Asks for the ends that nobody told us of, and removes what could not be removed before.
asio::awaitable<void> DockerBackend::Impl::reconcile()
{
    const auto self = shared_from_this();
    const auto running = containers_.running();
    for (const auto& container : running) {
        const auto reply = co_await calls_->inspect(container->id);
        if (!reply)
            break;
        if (reply->status() == 404) {
            container->end({});
        } else if (reply->ok()) {
            const auto state = object_at(reply->json(), "State");
            if (!value_at(state, "Running", false))
                container->end(value_at(state, "ExitCode", -1));
        }
    }
    auto remaining = removals_->take_remaining();
    co_await removals_->remove_all(std::move(remaining));
}

// Instances.

asio::awaitable<Result<void>> DockerBackend::Impl::prepare()
{
    const auto self = shared_from_this();
    const auto done = co_await upkeep_->prepared();
    if (!done)
        co_return fail(done.error());
    co_return Result<void>();
}

asio::awaitable<Result<Instance>> DockerBackend::Impl::start(InstanceRequest request)
{
    const auto self = shared_from_this();
    if (calls_->engine_lost())
        co_return fail(Errc::backend_unavailable, "the Docker engine is away");
    if (auto lost = upkeep_->preparation().lost(); !lost.empty())
        co_return fail(Errc::backend_unavailable, std::move(lost));
    const auto secret = co_await secrets_.make(request);
    if (!secret)
        co_return fail(secret.error());
    const auto created = co_await starter_.create(request, *secret);
    if (!created)
        co_return fail(created.error());
    const auto& container = *created;
    containers_.add(container);
    auto running = co_await starter_.run(*container);
    if (running && options_.secret.is_for(request))
        running = co_await secrets_.place(*container, *secret);
    if (running)
        co_return Instance(container->name, container);
    container->stopping = true;
    if (running.error() == Errc::backend_unavailable)
        removals_->remove_later(container->id);
    else
        (void)co_await removals_->remove(container->id);
    containers_.remove(*container);
    co_return fail(running.error());
}

asio::awaitable<Result<Stream>> DockerBackend::Impl::open(Instance instance)
{
    const auto self = shared_from_this();
    const auto container = instance.shared_state<Container>();
    if (stdio())
        co_return co_await open_attachment(container);
    if (container->gone)
        co_return fail(Errc::instance_gone);
    if (!container->located)
        co_return fail(Errc::not_ready, "the engine has not told yet where the container is");
    auto stream = co_await locator_->connect(container);
    if (stream)
        container->opened = true;
    else if (container->gone)
        co_return fail(Errc::instance_gone);
    else if (stream.error() != Errc::not_ready)
        co_return fail(Errc::not_ready, stream.error().message());
    co_return stream;
}

asio::awaitable<Result<Stream>> DockerBackend::Impl::open_attachment(std::shared_ptr<Container> container)
{
    auto fd = container->take_attachment();
    if (!fd)
        co_return fail(Errc::instance_gone);
    container->opened = true;
    const auto executor = co_await asio::this_coro::executor;
    if (options_.pty)
        co_return Stream(std::make_unique<TerminalStream>(executor, std::move(fd)));
    auto report = [self = shared_from_this(), container](std::string_view text) {
        container->remember(text);
        self->events_.output(self->service_, container->name, text);
    };
    co_return Stream(std::make_unique<AttachStream>(executor, std::move(fd), options_.stderr_to, std::move(report)));
}

asio::awaitable<InstanceExit> DockerBackend::Impl::wait(Instance instance)
{
    const auto self = shared_from_this();
    const auto container = instance.shared_state<Container>();
    co_await container->ended.wait();
    co_return InstanceExit(container->stopping ? "stopped" : describe_exit(*container));
}

asio::awaitable<std::string> DockerBackend::Impl::diagnose(Instance instance)
{
    const auto self = shared_from_this();
    const auto container = instance.shared_state<Container>();
    const auto text = co_await diagnosis_.explain(*container);
    co_return text.empty() ? text : text.substr(1);
}

asio::awaitable<Result<void>> DockerBackend::Impl::stop(Instance instance)
{
    const auto self = shared_from_this();
    const auto container = instance.shared_state<Container>();
    if (!upkeep_->preparation().lost().empty()) {
        // It is the other daemon's now.
        containers_.remove(*container);
        co_return Result<void>();
    }
    if (!container->ended.is_set())
        container->stopping = true;
    if (container->stopping && options_.stop_grace.count() > 0)
        co_await ask_to_end(container);
    container->gone = true;
    auto removed = co_await removals_->remove(container->id);
    containers_.remove(*container);
    co_return removed;
}

/// Sends the stop signal of its image, and waits for its end, for the grace time at most.
asio::awaitable<void> DockerBackend::Impl::ask_to_end(std::shared_ptr<Container> container)
{
    using namespace asio::experimental::awaitable_operators;
    const auto signal = percent_encoded(container->prepared->image.stop_signal);
    const auto told = co_await calls_->call("POST", DockerCalls::path_of(container->id) + "/kill?signal=" + signal);
    if (!told || !told->ok())
        co_return;
    asio::steady_timer grace(control_, options_.stop_grace);
    co_await (container->ended.wait() || grace.async_wait(as_result));
}

asio::awaitable<Result<void>> DockerBackend::Impl::assign(Instance instance, Identity identity)
{
    const auto self = shared_from_this();
    const auto container = instance.shared_state<Container>();
    container->current_name = ContainerName(options_.daemon, service_, identity, unix_time());
    co_return co_await rename(container);
}

asio::awaitable<Result<void>> DockerBackend::Impl::note_extension(Instance instance, std::chrono::seconds total)
{
    const auto self = shared_from_this();
    const auto container = instance.shared_state<Container>();
    const auto& name = container->current_name;
    if (!name.identity())
        co_return fail(Errc::not_ready, "the engine has not been told yet whose it is");
    container->current_name = ContainerName(options_.daemon, service_, *name.identity(), name.claimed(), total);
    co_return co_await rename(container);
}

/// Tells the engine the current name.
asio::awaitable<Result<void>> DockerBackend::Impl::rename(std::shared_ptr<Container> container)
{
    const auto name = container->current_name.text();
    const auto reply = co_await calls_->call("POST", DockerCalls::path_of(container->id) + "/rename?name=" + name);
    if (!reply)
        co_return fail(reply.error());
    if (!reply->ok())
        co_return fail(Errc::start_failed, "renaming a container: " + reply->message());
    co_return Result<void>();
}

asio::awaitable<Result<void>> DockerBackend::Impl::personalize(Instance instance, InstanceRequest request)
{
    const auto self = shared_from_this();
    const auto container = instance.shared_state<Container>();
    const auto secret = co_await secrets_.make(request);
    if (!secret)
        co_return fail(secret.error());
    co_return co_await secrets_.place(*container, *secret);
}

asio::awaitable<Result<std::vector<OrphanInstance>>> DockerBackend::Impl::recover()
{
    const auto self = shared_from_this();
    const auto prepared = co_await upkeep_->prepared();
    if (!prepared)
        co_return fail(prepared.error());
    co_return co_await recovery_.recover(*prepared);
}

DockerBackend::DockerBackend(asio::any_io_executor control, std::string service, DockerOptions options, Events& events)
    : impl_(std::make_shared<Impl>(std::move(control), std::move(service), std::move(options), events))
{
}

DockerBackend::~DockerBackend() { impl_->shutdown(); }

BackendTraits DockerBackend::do_traits() const { return impl_->traits(); }

asio::awaitable<Result<void>> DockerBackend::do_prepare() { return impl_->prepare(); }

void DockerBackend::do_interrupt() { impl_->interrupt(); }

asio::awaitable<Result<Instance>> DockerBackend::do_start(InstanceRequest request)
{
    return impl_->start(std::move(request));
}

asio::awaitable<Result<Stream>> DockerBackend::do_open(Instance instance, OpenRequest)
{
    return impl_->open(std::move(instance));
}

asio::awaitable<InstanceExit> DockerBackend::do_wait(Instance instance) { return impl_->wait(std::move(instance)); }

asio::awaitable<Result<void>> DockerBackend::do_stop(Instance instance) { return impl_->stop(std::move(instance)); }

asio::awaitable<Result<void>> DockerBackend::do_assign(Instance instance, Identity identity)
{
    return impl_->assign(std::move(instance), identity);
}

asio::awaitable<Result<void>> DockerBackend::do_personalize(Instance instance, InstanceRequest request)
{
    return impl_->personalize(std::move(instance), std::move(request));
}

asio::awaitable<Result<void>> DockerBackend::do_note_extension(Instance instance, std::chrono::seconds total)
{
    return impl_->note_extension(std::move(instance), total);
}

asio::awaitable<Result<std::vector<OrphanInstance>>> DockerBackend::do_recover(std::string) { return impl_->recover(); }

asio::awaitable<std::string> DockerBackend::do_diagnose(Instance instance)
{
    return impl_->diagnose(std::move(instance));
}

}  // namespace instancer
