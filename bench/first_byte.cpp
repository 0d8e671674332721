// SPDX-License-Identifier: MIT
// From connect to first byte: a warm instance that nobody had before, against a connection through the bridge to an
// instance that runs already.
#include <memory>

#include "load.hpp"
#include "subject.hpp"
#include "works.hpp"

namespace bench {

Outcome first_byte(int rounds)
{
    Table table("From connect to first byte, echo server on a port", "us", false);
    const auto command = [](const std::vector<std::string>& options) {
        std::vector<std::string> all = {INSTANCERD_PATH, "exec", "--log-level", "warning", "--io", "port"};
        all.insert(all.end(), options.begin(), options.end());
        all.insert(all.end(), {"--", ECHO_SERVER_PATH, "{port}"});
        return all;
    };
    const auto address = [](std::uint16_t port) { return "127.0.0.1:" + std::to_string(port); };
    // Time for the pool to start a spare again between two clients.
    constexpr std::chrono::milliseconds pause(40);
    for (int round = 0; round < rounds; ++round) {
        const auto direct_port = fresh_port(), bridged_port = fresh_port(), warm_port = fresh_port();
        const Subject direct("direct", direct_port, {ECHO_SERVER_PATH, std::to_string(direct_port)});
        const Subject bridged("bridged", bridged_port,
                              command({"--listen", address(bridged_port), "--auth", "source"}));
        const Subject warm("warm", warm_port, command({"--listen", address(warm_port), "--warm", "8"}));
        first_byte_time(bridged.port(), "x", 3, pause);
        table.add("direct", first_byte_time(direct.port(), "x", 100, pause));
        table.add("bridged to a running instance", first_byte_time(bridged.port(), "x", 100, pause));
        table.add("warm instance", first_byte_time(warm.port(), "x", 100, pause));
    }
    return {std::move(table), "bridged to a running instance"};
}

}  // namespace bench
