// SPDX-License-Identifier: MIT
// Connections passed on to one server, against other proxies and a direct connection: bulk, round trips, connects,
// memory. The proxy is pinned to one processor; the load and the server share the rest.
#include <cstdio>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

#include "load.hpp"
#include "passing.hpp"
#include "subject.hpp"
#include "works.hpp"

namespace bench {

namespace {

constexpr int held_connections = 4000;

double resident_kib(pid_t pid)
{
    std::ifstream file("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("VmRSS:"))
            return std::stod(line.substr(6));
    return 0;
}

/// KiB that the proxy grows by for each idle connection, after a byte each way.
double memory(std::uint16_t port, pid_t proxy)
{
    connections(port, 1);
    const auto before = resident_kib(proxy);
    auto all = connections(port, held_connections);
    for (const auto& fd : all) {
        char byte = 'x';
        if (::send(fd.get(), &byte, 1, MSG_NOSIGNAL) != 1 || ::recv(fd.get(), &byte, 1, 0) != 1)
            throw std::runtime_error("memory: no answer");
    }
    return (resident_kib(proxy) - before) / held_connections;
}

constexpr auto spinning = "instancerd --busy-poll 100us";
constexpr auto socket_proxyd = "systemd-socket-proxyd";
constexpr auto socket_proxyd_path = "/lib/systemd/systemd-socket-proxyd";

std::unique_ptr<Subject> proxy(const std::string& name, std::uint16_t to)
{
    const auto port = fresh_port();
    const auto number = std::to_string(port), server = std::to_string(to);
    std::vector<std::string> command;
    if (name == "haproxy") {
        const auto config = temporary_file(
            "haproxy.cfg",
            "global\n maxconn 4500\n nbthread 1\ndefaults\n mode tcp\n option splice-auto\n timeout connect 5s\n"
            " timeout client 1h\n timeout server 1h\nlisten bench\n bind 127.0.0.1:" +
                number + "\n server one 127.0.0.1:" + server + "\n");
        command = {find_program("haproxy"), "-db", "-f", config};
    } else if (name == "nginx") {
        const auto config = temporary_file(
            "nginx.conf",
            "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\ndaemon off;\nmaster_process off;\npid " +
                temporary_file("nginx.pid", "") +
                ";\nerror_log stderr crit;\nevents { worker_connections 20000; }\n"
                "stream { server { listen 127.0.0.1:" +
                number + "; proxy_pass 127.0.0.1:" + server + "; tcp_nodelay on; } }\n");
        command = {find_program("nginx"), "-c", config};
    } else if (name == "socat") {
        command = {find_program("socat"),
                   "TCP-LISTEN:" + number + ",fork,reuseaddr,backlog=4096,nodelay,bind=127.0.0.1",
                   "TCP:127.0.0.1:" + server + ",nodelay"};
    } else if (name == socket_proxyd) {
        command = {find_program("systemd-socket-activate"),
                   "-l",
                   "127.0.0.1:" + number,
                   socket_proxyd_path,
                   "--connections-max=10000",
                   "127.0.0.1:" + server};
    } else {
        command = {INSTANCERD_PATH,       "forward",   "--listen", "127.0.0.1:" + number, "--to",
                   "127.0.0.1:" + server, "--threads", "1",        "--log-level",         "warning"};
        if (name == spinning)
            command.insert(command.end(), {"--busy-poll", "100us"});
    }
    command.insert(command.begin(), {"/usr/bin/taskset", "-c", "0"});
    return std::make_unique<Subject>(name, port, command);
}

}  // namespace

std::vector<Outcome> forward(int rounds)
{
    raise_descriptor_limit();
    std::vector<std::string> names = {"direct", "instancerd", spinning};
    for (const auto* peer : {"haproxy", "nginx", "socat"})
        if (!find_program(peer).empty())
            names.emplace_back(peer);
    if (::access(socket_proxyd_path, X_OK) == 0 && !find_program("systemd-socket-activate").empty())
        names.emplace_back(socket_proxyd);
    const auto baseline = find_program("haproxy").empty() ? "direct" : "haproxy";
    Table bulk_one("Bulk, 1 connection", "GiB/s", true), bulk_many("Bulk, 16 connections", "GiB/s", true),
        bulk_cost("Processor time of the proxy, 16 connections", "s/GiB", false),
        trips_one("Round trips of 64 bytes, 1 connection", "1/s", true),
        trips_one_cost("Processor time of the proxy for each", "us", false),
        trips_many("Round trips of 64 bytes, 64 connections", "1/s", true),
        trips_tail("Their 99th percentile", "us", false),
        trips_many_cost("Processor time of the proxy for each, 64 connections", "us", false),
        connects("Connect, a byte and its echo, close; 4 clients", "1/s", true),
        connect_cost("Processor time of the proxy for each of them", "us", false),
        idle("Memory of an idle connection", "KiB", false);
    const auto tables = {&bulk_one,       &bulk_many,    &bulk_cost,  &trips_one,
                         &trips_one_cost, &trips_many,   &trips_tail, &trips_many_cost,
                         &connects,       &connect_cost, &idle};
    for (int round = 0; round < rounds; ++round)
        for (const auto& name : names) {
            const Sink echo(Sink::Kind::echo), discard(Sink::Kind::discard);
            const auto via = [&](const Sink& sink) { return name == "direct" ? nullptr : proxy(name, sink.port()); };
            try {
                const auto to_echo = via(echo), to_discard = via(discard);
                const auto port = to_echo ? to_echo->port() : echo.port();
                const auto bulk_port = to_discard ? to_discard->port() : discard.port();
                const pid_t pid = to_discard ? to_discard->pid() : 0, echo_pid = to_echo ? to_echo->pid() : 0;
                bulk_one.add(name, bulk(bulk_port, discard, 1, pid).first);
                const auto [bulk_rate, cost] = bulk(bulk_port, discard, 16, pid);
                bulk_many.add(name, bulk_rate);
                if (pid != 0)
                    bulk_cost.add(name, cost);
                const auto one = round_trips(port, 1, echo_pid), many = round_trips(port, 64, echo_pid);
                trips_one.add(name, one.rate);
                trips_many.add(name, many.rate);
                trips_tail.add(name, many.tail);
                const auto processor = processor_time(echo_pid);
                const auto rate = echo_rate(port, 4, measured_for);
                const auto connect_time = processor_time(echo_pid) - processor;
                connects.add(name, rate);
                if (echo_pid != 0) {
                    trips_one_cost.add(name, one.cost);
                    trips_many_cost.add(name, many.cost);
                    // The time of processes that have ended is gone with them.
                    if (name != "socat")
                        connect_cost.add(name, connect_time / rate /
                                                   std::chrono::duration<double>(measured_for).count() * 1e6);
                }
                // A process for each connection is beyond what is compared here.
                if (to_echo && name != "socat")
                    idle.add(name, memory(port, to_echo->pid()));
            } catch (const std::exception& error) {
                // A rival that fails does not keep the others from being measured.
                if (name.starts_with("instancerd"))
                    throw std::runtime_error(name + ": " + error.what());
                std::fprintf(stderr, "forward: %s: %s; the rest of its round is left out\n", name.c_str(),
                             error.what());
            }
            for (auto* table : tables)
                table->complete(name, round + 1);
        }
    std::vector<Outcome> outcomes;
    for (auto* table : tables)
        outcomes.emplace_back(std::move(*table), baseline);
    return outcomes;
}

}  // namespace bench
