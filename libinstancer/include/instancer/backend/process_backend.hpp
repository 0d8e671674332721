// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <asio/posix/stream_descriptor.hpp>
#include <sys/stat.h>
#include <sys/wait.h>

#include <instancer/async/async_event.hpp>
#include <instancer/async/helper_threads.hpp>
#include <instancer/backend/process_options.hpp>
#include <instancer/detail/async/deadline.hpp>
#include <instancer/detail/process/cleanup_process.hpp>
#include <instancer/detail/process/control_group.hpp>
#include <instancer/detail/process/group_limits.hpp>
#include <instancer/detail/process/output_pipe.hpp>
#include <instancer/detail/process/port_allocator.hpp>
#include <instancer/detail/process/private_directory.hpp>
#include <instancer/detail/process/removals.hpp>
#include <instancer/detail/process/spawn.hpp>
#include <instancer/detail/process/spawn_watchdog.hpp>
#include <instancer/detail/process/user_allocator.hpp>
#include <instancer/events.hpp>
#include <instancer/instance.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer {

/// Every instance is a process with everything that it starts.
///
/// Ending an instance ends all of it: by a control group (cgroup v2) where we may have one, else by process group and
/// by a mark in the environment. A cleanup process does the same when we are killed.
///
/// Lifetime: no instance may be left when it is destroyed; InstancePool sees to that.
class ProcessBackend final : public InstanceBackend {
public:
    /// Starts processes as `options` say. Its coroutines run on `control`.
    ProcessBackend(asio::any_io_executor control, std::string service, ProcessOptions options, Events& events);

    /// The cleanup process takes away what is left.
    ~ProcessBackend() override
    {
        starters_.join();
        enders_.join();
        removals_.stop();
    }

private:
    static constexpr std::size_t starter_count = 4, ender_count = 2;  ///< Threads; a guess.
    static constexpr std::chrono::seconds start_patience{1};          ///< Until the program is executed; a guess.
    static constexpr std::chrono::seconds end_patience{3};            ///< From KILL to the end; a guess.
    static constexpr std::chrono::seconds cleanup_interval{1};        ///< Between starts of cleanup processes; a guess.

    struct Process final : Instance::State {
        explicit Process(const asio::any_io_executor& control) : pidfd(control), exited(control), errors(control) {}

        std::uint64_t count_oom_kills() const
        {
            auto groups = limit_groups;
            if (group)
                groups.push_back(group->path());
            return detail::count_oom_kills(groups);
        }
        bool ran_out_of_memory() const { return count_oom_kills() > oom_kills; }

        pid_t pid = -1;
        asio::posix::stream_descriptor pidfd;
        AsyncEvent exited;
        std::string exit_text = "ended";
        std::optional<bool> was_out_of_memory;  ///< When we began to end it: its groups are a helper thread's since.
        std::string number;                     ///< Names its directory and its mark.
        std::optional<detail::InstanceGroup> group;
        std::vector<std::string> limit_groups;  ///< Of version 1, which only limit it.
        std::uint64_t oom_kills = 0;            ///< That its groups had seen before it.
        std::string directory;                  ///< Empty when it has none.
        std::uint16_t port = 0;
        std::atomic<bool> listens = false;  ///< It was the one that listens on its port when that was last looked at.
        std::optional<ProcessUser> user;    ///< Of its own, to be given back.
        UniqueFd our_end;                   ///< Of its standard input and output, until somebody opens it.
        detail::OutputPipe errors;          ///< Reads its standard error.
    };

    /// What a helper thread hands back.
    struct Started {
        explicit Started(detail::SpawnedProcess spawned) : process(std::move(spawned)) {}

        detail::SpawnedProcess process;
        UniqueFd our_end;
        UniqueFd errors;
        UniqueFd report;  ///< Of instancer-init; none where the program runs already.
    };

    BackendTraits do_traits() const override;

    asio::awaitable<Result<void>> do_prepare() override;

    /// What a run of the same name left behind when it was killed together with its cleanup process; then what this run
    /// needs.
    Result<void> prepare_system();

    Result<void> start_cleanup();

    /// Starts another cleanup process when this one ends before us.
    void watch_cleanup();

    /// At once, but not for one that has hardly lived.
    void replace_cleanup_soon();

    asio::awaitable<void> replace_cleanup();

    // Starting.

    asio::awaitable<Result<Instance>> do_start(InstanceRequest request) override;

    static Result<void> watch(Process& process, Started& started);

    /// On a helper thread. What an instance got before its start failed is taken away again.
    Result<Started> start_process(InstanceRequest& request, Process& process);

    Result<Started> equip_and_spawn(InstanceRequest& request, Process& process);

    /// Gives an instance what it has for itself.
    Result<void> equip(Process& process);

    /// Makes the instance's secret, and hands it over.
    Result<void> give_secret(const InstanceRequest& request, const Process& process,
                             std::vector<std::string>& environment) const;

    Result<void> write_secret(const Process& process, const std::string& secret) const;

    /// Null: whom we run as.
    const ProcessUser* user_of(const Process& process) const noexcept
    {
        if (process.user)
            return &*process.user;
        return options_.user ? &*options_.user : nullptr;
    }

    detail::SpawnPlan plan_of(const InstanceRequest& request, const Process& process) const;

    Result<Started> spawn_with(detail::SpawnPlan plan, InstanceRequest& request, const Process& process);

    /// So that the instance can open it by a name, as in /dev/stderr, and no other user can.
    static Result<void> give(const UniqueFd& fd, const ProcessUser* user);

    /// `text` with the placeholders filled in.
    static std::string substituted(std::string text, const InstanceRequest& request, const Process& process);

    std::vector<std::string> environment(const InstanceRequest& request, const Process& process) const;

    asio::awaitable<Result<void>> do_personalize(Instance instance, InstanceRequest request) override;

    // Reaching.

    asio::awaitable<Result<Stream>> do_open(Instance instance, OpenRequest) override;

    /// Only once it is sure that its client would not reach another instance, which can listen on any port.
    asio::awaitable<Result<Stream>> open_port(std::shared_ptr<Process> process);

    /// Whether nobody else listens on its port. On a helper thread.
    static bool owns_port(const Process& process);

    asio::awaitable<std::string> do_diagnose(Instance instance) override;

    // Ending.

    static asio::awaitable<void> notice_exit(std::shared_ptr<Process> process);

    asio::awaitable<InstanceExit> do_wait(Instance instance) override;

    asio::awaitable<Result<void>> do_stop(Instance instance) override;

    /// Sends TERM to everything that the instance started, and waits for the end of it all, for the grace time at most.
    asio::awaitable<void> ask_to_end(std::shared_ptr<Process> process);

    /// Ends whatever is left of an instance, and takes everything away.
    asio::awaitable<Result<void>> end_process(std::shared_ptr<Process> process);

    /// A process that another one traces stays a zombie until that one lets go of it.
    static asio::awaitable<void> reap_later(asio::any_io_executor executor, pid_t pid);

    /// On a helper thread.
    Result<void> finish_process(Process& process);

    Result<void> clean_up(Process& process);

    // What it says to the operator.

    asio::awaitable<void> read_errors(std::shared_ptr<Process> process);

    asio::any_io_executor control_;
    std::string service_;
    ProcessOptions options_;
    Events& events_;
    std::string run_name_;
    std::string mark_;
    detail::PortAllocator ports_;
    bool wants_directory_ = false;
    std::string program_;
    std::unique_ptr<detail::ControlGroup> groups_;
    std::optional<detail::GroupLimiter> limiter_;
    std::optional<detail::PrivateDirectory> directories_;
    std::vector<std::string> cleanup_directories_;
    std::optional<detail::CleanupProcess> cleanup_process_;
    std::chrono::steady_clock::time_point cleanup_began_;
    detail::Deadline cleanup_pause_;
    asio::posix::stream_descriptor cleanup_end_;  ///< Of the cleanup process: goes before that.
    std::optional<detail::UserAllocator> users_;
    detail::SpawnWatchdog watchdog_{start_patience};
    detail::Removals removals_;
    HelperThreads starters_, enders_;  ///< Apart: what instances do can keep an end waiting for a while.
    std::uint64_t last_number_ = 0;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/backend/process_backend.hpp>
#endif
