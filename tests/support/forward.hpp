// SPDX-License-Identifier: MIT
// Servers that say who they are, and an instancerd that passes connections on to them.
#pragma once

#include <string>
#include <vector>

#include "daemon.hpp"
#include "raw_client.hpp"

namespace daemon_test {

using Words = std::vector<std::string>;

/// A server that sends its name and then echoes; several at once take their clients in a process each.
class Named {
public:
    explicit Named(const std::string& name, const std::string& port = "0", const std::string& address = "127.0.0.1")
        : daemon_({"exec", "--listen", address + ":" + port, "--", "/bin/sh", "-c", "echo " + name + "; exec cat"})
    {
    }

    std::string port() const { return std::to_string(daemon_.port()); }
    std::string address() const { return "127.0.0.1:" + port(); }

private:
    Daemon daemon_;
};

inline Words forward(const std::string& to, const Words& more = {})
{
    Words words = {"forward", "--listen", "127.0.0.1:0", "--to", to};
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

inline std::string name_of_server(const Daemon& daemon)
{
    RawClient client(daemon.port());
    return client.receive_line();
}

}  // namespace daemon_test
