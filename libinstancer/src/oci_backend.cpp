// SPDX-License-Identifier: MIT
#include <instancer/backend/oci_backend.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <utility>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <instancer/async/as_result.hpp>
#include <instancer/async/helper_threads.hpp>
#include <instancer/detail/process/pty.hpp>
#include <instancer/detail/process/secret_file.hpp>
#include <instancer/socket_stream.hpp>
#include <instancer/system/last_error.hpp>

#include "network_namespace.hpp"
#include "oci_container.hpp"
#include "oci_launcher.hpp"
#include "oci_program.hpp"
#include "oci_rootless.hpp"
#include "oci_spec.hpp"
#include "oci_supervisor.hpp"

namespace instancer {

using namespace detail;

namespace {

using Kind = SupervisorMessage::Kind;
using Descriptor = asio::posix::stream_descriptor;

constexpr std::chrono::seconds start_limit{30};  ///< Until the program runs; a guess.
constexpr std::chrono::seconds end_patience{3};  ///< From the end of what runs to that of the container; a guess.
constexpr std::size_t starter_count = 4, ender_count = 2;  ///< Threads; a guess.

Result<void> give(Descriptor& to, UniqueFd& from)
{
    asio::error_code error;
    to.assign(from.get(), error);
    if (error)
        return fail(error, "watching a container");
    from.release();
    return {};
}

void close(Descriptor& descriptor)
{
    asio::error_code ignored;
    descriptor.close(ignored);
}

std::string describe_status(int status)
{
    return WIFEXITED(status) ? "exit code " + std::to_string(WEXITSTATUS(status))
                             : "signal " + std::to_string(WTERMSIG(status));
}

/// A shell ends with 137 when the system has killed its program.
bool was_killed(int status)
{
    return (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
           (WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGKILL);
}

/// Says so if its memory ran out.
std::string memory_remark(const OciContainer& container)
{
    return container.groups.had_oom_kill() ? " (oom: out of memory, see limit-memory)" : "";
}

/// What to do about a program that does not work, as far as its output tells.
std::string remedy(const std::string& output)
{
    if (output.find("ead-only file system") != std::string::npos)
        return "\nits root file system is read-only: it may write to /tmp, and to what --tmpfs names";
    if (output.find("ermission denied") != std::string::npos || output.find("not permitted") != std::string::npos)
        return "\nit does not run as root and has no capabilities: prepare its files for that, or set another --user";
    return {};
}

/// The last output of a container that has ended, with what explains it; each line after a newline.
std::string said_by(const OciContainer& container)
{
    const auto lines = container.last_lines();
    return lines + remedy(lines);
}

}  // namespace

class OciBackend::Impl {
public:
    using Container = std::shared_ptr<OciContainer>;

    Impl(asio::any_io_executor control, std::string service, OciOptions options, Events& events)
        : control_(std::move(control)),
          service_(std::move(service)),
          options_(std::move(options)),
          events_(events),
          launcher_(options_, service_)
    {
    }

    ~Impl()
    {
        starters_.join();
        enders_.join();
        connector_.close();
    }

    BackendTraits traits() const
    {
        const bool stdio = options_.io == ContainerIo::stdio;
        return BackendTraits()
            .single_use(stdio)
            .personalizes(options_.secret.has_file())
            .max_instances(options_.users ? options_.users->size() : 0)
            .finish_time(stdio ? std::max(options_.stop_grace, BackendTraits::a_moment) : BackendTraits::a_moment);
    }

    asio::awaitable<Result<void>> prepare();
    void interrupt() { stop_.request_stop(); }
    asio::awaitable<Result<Instance>> start(InstanceRequest request);
    asio::awaitable<Result<Stream>> open(Instance instance);
    asio::awaitable<InstanceExit> wait(Instance instance);
    asio::awaitable<Result<void>> stop(Instance instance);
    asio::awaitable<Result<void>> personalize(Instance instance, InstanceRequest request);
    asio::awaitable<std::string> diagnose(Instance instance);

private:
    asio::awaitable<Result<void>> try_out();
    asio::awaitable<Result<void>> run(Container container, const InstanceRequest& request, Kind kind,
                                      std::string secret);
    Result<void> watch(const Container& container, LaunchedContainer& launched);
    void reap(OciContainer& container);
    asio::awaitable<void> listen(Container container);
    asio::awaitable<void> notice_end(Container container);
    asio::awaitable<void> read_output(Container container);
    void take(OciContainer& container, SupervisorAnswer answer);
    void note_end(OciContainer& container, int status);
    asio::awaitable<Result<void>> end(Container container);
    asio::awaitable<bool> wait_for_end(Container container);
    Error start_error_of(const OciContainer& container) const;
    asio::awaitable<Result<std::string>> make_secret(const InstanceRequest& request);
    asio::awaitable<Result<void>> place_secret(Container container, std::string secret);
    Result<void> write_secret(const OciContainer& container, const std::string& secret) const;

    const asio::any_io_executor control_;
    const std::string service_;
    OciOptions options_;  ///< Constant once the image is found.
    Events& events_;
    OciLauncher launcher_;
    std::stop_source stop_;  ///< Of the search for the image.
    HelperThreads starters_{starter_count}, enders_{ender_count};
    NamespaceConnector connector_;
    std::uint64_t last_number_ = 0;
};

asio::awaitable<Result<void>> OciBackend::Impl::prepare()
{
    if (options_.find_image) {
        auto find = [this] { return options_.find_image(stop_.get_token()); };
        auto image = co_await starters_.run(std::move(find));
        if (!image && image.error() == Errc::cancelled)
            co_return fail(Errc::stopping, image.error().text());
        if (!image)
            co_return fail(image.error());
        options_.image = std::move(*image);
    }
    auto work = [this] { return launcher_.prepare(events_); };
    auto prepared = co_await starters_.run(std::move(work));
    if (!prepared)
        co_return prepared;
    co_return co_await try_out();
}

/// Runs one container that looks for the program: the runtime knows best what it refuses.
asio::awaitable<Result<void>> OciBackend::Impl::try_out()
{
    const auto container = std::make_shared<OciContainer>(control_, service_ + "-0");
    const InstanceRequest nobody(service_);
    const auto tried = co_await run(container, nobody, Kind::look, std::string());
    static_cast<void>(co_await end(container));
    if (!tried)
        co_return fail(Errc::bad_request, "a container was tried out and does not work: " + tried.error().message() +
                                              said_by(*container) +
                                              (launcher_.is_rootless() ? rootless_remedy() : std::string()));
    co_return Result<void>();
}

asio::awaitable<Result<Instance>> OciBackend::Impl::start(InstanceRequest request)
{
    const auto secret = co_await make_secret(request);
    if (!secret)
        co_return fail(secret.error());
    const bool in_file = options_.secret.has_file();
    const auto container = std::make_shared<OciContainer>(control_, service_ + "-" + std::to_string(++last_number_));
    const auto in_environment = in_file ? std::string() : *secret;
    auto started = co_await run(container, request, Kind::start, in_environment);
    if (started && in_file && options_.secret.is_for(request))
        started = co_await place_secret(container, *secret);
    if (started)
        co_return Instance(container->id, container);
    container->stopping = true;
    static_cast<void>(co_await end(container));
    co_return fail(Errc::start_failed, started.error().message() + said_by(*container));
}

/// Starts a container, and waits until its program runs, or was found.
asio::awaitable<Result<void>> OciBackend::Impl::run(Container container, const InstanceRequest& request, Kind kind,
                                                    std::string secret)
{
    using namespace asio::experimental::awaitable_operators;
    auto launch = [this, &request, &container, kind, &secret] {
        return launcher_.launch(request, *container, kind, secret);
    };
    auto launched = co_await starters_.run(std::move(launch));
    if (!launched) {
        container->runtime_ended.set();
        co_return fail(launched.error());
    }
    container->runtime = launched->runtime.pid();
    if (const auto watching = watch(container, *launched); !watching) {
        if (!container->runtime_end.is_open())
            reap(*container);
        co_return watching;
    }
    asio::steady_timer patience(control_, start_limit);
    co_await (container->answered.wait() || patience.async_wait(as_result));
    if (container->running)
        co_return Result<void>();
    co_return fail(start_error_of(*container));
}

Result<void> OciBackend::Impl::watch(const Container& container, LaunchedContainer& launched)
{
    if (auto assigned = give(container->runtime_end, launched.runtime.pidfd()); !assigned)
        return assigned;
    asio::co_spawn(control_, notice_end(container), asio::detached);
    if (auto assigned = give(container->supervisor, launched.supervisor); !assigned)
        return assigned;
    asio::co_spawn(control_, listen(container), asio::detached);
    if (auto assigned = container->output.assign(std::move(launched.output)); !assigned)
        return assigned;
    asio::co_spawn(control_, read_output(container), asio::detached);
    return {};
}

/// Ends a runtime whose end nobody would notice.
void OciBackend::Impl::reap(OciContainer& container)
{
    container.runtime_failed = true;
    ::kill(container.runtime, SIGKILL);
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(container.runtime), &info, WEXITED) < 0 && errno == EINTR) {}
    container.runtime_ended.set();
}

/// Hears what instancer-init says, until it ends or we close the connection.
asio::awaitable<void> OciBackend::Impl::listen(Container container)
{
    for (;;) {
        const auto [closed] = co_await container->supervisor.async_wait(Descriptor::wait_read, as_result);
        if (closed || !container->supervisor.is_open())
            co_return;
        auto answer = hear_supervisor(container->supervisor.native_handle());
        if (!answer)
            co_return;
        if (*answer)
            take(*container, std::move(**answer));
    }
}

void OciBackend::Impl::take(OciContainer& container, SupervisorAnswer answer)
{
    switch (answer.message.kind) {
    case Kind::running:
        if (container.running)
            return;
        container.supervisor_pid = answer.pid;
        container.supervisor_process.reset(static_cast<int>(::syscall(SYS_pidfd_open, answer.pid, 0)));
        if (answer.descriptor)
            (options_.io == ContainerIo::port ? container.network : container.our_end) = std::move(answer.descriptor);
        container.running = true;
        // The program may have been quicker than this message.
        for (const auto& line : container.lines())
            events_.output(service_, container.id, line);
        break;
    case Kind::failed: container.not_started = answer.message.value; break;
    case Kind::ended:
        // When it was only to look for the program, it has found it.
        container.running = true;
        note_end(container, answer.message.value);
        break;
    default: return;
    }
    container.answered.set();
}

/// Its program has ended. The container is there until its supervisor hears nothing more.
void OciBackend::Impl::note_end(OciContainer& container, int status)
{
    container.exit_text = describe_status(status);
    if (was_killed(status) && !container.stopping)
        container.exit_text += memory_remark(container);
    container.ended.set();
    close(container.supervisor);
}

asio::awaitable<void> OciBackend::Impl::notice_end(Container container)
{
    siginfo_t info{};
    for (bool ended = false; !ended;) {
        const auto [closed] = co_await container->runtime_end.async_wait(Descriptor::wait_read, as_result);
        pollfd end{container->runtime_end.native_handle(), POLLIN, 0};
        ended = closed || ::poll(&end, 1, 0) == 1;
    }
    ::waitid(P_PID, static_cast<id_t>(container->runtime), &info, WEXITED | WNOHANG);
    // It passes on what the program ended with; by a signal it ends only by force.
    container->runtime_failed = info.si_code != CLD_EXITED || !container->running;
    if (!container->ended.is_set())
        container->exit_text = info.si_code == CLD_EXITED
                                   ? "exit code " + std::to_string(info.si_status)
                                   : "its container runtime was killed" + memory_remark(*container);
    container->runtime_ended.set();
    container->ended.set();
    container->answered.set();
}

asio::awaitable<void> OciBackend::Impl::read_output(Container container)
{
    OutputLines lines([this, container](std::string_view line) {
        container->remember(line);
        if (container->answered.is_set())
            events_.output(service_, container->id, line);
    });
    co_await container->output.read(std::move(lines));
}

/// Why the program does not run.
Error OciBackend::Impl::start_error_of(const OciContainer& container) const
{
    const auto program = container_command(options_).front();
    if (container.not_started)
        return start_error(*container.not_started, program, "executing it in the container");
    if (!container.runtime_ended.is_set())
        return Error(Errc::start_timeout, "the container runtime has not started it in time");
    return Error(Errc::start_failed, "the container runtime failed");
}

asio::awaitable<Result<Stream>> OciBackend::Impl::open(Instance instance)
{
    const auto container = instance.shared_state<OciContainer>();
    if (options_.io == ContainerIo::port) {
        if (launcher_.is_rootless()) {
            NamespaceConnector::SocketSource sockets = [container](int family) {
                return ask_for_socket(container->network.get(), family);
            };
            auto connecting = connector_.connect(std::move(sockets), launcher_.port());
            co_return co_await std::move(connecting);
        }
        const std::shared_ptr<const UniqueFd> network(container, &container->network);
        co_return co_await connector_.connect(network, launcher_.port());
    }
    if (!container->our_end)
        co_return fail(Errc::instance_gone, "its standard input has been given to a client already");
    const auto executor = co_await asio::this_coro::executor;
    if (options_.pty != TerminalMode::none)
        co_return Stream(std::make_unique<PtyStream>(executor, std::move(container->our_end)));
    co_return make_socket_stream(executor, std::move(container->our_end));
}

asio::awaitable<InstanceExit> OciBackend::Impl::wait(Instance instance)
{
    const auto container = instance.shared_state<OciContainer>();
    co_await container->ended.wait();
    co_return InstanceExit(container->stopping ? "stopped" : container->exit_text);
}

asio::awaitable<Result<void>> OciBackend::Impl::stop(Instance instance)
{
    using namespace asio::experimental::awaitable_operators;
    const auto container = instance.shared_state<OciContainer>();
    container->our_end.reset();
    container->stopping = container->stopping || !container->ended.is_set();
    if (!container->ended.is_set() && options_.stop_grace.count() > 0 &&
        tell_supervisor(container->supervisor.native_handle(), Kind::terminate)) {
        asio::steady_timer grace(control_, options_.stop_grace);
        co_await (container->ended.wait() || grace.async_wait(as_result));
    }
    co_return co_await end(container);
}

/// Ends all that runs in the container, and takes away what belongs to it.
asio::awaitable<Result<void>> OciBackend::Impl::end(Container container)
{
    close(container->supervisor);
    if (container->supervisor_process)
        ::syscall(SYS_pidfd_send_signal, container->supervisor_process.get(), SIGKILL, nullptr, 0);
    bool over = co_await wait_for_end(container);
    if (!over && container->runtime > 0) {
        container->runtime_failed = true;
        ::kill(container->runtime, SIGKILL);
        over = co_await wait_for_end(container);
    }
    if (container->output.is_open())
        co_await container->output.finish();
    auto clean = [this, container] { return launcher_.clean_up(*container); };
    auto cleaned = co_await enders_.run(std::move(clean));
    if (!over)
        co_return fail(Errc::backend_unavailable, "its container runtime was killed and does not end: see /proc/" +
                                                      std::to_string(container->runtime) + "/status");
    co_return cleaned;
}

asio::awaitable<bool> OciBackend::Impl::wait_for_end(Container container)
{
    using namespace asio::experimental::awaitable_operators;
    asio::steady_timer patience(control_, end_patience);
    co_await (container->runtime_ended.wait() || patience.async_wait(as_result));
    co_return container->runtime_ended.is_set();
}

/// The secret of an instance; empty where it has none.
asio::awaitable<Result<std::string>> OciBackend::Impl::make_secret(const InstanceRequest& request)
{
    if (!options_.secret.is_for(request))
        co_return std::string();
    auto make = [this, &request] { return options_.secret.make(request); };
    co_return co_await starters_.run(std::move(make));
}

asio::awaitable<Result<void>> OciBackend::Impl::place_secret(Container container, std::string secret)
{
    auto write = [this, container, secret = std::move(secret)] { return write_secret(*container, secret); };
    co_return co_await starters_.run(std::move(write));
}

/// Through the root directory of its first process. One that has ended by then needs none.
Result<void> OciBackend::Impl::write_secret(const OciContainer& container, const std::string& secret) const
{
    const auto path = "/proc/" + std::to_string(container.supervisor_pid) + "/root";
    const UniqueFd root(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const auto error = last_error();
    pollfd end{container.supervisor_process.get(), POLLIN, 0};
    // Asked after the opening: if it has not ended by now, it was no other process then.
    if (::poll(&end, 1, 0) != 0)
        return {};
    // Its root goes before its end can be seen.
    if (!root && (error == std::errc::no_such_file_or_directory || error == std::errc::no_such_process))
        return {};
    if (!root)
        return fail(error, "opening the root directory of its container");
    const std::filesystem::path file(options_.secret.file);
    const auto directory = open_directory_inside(root.get(), file.parent_path());
    if (!directory)
        return fail(directory.error());
    return write_secret_file(directory->get(), file.filename(), secret, options_.secret.mode,
                             options_.secret.owner.value_or(launcher_.owner_in(container)));
}

asio::awaitable<Result<void>> OciBackend::Impl::personalize(Instance instance, InstanceRequest request)
{
    const auto secret = co_await make_secret(request);
    if (!secret)
        co_return fail(secret.error());
    const auto container = instance.shared_state<OciContainer>();
    co_return co_await place_secret(container, *secret);
}

asio::awaitable<std::string> OciBackend::Impl::diagnose(Instance instance)
{
    const auto container = instance.shared_state<OciContainer>();
    const auto said = said_by(*container);
    auto text = said.empty() ? std::string("nothing on standard error") : "last output:" + said;
    if (options_.io == ContainerIo::port)
        text += "\nclients are connected to port " + std::to_string(launcher_.port());
    co_return text;
}

OciBackend::OciBackend(asio::any_io_executor control, std::string service, OciOptions options, Events& events)
    : impl_(std::make_unique<Impl>(std::move(control), std::move(service), std::move(options), events))
{
}

OciBackend::~OciBackend() = default;

Result<void> OciBackend::check_host(const OciOptions& options)
{
    const auto runtime = find_usable_runtime(options);
    return runtime ? Result<void>() : fail(runtime.error());
}

Result<void> OciBackend::check_image(const OciOptions& options)
{
    if (container_command(options).empty())
        return fail(Errc::bad_request, "no command is named, and the image has none; name one");
    if (const auto port = service_port(options); !port)
        return fail(port.error());
    if (const auto user = find_oci_user(options.image.root, container_user(options)); !user)
        return fail(user.error());
    return check_program(options);
}

BackendTraits OciBackend::do_traits() const { return impl_->traits(); }

asio::awaitable<Result<void>> OciBackend::do_prepare() { return impl_->prepare(); }

void OciBackend::do_interrupt() { impl_->interrupt(); }

asio::awaitable<Result<Instance>> OciBackend::do_start(InstanceRequest request)
{
    return impl_->start(std::move(request));
}

asio::awaitable<Result<Stream>> OciBackend::do_open(Instance instance, OpenRequest)
{
    return impl_->open(std::move(instance));
}

asio::awaitable<InstanceExit> OciBackend::do_wait(Instance instance) { return impl_->wait(std::move(instance)); }

asio::awaitable<Result<void>> OciBackend::do_stop(Instance instance) { return impl_->stop(std::move(instance)); }

asio::awaitable<Result<void>> OciBackend::do_personalize(Instance instance, InstanceRequest request)
{
    return impl_->personalize(std::move(instance), std::move(request));
}

asio::awaitable<std::string> OciBackend::do_diagnose(Instance instance) { return impl_->diagnose(std::move(instance)); }

}  // namespace instancer
