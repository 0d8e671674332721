// SPDX-License-Identifier: MIT
// Processes started and served per second: connect, one byte, its echo, close; /bin/cat; 8 clients.
#include <memory>
#include <stdexcept>

#include "load.hpp"
#include "subject.hpp"
#include "works.hpp"

namespace bench {

namespace {

std::unique_ptr<Subject> start(const std::string& name)
{
    const auto port = fresh_port();
    const auto number = std::to_string(port);
    const std::string listen = "127.0.0.1:" + number;
    std::vector<std::string> command;
    if (name == "bare loop") {
        command = {BARE_LOOP_PATH, number, "/bin/cat"};
    } else if (name == "xinetd") {
        const auto config = temporary_file(
            "xinetd.conf",
            "defaults\n{\n instances = UNLIMITED\n per_source = UNLIMITED\n"
            " cps = 1000000 1\n}\nservice bench\n{\n type = UNLISTED\n socket_type = stream\n protocol = tcp\n"
            " wait = no\n user = root\n server = /bin/cat\n bind = 127.0.0.1\n port = " +
                number + "\n disable = no\n}\n");
        const auto pid_file = temporary_file("xinetd.pid", "");
        command = {find_program("xinetd"), "-dontfork", "-f", config, "-pidfile", pid_file};
    } else if (name == "socat EXEC") {
        command = {find_program("socat"), "TCP-LISTEN:" + number + ",bind=127.0.0.1,fork,reuseaddr,backlog=4096",
                   "EXEC:/bin/cat"};
    } else {
        const auto io = name.substr(name.rfind(' ') + 1);
        command = {INSTANCERD_PATH, "exec", "--listen", listen, "--max-instances", "1000", "--log-level",
                   "warning",       "--io", io,         "--",   "/bin/cat"};
        if (io == "socket")
            command.insert(command.end() - 2, {"--idle", "0"});
    }
    return std::make_unique<Subject>(name, port, command);
}

}  // namespace

Outcome processes(int rounds)
{
    Table table("Processes started and served per second, 8 clients", "1/s", true);
    std::vector<std::string> names = {"bare loop", "instancerd --io stdio", "instancerd --io socket"};
    for (const auto* peer : {"xinetd", "socat"})
        if (!find_program(peer).empty())
            names.push_back(peer == std::string("socat") ? "socat EXEC" : peer);
    for (int round = 0; round < rounds; ++round)
        for (const auto& name : names) {
            const auto subject = start(name);
            try {
                echo_rate(subject->port(), 8, std::chrono::milliseconds(300));
                table.add(name, echo_rate(subject->port(), 8, std::chrono::milliseconds(2000)));
            } catch (const std::exception& error) {
                throw std::runtime_error(name + ": " + error.what());
            }
        }
    return {std::move(table), "bare loop"};
}

}  // namespace bench
