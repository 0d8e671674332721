// SPDX-License-Identifier: MIT
// Who may use a tunnel: users of the files and of a database, which another program may be using.
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <doctest/doctest.h>
#include <sqlite3.h>
#include <temporary_directory.hpp>

#include "async_test.hpp"
#include "event_log.hpp"
#include "modes/tunnel/tunnel_users.hpp"

using namespace async_test;
using namespace instancer;
using namespace instancer::daemon;

namespace {

const auto tom_address = asio::ip::make_address("192.0.2.1"), other_address = asio::ip::make_address("192.0.2.9");

/// A database with tom, and another program that has it open.
class Database {
public:
    Database()
    {
        REQUIRE(::sqlite3_open(file.c_str(), &handle_) == SQLITE_OK);
        run("CREATE TABLE user(id INTEGER PRIMARY KEY AUTOINCREMENT, username TEXT UNIQUE NOT NULL, password TEXT NOT "
            "NULL, ip VARCHAR UNIQUE, last_login TIMESTAMP)");
        run("INSERT INTO user(username, password, ip) VALUES('tom', 'secret', '192.0.2.1')");
    }
    ~Database() { ::sqlite3_close(handle_); }
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;

    void run(const std::string& statement)
    {
        REQUIRE(::sqlite3_exec(handle_, statement.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
    }

    /// How many users match.
    int count(const std::string& condition)
    {
        int found = 0;
        const auto add = [](void* number, int, char**, char**) { return ++*static_cast<int*>(number), 0; };
        const auto query = "SELECT id FROM user WHERE " + condition;
        REQUIRE(::sqlite3_exec(handle_, query.c_str(), add, &found, nullptr) == SQLITE_OK);
        return found;
    }

    std::unique_ptr<UserDatabase> open() const
    {
        auto opened = UserDatabase::open(file);
        REQUIRE(opened);
        return std::move(*opened);
    }

    daemon_test::TemporaryDirectory directory;
    const std::string file = directory.path("users.db");

private:
    sqlite3* handle_ = nullptr;
};

TunnelFiles files_with(const asio::ip::address& address)
{
    TunnelFiles files;
    files.users.push_back(address);
    return files;
}

}  // namespace

TEST_CASE("tunnel users: those of the files need no database, and change when the files are replaced")
{
    Loop loop;
    EventLog events;
    TunnelUsers users("tunnel", files_with(tom_address), nullptr, events);
    CHECK(!users.has_database());
    CHECK(loop.run(users.knows(tom_address)).value());
    CHECK(!loop.run(users.knows(other_address)).value());
    const auto before = users.files();
    users.replace(files_with(other_address));
    CHECK(!loop.run(users.knows(tom_address)).value());
    CHECK(loop.run(users.knows(other_address)).value());
    // Whoever looks at them has the same all the time.
    CHECK(before->knows_user(tom_address));
}

TEST_CASE("tunnel users: those of the database are known, and it is noted that they came")
{
    Loop loop;
    EventLog events;
    Database database;
    TunnelUsers users("tunnel", files_with(other_address), database.open(), events);
    CHECK(database.count("last_login IS NOT NULL") == 0);
    CHECK(loop.run(users.knows(tom_address)).value());
    CHECK(database.count("last_login IS NOT NULL") == 1);
    CHECK(loop.run(users.knows(other_address)).value());
    CHECK(!loop.run(users.knows(asio::ip::make_address("192.0.2.3"))).value());
}

TEST_CASE("tunnel users: a user is let in even where that cannot be noted")
{
    Loop loop;
    EventLog events;
    Database database;
    database.run("CREATE TRIGGER refuse BEFORE UPDATE ON user BEGIN SELECT RAISE(FAIL, 'read only'); END");
    TunnelUsers users("tunnel", TunnelFiles(), database.open(), events);
    CHECK(loop.run(users.knows(tom_address)).value());
    CHECK(events.count_beginning("warning: the login of 'tom' is not noted: ") == 1);
}

TEST_CASE("tunnel users: while another program has the database, a user waits, unless the user leaves")
{
    Loop loop;
    EventLog events;
    Database database;
    TunnelUsers users("tunnel", TunnelFiles(), database.open(), events);
    database.run("BEGIN EXCLUSIVE");
    auto asked = loop.start(users.knows(tom_address));
    loop.settle();
    CHECK(!asked.done());
    SUBCASE("until it is free")
    {
        database.run("COMMIT");
        REQUIRE(loop.until([&] { return asked.done(); }));
        CHECK(asked.value().value());
    }
    SUBCASE("until the user leaves")
    {
        asked.cancel();
        REQUIRE(loop.until([&] { return asked.done(); }));
        REQUIRE(!asked.value());
        CHECK(asked.value().error() == Errc::backend_unavailable);
    }
}

TEST_CASE("tunnel users: an address is given to a user by name, or to the only one")
{
    Loop loop;
    EventLog events;
    Database database;
    TunnelUsers users("tunnel", TunnelFiles(), database.open(), events);
    CHECK(users.has_database());
    CHECK(loop.run(users.set_address("tom", "192.0.2.2")));
    CHECK(database.count("ip = '192.0.2.2'") == 1);
    CHECK(loop.run(users.set_address("tom", std::nullopt)));
    CHECK(database.count("ip IS NULL") == 1);
    CHECK(!loop.run(users.set_address("nobody", "192.0.2.2")));
    CHECK(loop.run(users.set_only_address("192.0.2.3")));
    CHECK(database.count("ip = '192.0.2.3'") == 1);
    database.run("INSERT INTO user(username, password) VALUES('ann', 'secret')");
    const auto refused = loop.run(users.set_only_address("192.0.2.4"));
    REQUIRE(!refused);
    CHECK(refused.error() == "whose address? There are 2 users; write set userip NAME 192.0.2.4");
    CHECK(database.count("ip = '192.0.2.4'") == 0);
}
