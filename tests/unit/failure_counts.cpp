// SPDX-License-Identifier: MIT
#include <chrono>

#include <asio/ip/address.hpp>
#include <asio/ip/tcp.hpp>
#include <doctest/doctest.h>

#include <instancer/admission/failure_counts.hpp>

namespace {

using namespace instancer;
using namespace std::chrono_literals;

constexpr FailureCounts::Time begin{100h};

Source source(const char* address)
{
    const asio::ip::tcp::endpoint peer(asio::ip::make_address(address), 5000), local;
    return Source(ClientInfo(peer, local), 64);
}

}  // namespace

TEST_CASE("failure counts: each source has its own, and one is forgotten after each span")
{
    FailureCounts failures(3, 10s);
    const auto one = source("192.0.2.1"), other = source("192.0.2.2");
    CHECK(failures.recent(one, begin) == 0);
    failures.note(one, begin);
    CHECK(failures.recent(one, begin) == 1);
    failures.note(one, begin + 5s);
    CHECK(failures.recent(one, begin + 5s) == 2);
    CHECK(failures.recent(other, begin + 5s) == 0);
    CHECK(failures.recent(one, begin + 9s) == 2);
    CHECK(failures.recent(one, begin + 10s) == 1);
    CHECK(failures.recent(one, begin + 20s) == 0);
}

TEST_CASE("failure counts: no more are counted than there may be")
{
    FailureCounts failures(3, 10s);
    for (int i = 0; i < 100; ++i)
        failures.note(source("2001:db8::1"), begin);
    CHECK(failures.recent(source("2001:db8::2"), begin) == 3);
    CHECK(failures.recent(source("2001:db8::2"), begin + 30s) == 0);
}
