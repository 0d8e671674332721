// SPDX-License-Identifier: MIT
#include "modes/tunnel/tunnel_service.hpp"

#include <algorithm>
#include <exception>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/steady_timer.hpp>

#include <instancer/acceptor/controlled_acceptor.hpp>
#include <instancer/authenticator/shared.hpp>
#include <instancer/backend/upstream_backend.hpp>
#include <instancer/bridge/pair_bridge.hpp>
#include <instancer/text/exception_text.hpp>
#include <instancer/tunnel/tunnel_authenticator.hpp>
#include <instancer/tunnel/tunnel_backend.hpp>

#include "daemon/instance_service.hpp"
#include "observe/traffic.hpp"

namespace instancer::daemon {

namespace {

/// A guess: operators, and connections that they forgot.
constexpr std::size_t max_control_connections = 32;

/// How long a user waits while another process has the database, and at first between two tries. A guess.
constexpr std::chrono::milliseconds database_patience{2000}, database_pause{20};

/// As the original writes an address: `('192.0.2.1', 5000)`.
std::string in_tuple(const TunnelAddress& address)
{
    return "('" + address.endpoint().address().to_string() + "', " + std::to_string(address.port()) + ")";
}

/// Whether only this machine reaches the address of a listener.
bool is_local(std::string_view address)
{
    return address.starts_with("127.") || address.starts_with("[::1]") || address.starts_with("unix:");
}

bool is_address(const std::string& text)
{
    asio::error_code error;
    asio::ip::make_address(text, error);
    return !error;
}

Parsed<void> append(Acceptors& to, Parsed<Acceptors> opened)
{
    if (!opened)
        return wrong(opened.error());
    std::move(opened->begin(), opened->end(), std::back_inserter(to));
    return {};
}

TunnelServerOptions server_options(const ServiceSettings& service, std::function<bool(const asio::ip::address&)> admits)
{
    TunnelServerOptions options;
    options.link = service.tunnel.link;
    options.second_agent = service.tunnel.second_agent;
    options.agent_wait = service.tunnel.agent_wait;
    options.admits_agent = std::move(admits);
    return options;
}

TunnelAgentOptions agent_options(const ServiceSettings& service)
{
    const auto& tunnel = service.tunnel;
    TunnelAgentOptions options;
    options.link = tunnel.link;
    options.host = tunnel.peer->name();
    options.port = tunnel.peer->port();
    options.reconnect = tunnel.reconnect;
    options.connect_timeout = tunnel.connect_timeout;
    if (!tunnel.targets.empty())
        options.admits_target = [&tunnel](const TunnelAddress& target) {
            return std::any_of(tunnel.targets.begin(), tunnel.targets.end(),
                               [&](const auto& one) { return one.holds(target); });
        };
    return options;
}

}  // namespace

Parsed<TunnelListeners> TunnelListeners::open(const ServiceSettings& service, const asio::any_io_executor& control,
                                              const asio::any_io_executor& home, InheritedSockets& inherited)
{
    const auto& tunnel = service.tunnel;
    auto files = load_tunnel_files(tunnel);
    if (!files)
        return wrong(files.error());
    TunnelListeners listeners;
    listeners.files = std::move(*files);
    if (!tunnel.database.empty()) {
        auto users = UserDatabase::open(tunnel.database);
        if (!users)
            return wrong(users.error());
        listeners.users = std::move(*users);
    }
    const auto permissions = unix_permissions_of(service);
    if (!permissions)
        return wrong(permissions.error());
    auto done = append(listeners.agents, listen_on(home, tunnel.agents_listen(), *permissions, inherited));
    if (done && tunnel.control)
        done = append(listeners.control, listen_on(control, *tunnel.control, 0600, inherited));
    for (const auto& route : listeners.files.routes)
        if (done)
            done = append(listeners.routes.emplace_back(), listen_on(control, route.listen, *permissions, inherited));
    if (!done)
        return wrong(done.error());
    return listeners;
}

class TunnelServerService::Route {
public:
    Route(TunnelServerService& owner, ServerOptions options, Workers& workers, Acceptors acceptors,
          TunnelAddress target, std::unique_ptr<Authenticator> authenticator)
        : backend(owner.control_, owner.tunnel_, target),
          pool(owner.control_, options.service, UpstreamBackend::default_pool_options(), backend, owner.log_),
          server(workers, std::move(options), std::move(acceptors), std::move(authenticator), pool, *owner.bridge_,
                 owner.log_)
    {
    }

    TunnelBackend backend;
    InstancePool pool;
    Server server;
};

TunnelServerService::TunnelServerService(const Settings& settings, const ServiceSettings& service, Workers& workers,
                                         asio::any_io_executor home, TunnelListeners listeners, AccessRules rules,
                                         std::shared_ptr<UnadmittedLimit> unadmitted, Log& log)
    : service_(service),
      name_(service.name),
      drain_timeout_(service.drain_timeout.value_or(settings.drain_timeout)),
      control_(workers.control()),
      home_(std::move(home)),
      log_(log),
      files_(std::make_shared<const TunnelFiles>(std::move(listeners.files))),
      database_(std::move(listeners.users)),
      tunnel_(home_, name_,
              server_options(service, [this](const auto& address) { return files()->admits_agent(address); }),
              std::move(listeners.agents), log),
      bridge_(make_bridge(service, log)),
      bans_(keep_bans(service, log)),
      control_acceptors_(std::move(listeners.control)),
      control_port_(control_, *this, max_control_connections),
      routes_over_(control_),
      tunnel_over_(control_)
{
    if (service.needs_access_control())
        access_ = make_access_control(control_, service, std::move(rules), unadmitted, bans_.get());
    for (std::size_t i = 0; i < listeners.routes.size(); ++i) {
        auto& acceptors = listeners.routes[i];
        if (access_)
            for (auto& acceptor : acceptors)
                acceptor = std::make_unique<ControlledAcceptor>(std::move(acceptor), access_);
        std::unique_ptr<Authenticator> authenticator;
        if (service.tunnel.any_user)
            authenticator = std::make_unique<SharedAuthenticator>();
        else
            authenticator =
                std::make_unique<TunnelAuthenticator>([this](asio::ip::address address) { return knows(address); });
        // Sessions are numbered in each server, so that each needs a name of its own.
        const auto name = listeners.routes.size() == 1 ? name_ : name_ + "-" + std::to_string(i + 1);
        routes_.push_back(std::make_unique<Route>(*this, make_server_options(name, service, unadmitted), workers,
                                                  std::move(acceptors), files_->routes[i].target,
                                                  std::move(authenticator)));
    }
}

TunnelServerService::~TunnelServerService() = default;

std::shared_ptr<const TunnelFiles> TunnelServerService::files() const
{
    const std::lock_guard lock(files_mutex_);
    return files_;
}

asio::awaitable<Result<void>> TunnelServerService::run(std::function<void()> serving)
{
    auto tunnel_run = tunnel_.run();
    asio::co_spawn(home_, std::move(tunnel_run),
                   [this](std::exception_ptr) { asio::post(control_, [this] { tunnel_over_.set(); }); });
    for (const auto& acceptor : control_acceptors_) {
        log_.listening(name_ + " (control)", acceptor->address());
        if (!is_local(acceptor->address()))
            log_.warning(name_, "whoever reaches " + acceptor->address() +
                                    " controls the tunnel: the control port asks for no password");
    }
    control_port_.serve(std::move(control_acceptors_));
    running_ = routes_.size();
    silent_ = routes_.size();
    for (const auto& route : routes_) {
        route->server.on_serving([this, serving] {
            if (--silent_ == 0)
                serving();
        });
        asio::co_spawn(control_, route->server.run(),
                       [this](std::exception_ptr failure, Result<void> result) { route_ended(failure, result); });
    }
    co_await routes_over_.wait();
    control_port_.close();
    co_await control_port_.wait_closed();
    asio::post(home_, [this] { tunnel_.stop(); });
    co_await tunnel_over_.wait();
    co_return result_;
}

void TunnelServerService::route_ended(std::exception_ptr failure, const Result<void>& result)
{
    if (failure)
        result_ = fail(std::make_error_code(std::errc::io_error), exception_text(failure));
    else if (!result)
        result_ = result;
    if (failure || !result)
        stop();
    if (--running_ == 0)
        routes_over_.set();
}

void TunnelServerService::drain()
{
    for (const auto& route : routes_)
        route->server.drain(drain_timeout_);
}

void TunnelServerService::stop()
{
    for (const auto& route : routes_)
        route->server.stop();
}

asio::awaitable<void> TunnelServerService::reload(HelperThreads& reader)
{
    const auto& tunnel = service_.tunnel;
    if (bans_)
        bans_->reload();
    if (access_) {
        auto read = [this] { return read_rules(service_); };
        auto call = reader.run(std::move(read));
        auto rules = co_await std::move(call);
        if (rules)
            reload_rules(*access_, std::move(*rules), service_, log_);
    }
    if (tunnel.config_file.empty() && tunnel.routing_file.empty())
        co_return;
    auto read = [&tunnel] { return load_tunnel_files(tunnel); };
    auto call = reader.run(std::move(read));
    auto files = co_await std::move(call);
    use(std::move(files));
}

void TunnelServerService::use(Parsed<TunnelFiles> files)
{
    const auto& tunnel = service_.tunnel;
    if (!files) {
        log_.warning(name_, files.error() + "; users, agents and routes stay as they were");
        return;
    }
    const auto running = this->files()->routes;
    if (files->routes != running)
        log_.warning(name_, tunnel.routing_file + " does not hold the routes that are served; other routes take a " +
                                "restart");
    files->routes = running;
    if (!tunnel.config_file.empty())
        log_.notice(name_, counted(files->users.size(), "user") + " and " +
                               counted(files->agents.size(), "address of an agent", "addresses of agents") +
                               ", with those of " + tunnel.config_file);
    const std::lock_guard lock(files_mutex_);
    files_ = std::make_shared<const TunnelFiles>(std::move(*files));
}

void TunnelServerService::report()
{
    asio::post(home_, [this] {
        log_.notice(name_, (tunnel_.agent().empty() ? "no agent is" : "agent " + tunnel_.agent() + " is") +
                               " connected, " + counted(tunnel_.sessions().size(), "session"));
    });
    asio::co_spawn(control_, report_sessions(), asio::detached);
}

asio::awaitable<void> TunnelServerService::report_sessions()
{
    co_await asio::this_coro::throw_if_cancelled(false);
    for (const auto& route : routes_) {
        const auto sessions = co_await route->server.snapshot();
        for (const auto& session : sessions)
            log_.session(session);
    }
}

template <class Call>
asio::awaitable<std::invoke_result_t<Call&, UserDatabase&>> TunnelServerService::ask_database(Call call)
{
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    const auto executor = co_await asio::this_coro::executor;
    asio::steady_timer pause(executor);
    const auto deadline = std::chrono::steady_clock::now() + database_patience;
    for (auto wait = database_pause;; wait = std::min(2 * wait, 8 * database_pause)) {
        bool busy = false;
        auto attempt = [this, &busy, &call] {
            auto result = call(*database_);
            busy = database_->busy();
            return result;
        };
        auto asked = database_thread_.run(std::move(attempt));
        auto result = co_await std::move(asked);
        if (!busy || is_cancelled(cancellation) || std::chrono::steady_clock::now() >= deadline)
            co_return result;
        pause.expires_after(wait);
        co_await pause.async_wait(as_result);
    }
}

asio::awaitable<Result<bool>> TunnelServerService::knows(asio::ip::address address)
{
    if (files()->knows_user(address))
        co_return true;
    if (!database_)
        co_return false;
    const auto text = address.to_string();
    auto look_up = [text](UserDatabase& users) { return users.find(text); };
    auto asked = ask_database(std::move(look_up));
    const auto found = co_await std::move(asked);
    if (!found)
        co_return fail(Errc::backend_unavailable, found.error());
    if (!*found)
        co_return false;
    const auto name = **found;
    auto note = [name](UserDatabase& users) { return users.note_login(name); };
    auto noting = ask_database(std::move(note));
    const auto noted = co_await std::move(noting);
    if (!noted)
        log_.warning(name_, "the login of " + in_quotes(name) + " is not noted: " + noted.error());
    co_return true;
}

// The control port.

asio::awaitable<ControlReply> TunnelServerService::obey(std::string line)
{
    const auto words = words_of(line);
    const auto is = [&](std::size_t index, std::string_view word) {
        return index < words.size() && words[index] == word;
    };
    std::string answer;
    if (words.size() == 1 && is(0, "sessions")) {
        answer = co_await list_sessions();
    } else if (is(0, "set") && is(1, "userip")) {
        std::vector<std::string> arguments(words.begin() + 2, words.end());
        answer = co_await set_userip(std::move(arguments));
    } else if (is(0, "set") && is(1, "loglvl")) {
        answer = set_loglvl({words.begin() + 2, words.end()});
    } else if (words.size() == 2 && is(0, "disconnect")) {
        answer = co_await disconnect(words[1]);
    } else if (!words.empty()) {
        answer = "unknown command\n";
    }
    co_return ControlReply(std::move(answer));
}

asio::awaitable<std::string> TunnelServerService::disconnect(std::string address)
{
    auto call = [this, address] { return tunnel_.disconnect(address); };
    auto asked = at_home(std::move(call));
    const bool found = co_await std::move(asked);
    if (!found)
        co_return "error: there is no session of " + in_quotes(address) + "\n";
    log_.notice(name_, "disconnect " + one_line(address));
    co_return "system disconnected: " + address + "\n";
}

asio::awaitable<std::string> TunnelServerService::list_sessions()
{
    auto look = [this] { return tunnel_.sessions(); };
    auto asked = at_home(std::move(look));
    const auto sessions = co_await std::move(asked);
    std::string text = "tunnel_dict:\n";
    for (const auto& session : sessions) {
        text += in_tuple(session.user) + "->" + in_tuple(session.target) + ": opened ";
        // Whose address on the link is made up.
        if (session.user.to_string() != session.name)
            text += session.name;
        text += '\n';
    }
    co_return text + "\ntotal sessions: " + std::to_string(sessions.size()) + "\n";
}

asio::awaitable<std::string> TunnelServerService::set_userip(std::vector<std::string> arguments)
{
    if (!database_)
        co_return "error: there is no user database; start the server with one: -d FILE\n";
    if (arguments.empty() || arguments.size() > 2)
        co_return "error: write set userip NAME IP, or set userip NAME to clear it\n";
    auto name = arguments[0];
    std::optional<std::string> address;
    if (arguments.size() == 2)
        address = arguments[1];
    const bool names_nobody = arguments.size() == 1 && is_address(name);
    if (address && !is_address(*address))
        co_return "error: " + in_quotes(*address) + " is no IP address\n";
    // As an address is looked up.
    const auto plain = [](const std::string& text) { return asio::ip::make_address(text).to_string(); };
    if (address)
        address = plain(*address);
    auto change = [name, address, names_nobody, plain](UserDatabase& users) -> Parsed<void> {
        if (!names_nobody)
            return users.set_address(name, address);
        const auto names = users.names();
        if (!names)
            return wrong(names.error());
        if (names->size() != 1)
            return wrong("whose address? There are " + std::to_string(names->size()) +
                         " users; write set userip NAME " + name);
        return users.set_address(names->front(), plain(name));
    };
    auto call = ask_database(std::move(change));
    const auto done = co_await std::move(call);
    if (!done)
        co_return "error: " + one_line(done.error()) + "\n";
    log_.notice(name_, "set userip " + name + " " + address.value_or(""));
    co_return "Done\n";
}

std::string TunnelServerService::set_loglvl(const std::vector<std::string>& arguments)
{
    const auto level = arguments.size() == 1 ? parse_verbosity(arguments.front()) : Parsed<Verbosity>(wrong(""));
    if (!level)
        return "levels: 10 DEBUG, 20 INFO, 30 WARNING, 40 ERROR, 50 CRITICAL; or 1 ERROR, 2 WARNING, 3 INFO, 4 DEBUG\n"
               "no change made\n";
    log_.set_level(level->level);
    return "set log level to " + std::string(level->name) + "\n";
}

// The agent.

TunnelAgentService::TunnelAgentService(const Settings& settings, const ServiceSettings& service,
                                       asio::any_io_executor control, asio::any_io_executor home, Log& log)
    : name_(service.name),
      drain_timeout_(service.drain_timeout.value_or(settings.drain_timeout)),
      control_(std::move(control)),
      home_(std::move(home)),
      log_(log),
      bridge_(std::make_unique<PairBridge>()),
      agent_(home_, name_, agent_options(service), *bridge_, log)
{
}

asio::awaitable<Result<void>> TunnelAgentService::run(std::function<void()> serving)
{
    serving();
    const auto over = std::make_shared<OneShot<std::exception_ptr>>(control_);
    auto task = agent_.run();
    asio::co_spawn(home_, std::move(task), [over](std::exception_ptr failure) { over->complete(failure); });
    const auto failure = co_await over->wait_uncancelled();
    if (failure)
        std::rethrow_exception(failure);
    co_return Result<void>();
}

void TunnelAgentService::drain()
{
    asio::post(home_, [this] { agent_.drain(drain_timeout_); });
}

void TunnelAgentService::stop()
{
    asio::post(home_, [this] { agent_.stop(); });
}

void TunnelAgentService::report()
{
    asio::post(home_, [this] {
        log_.notice(name_, (agent_.connected() ? "connected to " : "not connected to ") + agent_.server() + ", " +
                               counted(agent_.sessions(), "session"));
    });
}

}  // namespace instancer::daemon
