// SPDX-License-Identifier: MIT
// What `exec --sandbox` refuses, and what it has by default.
#include <algorithm>

#include <sys/stat.h>
#include <unistd.h>

#include <temporary_directory.hpp>

#include "config_problems.hpp"
#include "sandbox/sandbox.hpp"

using namespace config_test;
using daemon_test::TemporaryDirectory;

namespace {

/// Of a service that is well but for `body`.
std::vector<std::string> problems(const std::string& body) { return exec_problems("\"sandbox\": true, " + body); }

void refuses(const std::string& body, const std::string& why)
{
    const auto all = problems(body);
    REQUIRE_MESSAGE(all.size() == 1, body);
    CHECK_MESSAGE(all[0].find(why) != std::string::npos, all[0]);
}

Settings read(const std::string& body)
{
    Problems found;
    return read_config("/c.json", service("\"mode\": \"exec\", \"sandbox\": true, \"listen\": \":1\", " + body), found);
}

bool binds(const instancer::OciOptions& options, const std::string& path)
{
    return std::any_of(options.root.binds.begin(), options.root.binds.end(),
                       [&](const auto& bind) { return bind.source == path && bind.target == path; });
}

}  // namespace

TEST_CASE("sandbox: options that cannot work in it are refused")
{
    CHECK(problems("\"ttl\": \"1m\"").empty());
    CHECK(problems("\"limits\": {\"tmp\": \"1m\"}, \"tmpfs\": \"/run:1m\", \"mounts\": \"/usr:/data\"").empty());
    refuses("\"io\": \"socket\"", "cannot work together with \"io\": \"socket\"");
    refuses("\"io\": \"port\", \"ports\": \"2000-2010\"", "each instance has a network of its own");
    refuses("\"dir-template\": \"/usr/share/doc\"", "share files that none can change");
    refuses("\"env\": {\"X\": \"{dir}\"}", "write /tmp");
    refuses("\"limits\": {\"log\": \"1m\"}", "is for output that an engine keeps");
    refuses("\"user\": \"no-such-user-here\"", "useradd");
    if (::geteuid() == 0) {
        CHECK(problems("\"user\": \"70000-70063\"").empty());
        refuses("\"user\": \"70000-70063\", \"max-instances\": 65", "is more than the 64 users");
    }
    refuses("\"pty\": true, \"stderr\": \"log\"", "the terminal is its standard error");
    refuses("\"runtime\": \"no-such-runtime\"", "there is no program no-such-runtime");
    refuses("\"mounts\": \"/no/such:/data\"", "there is no /no/such");
    refuses("\"tmpfs\": \"/tmp:1m\"", "\"limits\": {\"tmp\": ");
    // Without a sandbox there is nothing to mount into.
    for (const auto* option : {"\"mounts\": \"/usr:/data\"", "\"tmpfs\": \"/run:1m\"", "\"runtime\": \"sh\""}) {
        const auto all = exec_problems(option);
        REQUIRE(all.size() == 1);
        CHECK(all[0].find("needs \"sandbox\"") != std::string::npos);
    }
}

TEST_CASE("sandbox: a working directory that shows more than it should is refused")
{
    for (const auto* directory : {"/", "/etc", "/root", "/home", "/var"})
        refuses("\"workdir\": \"" + std::string(directory) + "\"", "holds more of this host");
    refuses("\"workdir\": \"/proc/self\"", "of its own");
    refuses("\"workdir\": \"/tmp\"", "of its own");
    const TemporaryDirectory files, link;
    const auto workdir = "\"workdir\": \"" + files.path() + "\", ";
    CHECK(problems(workdir + "\"ttl\": \"1m\"").empty());
    std::filesystem::create_symlink("/etc", link.path("etc"));
    refuses("\"workdir\": \"" + link.path("etc") + "\"", "holds more of this host");
    // What the daemon reads and writes, by whatever path.
    const auto tokens = files.file("tokens", std::string(128, 'a') + "\n");
    refuses(workdir + "\"auth\": \"token\", \"tokens\": \"" + tokens + "\"", "instances would see " + tokens);
    std::filesystem::create_symlink(tokens, link.path("tokens"));
    refuses(workdir + "\"auth\": \"token\", \"tokens\": \"" + link.path("tokens") + "\"", "instances would see");
    const auto key = files.file("key", "hex:" + std::string(64, '0') + "\n");
    ::chmod(key.c_str(), 0600);
    refuses(workdir + "\"auth\": \"signed\", \"auth-key\": \"" + key + "\"", "instances would see " + key);
    refuses(workdir + "\"record\": \"" + files.path() + "\"", "instances would see");
    const auto socket = problems_of(service("\"mode\": \"exec\", \"command\": [\"/bin/cat\"], \"sandbox\": true, " +
                                            workdir + "\"listen\": \"unix:" + files.path("s") + "\""));
    REQUIRE(socket.size() == 1);
    CHECK(socket[0].find("instances would see " + files.path("s") + " of \"listen\"") != std::string::npos);
}

TEST_CASE("sandbox: it has the limits of containers, and of this host what its command names")
{
    const TemporaryDirectory folder;
    const auto script = folder.file("x.sh", "#!/bin/sh\n", true), data = folder.file("data", "");
    const auto settings =
        read("\"limits\": {\"pids\": 7}, \"command\": [\"" + script + "\", \"" + data + "\", \"/etc\", \"-x\"]");
    const auto& own = settings.services.at(0);
    CHECK(own.limits.pids == 7);
    CHECK(own.limits.memory == instancer::ContainerLimits().memory);
    const auto options = sandbox_options(settings, own);
    REQUIRE(options);
    CHECK(binds(*options, "/usr"));
    CHECK(binds(*options, script));
    CHECK(binds(*options, data));
    CHECK_FALSE(binds(*options, "/etc"));
    CHECK(options->command == std::vector<std::string>{script, data, "/etc", "-x"});
    CHECK(options->image.working_directory == "/");
    // A program that everybody has is no file of its own.
    const auto shell = read("\"command\": [\"sh\"], \"io\": \"port\", \"env\": {\"X\": \":{port}\"}");
    const auto plain = sandbox_options(shell, shell.services.at(0));
    REQUIRE(plain);
    CHECK(plain->command == std::vector<std::string>{"sh"});
    CHECK(plain->root.binds.size() + 2 == options->root.binds.size());
    CHECK(plain->env == std::vector<std::pair<std::string, std::string>>{{"X", ":1337"}, {"PORT", "1337"}});
}

TEST_CASE("sandbox: a link outside of the host's programs is there by its own path")
{
    const TemporaryDirectory folder;
    const auto program = folder.path("python"), data = folder.path("data"), workdir = folder.path("workdir");
    std::filesystem::create_symlink("/usr/bin/env", program);
    std::filesystem::create_symlink("/usr/bin/env", data);
    std::filesystem::create_symlink("/usr/bin", workdir);
    const auto settings =
        read("\"workdir\": \"" + workdir + "\", \"command\": [\"" + program + "\", \"" + data + "\"]");
    const auto options = sandbox_options(settings, settings.services.at(0));
    REQUIRE(options);
    CHECK(binds(*options, program));
    CHECK(binds(*options, data));
    CHECK(binds(*options, workdir));
    // The links that the host itself has are there already.
    const auto shell = read("\"command\": [\"/bin/sh\", \"/usr/bin/env\"]");
    const auto plain = sandbox_options(shell, shell.services.at(0));
    REQUIRE(plain);
    CHECK(plain->root.binds.size() == instancer::OciRoot::of_host().binds.size());
}
