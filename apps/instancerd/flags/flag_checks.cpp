// SPDX-License-Identifier: MIT
#include <algorithm>
#include <filesystem>

#include <unistd.h>

#include "daemon/system.hpp"
#include "flags/flag_issuer.hpp"
#include "flags/flags.hpp"

namespace instancer::daemon {

namespace {

/// Of a flag, in hexadecimal: 64 bits, which nobody guesses by submitting. A guess.
constexpr std::size_t enough_digits = 16;

FlagTemplate template_of(const FlagSettings& flags) { return FlagTemplate::parse(flags.text).value(); }

void check_key(Checker& checker)
{
    const auto& flags = checker.service.flags;
    const bool needed = template_of(flags).needs_key();
    if (needed && flags.key_file.empty() && !checker.has("flag-key"))
        checker.refuse("flag", "{hmac} needs a key; make one with openssl rand -hex 32 and add " +
                                   checker.say("flag-key", "FILE"));
    if (!needed && checker.has("flag-key"))
        checker.refuse("flag-key", "is never used; write {hmac:32} in " + checker.say("flag") + ", or remove this");
    if (flags.key_file.empty())
        return;
    if (is_readable_by_all(flags.key_file))
        checker.refuse("flag-key", "every user of this machine can read " + flags.key_file +
                                       ", and make every flag; chmod 0600 it");
    else if (const auto key = load_flag_key(flags.key_file); !key)
        checker.refuse("flag-key", key.error());
}

void check_environment(Checker& checker)
{
    const auto& service = checker.service;
    const auto& env = service.env;
    const bool taken = std::any_of(env.begin(), env.end(), [](const auto& entry) { return entry.first == "FLAG"; });
    if (taken)
        checker.refuse("env", "FLAG is set for each instance already, because of " + checker.say("flag") +
                                  "; remove one of them");
    if (service.pool.warm > 0)
        checker.refuse("flag",
                       "cannot be in the environment with " + checker.say("warm") +
                           ": a warm instance starts before it has an owner; add " +
                           checker.say("flag-file", service.has_bare_processes() ? "{dir}/flag" : "/run/flag/flag"));
}

void check_exec_file(Checker& checker)
{
    const auto& service = checker.service;
    const auto& file = service.flags.file;
    if (!file.starts_with("{dir}/")) {
        checker.refuse("flag-file", "processes share the files of this host, so there is no place for it; write " +
                                        checker.say("flag-file", "{dir}/flag"));
        return;
    }
    const auto below = std::filesystem::path(file.substr(6)).parent_path();
    const auto& from = service.dir_template;
    const bool is_there =
        below.empty() || (!from.empty() && is_directory((std::filesystem::path(from) / below).string()));
    if (!is_there)
        checker.refuse("flag-file", "there is no directory " + below.string() +
                                        (from.empty() ? " in an empty {dir}; write " : " in " + from + "; write ") +
                                        checker.say("flag-file", "{dir}/flag") + ", or make it in " +
                                        checker.say("dir-template"));
    if (checker.has("flag-owner") && ::geteuid() != 0)
        checker.refuse("flag-owner", "only root can give files away; start instancerd as root or remove this");
}

void check_container_file(Checker& checker)
{
    const auto& docker = checker.service.docker;
    const auto& file = checker.service.flags.file;
    const auto directory = std::filesystem::path(file).parent_path().lexically_normal();
    if (!file.starts_with('/') || directory == "/") {
        checker.refuse("flag-file", "has no directory that can become one in memory; write " +
                                        checker.say("flag-file", "/run/flag/flag"));
        return;
    }
    for (const auto& mount : docker.mounts)
        if (std::filesystem::path(mount.target + "/").lexically_normal() == directory / "")
            checker.refuse("flag-file", directory.string() + " is a mount of " + mount.source +
                                            ", which is read-only; write another directory");
    if (::geteuid() != 0 && checker.service.mode == Mode::docker)
        checker.refuse("flag-file", "only root can write into containers; start instancerd as root or remove this, so "
                                    "that the flag is in the environment");
    if (!docker.runtime.empty() && docker.runtime != "runc" && docker.runtime != "crun" &&
        !docker.runtime.starts_with("io.containerd.runc."))
        checker.refuse("flag-file", "cannot be written into what " + checker.say("runtime", docker.runtime) +
                                        " keeps to itself; remove one of them, so that the flag is in the environment");
}

void check_log(Checker& checker)
{
    const auto& service = checker.service;
    const auto& log = service.flags.log;
    if (log.empty()) {
        if (template_of(service.flags).is_random())
            checker.refuse("flag", "nobody could ever tell whose a flag with {random} is; add " +
                                       checker.say("flag-log", "FILE"));
        return;
    }
    if (std::filesystem::path(log).lexically_normal() ==
        std::filesystem::path(service.flags.key_file).lexically_normal())
        checker.refuse("flag-log", "is the file of " + checker.say("flag-key") +
                                       ", which flags would be added to; name another file");
    if (is_readable_by_all(log))
        checker.refuse("flag-log",
                       "every user of this machine can read " + log + ", and in it every flag; chmod 0600 it");
    const auto directory = std::filesystem::path(log).parent_path().string();
    if (const auto usable = check_writable_directory(directory); !usable)
        checker.refuse("flag-log", usable.error());
}

}  // namespace

void check_flags(Checker& checker)
{
    const auto& service = checker.service;
    if (service.flags.text.empty())
        return;
    check_key(checker);
    check_log(checker);
    if (service.flags.file.empty())
        check_environment(checker);
    else if (service.has_bare_processes())
        check_exec_file(checker);
    else
        check_container_file(checker);
}

std::vector<std::string> warn_of_flags(const Settings& settings, const ServiceSettings& service)
{
    std::vector<std::string> warnings;
    const auto& flags = service.flags;
    if (flags.text.empty())
        return warnings;
    const auto parsed = template_of(flags);
    if (parsed.is_constant())
        warnings.push_back("its flag is the same for everybody, who can pass it on; write " +
                           settings.say("flag", "FLAG{{hmac:32}}"));
    else if (!parsed.needs_key() && !parsed.is_random())
        warnings.push_back("its flag is made of the owner's hash alone, which the instance is told and the log shows; "
                           "write " +
                           settings.say("flag", "FLAG{{hmac:32}}"));
    else if (parsed.secret_digits() < enough_digits)
        warnings.push_back("its flags have so few digits that somebody may guess one; write " +
                           settings.say("flag", "FLAG{{hmac:32}}"));
    if (service.tokens.empty() && flags.log.empty())
        warnings.push_back(
            "whose a flag is can be told only by a list of flags, because no list has the tokens of its clients; add " +
            settings.say("flag-log", "FILE"));
    if (service.mode == Mode::docker && flags.file.empty())
        warnings.push_back(
            "whoever may inspect the Docker engine's containers sees each flag in their environment; add " +
            settings.say("flag-file", "/run/flag/flag"));
    if (service.has_bare_processes() && !service.users)
        warnings.push_back("its instances share a user, so that each can read the flags of all; add " +
                           settings.say("user", "70000-70063"));
    return warnings;
}

}  // namespace instancer::daemon
