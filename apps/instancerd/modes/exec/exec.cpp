// SPDX-License-Identifier: MIT
#include "modes/exec/exec.hpp"

#include <algorithm>

#include <sys/resource.h>
#include <unistd.h>

#include <instancer/backend/process_backend.hpp>

#include "daemon/instance_service.hpp"
#include "daemon/system.hpp"
#include "flags/flags.hpp"
#include "modes/oci/oci.hpp"
#include "sandbox/sandbox.hpp"

namespace instancer::daemon {

namespace {

std::vector<std::string> warn(const Settings& settings, const ServiceSettings& service)
{
    if (service.sandbox)
        return warn_of_oci(settings, service);
    std::vector<std::string> warnings;
    if (::geteuid() != 0)
        return warnings;
    const bool has_user = service.users || !service.user.empty();
    if (!has_user)
        warnings.push_back("its programs run as root, who may do anything here; add " + settings.say("user", "nobody") +
                           ", or " + settings.say("user", "root") + " if that is meant");
    else if (settings.init_program().empty())
        warnings.push_back(
            "there is no instancer-init beside instancerd, so that instances can make starts of the same "
            "user fail; install it, or name it by " +
            settings.say("init", "PATH"));
    return warnings;
}

Parsed<ProcessOptions> process_options(const Settings& settings, const ServiceSettings& service)
{
    ProcessOptions options;
    options.command = service.command;
    options.command.front() = settings.program(service);
    options.io = service.io;
    options.pty = service.pty;
    options.stderr_to = service.stderr_to;
    options.ports = service.ports;
    options.dir_template = service.dir_template;
    options.working_directory = service.working_directory;
    if (options.working_directory.empty())
        options.working_directory = service.dir_template.empty() ? settings.resolve(".") : "{dir}";
    options.env = service.env;
    options.client_env = service.client_env;
    options.secret = make_flag_secret(service);
    // Who is not root can only stay who they are.
    if (!service.user.empty() && ::geteuid() == 0) {
        const auto user = find_user(service.user);
        if (!user)
            return wrong(user.error());
        options.user.emplace(user->uid, user->gid, user->groups);
    }
    options.users = service.users;
    options.init = settings.init_program();
    options.limit_memory = service.limits.memory;
    options.limit_cpus = service.limits.cpus;
    options.limit_pids = service.limits.pids;
    options.limit_nofile = service.limits.nofile;
    options.limit_core = service.limits.core;
    // The default must not ask for more than we may give.
    if (rlimit ours{}; !service.has("limit-nofile") && ::getrlimit(RLIMIT_NOFILE, &ours) == 0)
        options.limit_nofile = std::min<std::uint64_t>(options.limit_nofile, ours.rlim_max);
    options.stop_grace = service.stop_grace;
    options.name = settings.daemon_name();
    return options;
}

Parsed<std::unique_ptr<RunningService>> prepare(const OwnedSettings& settings, ServiceContext& context)
{
    if (settings.service().sandbox)
        return prepare_sandbox(settings, context);
    auto options = process_options(settings.daemon(), settings.service());
    if (!options)
        return wrong(options.error());
    auto parts = InstanceParts::prepare(settings.service(), context);
    if (!parts)
        return wrong(parts.error());
    parts->use_backend<ProcessBackend>(context.workers.control(), settings.service().name, std::move(*options),
                                       context.log);
    return std::make_unique<InstanceService>(settings, context, std::move(*parts));
}

}  // namespace

constinit const ModeEntry exec_mode{
    .mode = Mode::exec,
    .name = "exec",
    .use = "to run processes",
    .command = {.words = "exec",
                .forms = {"--listen ADDR [options] -- COMMAND [ARG...]"},
                .purpose = "Each client gets a process of its own, reached by its standard input and output, by the "
                           "client's own socket, or by a port that it listens on.",
                .examples = {"exec --sandbox --listen :1337 -- python3 chall.py",
                             "exec --listen :1337 --io port --auth source -- python3 server.py {port}"},
                .stray = "the command to run comes last, after --",
                .scope = Scope::exec},
    .options = exec_options,
    .check = check_exec,
    .warn = warn,
    .prepare = prepare,
};

}  // namespace instancer::daemon
