// SPDX-License-Identifier: MIT
// What the sessions of a link are called, and when a name may mean another one.
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/detail/tunnel/tunnel_session_table.hpp>

using namespace instancer;
using namespace std::chrono_literals;
using detail::TunnelSessionTable;

namespace {

const TunnelAddress user(0xc0000201, 5000), other_user(0xc0000202, 6000);
const TunnelSessionTable::TimePoint now{1h};

TunnelSessionPtr add(TunnelSessionTable& table, TunnelAddress address, std::string name = "")
{
    auto session = std::make_shared<TunnelSession>(address, TunnelAddress(2, 2), std::move(name), true);
    table.add(session);
    return session;
}

}  // namespace

TEST_CASE("tunnel session table: a session is found by its name until it is erased, which frees the name at once")
{
    TunnelSessionTable table;
    const auto session = add(table, user);
    CHECK(table.find(user) == session);
    CHECK(!table.find(other_user));
    CHECK(table.size() == 1);
    table.erase(*session);
    CHECK(!table.find(user));
    CHECK(!table.contains(*session));
    CHECK(table.choose_name(user, now) == user);
}

TEST_CASE("tunnel session table: the end of a session is none of another one that has its name")
{
    TunnelSessionTable table;
    const auto former = add(table, user);
    table.erase(*former);
    const auto session = add(table, user);
    CHECK(!table.contains(*former));
    table.erase(*former);
    CHECK(table.find(user) == session);
}

TEST_CASE("tunnel session table: a session that cannot be called as it wants gets an address of nobody")
{
    TunnelSessionTable table;
    CHECK(table.choose_name(user, now) == user);
    add(table, user);
    CHECK(table.choose_name(user, now).to_string() == "240.0.0.1:1");
    CHECK(table.choose_name(std::nullopt, now).to_string() == "240.0.0.1:2");
    // One that somebody has all the same.
    add(table, TunnelAddress(0xf0000001, 3));
    CHECK(table.choose_name(std::nullopt, now).to_string() == "240.0.0.1:4");
}

TEST_CASE("tunnel session table: a name that was retired rests for a while, also one that no session got")
{
    TunnelSessionTable table;
    const auto session = add(table, user);
    table.retire(*session, now);
    table.retire(other_user, now);
    for (const auto& name : {user, other_user}) {
        CHECK(!table.find(name));
        CHECK(table.is_retired(name, now + 1s));
        CHECK(table.choose_name(name, now + 1s) != name);
        CHECK(!table.is_retired(name, now + 3s));
        CHECK(table.choose_name(name, now + 3s) == name);
    }
}

TEST_CASE("tunnel session table: a session whose end has yet to be answered keeps its name, and is none that goes on")
{
    TunnelSessionTable table;
    const auto last = add(table, other_user, "last"), first = add(table, user, "first");
    CHECK(table.active() == std::vector<TunnelSessionPtr>{first, last});
    CHECK(table.find_active("first") == first);
    CHECK(table.find_active("192.0.2.2:6000") == last);
    CHECK(!table.find_active("nobody"));
    table.expect_answer(*first);
    CHECK(table.active() == std::vector<TunnelSessionPtr>{last});
    CHECK(!table.find_active("first"));
    CHECK(!table.find_active("192.0.2.1:5000"));
    CHECK(table.find(user) == first);
    CHECK(table.choose_name(user, now) != user);
}

TEST_CASE("tunnel session table: all sessions can be taken at once, those that end included")
{
    TunnelSessionTable table;
    add(table, user);
    table.expect_answer(*add(table, other_user));
    CHECK(table.take_all().size() == 2);
    CHECK(table.size() == 0);
    CHECK(!table.find(user));
}
