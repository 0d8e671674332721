// SPDX-License-Identifier: MIT
// A run's name tells whether the run is over.
#include <string>

#include <doctest/doctest.h>
#include <unistd.h>

#include <instancer/detail/process/run_name.hpp>
#include <instancer/system/process_stat.hpp>

using namespace instancer::detail;

TEST_CASE("run name: a run is over when its process is gone, and only its own PID namespace can tell")
{
    const auto prefix = run_prefix("daemon", "service");
    const auto running = run_name("daemon", "service");
    CHECK_FALSE(is_stale_run(running, prefix));
    const auto pid = std::to_string(::getpid());
    const auto here = prefix + pid_namespace() + "." + pid + ".";
    // The same process id, and another start: another process.
    CHECK(is_stale_run(here + "1.1", prefix));
    // The same of a namespace of its own, as a container on the same host has it.
    CHECK_FALSE(is_stale_run(prefix + "1." + pid + ".1.1", prefix));
    CHECK_FALSE(is_stale_run(prefix + "more." + pid_namespace() + "." + pid + ".1.1", prefix));
    CHECK_FALSE(is_stale_run(here + "x.1", prefix));
}
