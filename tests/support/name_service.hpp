// SPDX-License-Identifier: MIT
#pragma once

#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "daemon.hpp"
#include "temporary_directory.hpp"

namespace daemon_test {

/// Names that only the programs know that it runs: they see an /etc/hosts of its own, and ask `server` for all else.
class NameService {
public:
    /// By default nobody answers for other names, and says so at once.
    explicit NameService(const std::string& hosts = {}, const std::string& server = "127.0.0.1")
    {
        directory_.file("hosts", hosts);
        directory_.file("resolv.conf", "nameserver " + server + "\noptions timeout:30 attempts:5\n");
    }

    /// False, with a message, where no file can be mounted over another.
    bool is_usable() const
    {
        if (Child(knowing({"/bin/true"})).wait() == 0)
            return true;
        MESSAGE("skipped: no file can be mounted over another here");
        return false;
    }

    /// A line of /etc/hosts, for the programs that run already as well.
    void add(const std::string& line) const { std::ofstream(directory_.path("hosts"), std::ios::app) << line << '\n'; }

    /// The command that runs `command` among these names.
    std::vector<std::string> knowing(const std::vector<std::string>& command) const
    {
        std::vector<std::string> words = {"unshare",
                                          "-Urm",
                                          "/bin/sh",
                                          "-c",
                                          "mount --bind " + directory_.path("hosts") + " /etc/hosts && mount --bind " +
                                              directory_.path("resolv.conf") + " /etc/resolv.conf && exec \"$@\"",
                                          "sh"};
        words.insert(words.end(), command.begin(), command.end());
        return words;
    }

private:
    TemporaryDirectory directory_;
};

}  // namespace daemon_test
