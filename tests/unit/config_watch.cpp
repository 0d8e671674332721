// SPDX-License-Identifier: MIT
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "config_problems.hpp"
#include "temporary_directory.hpp"

using config_test::complaint;
using test_text::holds;

namespace {

using Words = std::vector<std::string>;

Words exec(Words options)
{
    options.insert(options.begin(), {"exec", "--listen", ":1"});
    options.insert(options.end(), {"--", "/bin/cat"});
    return options;
}

}  // namespace

TEST_CASE("access log: it is a file of its own")
{
    const daemon_test::TemporaryDirectory directory;
    const auto file = directory.path("file");
    CHECK(complaint(exec({"--access-log", file, "--log", directory.path("log")})) == "");
    CHECK(holds(complaint(exec({"--access-log", file, "--log", file})),
                "--access-log: is the file of the log; name another one"));
    CHECK(holds(complaint(exec({"--access-log", directory.path()})), " is a directory; name a file in it"));
}

TEST_CASE("metrics: they are served where Prometheus can ask")
{
    CHECK(complaint(exec({"--metrics", "127.0.0.1:9464"})) == "");
    CHECK(complaint(exec({"--metrics", "unix:/tmp/metrics"})) == "");
    for (const std::string address : {"unix:@metrics", "fd:metrics"})
        CHECK(holds(complaint(exec({"--metrics", address})),
                    "cannot be on " + address + "; write host:port or unix:/path"));
}
