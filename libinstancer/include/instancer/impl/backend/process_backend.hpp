// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <string_view>
#include <utility>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <fcntl.h>
#include <unistd.h>

#include <instancer/async/as_result.hpp>
#include <instancer/backend/find_program.hpp>
#include <instancer/backend/process_backend.hpp>
#include <instancer/backend/stderr_to.hpp>
#include <instancer/backend/terminal_mode.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/process/control_group.hpp>
#include <instancer/detail/process/output_lines.hpp>
#include <instancer/detail/process/placeholders.hpp>
#include <instancer/detail/process/process_marks.hpp>
#include <instancer/detail/process/process_plan.hpp>
#include <instancer/detail/process/pty.hpp>
#include <instancer/detail/process/run_name.hpp>
#include <instancer/detail/process/secret_file.hpp>
#include <instancer/detail/process/standard_streams.hpp>
#include <instancer/detail/process/start_report.hpp>
#include <instancer/detail/socket/connect.hpp>
#include <instancer/detail/socket/listeners.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/system/make_pipe.hpp>

namespace instancer {

INSTANCER_DECL ProcessBackend::ProcessBackend(asio::any_io_executor control, std::string service,
                                              ProcessOptions options, Events& events)
    : control_(std::move(control)),
      service_(std::move(service)),
      options_(std::move(options)),
      events_(events),
      run_name_(detail::run_name(options_.name, service_)),
      resources_(options_, service_, events_),
      cleanup_(control_, starters_, service_, events_),
      starters_(starter_count),
      enders_(ender_count)
{
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
        cleanup_.watch();
    if (prepared && resources_.groups() == nullptr && !resources_.has_users())
        events_.notice(service_, "no control group can be made here (cgroup v2, as root or delegated): a process "
                                 "that hides from its instance on purpose would outlive it");
    co_return prepared;
}

INSTANCER_DECL Result<void> ProcessBackend::prepare_system()
{
    // What we do not finish the cleanup process does.
    const auto stale_directories = detail::remove_stale_runs(options_.name, service_);
    if (auto prepared = resources_.prepare(run_name_); !prepared)
        return prepared;
    auto started = cleanup_.start([this, stale_directories] { return start_cleanup(stale_directories); });
    resources_.remove_stale(stale_directories);
    return started;
}

INSTANCER_DECL Result<detail::CleanupProcess>
ProcessBackend::start_cleanup(const std::vector<std::string>& stale_directories) const
{
    const auto* groups = resources_.groups();
    const auto& directories = resources_.directories();
    auto all = stale_directories;
    if (directories)
        all.push_back(directories->path());
    return detail::CleanupProcess::start(groups ? groups->path() : std::string(), detail::mark_of_run(run_name_), all,
                                         resources_.limiter().roots(), directories ? directories->lock().get() : -1);
}

INSTANCER_DECL std::string ProcessBackend::mark_of(const detail::ProcessResources& resources) const
{
    return resources_.groups() ? std::string() : detail::mark_of_run(run_name_) + resources.number + ".";
}

INSTANCER_DECL asio::awaitable<Result<Instance>> ProcessBackend::do_start(InstanceRequest request)
{
    const auto process = std::make_shared<Process>(control_);
    process->resources.number = std::to_string(++last_number_);
    auto start = [this, &request, &process] { return start_process(request, process->resources); };
    auto started = co_await starters_.run(std::move(start));
    if (!started && started.error() == Errc::full)
        co_return fail(started.error());
    if (!started)
        co_return fail(Errc::start_failed, started.error().message());
    process->pid = started->process.pid();
    process->our_end = std::move(started->our_end);
    auto runs = watch(*process, *started);
    auto exit = Process::watch_exit(process);
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

INSTANCER_DECL Result<ProcessBackend::Started> ProcessBackend::start_process(InstanceRequest& request,
                                                                             detail::ProcessResources& resources)
{
    auto started = equip_and_spawn(request, resources);
    if (!started) {
        // The group itself may be why.
        if (resources.group)
            detail::clear_control_group(resources.group->path());
        resources.group.reset();
        static_cast<void>(resources_.give_back(resources));
    }
    return started;
}

INSTANCER_DECL Result<ProcessBackend::Started> ProcessBackend::equip_and_spawn(InstanceRequest& request,
                                                                               detail::ProcessResources& resources)
{
    if (auto taken = resources_.take(resources); !taken)
        return fail(std::move(taken.error()));
    auto plan = plan_of(request, resources);
    if (auto given = give_secret(request, resources, plan.environment); !given)
        return fail(std::move(given.error()));
    return spawn_with(std::move(plan), request, resources);
}

INSTANCER_DECL Result<void> ProcessBackend::give_secret(const InstanceRequest& request,
                                                        const detail::ProcessResources& resources,
                                                        std::vector<std::string>& environment) const
{
    const auto& secret = options_.secret;
    if (!secret.is_for(request))
        return {};
    const auto made = secret.make(request);
    if (!made)
        return fail(made.error());
    if (secret.has_file())
        return write_secret(resources, *made);
    environment.push_back(secret.variable + "=" + *made);
    return {};
}

INSTANCER_DECL Result<void> ProcessBackend::write_secret(const detail::ProcessResources& resources,
                                                         const std::string& secret) const
{
    const UniqueFd root(::open(resources.directory.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!root)
        return fail(last_error(), "opening the directory " + resources.directory);
    const auto path = std::filesystem::path(detail::replaced(options_.secret.file, detail::directory_placeholder, ""));
    const auto directory = detail::open_directory_inside(root.get(), path.parent_path());
    if (!directory)
        return fail(directory.error());
    const auto* user = resources_.user_of(resources);
    const auto own = user ? FileOwner(user->uid(), user->gid()) : FileOwner(::geteuid(), ::getegid());
    return detail::write_secret_file(directory->get(), path.filename(), secret, options_.secret.mode,
                                     options_.secret.owner.value_or(own));
}

INSTANCER_DECL asio::awaitable<Result<void>> ProcessBackend::do_personalize(Instance instance, InstanceRequest request)
{
    const auto process = instance.shared_state<Process>();
    auto give = [this, process, &request] {
        std::vector<std::string> no_environment;
        return give_secret(request, process->resources, no_environment);
    };
    co_return co_await starters_.run(std::move(give));
}

INSTANCER_DECL detail::SpawnPlan ProcessBackend::plan_of(const InstanceRequest& request,
                                                         const detail::ProcessResources& resources) const
{
    const auto filled_in = [&](const std::string& text) { return detail::filled_in(text, request, resources); };
    detail::SpawnPlan plan;
    plan.program = filled_in(program_);
    for (const auto& argument : options_.command)
        plan.arguments.push_back(filled_in(argument));
    plan.environment = detail::process_environment(options_, request, resources, mark_of(resources));
    plan.working_directory =
        options_.working_directory.empty() ? resources.directory : filled_in(options_.working_directory);
    plan.user = resources_.user_of(resources);
    if (plan.user != nullptr)
        plan.init = options_.init;
    plan.limits = detail::process_limits(options_, resources_.limiter());
    return plan;
}

INSTANCER_DECL Result<ProcessBackend::Started>
ProcessBackend::spawn_with(detail::SpawnPlan plan, InstanceRequest& request, const detail::ProcessResources& resources)
{
    auto streams = detail::StandardStreams::open(options_, request, plan.user);
    if (!streams)
        return fail(std::move(streams.error()));
    std::vector<UniqueFd> procs;
    for (const auto& group : resources.groups()) {
        procs.push_back(detail::open_procs(group));
        if (!procs.back())
            return fail(last_error(), "opening the control group " + group);
        plan.cgroup_procs.push_back(procs.back().get());
    }
    UniqueFd report_reader, report_writer;
    if (!plan.init.empty()) {
        auto report = make_pipe(O_NONBLOCK);
        if (!report)
            return fail(report.error());
        report_reader = std::move(report->reader);
        report_writer = std::move(report->writer);
        plan.report = report_writer.get();
    }
    plan.terminal = streams->terminal;
    plan.standard[0] = plan.standard[1] = streams->theirs.get();
    plan.standard[2] = streams->errors_writer ? streams->errors_writer.get() : streams->theirs.get();
    auto spawned = detail::spawn(plan, watchdog_);
    if (options_.io == ProcessIo::socket)
        detail::forbid_waiting_close(streams->theirs.get());
    if (!spawned)
        return fail(spawned.error());
    Started started(std::move(*spawned));
    started.our_end = std::move(streams->ours);
    started.errors = std::move(streams->errors_reader);
    started.report = std::move(report_reader);
    return started;
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
    auto stream = co_await detail::connect_loopback(process->resources.port);
    // Another process can take a port that nobody listens on.
    if (!stream)
        process->listens = false;
    if (!stream || process->listens)
        co_return stream;
    auto look = [process] { return process->resources.owns_port(); };
    process->listens = co_await starters_.run(std::move(look));
    if (process->listens)
        co_return stream;
    stream->abort();
    co_return fail(Errc::not_ready, "another process listens on 127.0.0.1:" + std::to_string(process->resources.port));
}

INSTANCER_DECL asio::awaitable<std::string> ProcessBackend::do_diagnose(Instance instance)
{
    const auto process = instance.shared_state<Process>();
    if (options_.io != ProcessIo::port || process->exited.is_set())
        co_return std::string();
    std::string text = "it runs, but takes no connection on 127.0.0.1:" + std::to_string(process->resources.port);
    text += ", the port that {port} in its arguments and PORT in its environment name";
    auto look = [process] {
        return (process->resources.owns_port() ? "" : ", where another process listens") +
               detail::describe_listeners(process->pid);
    };
    text += co_await enders_.run(std::move(look));
    co_return text;
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
    const auto& group = process->resources.group;
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
    if (!process->exited.is_set())
        process->was_out_of_memory = process->resources.ran_out_of_memory();
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
    auto& resources = process.resources;
    if (resources.group)
        resources.group->kill();
    else
        detail::kill_marked(mark_of(resources));
    // One that runs as root can have left its control group.
    ::kill(-process.pid, SIGKILL);
    return resources_.give_back(resources);
}

INSTANCER_DECL asio::awaitable<void> ProcessBackend::read_errors(std::shared_ptr<Process> process)
{
    const auto name = "pid " + std::to_string(process->pid);
    detail::OutputLines lines([this, name](std::string_view line) { events_.output(service_, name, line); });
    co_await process->errors.read(std::move(lines));
}

}  // namespace instancer
