// SPDX-License-Identifier: MIT
// What instances say to the operator, and how much of it.
#include <cerrno>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <asio/post.hpp>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <instancer/detail/process/output_lines.hpp>
#include <instancer/detail/process/output_pipe.hpp>
#include <instancer/detail/process/read_allowance.hpp>

#include "async_test.hpp"

using namespace async_test;
using instancer::UniqueFd;
using instancer::detail::OutputLines;
using instancer::detail::OutputPipe;
using instancer::detail::ReadAllowance;

using Lines = std::vector<std::string>;

TEST_CASE("read allowance: so many bytes in each second, and the whole of it again in the next")
{
    ReadAllowance allowance(1000);
    const ReadAllowance::Clock::time_point begin(5s);
    CHECK(allowance.left(begin) == 1000);
    allowance.use(400);
    CHECK(allowance.left(begin + 500ms) == 600);
    allowance.use(600);
    CHECK(allowance.left(begin + 999ms) == 0);
    CHECK(allowance.renewal() == begin + 1s);
    CHECK(allowance.left(begin + 1s) == 1000);
    CHECK(allowance.left(begin + 100s) == 1000);
}

TEST_CASE("output lines: beyond the limit of a second they are counted, and the next one tells how many and how long")
{
    Lines reported;
    OutputLines lines([&](std::string_view line) { reported.emplace_back(line); }, 300);
    const OutputLines::Clock::time_point begin(5s);
    lines.feed("one\ntwo\n", begin);
    for (int i = 0; i < 10; ++i)
        lines.feed("0123456789\n", begin + 10ms);
    CHECK(reported == Lines{"one", "two", "0123456789", "0123456789"});
    lines.feed("next\n", begin + 1s);
    REQUIRE(reported.size() == 6);
    CHECK(reported[4] == "(8 lines of 80 bytes omitted: too many in a second)");
    CHECK(reported[5] == "next");
    for (int i = 0; i < 10; ++i)
        lines.feed("x\n", begin + 1s);
    lines.finish(begin + 1s);
    CHECK(reported.back() == "(7 lines of 7 bytes omitted: too many in a second)");
}

namespace {

/// A writer that always has more to say, and the pipe that it says it to.
class Flood {
public:
    explicit Flood(Loop& loop) : pipe(loop.executor())
    {
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        writer_.reset(ends[1]);
        ::fcntl(writer_.get(), F_SETFL, O_NONBLOCK);
        REQUIRE(pipe.assign(UniqueFd(ends[0])));
    }

    /// Writes what fits.
    void write()
    {
        static const std::string line = std::string(4095, 'x') + "\n";
        for (;;) {
            const auto count = ::write(writer_.get(), line.data(), line.size());
            if (count <= 0)
                return;
            written += static_cast<std::size_t>(count);
        }
    }

    OutputPipe pipe;
    std::size_t written = 0;

private:
    UniqueFd writer_;
};

constexpr std::size_t capacity = 64 * 1024;

}  // namespace

TEST_CASE("output pipe: whoever writes without end is held back, and others have their turn after every read")
{
    Loop loop;
    Flood flood(loop);
    std::size_t turns = 0;
    bool over = false;
    // Another one on the same executor, which always has something to do.
    std::function<void()> other = [&] {
        ++turns;
        if (over)
            return;
        flood.write();
        asio::post(loop.executor(), other);
    };
    asio::post(loop.executor(), other);
    const auto begin = std::chrono::steady_clock::now();
    Lines reported;
    auto reading = loop.start(flood.pipe.read(OutputLines([&](auto line) { reported.emplace_back(line); })));
    // Without a limit it would take no time to get there.
    REQUIRE(loop.until([&] { return flood.written >= 2 * ReadAllowance::default_bytes; }));
    const auto seconds = static_cast<std::size_t>((std::chrono::steady_clock::now() - begin) / 1s);
    CHECK(flood.written <= (seconds + 1) * ReadAllowance::default_bytes + capacity);
    CHECK(turns >= (flood.written - capacity) / 4096);

    over = true;
    auto finishing = loop.start(flood.pipe.finish());
    REQUIRE(loop.until([&] { return finishing.done() && reading.done(); }));
    CHECK(reported.back().find("bytes omitted: too many in a second") != std::string::npos);
}

TEST_CASE("output pipe: what is there at the end is reported, however much it is")
{
    Loop loop;
    Flood flood(loop);
    flood.write();
    std::size_t lines = 0;
    auto reading = loop.start(flood.pipe.read(OutputLines([&](auto) { ++lines; }, 1'000'000)));
    auto finishing = loop.start(flood.pipe.finish());
    REQUIRE(loop.until([&] { return finishing.done() && reading.done(); }));
    CHECK(lines == flood.written / 4096);
    CHECK_FALSE(flood.pipe.is_open());
}
