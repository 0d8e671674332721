// SPDX-License-Identifier: MIT
// A client that is known, on its way to a warm instance, while 10,000 others are connected and say nothing.
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <sys/resource.h>

#include <instancer/text/split.hpp>

#include "load.hpp"
#include "subject.hpp"
#include "works.hpp"

namespace bench {

namespace {

constexpr std::size_t crowd_size = 10'000;

void raise_descriptor_limit()
{
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < crowd_size + 1000)
        throw std::runtime_error("needs 11,000 open files; raise the limit (ulimit -n)");
}

/// Clients that have connected and do nothing else.
std::unique_ptr<Connection[]> silent_crowd(std::uint16_t port)
{
    auto crowd = std::make_unique<Connection[]>(crowd_size);
    for (std::size_t i = 0; i < crowd_size; ++i)
        if (!crowd[i].open(port))
            throw std::runtime_error("only " + std::to_string(i) + " clients could connect");
    return crowd;
}

std::vector<std::string> daemon_command(std::uint16_t port, const std::string& tokens)
{
    const auto options = "exec --log-level warning --auth token --linger 0 --warm 8 --auth-timeout 10m "
                         "--max-unadmitted 12000 --io port";
    auto command = instancer::split(options, ' ');
    command.insert(command.begin(), INSTANCERD_PATH);
    command.insert(command.end(), {"--listen", "127.0.0.1:" + std::to_string(port), "--tokens", tokens, "--",
                                   ECHO_SERVER_PATH, "{port}"});
    return command;
}

}  // namespace

Outcome crowd(int rounds)
{
    raise_descriptor_limit();
    Table table("From connect to first byte of a warm instance, with a token", "us", false);
    const std::string token(128, 't');
    const auto tokens = temporary_file("tokens", token + "\n");
    // Time for the pool to start a spare again between two clients.
    constexpr std::chrono::milliseconds pause(40);
    for (int round = 0; round < rounds; ++round) {
        const auto port = fresh_port();
        const Subject daemon("instancerd", port, daemon_command(port, tokens));
        first_byte_time(port, token + "idx", 3, pause);
        table.add("alone", first_byte_time(port, token + "idx", 100, pause));
        const auto others = silent_crowd(port);
        table.add("beside 10,000 that say nothing", first_byte_time(port, token + "idx", 100, pause));
    }
    return {std::move(table), "alone"};
}

}  // namespace bench
