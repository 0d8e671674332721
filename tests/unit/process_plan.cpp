// SPDX-License-Identifier: MIT
#include <instancer/detail/process/process_plan.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <instancer/backend/process_options.hpp>
#include <instancer/backend/terminal_mode.hpp>
#include <instancer/detail/process/group_limits.hpp>
#include <instancer/detail/process/process_resources.hpp>
#include <instancer/instance.hpp>

namespace {

using instancer::InstanceRequest;
using instancer::ProcessOptions;
using instancer::TerminalMode;
using namespace instancer::detail;

InstanceRequest warm_request() { return InstanceRequest("service"); }

ProcessResources with_port_and_directory()
{
    ProcessResources resources;
    resources.port = 4711;
    resources.directory = "/tmp/run/7";
    return resources;
}

bool has(const std::vector<std::string>& environment, const std::string& entry)
{
    return std::find(environment.begin(), environment.end(), entry) != environment.end();
}

}  // namespace

TEST_CASE("process plan: placeholders are filled in where there is something to fill in")
{
    const std::string text = "{dir}/socket {port} {port} {listen-port}";
    CHECK(filled_in(text, warm_request(), with_port_and_directory()) == "/tmp/run/7/socket 4711 4711 {listen-port}");
    CHECK(filled_in(text, warm_request(), ProcessResources()) == text);
}

TEST_CASE("process plan: an instance is told its port and directory, and what the operator sets replaces what we tell")
{
    ProcessOptions options;
    options.env = {{"PATH", "/opt/bin"}, {"HOME", "{dir}"}};
    options.pty = TerminalMode::raw;
    const auto environment = process_environment(options, warm_request(), with_port_and_directory(), "");
    CHECK(has(environment, "PORT=4711"));
    CHECK(has(environment, "INSTANCER_DIR=/tmp/run/7"));
    CHECK(has(environment, "INSTANCER_SERVICE=service"));
    CHECK(has(environment, "HOME=/tmp/run/7"));
    CHECK(has(environment, "TERM=xterm"));
    CHECK(has(environment, "PATH=/opt/bin"));
    CHECK(std::count_if(environment.begin(), environment.end(),
                        [](const auto& entry) { return entry.starts_with("PATH="); }) == 1);
}

TEST_CASE("process plan: the mark comes first, where it is looked for, and nothing is told that there is not")
{
    ProcessOptions options;
    options.env = {{"A", "b"}};
    const auto environment = process_environment(options, warm_request(), ProcessResources(), "MARK=7.");
    CHECK(environment.front() == "MARK=7.");
    for (const auto& entry : environment) {
        CHECK(!entry.starts_with("PORT="));
        CHECK(!entry.starts_with("INSTANCER_DIR="));
        CHECK(!entry.starts_with("TERM="));
    }
}

TEST_CASE("process plan: without control groups each process is limited, and a core file always")
{
    ProcessOptions options;
    options.limit_nofile = 64;
    const auto limits = process_limits(options, GroupLimiter("run", nullptr, options));
    REQUIRE(limits.size() == 2);
    CHECK(limits[0].resource == RLIMIT_NOFILE);
    CHECK(limits[0].value == 64);
    CHECK(limits[1].resource == RLIMIT_CORE);
    CHECK(limits[1].value == 0);
}
