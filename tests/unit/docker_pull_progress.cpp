// SPDX-License-Identifier: MIT
// What an engine says while it pulls an image, which can be any amount.
#include <string>

#include <doctest/doctest.h>
#include <malloc.h>

#include "../../libinstancer/src/docker_pull_progress.hpp"

using instancer::detail::PullProgress;

TEST_CASE("docker pull: the first failure is kept, however the messages are cut")
{
    const std::string all =
        "{\"status\":\"Pulling\"}\r\n{\"error\":\"no such image\"}\r\n{\"error\":\"later\"}\r\nnonsense";
    for (std::size_t cut = 0; cut <= all.size(); ++cut) {
        PullProgress progress;
        progress.feed(all.substr(0, cut));
        progress.feed(all.substr(cut));
        CHECK(progress.finish() == "no such image");
    }
    PullProgress last;
    last.feed("{\"error\":\"without a line end\"}");
    CHECK(last.finish() == "without a line end");
    PullProgress fine;
    fine.feed("{\"status\":\"Downloaded\"}\n");
    CHECK(fine.finish() == "");
}

TEST_CASE("docker pull: neither many messages nor one without an end take memory")
{
    const auto used = [] { return ::mallinfo2().uordblks + ::mallinfo2().hblkhd; };
    PullProgress progress;
    const std::string message = "{\"status\":\"Extracting\",\"progress\":\"" + std::string(1000, '=') + "\"}\n";
    const std::string endless(1'000'000, 'x');
    const auto before = used();
    for (int i = 0; i < 10'000; ++i)
        progress.feed(message);
    for (int i = 0; i < 20; ++i)
        progress.feed(endless);
    CHECK(used() < before + 4 * PullProgress::longest_message);
    progress.feed("\n{\"error\":\"after all\"}\n");
    CHECK(progress.finish() == "after all");
}
