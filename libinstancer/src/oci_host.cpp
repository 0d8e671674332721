// SPDX-License-Identifier: MIT
#include "oci_host.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>

#include <sys/stat.h>
#include <unistd.h>

#include <instancer/detail/process/run_name.hpp>
#include <instancer/detail/process/tree_remover.hpp>
#include <instancer/system/last_error.hpp>

#include "oci_root.hpp"

namespace instancer::detail::inline oci {

namespace {

/// Where the runtime finds a container's configuration, since each container has another. crun writes a copy of it,
/// with the environment, below the directory of states, for as long as the container is there.
constexpr auto configuration = "/proc/self/fd/4";

std::string group_of(const std::string& run_name, const std::string& number) { return run_name + "." + number; }

/// Where a runtime that was given this name may have made groups: beside this process, in each hierarchy that there is.
std::vector<std::string> groups_of_runtime(const std::string& name)
{
    std::vector<std::string> paths;
    for (const auto* controller : {"memory", "pids", "cpu", "cpuacct", "cpuset", "devices", "freezer", "blkio",
                                   "net_cls", "net_prio", "perf_event", "hugetlb", "rdma", "misc", "name=systemd"})
        if (const auto own = own_control_group(controller); !own.empty())
            paths.push_back(own + "/" + name);
    if (const auto own = own_control_group(); !own.empty())
        for (const auto& path : {std::filesystem::path(own), std::filesystem::path(own).parent_path()})
            paths.push_back(path / name);
    return paths;
}

/// Ends what a runtime that was killed has left in its groups, such as a process that waits for it, and removes them.
void clear_groups_of_runtime(const std::vector<std::string>& paths)
{
    for (const auto& path : paths) {
        std::ifstream members(path + "/cgroup.procs");
        for (pid_t pid = 0; members >> pid;)
            ::kill(pid, SIGKILL);
    }
    GroupLimiter::remove(paths);
}

/// Removes the containers of a run that is over.
void remove_containers(const std::string& directory, const OciRuntime& runtime)
{
    const auto name = std::filesystem::path(directory).filename().string();
    for (const auto& id : runtime.remove_all(directory + "/state"))
        clear_groups_of_runtime(groups_of_runtime(group_of(name, id)));
}

void remove_directory(const std::string& path, const std::string& service, Events* events)
{
    TreeRemover(path, [&](const std::string& text) {
        if (events != nullptr)
            events->warning(service, text);
    }).remove_all();
}

}  // namespace

OciHost::OciHost(const OciOptions& options, const OciRuntime& runtime, std::string run_name, PrivateDirectory directory)
    : runtime_(runtime), run_name_(std::move(run_name)), directory_(std::move(directory))
{
    limits_.limit_memory = options.limits.memory;
    limits_.limit_pids = options.limits.pids;
    limits_.limit_cpus = options.limits.cpus;
    // The runtime is in them as well.
    if (limits_.limit_pids != 0)
        ++limits_.limit_pids;
    if (!runtime.is_crun())
        return;
    groups_ = ControlGroup::create(run_name_);
    limiter_.emplace(run_name_, groups_.get(), limits_);
}

OciHost::~OciHost()
{
    if (limiter_)
        GroupLimiter::remove(limiter_->roots());
    if (groups_)
        clear_control_group(groups_->path());
    remove_directory(directory_.path(), {}, nullptr);
}

Result<std::unique_ptr<OciHost>> OciHost::prepare(const OciOptions& options, const OciRuntime& runtime,
                                                  const std::string& service, Events& events)
{
    for (const auto& directory : remove_stale_runs(options.daemon, service)) {
        remove_containers(directory, runtime);
        remove_directory(directory, service, &events);
    }
    auto name = detail::run_name(options.daemon, service);
    auto directory = PrivateDirectory::create(name);
    if (!directory)
        return fail(directory.error());
    std::unique_ptr<OciHost> host(new OciHost(options, runtime, std::move(name), std::move(*directory)));
    if (const auto made = host->make_directories(); !made)
        return fail(made.error());
    if (!options.root.empty())
        if (const auto made = make_root_directory(options.root, host->files()); !made)
            return fail(made.error());
    if (const auto binding = host->check_limits(); !binding)
        return fail(binding.error());
    return host;
}

std::string OciHost::group_name(const std::string& number) const { return group_of(run_name_, number); }

Result<void> OciHost::make_directories() const
{
    for (const auto& path : {state(), bundle(), layer(), root()})
        if (::mkdir(path.c_str(), 0700) != 0)
            return fail(last_error(), "making the directory " + path);
    const auto link = bundle() + "/config.json";
    if (::symlink(configuration, link.c_str()) != 0)
        return fail(last_error(), "making " + link);
    return {};
}

Result<void> OciHost::check_limits() const
{
    if (!limiter_)
        return {};
    static constexpr std::pair<GroupLimit, const char*> names[] = {
        {GroupLimit::memory, "memory"}, {GroupLimit::pids, "pids"}, {GroupLimit::cpu, "cpus"}};
    for (const auto& [limit, name] : names)
        if (wants(limits_, limit) && !limiter_->binds(limit))
            return fail(Errc::bad_request,
                        "no control group with the controller " + controller_of(limit) +
                            " can be made for its containers: start instancerd as root, or in a unit with "
                            "Delegate=yes, or go without that limit (limit-" +
                            name + ", 0)");
    return {};
}

Result<OciGroups> OciHost::take_groups(const std::string& number)
{
    OciGroups groups;
    if (!limiter_) {
        groups.paths = groups_of_runtime(group_name(number));
        return groups;
    }
    if (groups_) {
        auto taken = groups_->take();
        if (!taken)
            return fail(taken.error());
        groups.unified.emplace(std::move(*taken));
    }
    auto limited = limiter_->apply(number, groups.unified ? &*groups.unified : nullptr);
    if (!limited) {
        static_cast<void>(give_back(std::move(groups)));
        return fail(limited.error());
    }
    groups.paths = std::move(*limited);
    groups.begin();
    return groups;
}

Result<void> OciHost::give_back(OciGroups groups)
{
    if (!limiter_) {
        clear_groups_of_runtime(groups.paths);
        return {};
    }
    Result<void> result;
    if (groups.unified) {
        groups.unified->kill();
        result = groups_->give_back(std::move(*groups.unified));
    }
    GroupLimiter::remove(groups.paths);
    return result;
}

}  // namespace instancer::detail::inline oci
