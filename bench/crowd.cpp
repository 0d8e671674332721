// SPDX-License-Identifier: MIT
// A client on its way to a warm instance, while 10,000 others are connected and say nothing, or 1,000 answer wrong.
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <sys/resource.h>

#include <instancer/proof_of_work/proof_challenge.hpp>
#include <instancer/text/split.hpp>

#include "load.hpp"
#include "refuser.hpp"
#include "subject.hpp"
#include "works.hpp"
#include "wrong_proofs.hpp"

namespace bench {

namespace {

constexpr std::size_t crowd_size = 10'000, wrong_provers = 1'000;

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

/// An instancerd of echo servers, of which some are warm.
std::vector<std::string> daemon_command(std::uint16_t port, const std::string& options)
{
    const auto common = "exec --log-level warning --linger 0 --warm 8 --max-unadmitted 12000 --io port ";
    auto command = instancer::split(common + options, ' ');
    command.insert(command.begin(), INSTANCERD_PATH);
    command.insert(command.end(), {"--listen", "127.0.0.1:" + std::to_string(port), "--", ECHO_SERVER_PATH, "{port}"});
    return command;
}

/// Microseconds from before the connect to the first byte of an instance, without those that it takes to solve the
/// challenge.
double proven_time(std::uint16_t port)
{
    using Micros = std::chrono::duration<double, std::micro>;
    auto begin = Clock::now();
    Connection connection;
    std::string question;
    connection.open(port);
    while (!question.ends_with("Solution? "))
        if (!connection.receive(question))
            throw std::runtime_error("no question on port " + std::to_string(port));
    const Micros asked = Clock::now() - begin;
    const auto challenge = question.rfind(" solve ") + 7;
    const auto answer = instancer::solve(
        *instancer::parse_challenge(question.substr(challenge, question.find('\n', challenge) - challenge)));
    begin = Clock::now();
    connection.send(answer + "\nx");
    for (std::string text; !text.ends_with("x");)
        if (!connection.receive(text))
            throw std::runtime_error("no instance on port " + std::to_string(port));
    return Micros(asked + (Clock::now() - begin)).count();
}

double median_proven_time(std::uint16_t port)
{
    std::vector<double> times;
    for (int i = 0; i < 20; ++i)
        times.push_back(proven_time(port));
    return median(std::move(times));
}

Outcome silent(int rounds)
{
    raise_descriptor_limit();
    Table table("From connect to first byte of a warm instance, with a token", "us", false);
    const std::string token(128, 't');
    const auto tokens = temporary_file("tokens", token + "\n");
    // Time for the pool to start a spare again between two clients.
    constexpr std::chrono::milliseconds pause(40);
    for (int round = 0; round < rounds; ++round) {
        const auto port = fresh_port();
        const Subject daemon("instancerd", port,
                             daemon_command(port, "--auth token --auth-timeout 10m --tokens " + tokens));
        first_byte_time(port, token + "idx", 3, pause);
        table.add("alone", first_byte_time(port, token + "idx", 100, pause));
        const auto others = silent_crowd(port);
        table.add("beside 10,000 that say nothing", first_byte_time(port, token + "idx", 100, pause));
    }
    return {std::move(table), "alone"};
}

/// The same, while others offer wrong proofs on `attacked`.
double time_beside_wrong(std::uint16_t port, std::uint16_t attacked, bool one_address)
{
    const WrongProofs others(attacked, wrong_provers, one_address);
    const double time = median_proven_time(port);
    if (others.refused() == 0)
        throw std::runtime_error("no wrong proof was refused");
    return time;
}

Outcome wrong(int rounds)
{
    Table table("From connect to first byte of a warm instance, with a proof of 1 s, without solving it", "us", false);
    for (int round = 0; round < rounds; ++round) {
        const auto port = fresh_port();
        const Subject daemon("instancerd", port, daemon_command(port, "--pow 1s"));
        const auto other_port = fresh_port();
        const Refuser other(other_port);
        table.add("alone", median_proven_time(port));
        for (const bool one_address : {true, false}) {
            const std::string others = one_address ? "1,000 wrong of one address" : "1,000 wrong of 1,000 addresses";
            table.add(others + ", elsewhere", time_beside_wrong(port, other_port, one_address));
            table.add(others, time_beside_wrong(port, port, one_address));
        }
    }
    return {std::move(table), "alone"};
}

}  // namespace

std::vector<Outcome> crowd(int rounds) { return {silent(rounds), wrong(rounds)}; }

}  // namespace bench
