// SPDX-License-Identifier: MIT
#include "daemon/daemon.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <exception>
#include <filesystem>
#include <iterator>
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

#include "admin/admin.hpp"
#include "authentication/authentication.hpp"
#include "config/validate.hpp"
#include "daemon/listen.hpp"
#include "daemon/preparation.hpp"
#include "daemon/service_list.hpp"
#include "daemon/service_manager.hpp"
#include "daemon/system.hpp"
#include "metrics/metrics_reader.hpp"
#include "metrics/metrics_server.hpp"
#include "observe/access_log.hpp"
#include "observe/log.hpp"
#include "observe/output_file.hpp"
#include "reload/reloader.hpp"
#include "status/daemon_orders.hpp"
#include "status/event_ring.hpp"

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

/// Standard error as it was at the start.
int first_standard_error()
{
    static const int copy = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return copy;
}

/// Standard error is that file from now on; without a name it is what it was at the start.
Parsed<void> open_log_file(const std::string& file)
{
    const int first = first_standard_error();
    if (file.empty()) {
        ::dup2(first, STDERR_FILENO);
        return {};
    }
    const auto fd = open_to_append(file, "the log");
    if (!fd)
        return wrong(fd.error());
    // Others may write to standard error as well.
    if (::fcntl(fd->get(), F_SETFL, O_APPEND) != 0 || ::dup2(fd->get(), STDERR_FILENO) < 0)
        return wrong(file + " cannot be opened for the log: " + std::strerror(errno));
    return {};
}

/// All services and the signals that they obey.
class Daemon final : private ServiceObserver, private DaemonOrders {
public:
    Daemon(std::shared_ptr<const Settings> settings, std::vector<std::string> arguments, Log& log)
        : settings_(std::move(settings)),
          log_(log),
          workers_(settings_->threads),
          signals_(workers_.control()),
          context_(workers_, *settings_, log),
          services_(workers_, *this, log),
          metrics_(workers_, context_.metrics, *context_.unadmitted, [this] { return measure(); }),
          reloader_(std::move(arguments), *settings_, context_, services_, file_thread_)
    {
        workers_.busy_poll(settings_->busy_poll);
    }

    /// Does all that can fail before anything is served.
    Parsed<void> prepare()
    {
        if (auto opened = open_access_log(); !opened)
            return opened;
        // First, because it waits for a daemon of this name that is just ending, with its listeners; but a busy port
        // says more than a taken name.
        auto name = claim_name(settings_->daemon_name());
        // Before anything is logged on another thread.
        if (auto opened = open_admin(); !opened)
            return opened;
        auto prepared = prepare_services(settings_, context_);
        if (!prepared)
            return wrong(prepared.error());
        if (!name)
            return wrong(name.error());
        name_ = std::move(*name);
        prepared_ = std::move(*prepared);
        if (auto opened = open_metrics(); !opened)
            return opened;
        context_.unadmitted->set_limit(max_unadmitted());
        for (const auto& service : settings_->services)
            for (const auto& warning : warnings_of(*settings_, service))
                log_.warning(service.name, warning);
        for (const auto& socket : context_.inherited.left())
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
        serve_metrics();
        for (auto& service : prepared_)
            services_.add(std::move(service));
        asio::co_spawn(workers_.control(), wait_for_end(), asio::detached);
        if (admin_)
            admin_->start();
        workers_.run();
        metrics_server_.reset();
        // One that comes while everything is being put away changes nothing any more.
        signals_.clear();
        for (const int signal : obeyed)
            std::signal(signal, SIG_IGN);
        return exit_code_;
    }

private:
    static constexpr std::size_t remembered_events = 5000;  ///< A guess: some minutes of a busy event.

    static constexpr int obeyed[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};

    Parsed<void> open_access_log()
    {
        if (settings_->watch.access_log.empty())
            return {};
        auto opened = AccessLog::open(settings_->watch.access_log, log_);
        if (!opened)
            return wrong(opened.error());
        context_.access_log = std::move(*opened);
        context_.files.add(context_.access_log);
        return {};
    }

    Parsed<void> open_admin()
    {
        if (!settings_->admin.address)
            return {};
        auto admin = Admin::open(*settings_, context_, services_, events_, *this);
        if (!admin)
            return wrong(admin.error());
        admin_ = std::move(*admin);
        admin_->routes().add("GET", "/metrics", [this](const HttpRequest&) { return answer_metrics(metrics_); });
        return {};
    }

    /// Asked when everything listens. Three quarters of the descriptors are left to clients that are admitted, to
    /// starts, upstreams and the log.
    std::size_t max_unadmitted()
    {
        const auto left = descriptors_left();
        const auto& given = settings_->max_unadmitted;
        if (given && *given > left)
            log_.warning({}, "max-unadmitted is " + std::to_string(*given) + ", and " + std::to_string(left) +
                                 " descriptors are left for everything: clients who say nothing can take all of them; "
                                 "lower it, or raise the limit of open files");
        return given.value_or(std::max<std::size_t>(left / 4, 16));
    }

    Parsed<void> open_metrics()
    {
        if (!settings_->watch.metrics)
            return {};
        metrics_server_ = make_metrics_server(metrics_, log_);
        return metrics_server_->listen(*settings_->watch.metrics, context_.inherited);
    }

    void serve_metrics()
    {
        if (!metrics_server_)
            return;
        metrics_server_->start();
        for (const auto& address : metrics_server_->addresses())
            log_.info("metrics are served on " + address);
    }

    /// Services of one name, one of which takes the place of the other, are one.
    std::vector<MetricsMoment::Service> measure()
    {
        std::vector<MetricsMoment::Service> all;
        services_.for_each([&](const RunningService& service) {
            auto& counted = context_.metrics.of(service.settings().service());
            const auto same =
                std::find_if(all.begin(), all.end(), [&](const auto& other) { return &other.metrics == &counted; });
            if (same != all.end())
                same->gauges.add(service.gauges());
            else
                all.emplace_back(counted, service.gauges());
        });
        return all;
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

    void obey(int signal)
    {
        switch (signal) {
        case SIGHUP: obey_hangup(); return;
        case SIGUSR1: services_.report_all(); return;
        case SIGUSR2: asio::co_spawn(workers_.control(), reopen_files(), asio::detached); return;
        default: break;
        }
        if (std::exchange(draining_, true)) {
            log_.info("stopping now");
            services_.stop_all();
            return;
        }
        log_.info("finishing the sessions that are going on; once more to stop now");
        tell_service_manager("STOPPING=1");
        reloader_.close();
        services_.drain_all();
    }

    /// One that comes while another one is obeyed is obeyed after it, so that what the files hold last is in force.
    void obey_hangup()
    {
        hangup_wanted_ = true;
        if (std::exchange(obeying_hangup_, true))
            return;
        asio::co_spawn(workers_.control(), obey_hangups(), [this](std::exception_ptr failure) {
            obeying_hangup_ = false;
            if (failure)
                log_.warning({}, "reading the configuration again failed: " + exception_text(failure));
            if (hangup_wanted_)
                obey_hangup();
        });
    }

    asio::awaitable<void> obey_hangups()
    {
        while (std::exchange(hangup_wanted_, false)) {
            auto reopening = reopen_files();
            co_await std::move(reopening);
            auto reloading = reload(false);
            co_await std::move(reloading);
        }
    }

    asio::awaitable<std::vector<std::string>> reopen_files() override
    {
        auto reopen = [this, file = reloader_.in_force().log_file] {
            auto errors = context_.files.reopen();
            if (const auto opened = open_log_file(file); !opened)
                errors.push_back(opened.error() + "; the log stays where it was");
            return errors;
        };
        auto call = file_thread_.run(std::move(reopen));
        auto errors = co_await std::move(call);
        for (const auto& error : errors)
            log_.warning({}, error);
        co_return errors;
    }

    const Settings& in_force() const override { return reloader_.in_force(); }

    asio::awaitable<ReloadReport> reload(bool dry_run) override
    {
        if (!dry_run)
            services_.reload_all(file_thread_);
        if (settings_->file.empty())
            co_return ReloadReport(dry_run);
        if (!dry_run)
            tell_reloading();
        const auto log_file = reloader_.in_force().log_file;
        auto reloading = reloader_.reload(dry_run);
        auto report = co_await std::move(reloading);
        if (reloader_.in_force().log_file != log_file) {
            auto reopening = reopen_files();
            co_await std::move(reopening);
        }
        if (!dry_run) {
            tell_ready();
            log_report(report, settings_->file, log_);
        }
        co_return report;
    }

    /// The service manager hears when the last service takes clients in: to pull an image can take long.
    void tell_ready()
    {
        if (!draining_ && services_.none_starting())
            tell_service_manager("READY=1");
    }

    void tell_reloading()
    {
        const auto now = std::chrono::steady_clock::now().time_since_epoch();
        const auto time = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
        if (!draining_)
            tell_service_manager("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(time));
    }

    void serving(const RunningService&) override { tell_ready(); }

    void ended(const RunningService&) override {}

    void failed(const RunningService& service, const std::string& why) override
    {
        log_.error(service.name() + ": " + why);
        // One that came by a configuration that was read again leaves the others alone.
        const bool is_first = &service.settings().daemon() == settings_.get();
        const bool is_last = services_.snapshot().size() == 1;
        exit_code_ = is_first || is_last ? 1 : exit_code_;
        if (is_first)
            services_.stop_all();
        else
            tell_ready();
    }

    asio::awaitable<void> wait_for_end()
    {
        co_await services_.wait_empty();
        if (admin_) {
            // On a thread of its own: questions that are going on need this one, and that of the files.
            reloader_.close();
            auto stop = [this] { return admin_->stop(), true; };
            auto stopping = admin_thread_.run(std::move(stop));
            co_await std::move(stopping);
        }
        log_.info("ended");
        workers_.stop();
    }

    const std::shared_ptr<const Settings> settings_;
    Log& log_;
    EventRing events_{remembered_events};  ///< For the admin address.
    Workers workers_;
    asio::signal_set signals_;
    instancer::UniqueFd name_;
    ServiceContext context_;
    PreparedServices prepared_;
    ServiceList services_;
    MetricsReader metrics_;
    std::unique_ptr<HttpServer> metrics_server_;  ///< None where nobody may ask.
    std::unique_ptr<Admin> admin_;                ///< None where nobody may ask.
    Reloader reloader_;
    HelperThreads file_thread_{1};
    HelperThreads admin_thread_{1};
    bool hangup_wanted_ = false;
    bool obeying_hangup_ = false;
    bool draining_ = false;
    int exit_code_ = 0;
};

}  // namespace

int serve(const Settings& settings, std::vector<std::string> arguments)
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
        Daemon daemon(std::make_shared<const Settings>(settings), std::move(arguments), log);
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
