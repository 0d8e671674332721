// SPDX-License-Identifier: MIT
#include "docker_backend_impl.hpp"

#include <chrono>
#include <utility>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <fcntl.h>

#include <instancer/async/as_result.hpp>
#include <instancer/detail/process/client_environment.hpp>
#include <instancer/detail/process/placeholders.hpp>
#include <instancer/detail/socket/connect.hpp>

#include "docker_attach.hpp"
#include "docker_farewell.hpp"
#include "docker_json.hpp"
#include "docker_process.hpp"

namespace instancer {

using nlohmann::json;

namespace {

constexpr std::chrono::seconds connect_timeout{3};
constexpr std::chrono::seconds end_patience{3};
constexpr std::chrono::seconds end_limit{10};
constexpr std::chrono::seconds start_limit{30};
constexpr std::chrono::seconds firewall_pause{5};

tl::unexpected<Error> refused(const std::string& what, const EngineReply& reply)
{
    return fail(Errc::start_failed, what + ": " + reply.message());
}

std::string describe_exit(const Container& container)
{
    if (!container.exit_code)
        return "container removed";
    auto text = "exit code " + std::to_string(*container.exit_code);
    if (*container.exit_code > 128 && *container.exit_code < 128 + 65)
        text += " (signal " + std::to_string(*container.exit_code - 128) + ")";
    return text;
}

/// What to do about a start that failed, as far as its output tells.
std::string remedy(const std::string& output)
{
    if (output.find("ermission denied") != std::string::npos || output.find("not permitted") != std::string::npos)
        return "\nit does not run as root and has no capabilities: prepare the image for that, or set another --user";
    if (output.find("ead-only file system") != std::string::npos)
        return "\nits root file system is read-only: it may write to /tmp, and to what --tmpfs names";
    return {};
}

/// Fills in the placeholders of the program's arguments and environment.
void fill_in(json& spec, const InstanceRequest& request)
{
    const auto port = listen_port_of(request);
    if (!port)
        return;
    for (const auto* key : {"Cmd", "Env"})
        if (spec.contains(key))
            for (auto& text : spec[key])
                text = replaced(text.get<std::string>(), listen_port_placeholder, std::to_string(*port));
}

}  // namespace

void DockerBackend::Impl::shutdown()
{
    const bool answers = !engine_.closed();
    closed_ = true;
    firewall_look_.cancel();
    watch_.stop();
    preparation_.stop();
    engine_.stop();
    helpers_.join();
    namespace_thread_.join();
    containers_.clear();

    DockerFarewell farewell;
    farewell.engine = options_.engine;
    farewell.daemon = options_.daemon;
    farewell.service = service_;
    if (answers && preparation_.lost().empty()) {
        farewell.containers = std::exchange(unremoved_, {});
        farewell.network = preparation_.has_network();
    }
    farewell.claim = preparation_.release_claim();
    DockerFarewell::say(std::move(farewell));
}

void DockerBackend::Impl::interrupt()
{
    preparation_.stop();
    if (std::exchange(ending_, true))
        return;
    engine_.hurry(end_limit);
    asio::co_spawn(control_, end_calls(weak_from_this(), engine_.socket_path()), asio::detached);
}

/// Gives up what waits for the engine: at once if it is silent, else after as long as a call may take at the end.
asio::awaitable<void> DockerBackend::Impl::end_calls(std::weak_ptr<Impl> weak, std::string socket)
{
    const auto executor = co_await asio::this_coro::executor;
    auto begun = DockerEngine::Clock::now();
    asio::steady_timer pause(executor);
    const bool answers = co_await engine_answers(std::move(socket));
    if (answers) {
        pause.expires_at(begun + end_limit);
        co_await pause.async_wait(as_result);
    } else {
        begun = DockerEngine::Clock::time_point::max();
        if (const auto self = weak.lock())
            self->engine_.close();
    }
    for (;;) {
        if (const auto self = weak.lock(); !self || self->closed_ || self->give_up(begun))
            co_return;
        pause.expires_after(std::chrono::milliseconds(10));
        co_await pause.async_wait(as_result);
    }
}

/// Interrupts the calls that had begun by then. Whether none is left.
bool DockerBackend::Impl::give_up(DockerEngine::Clock::time_point begun)
{
    given_up_.set();
    return engine_.interrupt(begun);
}

// What the engine tells by itself.

void DockerBackend::Impl::engine_opened()
{
    if (engine_lost_.exchange(false))
        events_.notice(service_, "the Docker engine is back");
    asio::post(control_, [weak = weak_from_this()] {
        if (const auto self = weak.lock())
            asio::co_spawn(self->control_, self->reconcile(), asio::detached);
    });
}

void DockerBackend::Impl::engine_lost(const Error& why)
{
    engine_lost_ = true;
    events_.warning(service_, why.text() + "; clients are refused until it is back");
}

void DockerBackend::Impl::container_ended(const std::string& id, int exit_code)
{
    asio::post(control_, [weak = weak_from_this(), id, exit_code] {
        const auto self = weak.lock();
        if (!self)
            return;
        if (const auto found = self->containers_.find(id); found != self->containers_.end())
            self->ended(*found->second, exit_code);
    });
}

void DockerBackend::Impl::ended(Container& container, std::optional<int> exit_code)
{
    if (container.ended.is_set())
        return;
    container.exit_code = exit_code;
    container.gone = true;
    container.ended.set();
}

// Instances.

asio::awaitable<Result<std::shared_ptr<const Prepared>>> DockerBackend::Impl::prepared()
{
    auto work = [this] {
        auto made = preparation_.get();
        if (made)
            watch_.start();
        return made;
    };
    auto made = co_await offload(std::move(work));
    if (preparation_.has_network() && !std::exchange(keeps_firewall_, true))
        asio::co_spawn(control_, keep_firewall(), asio::detached);
    co_return made;
}

/// Nobody tells us when the host's firewall is loaded again and our rule is lost with the old one.
asio::awaitable<void> DockerBackend::Impl::keep_firewall()
{
    const std::weak_ptr<Impl> weak = weak_from_this();
    for (;;) {
        firewall_look_.expires_after(firewall_pause);
        const auto [cancelled] = co_await firewall_look_.async_wait(as_result);
        const auto self = weak.lock();
        if (cancelled || !self || closed_)
            co_return;
        auto look = [this] {
            preparation_.restore_firewall();
            return Result<void>();
        };
        (void)co_await offload(std::move(look));
        if (closed_)
            co_return;
    }
}

asio::awaitable<Result<void>> DockerBackend::Impl::prepare()
{
    const auto self = shared_from_this();
    const auto done = co_await prepared();
    if (!done)
        co_return fail(done.error());
    co_return Result<void>();
}

asio::awaitable<Result<EngineReply>> DockerBackend::Impl::call(std::string method, std::string path, std::string body,
                                                               std::chrono::milliseconds limit)
{
    auto work = [this, method = std::move(method), path = std::move(path), body = std::move(body), limit] {
        return engine_.call(method, path, body, limit);
    };
    co_return co_await offload(std::move(work));
}

asio::awaitable<Result<Instance>> DockerBackend::Impl::start(InstanceRequest request)
{
    const auto self = shared_from_this();
    if (engine_lost_)
        co_return fail(Errc::backend_unavailable, "the Docker engine is away");
    if (auto lost = preparation_.lost(); !lost.empty())
        co_return fail(Errc::backend_unavailable, std::move(lost));
    const auto secret = co_await make_secret(request);
    if (!secret)
        co_return fail(secret.error());
    const auto created = co_await create(request, *secret);
    if (!created)
        co_return fail(created.error());
    const auto& container = *created;
    auto running = co_await run(*container);
    if (running && options_.secret.is_for(request))
        running = co_await place_secret(*container, *secret);
    if (running)
        co_return Instance(container->name, container);
    container->stopping = true;
    if (running.error() == Errc::backend_unavailable)
        remove_later(container->id);
    else
        (void)co_await remove(container->id);
    forget(*container);
    co_return fail(running.error());
}

/// The secret of an instance; empty where it has none.
asio::awaitable<Result<std::string>> DockerBackend::Impl::make_secret(const InstanceRequest& request)
{
    if (!options_.secret.is_for(request))
        co_return std::string();
    auto make = [this, &request] { return options_.secret.make(request); };
    co_return co_await offload(std::move(make));
}

/// Writes the file of the secret, if it goes into one. A container that has ended by then needs none.
asio::awaitable<Result<void>> DockerBackend::Impl::place_secret(const Container& container, std::string secret)
{
    if (!options_.secret.has_file())
        co_return Result<void>();
    const auto reply = co_await call("GET", "/containers/" + container.id + "/json");
    if (!reply)
        co_return fail(reply.error());
    const auto pid = value_at(object_at(reply->json(), "State"), "Pid", 0);
    if (!reply->ok() || pid == 0)
        co_return Result<void>();
    auto write = [this, pid, id = container.id, secret = std::move(secret)] {
        return write_secret(pid, id, options_.secret, secret);
    };
    co_return co_await offload(std::move(write));
}

asio::awaitable<Result<std::shared_ptr<Container>>> DockerBackend::Impl::create(const InstanceRequest& request,
                                                                                std::string secret)
{
    for (bool again = false;; again = true) {
        const auto prepared = co_await this->prepared();
        if (!prepared)
            co_return fail(prepared.error());
        const auto& common = **prepared;

        auto spec = common.spec;
        for (const auto& [name, value] : client_environment(request, options_.client_env))
            spec["Env"].push_back(name + "=" + value);
        fill_in(spec, request);
        for (const auto& [name, value] : request.environment())
            spec["Env"].push_back(name + "=" + value);
        if (options_.secret.is_for(request) && !options_.secret.has_file())
            spec["Env"].push_back(options_.secret.variable + "=" + secret);
        spec["Labels"] = container_labels(options_, service_, common.config);
        std::optional<DockerBridgeNetwork::Address> address;
        if (common.reach != Reach::inside) {
            const auto taken = network_.take_address();
            if (!taken)
                co_return fail(taken.error());
            address = *taken;
            auto& endpoint = spec["NetworkingConfig"]["EndpointsConfig"][network_.name()];
            endpoint["IPAMConfig"]["IPv4Address"] = address->to_string();
        }
        const auto& identity = request.identity();
        auto name = ContainerName(options_.daemon, service_);
        if (identity)
            name = ContainerName(options_.daemon, service_, *identity, unix_time());

        const auto reply =
            co_await call("POST", "/containers/create?name=" + name.text(), spec.dump(), DockerEngine::long_work);
        if (reply && reply->ok()) {
            const auto id = text_at(reply->json(), "Id");
            auto container = std::make_shared<Container>(control_, id, name, *prepared);
            container->address = address;
            container->port = common.port;
            containers_.emplace(id, container);
            co_return container;
        }
        if (address)
            network_.return_address(*address);
        if (!reply) {
            // The engine may have made it before it went away.
            remove_later(name.text());
            co_return fail(reply.error());
        }
        // The image or the network is gone: look for it, or make it, once more.
        if (reply->status() != 404 || again)
            co_return refused("creating a container", *reply);
        preparation_.forget();
    }
}

asio::awaitable<Result<void>> DockerBackend::Impl::run(Container& container)
{
    if (stdio()) {
        // Before the start, or the first output is lost.
        auto attached = co_await attachment(container);
        if (!attached)
            co_return fail(std::move(attached.error()));
        container.attachment(std::move(*attached));
    }
    const auto reply = co_await call("POST", "/containers/" + container.id + "/start", {}, start_limit);
    if (!reply)
        co_return fail(reply.error());
    if (!reply->ok()) {
        const auto why = reply->message();
        if (reply->status() == 404)
            preparation_.forget();
        co_return fail(Errc::start_failed, "starting a container: " + why + remedy(why));
    }
    container.started = true;
    if (stdio())
        co_return Result<void>();
    co_return co_await locate(container, container.prepared->reach);
}

asio::awaitable<Result<UniqueFd>> DockerBackend::Impl::attachment(const Container& container)
{
    using namespace asio::experimental::awaitable_operators;
    auto ask = [this] { return engine_.version_prefix(); };
    const auto version = co_await offload(std::move(ask));
    if (!version)
        co_return fail(version.error());
    auto first = co_await (attach(engine_.socket_path(), *version, container.id) || given_up_.wait());
    if (first.index() != 0)
        co_return fail(Errc::stopping);
    co_return std::move(std::get<0>(first));
}

/// Looks once where a container can be reached.
///
/// Errors: Errc::instance_gone when it does not run; all others leave open whether it does.
asio::awaitable<Result<void>> DockerBackend::Impl::look(Container& container, Reach reach)
{
    const auto reply = co_await call("GET", "/containers/" + container.id + "/json");
    if (!reply)
        co_return fail(reply.error());
    if (reply->status() == 404)
        co_return fail(Errc::instance_gone, "the container has been removed");
    if (!reply->ok())
        co_return refused("inspecting a container", *reply);
    const auto state = object_at(reply->json(), "State");
    if (!value_at(state, "Running", true))
        co_return fail(Errc::instance_gone, "the container does not run");
    if (reach != Reach::inside && !container.address) {
        const auto networks = object_at(object_at(reply->json(), "NetworkSettings"), "Networks");
        const auto text = text_at(object_at(networks, network_.name()), "IPAddress");
        asio::error_code error;
        const auto address = asio::ip::make_address_v4(text, error);
        if (error)
            co_return fail(Errc::start_failed, "it has no address in the network '" + network_.name() + "'");
        container.address = address;
        network_.take_address(address);
    }
    if (reach != Reach::address) {
        auto opened = open_process_entry(value_at(state, "Pid", 0), container.id, "ns/net", O_RDONLY);
        if (!opened)
            co_return fail(std::move(opened.error()));
        container.network_namespace = std::move(*opened);
    }
    container.located = true;
    co_return Result<void>();
}

/// Finds out where a container that was started can be reached.
asio::awaitable<Result<void>> DockerBackend::Impl::locate(Container& container, Reach reach)
{
    using namespace asio::experimental::awaitable_operators;
    auto located = co_await look(container, reach);
    if (located || located.error() == Errc::backend_unavailable || located.error() == Errc::stopping)
        co_return located;
    // Most likely it has ended, and the engine is about to say so.
    asio::steady_timer patience(control_, end_patience);
    co_await (container.ended.wait() || patience.async_wait(as_result));
    if (!container.ended.is_set())
        co_return located;
    const auto text = co_await obituary(container);
    co_return fail(Errc::start_failed, text);
}

asio::awaitable<Result<Stream>> DockerBackend::Impl::open(Instance instance)
{
    const auto self = shared_from_this();
    const auto container = instance.shared_state<Container>();
    if (stdio()) {
        auto fd = container->take_attachment();
        if (!fd)
            co_return fail(Errc::instance_gone);
        container->opened = true;
        const auto executor = co_await asio::this_coro::executor;
        if (options_.pty)
            co_return Stream(std::make_unique<TerminalStream>(executor, std::move(fd)));
        auto report = [self, container](std::string_view text) {
            container->remember(text);
            self->events_.output(self->service_, container->name, text);
        };
        co_return Stream(
            std::make_unique<AttachStream>(executor, std::move(fd), options_.stderr_to, std::move(report)));
    }
    if (container->gone)
        co_return fail(Errc::instance_gone);
    if (!container->located)
        co_return fail(Errc::not_ready, "the engine has not told yet where the container is");
    auto stream = co_await connect(container);
    if (stream)
        container->opened = true;
    else if (container->gone)
        co_return fail(Errc::instance_gone);
    else if (stream.error() != Errc::not_ready)
        co_return fail(Errc::not_ready, stream.error().message());
    co_return stream;
}

asio::awaitable<Result<Stream>> DockerBackend::Impl::connect(std::shared_ptr<Container> container)
{
    if (container->address && !container->network_namespace) {
        const asio::ip::tcp::endpoint endpoint(*container->address, container->port);
        UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (!socket)
            co_return fail(last_error(), "making a socket");
        co_return co_await detail::connect(std::move(socket), endpoint, connect_timeout);
    }
    auto stream = co_await connect_inside(container, asio::ip::address_v4::loopback());
    if (!stream && stream.error() == Errc::not_ready) {
        auto other = co_await connect_inside(container, asio::ip::address_v6::loopback());
        if (other)
            co_return other;
    }
    co_return stream;
}

asio::awaitable<Result<Stream>> DockerBackend::Impl::connect_inside(std::shared_ptr<Container> container,
                                                                    asio::ip::address target)
{
    const int family = target.is_v4() ? AF_INET : AF_INET6;
    auto work = [container, family] { return socket_inside(container->network_namespace.get(), family); };
    auto socket = co_await namespace_thread_.run(std::move(work));
    if (!socket)
        co_return fail(std::move(socket.error()));
    const asio::ip::tcp::endpoint endpoint(target, container->port);
    co_return co_await detail::connect(std::move(*socket), endpoint, connect_timeout);
}

asio::awaitable<InstanceExit> DockerBackend::Impl::wait(Instance instance)
{
    const auto self = shared_from_this();
    const auto container = instance.shared_state<Container>();
    co_await container->ended.wait();
    co_return InstanceExit(container->stopping ? "stopped" : describe_exit(*container));
}

/// How it ended, and what explains that if it ended badly or before it served anyone.
asio::awaitable<std::string> DockerBackend::Impl::obituary(Container& container)
{
    const auto explained = co_await explanation(container);
    co_return describe_exit(container) + explained;
}

/// What explains the state of a container, if it is not in order; each line after a newline.
asio::awaitable<std::string> DockerBackend::Impl::explanation(Container& container)
{
    if (container.exit_code == 0 && container.opened)
        co_return std::string();
    std::string text;
    if (container.exit_code) {
        const auto reply = co_await call("GET", "/containers/" + container.id + "/json");
        if (reply && reply->ok() && value_at(object_at(reply->json(), "State"), "OOMKilled", false))
            text = "\nout of memory";
    }
    const auto said = co_await output(container);
    co_return text + said + remedy(said);
}

/// The last output and the exposed ports, each line after a newline.
asio::awaitable<std::string> DockerBackend::Impl::output(const Container& container)
{
    auto lines = container.last_lines();
    if (!stdio()) {
        const auto path =
            "/containers/" + container.id + "/logs?stdout=1&stderr=1&tail=" + std::to_string(Container::most_lines);
        const auto reply = co_await call("GET", path);
        if (reply && reply->ok())
            lines = unframed(reply->body());
    }
    while (!lines.empty() && lines.back() == '\n')
        lines.pop_back();
    std::string text = lines.empty() ? "\nno output" : "\nlast output:\n" + lines;
    if (stdio())
        co_return text;
    co_return text + "\n" + container.prepared->image.describe_ports() + "; clients are connected to port " +
        std::to_string(container.port);
}

asio::awaitable<std::string> DockerBackend::Impl::diagnose(Instance instance)
{
    const auto self = shared_from_this();
    const auto container = instance.shared_state<Container>();
    const auto text = co_await explanation(*container);
    co_return text.empty() ? text : text.substr(1);
}

asio::awaitable<Result<void>> DockerBackend::Impl::stop(Instance instance)
{
    using namespace asio::experimental::awaitable_operators;
    const auto self = shared_from_this();
    const auto container = instance.shared_state<Container>();
    if (!preparation_.lost().empty()) {
        // It is the other daemon's now.
        forget(*container);
        co_return Result<void>();
    }
    if (!container->ended.is_set())
        container->stopping = true;
    if (container->stopping && options_.stop_grace.count() > 0) {
        const auto signal = percent_encoded(container->prepared->image.stop_signal);
        const auto told = co_await call("POST", "/containers/" + container->id + "/kill?signal=" + signal);
        if (told && told->ok()) {
            asio::steady_timer grace(control_, options_.stop_grace);
            co_await (container->ended.wait() || grace.async_wait(as_result));
        }
    }
    container->gone = true;
    auto removed = co_await remove(container->id);
    forget(*container);
    co_return removed;
}

void DockerBackend::Impl::forget(const Container& container)
{
    const auto found = containers_.find(container.id);
    if (found == containers_.end())
        return;
    const auto keep = found->second;
    containers_.erase(found);
    ended(*keep, {});
    if (keep->address)
        network_.return_address(*keep->address);
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

/// At the engine, to what is its name by now.
asio::awaitable<Result<void>> DockerBackend::Impl::rename(std::shared_ptr<Container> container)
{
    const auto name = container->current_name.text();
    const auto reply = co_await call("POST", "/containers/" + container->id + "/rename?name=" + name);
    if (!reply)
        co_return fail(reply.error());
    if (!reply->ok())
        co_return refused("renaming a container", *reply);
    co_return Result<void>();
}

asio::awaitable<Result<void>> DockerBackend::Impl::personalize(Instance instance, InstanceRequest request)
{
    const auto self = shared_from_this();
    const auto container = instance.shared_state<Container>();
    const auto secret = co_await make_secret(request);
    if (!secret)
        co_return fail(secret.error());
    co_return co_await place_secret(*container, *secret);
}

DockerBackend::DockerBackend(asio::any_io_executor control, std::string service, DockerOptions options, Events& events)
    : impl_(std::make_shared<Impl>(std::move(control), std::move(service), std::move(options), events))
{
}

DockerBackend::~DockerBackend() { impl_->shutdown(); }

BackendTraits DockerBackend::do_traits() const
{
    return BackendTraits()
        .single_use(impl_->stdio())
        .personalizes(impl_->personalizes())
        .finish_time(impl_->finish_time());
}

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
