// SPDX-License-Identifier: MIT
// A server reached through a reverse tunnel, server and agent on this machine, against a direct connection and the
// reverse forwarding of ssh: bulk, round trips, sessions. Nothing is pinned: both ends work at the same time.
#include <cstdio>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <unistd.h>

#include "load.hpp"
#include "passing.hpp"
#include "subject.hpp"
#include "works.hpp"

namespace bench {

namespace {

/// The two ends of a tunnel.
class Tunnel {
public:
    Tunnel(std::unique_ptr<Subject> server, std::unique_ptr<Subject> agent)
        : server_(std::move(server)), agent_(std::move(agent))
    {
    }

    std::uint16_t port() const noexcept { return agent_->port(); }

private:
    std::unique_ptr<Subject> server_;
    std::unique_ptr<Subject> agent_;  ///< Ends first.
};

Tunnel ours(std::uint16_t to)
{
    const auto users = fresh_port(), agents = fresh_port();
    const auto route = "127.0.0.1:" + std::to_string(users) + " 127.0.0.1:" + std::to_string(to);
    const auto meeting = "127.0.0.1:" + std::to_string(agents);
    const std::vector<std::string> server = {
        INSTANCERD_PATH, "tunnel",     "server",   "-p",        meeting,     "-C", "off",         "--route",
        route,           "--any-user", "--agents", "127.0.0.1", "--threads", "1",  "--log-level", "warning"};
    const std::vector<std::string> agent = {INSTANCERD_PATH, "tunnel", "agent",       "-p",     meeting,
                                            "--threads",     "1",      "--log-level", "warning"};
    auto one = std::make_unique<Subject>("server", users, server);
    return Tunnel(std::move(one), std::make_unique<Subject>("agent", users, agent));
}

/// sshd with keys of its own, and a client that has it listen.
Tunnel ssh(std::uint16_t to)
{
    const auto users = fresh_port(), meeting = fresh_port();
    const auto key = temporary_file("ssh_key", "");
    std::filesystem::remove(key);
    std::filesystem::remove(key + ".pub");
    const auto make = find_program("ssh-keygen") + " -q -t ed25519 -N '' -f " + key;
    if (std::system(make.c_str()) != 0)
        throw std::runtime_error("ssh-keygen fails");
    std::filesystem::create_directories("/run/sshd");
    const auto config = temporary_file("sshd_config", "ListenAddress 127.0.0.1:" + std::to_string(meeting) +
                                                          "\nHostKey " + key + "\nAuthorizedKeysFile " + key +
                                                          ".pub\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
                                                          "MaxStartups 1000\nMaxSessions 1000\nPidFile none\n");
    auto server =
        std::make_unique<Subject>("sshd", meeting, std::vector<std::string>{find_program("sshd"), "-D", "-f", config});
    const std::vector<std::string> client = {find_program("ssh"),
                                             "-N",
                                             "-T",
                                             "-F",
                                             "none",
                                             "-i",
                                             key,
                                             "-p",
                                             std::to_string(meeting),
                                             "-o",
                                             "StrictHostKeyChecking=no",
                                             "-o",
                                             "UserKnownHostsFile=/dev/null",
                                             "-o",
                                             "ExitOnForwardFailure=yes",
                                             "-R",
                                             "127.0.0.1:" + std::to_string(users) + ":127.0.0.1:" + std::to_string(to),
                                             "root@127.0.0.1"};
    return Tunnel(std::move(server), std::make_unique<Subject>("ssh", users, client));
}

}  // namespace

std::vector<Outcome> tunnel(int rounds)
{
    raise_descriptor_limit();
    std::vector<std::string> names = {"direct", "instancerd"};
    if (!find_program("sshd").empty() && !find_program("ssh").empty() && ::geteuid() == 0)
        names.emplace_back("ssh -R");
    else
        std::fputs("tunnel: ssh -R is left out: it needs sshd and root (Debian: openssh-server)\n", stderr);
    Table bulk_one("Tunnel, bulk, 1 user", "GiB/s", true), bulk_many("Tunnel, bulk, 16 users", "GiB/s", true),
        trips_one("Tunnel, round trips of 64 bytes, 1 user", "1/s", true),
        trips_many("Tunnel, round trips of 64 bytes, 64 users", "1/s", true),
        sessions("Tunnel, connect, a byte and its echo, close; 4 users", "1/s", true);
    const auto tables = {&bulk_one, &bulk_many, &trips_one, &trips_many, &sessions};
    for (int round = 0; round < rounds; ++round)
        for (const auto& name : names) {
            try {
                const Sink echo(Sink::Kind::echo), discard(Sink::Kind::discard);
                const auto via = [&](const Sink& sink) {
                    if (name == "direct")
                        return std::unique_ptr<Tunnel>();
                    return std::make_unique<Tunnel>(name == "instancerd" ? ours(sink.port()) : ssh(sink.port()));
                };
                {
                    const auto way = via(discard);
                    const auto port = way ? way->port() : discard.port();
                    bulk_one.add(name, bulk(port, discard, 1, 0).first);
                    bulk_many.add(name, bulk(port, discard, 16, 0).first);
                }
                const auto way = via(echo);
                const auto port = way ? way->port() : echo.port();
                trips_one.add(name, round_trips(port, 1, 0).rate);
                trips_many.add(name, round_trips(port, 64, 0).rate);
                sessions.add(name, echo_rate(port, 4, measured_for));
            } catch (const std::exception& error) {
                if (name == "instancerd")
                    throw std::runtime_error(name + ": " + error.what());
                std::fprintf(stderr, "tunnel: %s: %s; the rest of its round is left out\n", name.c_str(), error.what());
            }
            for (auto* table : tables)
                table->complete(name, round + 1);
        }
    std::vector<Outcome> outcomes;
    for (auto* table : tables)
        outcomes.emplace_back(std::move(*table), "direct");
    return outcomes;
}

}  // namespace bench
