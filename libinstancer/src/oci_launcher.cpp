// SPDX-License-Identifier: MIT
#include "oci_launcher.hpp"

#include <array>
#include <filesystem>
#include <future>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <instancer/detail/crypto/base64.hpp>
#include <instancer/detail/socket/passed_descriptors.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/system/make_pipe.hpp>

#include "oci_devices.hpp"
#include "oci_network.hpp"
#include "oci_seccomp.hpp"
#include "oci_spec.hpp"
#include "oci_supervisor.hpp"

namespace instancer::detail::inline oci {

using nlohmann::json;

namespace {

/// crun refuses to work where some controllers are in this hierarchy and some are not, although it is to leave all of
/// them alone.
constexpr auto hybrid_hierarchy = "/sys/fs/cgroup/unified";

/// Room for what a runtime makes in a read-only root directory to mount something on.
constexpr std::uint64_t mount_points_size = 1 << 20;

/// Above all that become other descriptors of the child.
UniqueFd moved_up(const UniqueFd& descriptor) { return UniqueFd(::fcntl(descriptor.get(), F_DUPFD_CLOEXEC, 16)); }

Result<void> check_files(const OciOptions& options)
{
    std::error_code error;
    if (options.root.empty() && !std::filesystem::is_directory(options.image.root, error))
        return fail(Errc::bad_request,
                    "there is no directory " + options.image.root.string() + " with the container's files");
    for (const auto& mount : options.mounts)
        if (!std::filesystem::exists(mount.source, error))
            return fail(Errc::bad_request, "there is no " + mount.source + " to mount");
    if (options.init.empty() || ::access(options.init.c_str(), X_OK) != 0)
        return fail(Errc::bad_request, "the program instancer-init is not found; containers need it as their first "
                                       "process, so install it");
    return {};
}

}  // namespace

Result<OciRuntime> find_usable_runtime(const OciOptions& options)
{
    auto runtime = OciRuntime::find(options.runtime);
    if (!runtime || !is_rootless())
        return runtime;
    if (const auto checked = check_user_namespaces(); !checked)
        return fail(checked.error());
    if (const auto checked = check_rootless(options, *runtime); !checked)
        return fail(checked.error());
    return runtime;
}

Result<void> OciLauncher::prepare(Events& events)
{
    if (auto checked = check(options_, service_); !checked)
        return checked;
    if (auto checked = check_files(options_); !checked)
        return checked;
    const auto port = service_port(options_);
    if (!port)
        return fail(port.error());
    auto runtime = find_usable_runtime(options_);
    if (!runtime)
        return fail(runtime.error());
    auto host = OciHost::prepare(options_, *runtime, service_, events);
    if (!host)
        return fail(host.error());
    port_ = *port;
    runtime_ = std::make_unique<OciRuntime>(std::move(*runtime));
    host_ = std::move(*host);
    auto user = find_oci_user(files(), container_user(options_));
    if (!user)
        return fail(user.error());
    user_ = std::move(*user);
    if (rootless_) {
        if (auto checked = check_rootless_user(user_); !checked)
            return checked;
        events.notice(service_, "without root its programs are user " + std::to_string(::geteuid()) +
                                    " to this machine, as this process is: they are in user namespaces");
    }
    if (options_.users)
        users_.emplace(*options_.users);
    auto spec = make_spec(*runtime_);
    if (!spec)
        return fail(spec.error());
    spec_ = std::move(*spec);
    return {};
}

Result<json> OciLauncher::make_spec(const OciRuntime& runtime) const
{
    auto spec = container_spec(options_, user_, host_->root(), service_);
    if (!runtime.is_crun())
        spec["linux"]["resources"] = container_resources(options_.limits);
    if (auto added = add_devices(spec, options_.privileges.devices); !added)
        return fail(added.error());
    if (auto filtered = set_seccomp(spec, runtime); !filtered)
        return fail(filtered.error());
    if (rootless_)
        set_user_namespace(spec, user_);
    return spec;
}

Result<void> OciLauncher::set_seccomp(json& spec, const OciRuntime& runtime) const
{
    const auto& privileges = options_.privileges;
    if (privileges.seccomp) {
        if (privileges.seccomp->empty())
            return {};
        auto rules = seccomp_rules_of(*privileges.seccomp, privileges.capabilities);
        if (!rules)
            return fail(rules.error());
        spec["linux"]["seccomp"] = std::move(*rules);
    } else if (!runtime.is_crun()) {
        spec["linux"]["seccomp"] = seccomp_rules(privileges.capabilities);
    } else {
        const auto program = seccomp_program(privileges.capabilities);
        if (!program)
            return fail(program.error());
        spec["annotations"] = {{"run.oci.seccomp_bpf_data", base64_encode(*program)}};
    }
    return {};
}

Result<LaunchedContainer> OciLauncher::launch(const InstanceRequest& request, OciContainer& container, Kind kind,
                                              const std::string& secret)
{
    auto launched = equip_and_launch(request, container, kind, secret);
    if (!launched)
        static_cast<void>(clean_up(container));
    return launched;
}

Result<LaunchedContainer> OciLauncher::equip_and_launch(const InstanceRequest& request, OciContainer& container,
                                                        Kind kind, const std::string& secret)
{
    if (auto equipped = equip(container); !equipped)
        return fail(equipped.error());
    auto ends = SupervisorEnds::make();
    if (!ends)
        return fail(ends.error());
    auto output = make_pipe();
    if (!output)
        return fail(output.error());
    if (auto handed = hand_over_streams(container, kind, ends->ours.get(), output->writer.get()); !handed)
        return fail(handed.error());
    const auto configuration = this->configuration(request, container, secret);
    if (!configuration)
        return fail(configuration.error());
    const auto supervisor = moved_up(ends->theirs), spec = moved_up(*configuration);
    if (!supervisor || !spec)
        return fail(last_error(), "copying descriptors");

    const UniqueFd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
    SpawnPlan plan;
    plan.program = options_.init;
    plan.arguments = command_of(container);
    plan.environment = {"PATH=" + std::string(default_search_path)};
    plan.working_directory = "/";
    plan.standard[0] = nothing.get();
    plan.standard[1] = plan.standard[2] = output->writer.get();
    plan.further = {supervisor.get(), spec.get()};
    auto spawned = spawn_in_groups(std::move(plan), container.groups);
    if (!spawned)
        return fail(spawned.error());
    return LaunchedContainer(std::move(*spawned), std::move(ends->ours), std::move(output->reader));
}

Result<void> OciLauncher::equip(OciContainer& container)
{
    auto groups = host_->take_groups(container.id);
    if (!groups)
        return fail(groups.error());
    container.groups = std::move(*groups);
    if (users_) {
        const auto user = users_->take();
        if (!user)
            return fail(user.error());
        container.user = user->uid();
    }
    // Without root the runtime makes the network namespace, and instancer-init lets us in.
    if (options_.io != ContainerIo::port || rootless_)
        return {};
    auto network = make_network();
    if (!network)
        return fail(network.error());
    container.network = std::move(*network);
    return {};
}

Result<UniqueFd> OciLauncher::make_network()
{
    const auto task = std::make_shared<std::packaged_task<Result<UniqueFd>()>>(make_network_namespace);
    namespace_thread_.post([task] { (*task)(); });
    return task->get_future().get();
}

Result<SpawnedProcess> OciLauncher::spawn_in_groups(SpawnPlan plan, const OciGroups& groups)
{
    auto joined = runtime_->is_crun() ? groups.paths : std::vector<std::string>();
    if (groups.unified)
        joined.push_back(groups.unified->path());
    std::vector<UniqueFd> procs;
    for (const auto& group : joined) {
        procs.push_back(open_procs(group));
        if (!procs.back())
            return fail(last_error(), "opening the control group " + group);
        plan.cgroup_procs.push_back(procs.back().get());
    }
    return spawn(plan, watchdog_);
}

/// Gives the program its standard streams, by a message that waits for its supervisor: the runtime, which stays, does
/// not have them, so that nobody but the program keeps them open.
Result<void> OciLauncher::hand_over_streams(OciContainer& container, Kind kind, int supervisor, int output) const
{
    if (kind == Kind::look || options_.pty != TerminalMode::none)
        return tell_supervisor(supervisor, kind);
    const UniqueFd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
    const int errors = options_.stderr_to == StderrTo::log ? output : nothing.get();
    // So that the program can open it by a name, as in /dev/stderr.
    const auto owner = owner_in(container);
    if (!rootless_ && ::fchown(output, owner.uid, owner.gid) != 0)
        return fail(last_error(), "giving its output to its user");
    if (options_.io == ContainerIo::port)
        return tell_supervisor(supervisor, kind, std::array{nothing.get(), errors, errors});
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return fail(last_error(), "making a socket pair");
    const UniqueFd theirs(ends[1]);
    container.our_end.reset(ends[0]);
    take_descriptors(ends[0], false);
    const bool to_client = options_.stderr_to == StderrTo::client;
    return tell_supervisor(supervisor, kind, std::array{theirs.get(), theirs.get(), to_client ? theirs.get() : errors});
}

Result<UniqueFd> OciLauncher::configuration(const InstanceRequest& request, const OciContainer& container,
                                            const std::string& secret) const
{
    auto spec = spec_;
    personalize(spec, options_, request, secret);
    if (container.user)
        set_user(spec, user_, *container.user);
    if (container.network)
        set_network(spec, "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(container.network.get()));
    if (!runtime_->is_crun())
        spec["linux"]["cgroupsPath"] = host_->group_name(container.id);
    UniqueFd file(::memfd_create("config.json", MFD_CLOEXEC));
    const auto text = spec.dump(-1, ' ', false, json::error_handler_t::replace);
    if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
        ::lseek(file.get(), 0, SEEK_SET) != 0)
        return fail(last_error(), "writing a container's configuration");
    return file;
}

std::vector<std::string> OciLauncher::command_of(const OciContainer& container) const
{
    const auto size = options_.read_only ? mount_points_size : options_.limits.tmp;
    std::vector<std::string> all = {
        "instancer-init",       "mounts", "files=" + files(), "layer=" + host_->layer(), "size=" + std::to_string(size),
        "root=" + host_->root()};
    if (options_.privileges.setuid)
        all.emplace_back("setuid=");
    if (rootless_)
        all.emplace_back("rootless=");
    if (runtime_->is_crun())
        all.push_back(std::string("detach=") + hybrid_hierarchy);
    all.emplace_back("--");
    all.push_back(runtime_->path());
    for (auto& argument : runtime_->run_arguments(host_->state(), host_->bundle(), container.id))
        all.push_back(std::move(argument));
    return all;
}

Result<void> OciLauncher::clean_up(OciContainer& container)
{
    if (container.runtime_failed)
        runtime_->remove(host_->state(), container.id);
    auto given = host_->give_back(std::exchange(container.groups, OciGroups()));
    if (const auto user = std::exchange(container.user, std::nullopt))
        users_->give_back(*user);
    return given;
}

}  // namespace instancer::detail::inline oci
