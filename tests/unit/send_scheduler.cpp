// SPDX-License-Identifier: MIT
// Who may send while the link has no room for all. The room is used up by hand, and sessions are held by their windows.
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/detail/tunnel/send_scheduler.hpp>
#include <instancer/tunnel/multiplexer.hpp>

using namespace instancer;
using detail::SendScheduler;

namespace {

constexpr auto limit = SendScheduler::output_limit, share = SendScheduler::share;

/// Sessions of an original's kind, which nothing holds.
TunnelSessionPtr make_session(bool agreed = false)
{
    return std::make_shared<TunnelSession>(TunnelAddress(1, 1), TunnelAddress(2, 2), "", agreed);
}

/// Sessions that note when they are told.
class Told {
public:
    TunnelSessionPtr add(bool agreed = false)
    {
        auto session = make_session(agreed);
        session->on_change([this, name = names_++] { order += name; });
        return session;
    }

    std::string order;

private:
    char names_ = 'a';
};

}  // namespace

TEST_CASE("send scheduler: while nobody waits, one may use all the room; then there is none")
{
    SendScheduler scheduler;
    const auto session = make_session();
    CHECK(SendScheduler::may_send(*session));
    CHECK(scheduler.take(*session, 0) == limit);
    CHECK(scheduler.take(*session, 1000) == limit - 1000);
    CHECK(scheduler.take(*session, limit) == 0);
    CHECK(scheduler.take(*session, limit + 1) == 0);
}

TEST_CASE("send scheduler: those who wait are told in turn, as far as there is room, and have a share each")
{
    SendScheduler scheduler;
    Told told;
    std::vector<TunnelSessionPtr> sessions;
    for (int i = 0; i < 6; ++i) {
        sessions.push_back(told.add());
        scheduler.wait(sessions.back());
        scheduler.wait(sessions.back());
    }
    scheduler.grant(limit);
    CHECK(told.order == "");
    CHECK(!SendScheduler::may_send(*sessions[0]));
    scheduler.grant(limit - share);
    CHECK(told.order == "a");
    CHECK(SendScheduler::may_send(*sessions[0]));
    CHECK(!SendScheduler::may_send(*sessions[1]));
    // The share is reserved until it is taken.
    scheduler.grant(limit - share);
    CHECK(told.order == "a");
    CHECK(scheduler.take(*sessions[0], limit - share) == share);
    CHECK(scheduler.take(*sessions[0], 0) == 0);
    scheduler.grant(0);
    CHECK(told.order == "abcde");
    for (std::size_t i = 1; i < 5; ++i)
        CHECK(scheduler.take(*sessions[i], 0) == share);
    scheduler.grant(0);
    CHECK(told.order == "abcdef");
    // Nobody waits any more.
    CHECK(scheduler.take(*sessions[5], 0) == limit);
}

TEST_CASE("send scheduler: a session that is held gets no turn, and waits for one when it is held no more")
{
    SendScheduler scheduler;
    Told told;
    // Of a session that was agreed on the window is 0 at first.
    const auto held = told.add(true), other = told.add();
    CHECK(!SendScheduler::may_send(*held));
    scheduler.wait(held);
    scheduler.wait(other);
    scheduler.grant(limit - share);
    CHECK(told.order == "b");
    CHECK(scheduler.take(*other, 0) == limit);
    scheduler.resume(held);
    scheduler.grant(0);
    CHECK(told.order == "b");
}

TEST_CASE("send scheduler: who leaves gives its turn back, and has no place in the queue")
{
    SendScheduler scheduler;
    Told told;
    const auto first = told.add(), second = told.add(), third = told.add();
    for (const auto& session : {first, second, third})
        scheduler.wait(session);
    scheduler.grant(limit - share);
    CHECK(told.order == "a");
    scheduler.leave(*first);
    scheduler.leave(*second);
    scheduler.grant(limit - share);
    CHECK(told.order == "ac");
    scheduler.leave(*third);
    CHECK(scheduler.take(*third, 0) == limit);
}

TEST_CASE("send scheduler: a session that is told, and is then held no more once again, gets one turn only")
{
    SendScheduler scheduler;
    Told told;
    const auto session = told.add(), other = told.add();
    scheduler.wait(session);
    scheduler.grant(0);
    scheduler.resume(session);
    scheduler.grant(0);
    CHECK(told.order == "a");
    CHECK(scheduler.take(*session, 0) == limit);
    // It wants nothing: it is told, and nobody has to wait for it.
    scheduler.resume(session);
    CHECK(told.order == "aa");
    CHECK(scheduler.take(*other, 0) == limit);
}
