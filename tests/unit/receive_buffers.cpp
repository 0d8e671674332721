// SPDX-License-Identifier: MIT
// What waits for the receivers of a link's sessions, and what follows when that is too much.
#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include <doctest/doctest.h>

#include <instancer/detail/tunnel/receive_buffers.hpp>

using namespace instancer;
using detail::ReceiveBuffers;
using Verdict = ReceiveBuffers::Verdict;

namespace {

class Buffers : public ReceiveBuffers {
public:
    using ReceiveBuffers::ReceiveBuffers;

    TunnelSessionPtr make(bool negotiated)
    {
        auto session = std::make_shared<TunnelSession>(TunnelAddress(1, 1), TunnelAddress(2, 2), "", negotiated);
        add(session);
        return session;
    }

    Verdict append(TunnelSession& session, std::size_t count)
    {
        const std::string data(count, 'd');
        return ReceiveBuffers::append(session, std::as_bytes(std::span(data)));
    }

    std::size_t read(TunnelSession& session, std::size_t count)
    {
        std::string buffer(count, '\0');
        return ReceiveBuffers::read(session, std::as_writable_bytes(std::span(buffer)));
    }
};

}  // namespace

TEST_CASE("receive buffers: a session with a window never has more than that, and gives credit for what is read")
{
    Buffers buffers(100, 1000);
    const auto session = buffers.make(true);
    CHECK(buffers.append(*session, 100) == Verdict::fits);
    CHECK(buffers.read(*session, 49) == 49);
    CHECK(buffers.take_credit(*session) == 0);
    CHECK(buffers.read(*session, 1) == 1);
    CHECK(buffers.take_credit(*session) == 50);
    CHECK(buffers.take_credit(*session) == 0);
    CHECK(buffers.append(*session, 50) == Verdict::fits);
    CHECK(buffers.append(*session, 1) == Verdict::breaks_window);
    CHECK(!buffers.holds_up_link());
}

TEST_CASE("receive buffers: without windows, a session that has too much holds up the link until half is taken")
{
    Buffers buffers(100, 1000);
    const auto session = buffers.make(false);
    CHECK(buffers.append(*session, 100) == Verdict::fits);
    CHECK(!buffers.holds_up_link());
    CHECK(buffers.append(*session, 1) == Verdict::holds_up_link);
    // It does so already.
    CHECK(buffers.append(*session, 1) == Verdict::fits);
    CHECK(buffers.holds_up_link());
    CHECK(buffers.read(*session, 51) == 51);
    CHECK(!buffers.has_room(*session));
    CHECK(buffers.read(*session, 1) == 1);
    CHECK(buffers.has_room(*session));
    CHECK(buffers.take_credit(*session) == 0);
    CHECK(buffers.release(*session));
    CHECK(!buffers.release(*session));
    CHECK(!buffers.holds_up_link());
}

TEST_CASE("receive buffers: the link is held up until the last session that does so is released")
{
    Buffers buffers(100, 1000);
    const auto one = buffers.make(false), other = buffers.make(false);
    buffers.append(*one, 101);
    buffers.append(*other, 101);
    buffers.release(*one);
    CHECK(buffers.holds_up_link());
    buffers.release(*other);
    CHECK(!buffers.holds_up_link());
}

TEST_CASE("receive buffers: all sessions together have a limit, which what is read, dropped or removed gives back")
{
    Buffers buffers(100, 150);
    const auto big = buffers.make(true), small = buffers.make(true);
    buffers.append(*big, 90);
    CHECK(buffers.append(*small, 60) == Verdict::fits);
    CHECK(buffers.append(*small, 1) == Verdict::exceeds_total);
    CHECK(buffers.fullest() == big);
    SUBCASE("read") { buffers.read(*big, 2); }
    SUBCASE("dropped")
    {
        buffers.drop(*big);
        CHECK(buffers.fullest() == small);
        CHECK(buffers.sessions() == 2);
    }
    SUBCASE("removed")
    {
        buffers.remove(big);
        CHECK(buffers.fullest() == small);
        CHECK(buffers.sessions() == 1);
    }
    CHECK(buffers.append(*small, 1) == Verdict::fits);
}

TEST_CASE("receive buffers: without windows, too much in all holds up the link")
{
    Buffers buffers(100, 150);
    const auto one = buffers.make(false), other = buffers.make(false);
    buffers.append(*one, 90);
    CHECK(buffers.append(*other, 61) == Verdict::holds_up_link);
}

TEST_CASE("receive buffers: the limit of all is at least that of one")
{
    Buffers buffers(100, 0);
    const auto session = buffers.make(true);
    CHECK(buffers.append(*session, 100) == Verdict::fits);
}
