// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <sys/types.h>

#include <instancer/async/helper_threads.hpp>
#include <instancer/backend/process_options.hpp>
#include <instancer/detail/process/cleanup_process.hpp>
#include <instancer/detail/process/cleanup_supervisor.hpp>
#include <instancer/detail/process/instance_process.hpp>
#include <instancer/detail/process/process_resources.hpp>
#include <instancer/detail/process/resource_allocator.hpp>
#include <instancer/detail/process/spawn.hpp>
#include <instancer/detail/process/spawn_watchdog.hpp>
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
        resources_.stop();
    }

private:
    using Process = detail::InstanceProcess;

    static constexpr std::size_t starter_count = 4, ender_count = 2;  ///< Threads; a guess.
    static constexpr std::chrono::seconds start_patience{1};          ///< Until the program is executed; a guess.
    static constexpr std::chrono::seconds end_patience{3};            ///< From KILL to the end; a guess.

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

    Result<detail::CleanupProcess> start_cleanup(const std::vector<std::string>& stale_directories) const;

    /// Begins the environment of an instance whose processes are found by that; empty where its group finds them.
    std::string mark_of(const detail::ProcessResources& resources) const;

    // Starting.

    asio::awaitable<Result<Instance>> do_start(InstanceRequest request) override;

    static Result<void> watch(Process& process, Started& started);

    /// On a helper thread. What an instance got before its start failed is taken away again.
    Result<Started> start_process(InstanceRequest& request, detail::ProcessResources& resources);

    Result<Started> equip_and_spawn(InstanceRequest& request, detail::ProcessResources& resources);

    /// Makes the instance's secret, and hands it over.
    Result<void> give_secret(const InstanceRequest& request, const detail::ProcessResources& resources,
                             std::vector<std::string>& environment) const;

    Result<void> write_secret(const detail::ProcessResources& resources, const std::string& secret) const;

    detail::SpawnPlan plan_of(const InstanceRequest& request, const detail::ProcessResources& resources) const;

    Result<Started> spawn_with(detail::SpawnPlan plan, InstanceRequest& request,
                               const detail::ProcessResources& resources);

    asio::awaitable<Result<void>> do_personalize(Instance instance, InstanceRequest request) override;

    // Reaching.

    asio::awaitable<Result<Stream>> do_open(Instance instance, OpenRequest) override;

    /// Only once it is sure that its client would not reach another instance, which can listen on any port.
    asio::awaitable<Result<Stream>> open_port(std::shared_ptr<Process> process);

    asio::awaitable<std::string> do_diagnose(Instance instance) override;

    // Ending.

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

    // What it says to the operator.

    asio::awaitable<void> read_errors(std::shared_ptr<Process> process);

    asio::any_io_executor control_;
    std::string service_;
    ProcessOptions options_;
    Events& events_;
    std::string run_name_;
    std::string program_;
    detail::ResourceAllocator resources_;
    detail::CleanupSupervisor cleanup_;  ///< Goes before the resources.
    detail::SpawnWatchdog watchdog_{start_patience};
    HelperThreads starters_, enders_;  ///< Apart: what instances do can keep an end waiting for a while.
    std::uint64_t last_number_ = 0;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/backend/process_backend.hpp>
#endif
