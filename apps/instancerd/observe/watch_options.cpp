// SPDX-License-Identifier: MIT
#include "observe/watch.hpp"
#include "options/types.hpp"

namespace instancer::daemon {

namespace {

using W = WatchSettings;

constexpr std::string_view group = "The daemon";

// group, name, type, scope, default, help, traits
// clang-format off
constexpr Option table[] = {
    {group, "access-log", file<&Settings::watch, &W::access_log>, Scope::daemon, {},
     "append a line of JSON to a file for each session that has ended: who, when, how long each step took, bytes, and "
     "why it ended. SIGHUP and SIGUSR2 open it again"},
    {group, "metrics", address<&Settings::watch, &W::metrics>, Scope::daemon, {},
     "serve metrics for Prometheus at /metrics of this address, to whoever asks: host:port or unix:/path"},
};
// clang-format on

}  // namespace

std::span<const Option> watch_options() { return table; }

}  // namespace instancer::daemon
