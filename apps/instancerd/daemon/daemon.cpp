// SPDX-License-Identifier: MIT
#include "daemon/daemon.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/signal_set.hpp>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <instancer/async/helper_threads.hpp>
#include <instancer/text/exception_text.hpp>

#include "authentication/authentication.hpp"
#include "config/changes.hpp"
#include "config/validate.hpp"
#include "daemon/instance_service.hpp"
#include "daemon/listen.hpp"
#include "daemon/service_manager.hpp"
#include "daemon/system.hpp"
#include "files/upstreams.hpp"
#include "modes/relay/relay.hpp"
#include "modes/tunnel/tunnel_service.hpp"
#include "observe/log.hpp"

namespace instancer::daemon {

namespace {

/// Every session takes descriptors, and the usual soft limit would be the first cap that clients meet.
void raise_descriptor_limit()
{
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/// How many descriptors more this process may open. Where it cannot see those that it has, all count as free.
std::size_t descriptors_left()
{
    rlimit limit{};
    std::error_code error;
    const std::filesystem::directory_iterator open("/proc/self/fd", error);
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    const auto used = error ? rlim_t{0} : static_cast<rlim_t>(std::distance(open, {}));
    return limit.rlim_cur > used ? static_cast<std::size_t>(limit.rlim_cur - used) : 0;
}

/// So that no socket of ours gets the number of a standard stream that we were started without.
void open_standard_streams()
{
    int fd = ::open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = ::open("/dev/null", O_RDWR);
    ::close(fd);
}

/// Standard error is that file from now on; without a name it stays what it is.
Parsed<void> open_log_file(const std::string& file)
{
    if (file.empty())
        return {};
    // A pipe that nobody reads must not hold us up.
    const instancer::UniqueFd fd(
        ::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640));
    if (!fd || ::fcntl(fd.get(), F_SETFL, O_APPEND) != 0 || ::dup2(fd.get(), STDERR_FILENO) < 0)
        return wrong(file + " cannot be opened for the log: " +
                     (errno == ENXIO ? "it is a pipe that nobody reads" : std::strerror(errno)));
    return {};
}

/// `A, B`
std::string list_of(const std::vector<std::string>& words)
{
    std::string text;
    for (const auto& word : words)
        text += (text.empty() ? "" : ", ") + word;
    return text;
}

/// All services and the signals that they obey.
class Daemon {
public:
    Daemon(const Settings& settings, Log& log)
        : settings_(settings), log_(log), workers_(settings.threads), signals_(workers_.control())
    {
        workers_.busy_poll(settings.busy_poll);
    }

    /// Does all that can fail before anything is served.
    Parsed<void> prepare()
    {
        // First, because it waits for a daemon of this name that is just ending, with its listeners; but a busy port
        // says more than a taken name.
        auto name = claim_name(settings_.daemon_name());
        InheritedSockets inherited;
        const auto budget = std::make_shared<InstanceBudget>(settings_.max_instances);
        std::vector<Acceptors> listeners;
        std::map<std::size_t, Tunnel> tunnels;
        for (const auto& service : settings_.services) {
            auto& acceptors = listeners.emplace_back();
            if (is_tunnel(service.mode)) {
                auto tunnel = prepare_tunnel(service, tunnels.size(), inherited);
                if (!tunnel)
                    return wrong((settings_.file.empty() ? "" : service.name + ": ") + tunnel.error());
                tunnels.emplace(listeners.size() - 1, std::move(*tunnel));
            }
            const auto permissions = unix_permissions_of(service);
            if (!permissions)
                return wrong((settings_.file.empty() ? "" : service.name + ": ") + permissions.error());
            for (const auto& address : service.listen) {
                auto opened = listen_on(workers_.control(), address, *permissions, inherited);
                if (!opened)
                    return wrong((settings_.file.empty() ? "" : service.name + ": ") + opened.error());
                for (auto& acceptor : *opened)
                    acceptors.push_back(std::move(acceptor));
            }
        }
        if (!name)
            return wrong(name.error());
        name_ = std::move(*name);

        const auto unadmitted = std::make_shared<UnadmittedLimit>(max_unadmitted());
        for (std::size_t i = 0; i < listeners.size(); ++i) {
            const auto& service = settings_.services[i];
            for (const auto& warning : warnings_of(settings_, service))
                log_.warning(service.name, warning);
            auto authentication = open_authentication(service, log_);
            if (!authentication)
                return wrong(authentication.error());
            std::vector<Upstream> upstreams;
            if (!service.upstreams_file.empty()) {
                auto loaded = load_upstreams(settings_, service.upstreams_file);
                if (!loaded)
                    return wrong(loaded.error());
                upstreams = std::move(*loaded);
            }
            auto relay = load_relay(service, inherited);
            if (!relay)
                return wrong(relay.error());
            auto rules = load_rules(service.access, service.access_file, service.time_zone);
            if (!rules)
                return wrong(rules.error());
            if (is_tunnel(service.mode)) {
                add_tunnel(service, std::move(tunnels.at(i)), std::move(*rules), unadmitted);
                continue;
            }
            services_.push_back(std::make_unique<InstanceService>(
                settings_, service, workers_, std::move(listeners[i]), std::move(*authentication), std::move(*rules),
                std::move(upstreams), std::move(*relay), budget, unadmitted, log_));
        }
        for (const auto& socket : inherited.left())
            log_.warning({}, "no service listens on the socket " + socket +
                                 " that the service manager passed; write fd:" + socket +
                                 " as a listen address, or disable its unit");
        return {};
    }

    int run()
    {
        for (const int signal : obeyed)
            signals_.add(signal);
        wait_for_signal();
        running_ = services_.size();
        unready_ = services_.size();
        for (const auto& service : services_)
            asio::co_spawn(workers_.control(), service->run([this] { note_serving(); }),
                           [this, &service = *service](std::exception_ptr failure, Result<void> result) {
                               ended(service, failure, result);
                           });
        workers_.run();
        // One that comes while everything is being put away changes nothing any more.
        signals_.clear();
        for (const int signal : obeyed)
            std::signal(signal, SIG_IGN);
        return exit_code_;
    }

private:
    static constexpr int obeyed[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};

    /// Asked when everything listens. Three quarters of the descriptors are left to clients that are admitted, to
    /// starts, upstreams and the log.
    std::size_t max_unadmitted()
    {
        const auto left = descriptors_left();
        const auto& given = settings_.max_unadmitted;
        if (given && *given > left)
            log_.warning({}, "max-unadmitted is " + std::to_string(*given) + ", and " + std::to_string(left) +
                                 " descriptors are left for everything: clients who say nothing can take all of them; "
                                 "lower it, or raise the limit of open files");
        return given.value_or(std::max<std::size_t>(left / 4, 16));
    }
    /// Whether a service reads its files again.
    class Reload {
    public:
        bool wanted = false;
        bool going_on = false;
    };

    /// A tunnel before it runs.
    class Tunnel {
    public:
        Tunnel(asio::any_io_executor where, TunnelListeners what) : home(std::move(where)), listeners(std::move(what))
        {
        }

        asio::any_io_executor home;
        TunnelListeners listeners;  ///< Of a server.
    };

    /// Each tunnel is at home on one worker.
    Parsed<Tunnel> prepare_tunnel(const ServiceSettings& service, std::size_t number, InheritedSockets& inherited)
    {
        const auto home = workers_.executor((number + 1) % workers_.size());
        if (service.mode == Mode::tunnel_agent)
            return Tunnel(home, TunnelListeners());
        auto listeners = TunnelListeners::open(service, workers_.control(), home, inherited);
        if (!listeners)
            return wrong(listeners.error());
        return Tunnel(home, std::move(*listeners));
    }

    void add_tunnel(const ServiceSettings& service, Tunnel tunnel, AccessRules rules,
                    std::shared_ptr<UnadmittedLimit> unadmitted)
    {
        if (service.mode == Mode::tunnel_agent)
            services_.push_back(
                std::make_unique<TunnelAgentService>(settings_, service, workers_.control(), tunnel.home, log_));
        else
            services_.push_back(std::make_unique<TunnelServerService>(settings_, service, workers_, tunnel.home,
                                                                      std::move(tunnel.listeners), std::move(rules),
                                                                      std::move(unadmitted), log_));
    }

    Parsed<RelayParts> load_relay(const ServiceSettings& service, InheritedSockets& inherited)
    {
        RelayParts parts;
        if (service.mode != Mode::relay)
            return parts;
        auto authentication = load_authentication(service.relay);
        if (!authentication)
            return wrong(authentication.error());
        parts.authentication = std::move(*authentication);
        if (!service.relay.control)
            return parts;
        const auto& control = *service.relay.control;
        const auto& host = control.name();
        if (control.kind() == Address::Kind::tcp && host != "::1" && host != "localhost" && host.substr(0, 4) != "127.")
            log_.warning(service.name, "whoever reaches " + control.text() +
                                           " can end every connection; listen on 127.0.0.1 or unix:/path instead");
        auto opened = listen_on(workers_.control(), control, 0600, inherited);
        if (!opened)
            return wrong(opened.error());
        parts.control = std::move(*opened);
        return parts;
    }

    void wait_for_signal()
    {
        signals_.async_wait([this](const asio::error_code& error, int signal) {
            if (error)
                return;
            obey(signal);
            wait_for_signal();
        });
    }

    /// The service manager hears when the last service takes clients in: to pull an image can take long.
    void note_serving()
    {
        if (--unready_ == 0)
            tell_service_manager("READY=1");
    }

    void obey(int signal)
    {
        switch (signal) {
        case SIGHUP: reload(); return;
        case SIGUSR1:
            for (const auto& service : services_)
                service->report();
            return;
        default: break;
        }
        if (std::exchange(draining_, true)) {
            log_.info("stopping now");
            stop();
            return;
        }
        log_.info("finishing the sessions that are going on; once more to stop now");
        tell_service_manager("STOPPING=1");
        for (const auto& service : services_)
            service->drain();
    }

    void reload()
    {
        asio::co_spawn(workers_.control(), reopen_log(), asio::detached);
        if (!settings_.file.empty())
            asio::co_spawn(workers_.control(), report_changes(), asio::detached);
        for (std::size_t i = 0; i < services_.size(); ++i) {
            auto& reload = reloads_[i];
            reload.wanted = true;
            if (std::exchange(reload.going_on, true))
                continue;
            asio::co_spawn(workers_.control(), reload_service(i), [this, i](std::exception_ptr failure) {
                reloads_[i].going_on = false;
                if (failure)
                    log_.warning(services_[i]->name(), "reading its files again failed: " + exception_text(failure));
            });
        }
    }

    asio::awaitable<void> reopen_log()
    {
        auto open = [this] { return open_log_file(settings_.log_file); };
        auto call = file_thread_.run(std::move(open));
        const auto opened = co_await std::move(call);
        if (!opened)
            log_.warning({}, opened.error() + "; the log stays where it was");
    }

    asio::awaitable<void> report_changes()
    {
        auto compare = [this]() -> Parsed<std::vector<std::string>> {
            const auto text = read_file(settings_.file);
            return text ? changes_between(settings_.text, *text, settings_.file) : wrong(text.error());
        };
        auto call = file_thread_.run(std::move(compare));
        const auto changes = co_await std::move(call);
        if (!changes)
            log_.warning({}, changes.error() + "; a restart would fail");
        else if (!changes->empty())
            log_.warning({}, settings_.file + " has changed: " + list_of(*changes) +
                                 "; run instancerd check, and restart to use it");
    }

    /// Once more when another signal comes meanwhile: what the files hold after the last one is in force in the end.
    asio::awaitable<void> reload_service(std::size_t index)
    {
        while (std::exchange(reloads_[index].wanted, false)) {
            for (const auto& file : files_of(settings_, settings_.services[index]))
                if (was_read_once(file))
                    log_.notice(services_[index]->name(), file + " gives what it holds once, and is not read again");
            auto task = services_[index]->reload(file_thread_);
            co_await std::move(task);
        }
    }

    void stop()
    {
        for (const auto& service : services_)
            service->stop();
    }

    void ended(const RunningService& service, std::exception_ptr failure, const Result<void>& result)
    {
        std::string error;
        if (failure)
            error = exception_text(failure);
        else if (!result)
            error = result.error().message();
        if (!error.empty()) {
            log_.error(service.name() + ": " + error);
            exit_code_ = 1;
            stop();
        }
        if (--running_ > 0)
            return;
        log_.info("ended");
        workers_.stop();
    }

    const Settings& settings_;
    Log& log_;
    Workers workers_;
    asio::signal_set signals_;
    instancer::UniqueFd name_;
    std::vector<std::unique_ptr<RunningService>> services_;
    std::vector<Reload> reloads_{settings_.services.size()};
    HelperThreads file_thread_{1};
    std::size_t unready_ = 0;  ///< Services that do not serve yet.
    std::size_t running_ = 0;
    bool draining_ = false;
    int exit_code_ = 0;
};

}  // namespace

int serve(const Settings& settings)
{
    open_standard_streams();
    const auto opened = open_log_file(settings.log_file);
    Log log(settings.log_level, settings.log_format);
    // A client or an instance that left is an error code, not a signal.
    std::signal(SIGPIPE, SIG_IGN);
    if (!opened) {
        log.error(opened.error());
        return 1;
    }
    raise_descriptor_limit();
    try {
        Daemon daemon(settings, log);
        if (const auto ready = daemon.prepare(); !ready) {
            log.error(ready.error());
            return 1;
        }
        return daemon.run();
    } catch (const std::exception& error) {
        log.error(error.what());
        return 1;
    }
}

}  // namespace instancer::daemon
