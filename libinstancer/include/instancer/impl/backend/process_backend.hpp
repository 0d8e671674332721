// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <tuple>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>
#include <poll.h>

#include <instancer/backend/find_program.hpp>
#include <instancer/backend/group_limit.hpp>
#include <instancer/backend/process_backend.hpp>
#include <instancer/backend/stderr_to.hpp>
#include <instancer/backend/terminal_mode.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/process/client_environment.hpp>
#include <instancer/detail/process/output_lines.hpp>
#include <instancer/detail/process/process_marks.hpp>
#include <instancer/detail/process/pty.hpp>
#include <instancer/detail/process/run_name.hpp>
#include <instancer/detail/process/secret_file.hpp>
#include <instancer/detail/process/start_report.hpp>
#include <instancer/detail/process/tree_remover.hpp>
#include <instancer/detail/socket/connect.hpp>
#include <instancer/detail/socket/listeners.hpp>
#include <instancer/instance.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/system/make_pipe.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer {

INSTANCER_DECL ProcessBackend::ProcessBackend(asio::any_io_executor control, std::string service,
                                              ProcessOptions options, Events& events)
    : control_(std::move(control)),
      service_(std::move(service)),
      options_(std::move(options)),
      events_(events),
      run_name_(detail::run_name(options_.name, service_)),
      mark_(std::string(detail::mark_key) + run_name_ + "."),
      ports_(options_.ports),
      cleanup_pause_(control_),
      cleanup_end_(control_),
      removals_(service_, events_),
      starters_(starter_count),
      enders_(ender_count)
{
    if (options_.users)
        users_.emplace(*options_.users);
    const auto wants = [](const std::string& text) { return text.find("{dir}") != std::string::npos; };
    wants_directory_ =
        !options_.dir_template.empty() || options_.secret.has_file() || wants(options_.working_directory) ||
        std::any_of(options_.command.begin(), options_.command.end(), wants) ||
        std::any_of(options_.env.begin(), options_.env.end(), [&](const auto& entry) { return wants(entry.second); });
}

INSTANCER_DECL BackendTraits ProcessBackend::do_traits() const
{
    BackendTraits traits;
    traits.single_use(options_.io != ProcessIo::port);
    traits.takes_client_socket(options_.io == ProcessIo::socket);
    traits.personalizes(options_.secret.has_file());
    if (options_.io == ProcessIo::stdio)
        traits.finish_time(std::max(options_.stop_grace, BackendTraits::a_moment));
    else if (options_.io == ProcessIo::port)
        traits.finish_time(BackendTraits::a_moment);
    std::size_t most = 0;
    if (options_.io == ProcessIo::port && options_.ports)
        most = options_.ports->size();
    if (options_.users)
        most = most == 0 ? options_.users->size() : std::min(most, options_.users->size());
    traits.max_instances(most);
    return traits;
}

INSTANCER_DECL asio::awaitable<Result<void>> ProcessBackend::do_prepare()
{
    auto program = find_program(options_);
    if (!program)
        co_return fail(program.error());
    program_ = *program;
    auto prepare = [this] { return prepare_system(); };
    const auto prepared = co_await starters_.run(std::move(prepare));
    if (prepared)
        watch_cleanup();
    if (prepared && !groups_ && !users_)
        events_.notice(service_, "no control group can be made here (cgroup v2, as root or delegated): a process "
                                 "that hides from its instance on purpose would outlive it");
    co_return prepared;
}

INSTANCER_DECL Result<void> ProcessBackend::prepare_system()
{
    // What we do not finish the cleanup process does.
    const auto stale_directories = detail::remove_stale_runs(options_.name, service_);
    groups_ = detail::ControlGroup::create(run_name_);
    limiter_.emplace(run_name_, groups_.get(), options_);
    for (const auto& text : detail::unbound_limits(options_, [this](auto limit) { return limiter_->binds(limit); }))
        events_.notice(service_, text);
    cleanup_directories_ = stale_directories;
    if (wants_directory_) {
        auto root = detail::PrivateDirectory::create(run_name_);
        if (!root)
            return fail(root.error());
        directories_.emplace(std::move(*root));
        cleanup_directories_.push_back(directories_->path());
    }
    auto cleanup = start_cleanup();
    // Only now: a thread that is allocating while another one forks can leave the child with a locked allocator.
    for (const auto& directory : stale_directories)
        removals_.remove_all(directory);
    return cleanup;
}

INSTANCER_DECL Result<void> ProcessBackend::start_cleanup()
{
    auto cleanup = detail::CleanupProcess::start(groups_ ? groups_->path() : std::string(), mark_, cleanup_directories_,
                                                 limiter_->roots(), directories_ ? directories_->lock().get() : -1);
    if (!cleanup)
        return fail(cleanup.error());
    cleanup_process_.emplace(std::move(*cleanup));
    cleanup_began_ = std::chrono::steady_clock::now();
    return {};
}

INSTANCER_DECL void ProcessBackend::watch_cleanup()
{
    asio::error_code error;
    auto end = cleanup_process_->end();
    cleanup_end_.close(error);
    cleanup_end_.assign(end.get(), error);
    if (error)
        return;
    end.release();
    cleanup_end_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const asio::error_code& cancelled) {
        if (!cancelled)
            replace_cleanup_soon();
    });
}

INSTANCER_DECL void ProcessBackend::replace_cleanup_soon()
{
    const auto lived = std::chrono::steady_clock::now() - cleanup_began_;
    const bool at_once = lived >= cleanup_interval;
    events_.warning(service_, std::string("its cleanup process, instancer-guard, was killed; another takes its place") +
                                  (at_once ? "" : " in a second"));
    const auto replace = [this] { asio::co_spawn(control_, replace_cleanup(), asio::detached); };
    if (at_once)
        replace();
    else
        cleanup_pause_.set(cleanup_interval - lived, replace);
}

INSTANCER_DECL asio::awaitable<void> ProcessBackend::replace_cleanup()
{
    co_await asio::this_coro::throw_if_cancelled(false);
    auto start = [this] { return start_cleanup(); };
    const auto started = co_await starters_.run(std::move(start));
    if (started)
        watch_cleanup();
    else
        events_.warning(service_, started.error().message() + "; its instances would outlive a daemon that is killed");
}

INSTANCER_DECL asio::awaitable<Result<Instance>> ProcessBackend::do_start(InstanceRequest request)
{
    const auto process = std::make_shared<Process>(control_);
    process->number = std::to_string(++last_number_);
    auto start = [this, &request, &process] { return start_process(request, *process); };
    auto started = co_await starters_.run(std::move(start));
    if (!started && started.error() == Errc::full)
        co_return fail(started.error());
    if (!started)
        co_return fail(Errc::start_failed, started.error().message());
    process->pid = started->process.pid();
    process->our_end = std::move(started->our_end);
    auto runs = watch(*process, *started);
    auto exit = notice_exit(process);
    asio::co_spawn(control_, std::move(exit), asio::detached);
    if (runs && started->report) {
        auto report = detail::StartReport::wait(std::move(started->report), program_, start_patience);
        runs = co_await std::move(report);
    }
    if (!runs) {
        static_cast<void>(co_await end_process(process));
        co_return fail(Errc::start_failed, runs.error().message());
    }
    if (process->errors.is_open()) {
        auto reader = read_errors(process);
        asio::co_spawn(control_, std::move(reader), asio::detached);
    }
    co_return Instance("pid " + std::to_string(process->pid), process);
}

INSTANCER_DECL Result<void> ProcessBackend::watch(Process& process, Started& started)
{
    asio::error_code error;
    process.pidfd.assign(started.process.pidfd().get(), error);
    if (error)
        return fail(error, "watching a process");
    started.process.pidfd().release();
    if (!started.errors)
        return {};
    return process.errors.assign(std::move(started.errors));
}

INSTANCER_DECL Result<ProcessBackend::Started> ProcessBackend::start_process(InstanceRequest& request, Process& process)
{
    auto started = equip_and_spawn(request, process);
    if (!started) {
        // The group itself may be why.
        if (process.group)
            detail::clear_control_group(process.group->path());
        process.group.reset();
        static_cast<void>(clean_up(process));
    }
    return started;
}

INSTANCER_DECL Result<ProcessBackend::Started> ProcessBackend::equip_and_spawn(InstanceRequest& request,
                                                                               Process& process)
{
    if (auto equipped = equip(process); !equipped)
        return fail(std::move(equipped.error()));
    auto plan = plan_of(request, process);
    if (auto given = give_secret(request, process, plan.environment); !given)
        return fail(std::move(given.error()));
    return spawn_with(std::move(plan), request, process);
}

INSTANCER_DECL Result<void> ProcessBackend::equip(Process& process)
{
    if (options_.io == ProcessIo::port) {
        auto port = ports_.take();
        if (!port)
            return fail(port.error());
        process.port = *port;
    }
    if (users_) {
        auto user = users_->take();
        if (!user)
            return fail(user.error());
        process.user.emplace(std::move(*user));
    }
    if (directories_) {
        process.directory = directories_->path_of(process.number);
        if (auto made = directories_->add(process.number, options_.dir_template, user_of(process)); !made)
            return fail(made.error());
    }
    if (groups_) {
        auto taken = groups_->take();
        if (!taken)
            return fail(taken.error());
        process.group.emplace(std::move(*taken));
    }
    auto limited = limiter_->apply(process.number, process.group ? &*process.group : nullptr);
    if (!limited)
        return fail(limited.error());
    process.limit_groups = std::move(*limited);
    // A group that was used before goes on counting.
    process.oom_kills = process.count_oom_kills();
    return {};
}

INSTANCER_DECL Result<void> ProcessBackend::give_secret(const InstanceRequest& request, const Process& process,
                                                        std::vector<std::string>& environment) const
{
    const auto& secret = options_.secret;
    if (!secret.is_for(request))
        return {};
    const auto made = secret.make(request);
    if (!made)
        return fail(made.error());
    if (secret.has_file())
        return write_secret(process, *made);
    environment.push_back(secret.variable + "=" + *made);
    return {};
}

INSTANCER_DECL Result<void> ProcessBackend::write_secret(const Process& process, const std::string& secret) const
{
    const UniqueFd root(::open(process.directory.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!root)
        return fail(last_error(), "opening the directory " + process.directory);
    const auto path = std::filesystem::path(detail::replaced(options_.secret.file, "{dir}", ""));
    const auto directory = detail::open_directory_inside(root.get(), path.parent_path());
    if (!directory)
        return fail(directory.error());
    const auto* user = user_of(process);
    const auto own = user ? FileOwner(user->uid(), user->gid()) : FileOwner(::geteuid(), ::getegid());
    return detail::write_secret_file(directory->get(), path.filename(), secret, options_.secret.mode,
                                     options_.secret.owner.value_or(own));
}

INSTANCER_DECL asio::awaitable<Result<void>> ProcessBackend::do_personalize(Instance instance, InstanceRequest request)
{
    const auto process = instance.shared_state<Process>();
    auto give = [this, process, &request] {
        std::vector<std::string> no_environment;
        return give_secret(request, *process, no_environment);
    };
    co_return co_await starters_.run(std::move(give));
}

INSTANCER_DECL detail::SpawnPlan ProcessBackend::plan_of(const InstanceRequest& request, const Process& process) const
{
    const auto& directory = process.directory;
    detail::SpawnPlan plan;
    plan.program = substituted(program_, request, process);
    for (const auto& argument : options_.command)
        plan.arguments.push_back(substituted(argument, request, process));
    plan.environment = environment(request, process);
    plan.working_directory =
        options_.working_directory.empty() ? directory : substituted(options_.working_directory, request, process);
    plan.user = user_of(process);
    if (plan.user != nullptr)
        plan.init = options_.init;
    const auto limit = [&plan](int resource, std::uint64_t value) {
        if (value != 0)
            plan.limits.push_back({resource, value});
    };
    if (!limiter_->binds(GroupLimit::memory))
        limit(RLIMIT_AS, options_.limit_memory);
    if (!limiter_->binds(GroupLimit::pids))
        limit(RLIMIT_NPROC, options_.limit_pids);
    limit(RLIMIT_NOFILE, options_.limit_nofile);
    plan.limits.push_back({RLIMIT_CORE, options_.limit_core});
    return plan;
}

INSTANCER_DECL Result<ProcessBackend::Started>
ProcessBackend::spawn_with(detail::SpawnPlan plan, InstanceRequest& request, const Process& process)
{
    UniqueFd ours, theirs, errors_read, errors_write, report_read, report_write;
    if (options_.io == ProcessIo::socket) {
        theirs = std::move(request.client_socket());
        const int flags = ::fcntl(theirs.get(), F_GETFL);
        ::fcntl(theirs.get(), F_SETFL, flags & ~O_NONBLOCK);
    } else if (options_.io == ProcessIo::port) {
        theirs.reset(::open("/dev/null", O_RDWR | O_CLOEXEC));
    } else if (options_.pty != TerminalMode::none) {
        auto terminal = detail::open_pty(options_.pty);
        if (!terminal)
            return fail(terminal.error());
        std::tie(ours, theirs) = std::move(*terminal);
        if (const auto given = give(theirs, plan.user); !given)
            return fail(given.error());
        plan.terminal = true;
    } else {
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
            return fail(last_error(), "making a socket pair");
        ours.reset(ends[0]);
        theirs.reset(ends[1]);
    }
    if (options_.stderr_to == StderrTo::log) {
        auto pipe = make_pipe();
        if (!pipe)
            return fail(pipe.error());
        errors_read = std::move(pipe->reader);
        errors_write = std::move(pipe->writer);
        if (const auto given = give(errors_write, plan.user); !given)
            return fail(given.error());
    } else if (options_.stderr_to == StderrTo::null) {
        errors_write.reset(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    }
    auto groups = process.limit_groups;
    if (process.group)
        groups.push_back(process.group->path());
    std::vector<UniqueFd> procs;
    for (const auto& group : groups) {
        procs.push_back(detail::open_procs(group));
        if (!procs.back())
            return fail(last_error(), "opening the control group " + group);
        plan.cgroup_procs.push_back(procs.back().get());
    }
    if (!plan.init.empty()) {
        auto report = make_pipe(O_NONBLOCK);
        if (!report)
            return fail(report.error());
        report_read = std::move(report->reader);
        report_write = std::move(report->writer);
        plan.report = report_write.get();
    }
    plan.standard[0] = plan.standard[1] = theirs.get();
    plan.standard[2] = errors_write ? errors_write.get() : theirs.get();
    auto spawned = detail::spawn(plan, watchdog_);
    if (options_.io == ProcessIo::socket)
        detail::forbid_waiting_close(theirs.get());
    if (!spawned)
        return fail(spawned.error());
    Started started(std::move(*spawned));
    started.our_end = std::move(ours);
    started.errors = std::move(errors_read);
    started.report = std::move(report_read);
    return started;
}

INSTANCER_DECL Result<void> ProcessBackend::give(const UniqueFd& fd, const ProcessUser* user)
{
    if (user && (::fchown(fd.get(), user->uid(), user->gid()) != 0 || ::fchmod(fd.get(), 0600) != 0))
        return fail(last_error(), "giving its standard input and output to its user");
    return {};
}

INSTANCER_DECL std::string ProcessBackend::substituted(std::string text, const InstanceRequest& request,
                                                       const Process& process)
{
    if (process.port != 0)
        text = detail::replaced(std::move(text), "{port}", std::to_string(process.port));
    if (const auto port = detail::listen_port_of(request))
        text = detail::replaced(std::move(text), detail::listen_port_placeholder, std::to_string(*port));
    if (!process.directory.empty())
        text = detail::replaced(std::move(text), "{dir}", process.directory);
    return text;
}

INSTANCER_DECL std::vector<std::string> ProcessBackend::environment(const InstanceRequest& request,
                                                                    const Process& process) const
{
    std::vector<std::string> all;
    if (!groups_)
        all.push_back(mark_ + process.number + ".");
    const auto names = [](const Environment& variables, std::string_view key) {
        return std::any_of(variables.begin(), variables.end(), [key](const auto& entry) { return entry.first == key; });
    };
    const auto& own = request.environment();
    const auto add = [&](std::string_view key, std::string_view value) {
        if (!names(own, key) && !names(options_.env, key))
            all.push_back(std::string(key) + "=" + std::string(value));
    };
    for (const auto& [key, value] : own)
        all.push_back(key + "=" + value);
    for (const auto& [key, value] : options_.env)
        if (!names(own, key))
            all.push_back(key + "=" + substituted(value, request, process));
    add("PATH", detail::default_search_path);
    if (options_.pty != TerminalMode::none)
        add("TERM", "xterm");
    if (process.port != 0)
        add("PORT", std::to_string(process.port));
    if (!process.directory.empty())
        add("INSTANCER_DIR", process.directory);
    for (const auto& [key, value] : detail::client_environment(request, options_.client_env))
        add(key, value);
    return all;
}

INSTANCER_DECL asio::awaitable<Result<Stream>> ProcessBackend::do_open(Instance instance, OpenRequest)
{
    const auto process = instance.shared_state<Process>();
    const auto executor = co_await asio::this_coro::executor;
    if (options_.io == ProcessIo::port)
        co_return co_await open_port(process);
    if (!process->our_end)
        co_return fail(Errc::instance_gone, "its standard input has been given to a client already");
    if (options_.pty != TerminalMode::none)
        co_return Stream(std::make_unique<detail::PtyStream>(executor, std::move(process->our_end)));
    co_return make_socket_stream(executor, std::move(process->our_end));
}

INSTANCER_DECL asio::awaitable<Result<Stream>> ProcessBackend::open_port(std::shared_ptr<Process> process)
{
    auto stream = co_await detail::connect_loopback(process->port);
    // Another process can take a port that nobody listens on.
    if (!stream)
        process->listens = false;
    if (!stream || process->listens)
        co_return stream;
    auto look = [process] { return owns_port(*process); };
    process->listens = co_await starters_.run(std::move(look));
    if (process->listens)
        co_return stream;
    stream->abort();
    co_return fail(Errc::not_ready, "another process listens on 127.0.0.1:" + std::to_string(process->port));
}

INSTANCER_DECL bool ProcessBackend::owns_port(const Process& process)
{
    const auto sockets = process.group ? detail::sockets_of_group(process.group->path()) : std::nullopt;
    const auto listeners = detail::loopback_listeners(process.port);
    return std::all_of(listeners.begin(), listeners.end(), [&](const auto& listener) {
        return (!process.user || listener.uid == process.user->uid()) &&
               (!sockets || sockets->contains(listener.number));
    });
}

INSTANCER_DECL asio::awaitable<std::string> ProcessBackend::do_diagnose(Instance instance)
{
    const auto process = instance.shared_state<Process>();
    if (options_.io != ProcessIo::port || process->exited.is_set())
        co_return std::string();
    std::string text = "it runs, but takes no connection on 127.0.0.1:" + std::to_string(process->port);
    text += ", the port that {port} in its arguments and PORT in its environment name";
    auto look = [process] {
        return (owns_port(*process) ? "" : ", where another process listens") +
               detail::describe_listeners(process->pid);
    };
    text += co_await enders_.run(std::move(look));
    co_return text;
}

INSTANCER_DECL asio::awaitable<void> ProcessBackend::notice_exit(std::shared_ptr<Process> process)
{
    // It stays a zombie until it is stopped, so that its process group keeps its number. A wait may end early; one
    // that fails found that it was stopped and is no longer there.
    siginfo_t info{};
    for (bool ended = false; !ended;) {
        const auto [closed] = co_await process->pidfd.async_wait(asio::posix::stream_descriptor::wait_read, as_result);
        const int pidfd = process->pidfd.native_handle();
        pollfd end{pidfd, POLLIN, 0};
        ended = ::poll(&end, 1, 0) == 1;
        // Of a process that another one traces only that one is told more.
        if (closed ||
            ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd), &info, WEXITED | WNOWAIT | WNOHANG) != 0)
            break;
    }
    if (info.si_pid != 0)
        process->exit_text = (info.si_code == CLD_EXITED ? "exit code " : "signal ") + std::to_string(info.si_status);
    // A shell ends with 137 when the system has killed its program.
    const bool was_killed = (info.si_code == CLD_KILLED && info.si_status == SIGKILL) ||
                            (info.si_code == CLD_EXITED && info.si_status == 128 + SIGKILL);
    if (was_killed && (process->was_out_of_memory ? *process->was_out_of_memory : process->ran_out_of_memory()))
        process->exit_text += " (oom: out of memory, see limit-memory)";
    process->exited.set();
}

INSTANCER_DECL asio::awaitable<InstanceExit> ProcessBackend::do_wait(Instance instance)
{
    const auto process = instance.shared_state<Process>();
    co_await process->exited.wait();
    co_return InstanceExit(process->exit_text);
}

INSTANCER_DECL asio::awaitable<Result<void>> ProcessBackend::do_stop(Instance instance)
{
    const auto process = instance.shared_state<Process>();
    process->our_end.reset();
    co_await ask_to_end(process);
    auto finished = co_await end_process(process);
    if (options_.stderr_to == StderrTo::log)
        co_await process->errors.finish();
    co_return finished;
}

INSTANCER_DECL asio::awaitable<void> ProcessBackend::ask_to_end(std::shared_ptr<Process> process)
{
    using namespace asio::experimental::awaitable_operators;
    const auto& group = process->group;
    if (process->exited.is_set() && (!group || !group->is_populated()))
        co_return;
    ::kill(-process->pid, SIGTERM);
    // Nobody gets it twice: many a program takes that for an order to end at once.
    if (group)
        group->signal(SIGTERM, process->pid);
    const auto deadline = std::chrono::steady_clock::now() + options_.stop_grace;
    asio::steady_timer timer(control_, deadline);
    co_await (process->exited.wait() || timer.async_wait(as_result));
    while (group && group->is_populated() && std::chrono::steady_clock::now() < deadline) {
        timer.expires_after(std::chrono::milliseconds(5));
        co_await timer.async_wait(as_result);
    }
}

INSTANCER_DECL asio::awaitable<Result<void>> ProcessBackend::end_process(std::shared_ptr<Process> process)
{
    using namespace asio::experimental::awaitable_operators;
    // Its streams are closed, for which it is ended, before its exit is noticed.
    process->was_out_of_memory = process->ran_out_of_memory();
    auto finish = [this, process] { return finish_process(*process); };
    auto finished = co_await enders_.run(std::move(finish));
    // A process that another one traces can be kept from ending even by KILL.
    asio::steady_timer patience(control_, end_patience);
    co_await (process->exited.wait() || patience.async_wait(as_result));
    if (!process->exited.is_set())
        finished = fail(Errc::backend_unavailable,
                        "it was killed and does not end: another process traces it, perhaps; see /proc/" +
                            std::to_string(process->pid) + "/status");
    process->pidfd.close();
    if (!detail::reap(process->pid)) {
        auto later = reap_later(control_, process->pid);
        asio::co_spawn(control_, std::move(later), asio::detached);
    }
    co_return finished;
}

INSTANCER_DECL asio::awaitable<void> ProcessBackend::reap_later(asio::any_io_executor executor, pid_t pid)
{
    asio::steady_timer timer(executor);
    while (!detail::reap(pid)) {
        timer.expires_after(std::chrono::milliseconds(100));
        co_await timer.async_wait(as_result);
    }
}

INSTANCER_DECL Result<void> ProcessBackend::finish_process(Process& process)
{
    if (process.group)
        process.group->kill();
    else
        detail::kill_marked(mark_ + process.number + ".");
    // One that runs as root can have left its control group.
    ::kill(-process.pid, SIGKILL);
    return clean_up(process);
}

INSTANCER_DECL Result<void> ProcessBackend::clean_up(Process& process)
{
    ports_.give_back(process.port);
    bool over = true;
    Result<void> result;
    if (process.group) {
        result = groups_->give_back(std::move(*process.group));
        over = result.has_value();
    } else if (process.user) {
        over = detail::kill_user(process.user->uid());
    }
    process.group.reset();
    detail::GroupLimiter::remove(process.limit_groups);
    if (!process.directory.empty()) {
        detail::TreeRemover::hide(directories_->path(), process.number);
        removals_.remove(directories_->path(), process.number);
    }
    if (process.user && over)
        users_->give_back(process.user->uid());
    else if (process.user && result)
        result = fail(Errc::backend_unavailable, "user " + std::to_string(process.user->uid()) +
                                                     " gets no further instance: its processes do not end");
    return result;
}

INSTANCER_DECL asio::awaitable<void> ProcessBackend::read_errors(std::shared_ptr<Process> process)
{
    const auto name = "pid " + std::to_string(process->pid);
    detail::OutputLines lines([this, name](std::string_view line) { events_.output(service_, name, line); });
    co_await process->errors.read(std::move(lines));
}

}  // namespace instancer
