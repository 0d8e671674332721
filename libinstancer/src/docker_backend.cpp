// SPDX-License-Identifier: MIT
#include <instancer/backend/docker_backend.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <deque>
#include <mutex>
#include <sstream>
#include <unordered_map>
#include <utility>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <sys/utsname.h>

#include <instancer/detail/asio_compat.hpp>
#include <instancer/detail/async_event.hpp>
#include <instancer/detail/client_environment.hpp>
#include <instancer/detail/connect.hpp>
#include <instancer/detail/helper_threads.hpp>

#include "docker_attach.hpp"
#include "docker_engine.hpp"
#include "docker_json.hpp"
#include "docker_network.hpp"
#include "docker_spec.hpp"
#include "docker_watch.hpp"

namespace instancer {

using nlohmann::json;
using namespace detail;

namespace {

constexpr std::size_t engine_threads = 8;
constexpr std::size_t output_lines = 20;
constexpr std::chrono::seconds connect_timeout{3};
constexpr std::chrono::seconds removal_patience{5};
constexpr std::chrono::seconds end_patience{3};
constexpr std::chrono::seconds removal_pause{20};

/// How connections to a port are made, and what network that takes.
enum class Reach {
    inside,   ///< From inside a container that has no network.
    egress,   ///< From inside a container on a bridge network.
    address,  ///< To the container's address on a bridge network.
};

/// What is known once the engine and the image have been asked.
class Prepared {
public:
    ImageFacts image;
    std::uint16_t port = 0;
    Reach reach = Reach::inside;
    json spec;
    std::string config;

    Prepared() = default;
};

class Container final : public Instance::State {
public:
    Container(const asio::any_io_executor& control, std::string container_id, std::string container_name,
              std::shared_ptr<const Prepared> made_from)
        : id(std::move(container_id)), name(std::move(container_name)), prepared(std::move(made_from)), ended(control)
    {
    }

    const std::string id;
    const std::string name;
    const std::shared_ptr<const Prepared> prepared;

    /// Known before the instance is given out, constant from then on.
    UniqueFd network_namespace;
    std::optional<DockerNetwork::Address> address;
    std::uint16_t port = 0;

    std::atomic<bool> opened = false;
    std::atomic<bool> gone = false;

    /// Only on the control executor.
    AsyncEvent ended;
    std::optional<int> exit_code;
    bool started = false;
    bool stopping = false;

    UniqueFd take_attachment()
    {
        const std::lock_guard lock(mutex_);
        return std::move(attachment_);
    }

    void attachment(UniqueFd fd)
    {
        const std::lock_guard lock(mutex_);
        attachment_ = std::move(fd);
    }

    /// Keeps the last lines of standard error, where the engine keeps none.
    void remember(std::string_view line)
    {
        const std::lock_guard lock(mutex_);
        last_lines_.emplace_back(line);
        if (last_lines_.size() > output_lines)
            last_lines_.pop_front();
    }

    std::string last_lines() const
    {
        const std::lock_guard lock(mutex_);
        std::string out;
        for (const auto& line : last_lines_)
            out += line + "\n";
        return out;
    }

private:
    mutable std::mutex mutex_;
    UniqueFd attachment_;
    std::deque<std::string> last_lines_;
};

std::chrono::seconds unix_time()
{
    return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch());
}

tl::unexpected<Error> refused(const std::string& what, const EngineReply& reply)
{
    return fail(Errc::start_failed, what + ": " + reply.message());
}

/// Whether the engine's containers are processes of this host.
bool is_local(const json& info)
{
    utsname host{};
    ::uname(&host);
    return text_at(info, "Name") == host.nodename && text_at(info, "KernelVersion") == host.release &&
           text_at(info, "OperatingSystem") != "Docker Desktop";
}

bool is_rootless(const json& info)
{
    const auto options = value_at(info, "SecurityOptions", std::vector<std::string>());
    return std::ranges::any_of(options, [](const auto& option) { return option.find("rootless") != option.npos; });
}

/// A sandbox that brings its own network stack has nothing listening in the namespace.
bool uses_host_kernel(const std::string& runtime)
{
    return runtime.empty() || runtime == "runc" || runtime == "crun" || runtime.starts_with("io.containerd.runc.");
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

}  // namespace

class DockerBackend::Impl final : public std::enable_shared_from_this<Impl>, private DockerWatch::Observer {
public:
    Impl(asio::any_io_executor control, std::string service, DockerOptions options, Events& events)
        : control_(std::move(control)),
          service_(std::move(service)),
          options_(std::move(options)),
          events_(events),
          engine_(options_.engine),
          pulls_(options_.engine),
          network_(engine_, options_.daemon, service_),
          watch_(engine_, {label(label_daemon, options_.daemon), label(label_service, service_)}, *this)
    {
    }

    ~Impl() override = default;

    bool stdio() const noexcept { return options_.io == DockerIo::stdio; }

    void shutdown();

    asio::awaitable<Result<void>> prepare();

    /// Only a pull takes long.
    void interrupt() { pulls_.stop(); }

    asio::awaitable<Result<Instance>> start(InstanceRequest request);
    asio::awaitable<Result<Stream>> open(Instance instance);
    asio::awaitable<InstanceExit> wait(Instance instance);
    asio::awaitable<Result<void>> stop(Instance instance);
    asio::awaitable<Result<void>> assign(Instance instance, Identity identity);
    asio::awaitable<Result<std::vector<Leftover>>> list();
    asio::awaitable<std::string> explain(Instance instance);

private:
    using Containers = std::vector<std::shared_ptr<Container>>;

    static std::string removal(const std::string& container) { return "/containers/" + container + "?force=1&v=1"; }

    /// Whether the daemon has such a service now; without a list it may.
    bool is_served(const std::string& service) const
    {
        return options_.services.empty() || std::ranges::count(options_.services, service) > 0;
    }

    static std::string label(std::string_view name, std::string_view value)
    {
        return std::string(name) + "=" + std::string(value);
    }

    void engine_opened() override;
    void engine_lost(const Error& why) override;
    void container_ended(const std::string& id, int exit_code) override;
    asio::awaitable<void> reconcile();
    void ended(Container& container, std::optional<int> exit_code);

    Result<std::shared_ptr<const Prepared>> prepare_now();
    Result<ImageFacts> image_now();
    Result<Reach> reach_now();
    Result<void> pull_now();
    Result<void> try_now(const Prepared& prepared);
    json labels(const Prepared& prepared) const;
    void forget_preparation();

    asio::awaitable<Result<std::shared_ptr<const Prepared>>> prepared();
    /// Does blocking work on a helper thread.
    template <class Work>
    asio::awaitable<std::invoke_result_t<Work&>> offload(Work work)
    {
        if (closed_)
            co_return fail(Errc::stopping);
        co_return co_await helpers_.run(std::move(work));
    }

    asio::awaitable<Result<EngineReply>> call(std::string method, std::string path, std::string body = {});
    asio::awaitable<Result<std::shared_ptr<Container>>> create(const InstanceRequest& request);
    asio::awaitable<Result<void>> run(Container& container);
    asio::awaitable<Result<void>> locate(Container& container, Reach reach);
    asio::awaitable<Result<void>> remove(std::string container);
    void remove_later(const std::string& container);
    asio::awaitable<void> retry_removals();
    asio::awaitable<void> remove_all(const std::vector<std::string>& containers);
    asio::awaitable<std::string> output(const Container& container);
    asio::awaitable<std::string> obituary(Container& container);
    asio::awaitable<std::string> explanation(Container& container);
    asio::awaitable<Result<Stream>> connect(std::shared_ptr<Container> container);
    asio::awaitable<Result<Stream>> connect_inside(std::shared_ptr<Container> container, asio::ip::address target);
    asio::awaitable<Result<Stream>> connect(UniqueFd socket, asio::ip::tcp::endpoint endpoint);
    asio::awaitable<Result<Leftover>> adopt(const json& summary, std::shared_ptr<const Prepared> prepared);
    void forget(const Container& container);

    const asio::any_io_executor control_;
    const std::string service_;
    const DockerOptions options_;
    Events& events_;
    DockerEngine engine_;
    DockerEngine pulls_;  ///< What a pull speaks through.
    DockerNetwork network_;
    DockerWatch watch_;
    HelperThreads helpers_{engine_threads};
    HelperThreads namespace_thread_{1};
    std::atomic<bool> engine_lost_ = false;

    /// Only on the control executor.
    std::unordered_map<std::string, std::shared_ptr<Container>> containers_;
    std::vector<std::string> unremoved_;  ///< Containers that should be gone, by name or id.
    bool closed_ = false;

    std::mutex prepare_mutex_;
    std::shared_ptr<const Prepared> prepared_;
    std::atomic<bool> outdated_ = false;  ///< `prepared_` must be made again.
    std::atomic<bool> network_made_ = false;
};

void DockerBackend::Impl::shutdown()
{
    for (const auto& name : std::exchange(unremoved_, {}))
        (void)engine_.call("DELETE", removal(name));
    if (network_made_)
        network_.remove();
    closed_ = true;
    watch_.stop();
    pulls_.stop();
    engine_.stop();
    helpers_.join();
    namespace_thread_.join();
    containers_.clear();
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

/// Asks for the ends that nobody told us of, and removes what could not be removed before.
asio::awaitable<void> DockerBackend::Impl::reconcile()
{
    const auto self = shared_from_this();
    Containers known;
    for (const auto& [id, container] : containers_)
        if (container->started && !container->ended.is_set())
            known.push_back(container);
    for (const auto& container : known) {
        const auto reply = co_await call("GET", "/containers/" + container->id + "/json");
        if (!reply)
            break;
        if (reply->status() == 404) {
            ended(*container, {});
        } else if (reply->ok()) {
            const auto state = object_at(reply->json(), "State");
            if (!value_at(state, "Running", false))
                ended(*container, value_at(state, "ExitCode", -1));
        }
    }
    const auto names = std::exchange(unremoved_, {});
    co_await remove_all(names);
}

// Preparation, on helper threads.

Result<std::shared_ptr<const Prepared>> DockerBackend::Impl::prepare_now()
{
    const std::lock_guard lock(prepare_mutex_);
    if (!outdated_.exchange(false) && prepared_)
        return prepared_;
    prepared_.reset();
    if (auto checked = check(options_, service_); !checked)
        return tl::unexpected<Error>(std::move(checked.error()));
    auto image = image_now();
    if (!image)
        return tl::unexpected<Error>(std::move(image.error()));
    auto next = std::make_shared<Prepared>();
    next->image = std::move(*image);
    if (!stdio()) {
        const auto port = service_port(options_, next->image);
        if (!port)
            return tl::unexpected<Error>(port.error());
        next->port = *port;
    }
    const auto reach = reach_now();
    if (!reach)
        return tl::unexpected<Error>(reach.error());
    next->reach = *reach;
    next->spec = container_spec(options_, next->image, next->port);
    if (next->reach != Reach::inside)
        next->spec["HostConfig"]["NetworkMode"] = network_.name();
    next->config = config_hash(next->spec, next->image);
    if (const auto tried = try_now(*next); !tried)
        return tl::unexpected<Error>(tried.error());
    watch_.start();
    prepared_ = next;
    return prepared_;
}

Result<ImageFacts> DockerBackend::Impl::image_now()
{
    const auto path = "/images/" + percent_encoded(options_.image) + "/json";
    auto reply = engine_.call("GET", path);
    if (reply && reply->status() == 404) {
        if (auto pulled = pull_now(); !pulled)
            return tl::unexpected<Error>(std::move(pulled.error()));
        reply = engine_.call("GET", path);
    }
    if (!reply)
        return tl::unexpected<Error>(std::move(reply.error()));
    if (!reply->ok())
        return fail(Errc::bad_request, "image '" + options_.image + "': " + reply->message());
    return ImageFacts(reply->json());
}

Result<void> DockerBackend::Impl::pull_now()
{
    const auto missing = [this](const std::string& why) {
        return fail(Errc::bad_request, "the Docker engine has no image '" + options_.image + "'" + why +
                                           "; make it with `docker build -t " + options_.image +
                                           " .`, or bring it with `docker load`");
    };
    if (options_.pull == DockerPull::never)
        return missing("");
    events_.notice(service_, "pulling image '" + options_.image + "'");
    const auto& image = options_.image;
    const bool tagged = image.find(':', image.rfind('/') == image.npos ? 0 : image.rfind('/')) != image.npos;
    const auto path = "/images/create?fromImage=" + percent_encoded(tagged ? image : image + ":latest");
    // The answer is 200 whatever comes; a failure is one of the messages in it.
    std::string progress;
    pulls_.forget_version();
    const auto reply = pulls_.stream(
        "POST", path, [] {}, [&](std::string_view piece) { progress += piece; });
    if (!reply)
        return tl::unexpected<Error>(reply.error());
    if (!reply->ok())
        return missing(", and pulling it failed: " + reply->message());
    std::istringstream lines(progress);
    for (std::string line; std::getline(lines, line);) {
        const auto message = json::parse(line, nullptr, false);
        if (const auto error = text_at(message, "error"); !error.empty())
            return missing(", and pulling it failed: " + error);
    }
    return {};
}

/// Chooses how instances are reached, and makes what network that takes.
Result<Reach> DockerBackend::Impl::reach_now()
{
    const auto reply = engine_.call("GET", "/info");
    if (!reply)
        return tl::unexpected<Error>(reply.error());
    if (!reply->ok())
        return fail(Errc::backend_unavailable, "the Docker engine: " + reply->message());
    const auto info = reply->json();
    if (!options_.runtime.empty() && !object_at(info, "Runtimes").contains(options_.runtime))
        return fail(Errc::bad_request, "the Docker engine has no runtime '" + options_.runtime + "'");
    if (!value_at(info, "MemoryLimit", true) || !value_at(info, "PidsLimit", true) ||
        !value_at(info, "CpuCfsQuota", true))
        events_.warning(service_,
                        "this host's kernel cannot enforce all limits of containers (memory, processes, CPU)");

    if (stdio() && !options_.egress)
        return Reach::inside;
    const bool local = is_local(info) && !is_rootless(info);
    if (!local && !stdio())
        return fail(Errc::bad_request, "the Docker engine at " + options_.engine +
                                           (is_rootless(info) ? " is rootless" : " runs on another host") +
                                           ", where the ports of its containers cannot be reached from here; use one "
                                           "that runs as root on this host, or --stdio");
    const bool enter = uses_host_kernel(options_.runtime) && may_enter_namespaces();
    if (enter && !options_.egress)
        return Reach::inside;
    if (const auto made = network_.ensure(options_.egress); !made)
        return tl::unexpected<Error>(made.error());
    network_made_ = true;
    if (!enter && !stdio())
        events_.notice(service_, "network namespaces cannot be entered (that takes CAP_SYS_ADMIN and a runtime like "
                                 "runc), so containers get the bridge network '" +
                                     network_.name() + "'");
    if (const auto problem = network_.firewall_problem(); !problem.empty())
        events_.warning(service_, "containers can connect to this host, because the firewall rule that keeps them "
                                  "from it cannot be set: " +
                                      problem);
    return enter || stdio() ? Reach::egress : Reach::address;
}

/// Makes a container and removes it: the engine knows best which limits and mounts it refuses.
Result<void> DockerBackend::Impl::try_now(const Prepared& prepared)
{
    const ContainerName name(options_.daemon, service_);
    auto spec = prepared.spec;
    spec["Labels"] = labels(prepared);
    const auto made = engine_.call("POST", "/containers/create?name=" + name.text(), spec.dump());
    if (!made)
        return tl::unexpected<Error>(made.error());
    if (!made->ok())
        return fail(Errc::bad_request, "the Docker engine refuses such containers: " + made->message());
    const auto removed = engine_.call("DELETE", removal(name.text()));
    if (!removed)
        return tl::unexpected<Error>(removed.error());
    return {};
}

json DockerBackend::Impl::labels(const Prepared& prepared) const
{
    return {
        {label_daemon, options_.daemon},
        {label_service, service_},
        {label_started, std::to_string(unix_time().count())},
        {label_config, prepared.config},
    };
}

/// Takes no lock: a helper thread may hold it for as long as a pull takes.
void DockerBackend::Impl::forget_preparation() { outdated_ = true; }

asio::awaitable<Result<std::shared_ptr<const Prepared>>> DockerBackend::Impl::prepared()
{
    {
        // Taken only for an instant once all is prepared.
        const std::unique_lock lock(prepare_mutex_, std::try_to_lock);
        if (lock && prepared_ && !outdated_)
            co_return prepared_;
    }
    auto work = [this] { return prepare_now(); };
    co_return co_await offload(std::move(work));
}

asio::awaitable<Result<void>> DockerBackend::Impl::prepare()
{
    const auto self = shared_from_this();
    const auto done = co_await prepared();
    if (!done)
        co_return tl::unexpected<Error>(done.error());
    co_return Result<void>();
}

// Instances.

asio::awaitable<Result<EngineReply>> DockerBackend::Impl::call(std::string method, std::string path, std::string body)
{
    auto work = [this, method = std::move(method), path = std::move(path), body = std::move(body)] {
        return engine_.call(method, path, body);
    };
    co_return co_await offload(std::move(work));
}

asio::awaitable<Result<Instance>> DockerBackend::Impl::start(InstanceRequest request)
{
    const auto self = shared_from_this();
    if (engine_lost_)
        co_return fail(Errc::backend_unavailable, "the Docker engine is away");
    const auto created = co_await create(request);
    if (!created)
        co_return tl::unexpected<Error>(created.error());
    const auto& container = *created;
    const auto running = co_await run(*container);
    if (running)
        co_return Instance(container->name, container);
    container->stopping = true;
    if (running.error() == Errc::backend_unavailable)
        remove_later(container->id);
    else
        (void)co_await remove(container->id);
    forget(*container);
    co_return tl::unexpected<Error>(running.error());
}

asio::awaitable<Result<std::shared_ptr<Container>>> DockerBackend::Impl::create(const InstanceRequest& request)
{
    for (bool again = false;; again = true) {
        const auto prepared = co_await this->prepared();
        if (!prepared)
            co_return tl::unexpected<Error>(prepared.error());
        const auto& common = **prepared;

        auto spec = common.spec;
        for (const auto& [name, value] : client_environment(request, options_.client_env))
            spec["Env"].push_back(name + "=" + value);
        spec["Labels"] = labels(common);
        std::optional<DockerNetwork::Address> address;
        if (common.reach != Reach::inside) {
            const auto taken = network_.take_address();
            if (!taken)
                co_return tl::unexpected<Error>(taken.error());
            address = *taken;
            auto& endpoint = spec["NetworkingConfig"]["EndpointsConfig"][network_.name()];
            endpoint["IPAMConfig"]["IPv4Address"] = address->to_string();
        }
        const auto& identity = request.identity();
        auto name = ContainerName(options_.daemon, service_);
        if (identity)
            name = ContainerName(options_.daemon, service_, *identity, unix_time());

        const auto reply = co_await call("POST", "/containers/create?name=" + name.text(), spec.dump());
        if (reply && reply->ok()) {
            const auto id = text_at(reply->json(), "Id");
            auto container = std::make_shared<Container>(control_, id, name.text(), *prepared);
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
            co_return tl::unexpected<Error>(reply.error());
        }
        // The image or the network is gone: look for it, or make it, once more.
        if (reply->status() != 404 || again)
            co_return refused("creating a container", *reply);
        forget_preparation();
    }
}

asio::awaitable<Result<void>> DockerBackend::Impl::run(Container& container)
{
    if (stdio()) {
        auto ask = [this] { return engine_.version_prefix(); };
        const auto version = co_await offload(std::move(ask));
        if (!version)
            co_return tl::unexpected<Error>(version.error());
        // Before the start, or the first output is lost.
        auto attached = co_await attach(engine_.socket_path(), *version, container.id);
        if (!attached)
            co_return tl::unexpected<Error>(std::move(attached.error()));
        container.attachment(std::move(*attached));
    }
    const auto reply = co_await call("POST", "/containers/" + container.id + "/start");
    if (!reply)
        co_return tl::unexpected<Error>(reply.error());
    if (!reply->ok()) {
        const auto why = reply->message();
        if (reply->status() == 404)
            forget_preparation();
        co_return fail(Errc::start_failed, "starting a container: " + why + remedy(why));
    }
    container.started = true;
    if (stdio())
        co_return Result<void>();
    co_return co_await locate(container, container.prepared->reach);
}

/// Finds out where a container that runs can be reached.
asio::awaitable<Result<void>> DockerBackend::Impl::locate(Container& container, Reach reach)
{
    using namespace asio::experimental::awaitable_operators;
    const auto reply = co_await call("GET", "/containers/" + container.id + "/json");
    if (!reply)
        co_return tl::unexpected<Error>(reply.error());
    if (!reply->ok())
        co_return refused("inspecting a container", *reply);
    const auto state = object_at(reply->json(), "State");
    if (reach == Reach::address && value_at(state, "Running", false))
        co_return Result<void>();
    auto opened = open_network_namespace(value_at(state, "Pid", 0), container.id);
    if (opened) {
        container.network_namespace = std::move(*opened);
        co_return Result<void>();
    }
    // Most likely it has ended, and the engine is about to say so.
    asio::steady_timer patience(control_, end_patience);
    co_await (container.ended.wait() || patience.async_wait(as_result));
    if (!container.ended.is_set())
        co_return tl::unexpected<Error>(std::move(opened.error()));
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
        co_return co_await connect(std::move(socket), endpoint);
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
        co_return tl::unexpected<Error>(std::move(socket.error()));
    const asio::ip::tcp::endpoint endpoint(target, container->port);
    co_return co_await connect(std::move(*socket), endpoint);
}

asio::awaitable<Result<Stream>> DockerBackend::Impl::connect(UniqueFd socket, asio::ip::tcp::endpoint endpoint)
{
    using namespace asio::experimental::awaitable_operators;
    const auto executor = co_await asio::this_coro::executor;
    asio::steady_timer deadline(executor, connect_timeout);
    auto first = co_await (detail::connect(std::move(socket), endpoint) || deadline.async_wait(as_result));
    if (first.index() != 0)
        co_return fail(Errc::not_ready, "connecting to " + ClientInfo::format(endpoint) + ": no answer");
    co_return std::move(std::get<0>(first));
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
            "/containers/" + container.id + "/logs?stdout=1&stderr=1&tail=" + std::to_string(output_lines);
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

asio::awaitable<std::string> DockerBackend::Impl::explain(Instance instance)
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

/// Kills the container, named by name or id, if it still runs, and removes it with its volumes.
asio::awaitable<Result<void>> DockerBackend::Impl::remove(std::string container)
{
    const auto self = shared_from_this();
    const auto deadline = std::chrono::steady_clock::now() + removal_patience;
    for (;;) {
        const auto reply = co_await call("DELETE", removal(container));
        if (reply && (reply->ok() || reply->status() == 404))
            co_return Result<void>();
        if (std::chrono::steady_clock::now() < deadline && (reply || reply.error() != Errc::stopping)) {
            // Somebody else is removing it, or the engine is away or ill.
            asio::steady_timer pause(control_, std::chrono::milliseconds(100));
            co_await pause.async_wait(as_result);
            continue;
        }
        remove_later(container);
        co_return fail(Errc::backend_unavailable, "container " + container.substr(0, 12) + " is not removed yet: " +
                                                      (reply ? reply->message() : reply.error().text()));
    }
}

/// When the engine is back, or after a while.
void DockerBackend::Impl::remove_later(const std::string& container)
{
    const bool first = unremoved_.empty();
    unremoved_.push_back(container);
    if (first && !closed_)
        asio::co_spawn(control_, retry_removals(), asio::detached);
}

asio::awaitable<void> DockerBackend::Impl::retry_removals()
{
    const std::weak_ptr<Impl> weak = weak_from_this();
    asio::steady_timer pause(control_, removal_pause);
    co_await pause.async_wait(as_result);
    const auto self = weak.lock();
    if (!self || closed_ || engine_lost_)
        co_return;
    const auto names = std::exchange(unremoved_, {});
    co_await remove_all(names);
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
    const auto& container = instance.state<Container>();
    const ContainerName name(options_.daemon, service_, identity, unix_time());
    const auto reply = co_await call("POST", "/containers/" + container.id + "/rename?name=" + name.text());
    if (!reply)
        co_return tl::unexpected<Error>(reply.error());
    if (!reply->ok())
        co_return refused("renaming a container", *reply);
    co_return Result<void>();
}

// Recovery.

asio::awaitable<Result<std::vector<Leftover>>> DockerBackend::Impl::list()
{
    const auto self = shared_from_this();
    const auto prepared = co_await this->prepared();
    if (!prepared)
        co_return tl::unexpected<Error>(prepared.error());
    json filters;
    filters["label"] = json::array({label(label_daemon, options_.daemon)});
    const auto reply = co_await call("GET", "/containers/json?all=1&filters=" + percent_encoded(filters.dump()));
    if (!reply)
        co_return tl::unexpected<Error>(reply.error());
    if (!reply->ok())
        co_return fail(Errc::backend_unavailable, "listing containers: " + reply->message());

    std::vector<Leftover> found;
    std::vector<std::string> unwanted;
    const auto summaries = reply->json();
    for (const auto& summary : summaries) {
        const auto id = text_at(summary, "Id");
        const auto service = text_at(object_at(summary, "Labels"), label_service);
        if (containers_.contains(id) || (service != service_ && is_served(service)))
            continue;
        auto leftover = co_await adopt(summary, *prepared);
        if (leftover)
            found.push_back(std::move(*leftover));
        else
            unwanted.push_back(id);
    }
    co_await remove_all(unwanted);
    if ((*prepared)->reach == Reach::inside) {
        auto clean = [this] {
            network_.remove();
            return Result<void>();
        };
        (void)co_await offload(std::move(clean));
    }
    co_return found;
}

/// Removes them side by side.
asio::awaitable<void> DockerBackend::Impl::remove_all(const std::vector<std::string>& containers)
{
    const auto removed = std::make_shared<AsyncEvent>(control_);
    const auto left = std::make_shared<std::size_t>(containers.size());
    const auto on_removal = [removed, left](std::exception_ptr, const Result<void>&) {
        if (--*left == 0)
            removed->set();
    };
    for (const auto& container : containers)
        asio::co_spawn(control_, remove(container), on_removal);
    if (!containers.empty())
        co_await removed->wait();
}

/// Fails for what cannot be taken over.
asio::awaitable<Result<Leftover>> DockerBackend::Impl::adopt(const json& summary,
                                                             std::shared_ptr<const Prepared> prepared)
{
    const auto names = value_at(summary, "Names", std::vector<std::string>());
    const auto labels = object_at(summary, "Labels");
    if (stdio() || names.empty() || text_at(summary, "State") != "running" ||
        text_at(labels, label_config) != prepared->config)
        co_return fail(Errc::not_supported);
    const auto name = ContainerName::parse(std::string_view(names.front()).substr(1), options_.daemon, service_);
    if (!name || !name->identity() || !name->identity()->returning())
        co_return fail(Errc::not_supported);

    const auto id = text_at(summary, "Id");
    const auto container = std::make_shared<Container>(control_, id, name->text(), prepared);
    container->port = prepared->port;
    container->started = true;
    container->opened = true;
    if (prepared->reach != Reach::inside) {
        const auto networks = object_at(object_at(summary, "NetworkSettings"), "Networks");
        asio::error_code error;
        const auto address =
            asio::ip::make_address_v4(text_at(object_at(networks, network_.name()), "IPAddress"), error);
        if (error)
            co_return fail(Errc::not_supported);
        container->address = address;
        network_.take_address(address);
    }
    containers_.emplace(id, container);
    const auto located = co_await locate(*container, prepared->reach);
    if (!located) {
        forget(*container);
        co_return tl::unexpected<Error>(located.error());
    }
    const auto age = std::max(unix_time() - name->claimed(), std::chrono::seconds(0));
    co_return Leftover(Instance(container->name, container), *name->identity(), age);
}

DockerBackend::DockerBackend(asio::any_io_executor control, std::string service, DockerOptions options, Events& events)
    : impl_(std::make_shared<Impl>(std::move(control), std::move(service), std::move(options), events))
{
}

DockerBackend::~DockerBackend() { impl_->shutdown(); }

BackendTraits DockerBackend::do_traits() const { return BackendTraits().single_use(impl_->stdio()); }

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

asio::awaitable<Result<std::vector<Leftover>>> DockerBackend::do_list(std::string) { return impl_->list(); }

asio::awaitable<std::string> DockerBackend::do_explain(Instance instance)
{
    return impl_->explain(std::move(instance));
}

}  // namespace instancer
