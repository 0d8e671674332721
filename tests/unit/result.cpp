// SPDX-License-Identifier: MIT
#include <optional>
#include <sstream>
#include <string>

#include <doctest/doctest.h>

#include <instancer/authenticator.hpp>
#include <instancer/bridge.hpp>
#include <instancer/client.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>

#include "async_test.hpp"

using namespace async_test;
using namespace instancer;

namespace {

Result<int> failed() { return fail(Errc::rejected, "no"); }

/// Hands an error on as it is.
template <class Value>
asio::awaitable<Result<Value>> handed_on()
{
    const auto line = failed();
    co_return line.error();
}

template <class Value>
Result<Value> returned()
{
    return failed().error();
}

template <class Value>
void check_handed_on()
{
    Loop loop;
    for (const auto& result : {loop.run(handed_on<Value>()).error(), returned<Value>().error()}) {
        CHECK(result == Errc::rejected);
        CHECK(result.message() == "no");
    }
}

}  // namespace

TEST_CASE("an error can be returned as it is, from functions and coroutines")
{
    check_handed_on<void>();
    check_handed_on<int>();
    check_handed_on<std::string>();
    check_handed_on<std::optional<int>>();
    check_handed_on<Admission>();
    check_handed_on<Stream>();
}

TEST_CASE("reasons have words")
{
    CHECK(to_string(Errc::full) == "no instance is free");
    CHECK(make_error_code(Errc::full).message() == to_string(Errc::full));
    CHECK(to_string(BridgeEnd::client_reset) == "client reset");
    CHECK(to_string(Readiness::gone) == "gone");
}

TEST_CASE("a client can be printed")
{
    std::ostringstream out;
    out << ClientInfo(asio::ip::tcp::endpoint(asio::ip::make_address("2001:db8::1"), 5000), {}) << ", "
        << ClientInfo(1000, "/run/socket") << ", " << ClientInfo();
    CHECK(out.str() == "[2001:db8::1]:5000, uid 1000, unknown");
}
