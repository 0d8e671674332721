// SPDX-License-Identifier: MIT
// Which reasons for the end of a session mean that it did not end in order.
#include <string>

#include <doctest/doctest.h>

#include <instancer/detail/tunnel/disconnect_reason.hpp>

using instancer::detail::is_reset_reason;

TEST_CASE("disconnect reason: the name of an error, with or without words behind it, or an operator's wish")
{
    for (const std::string reason :
         {"ECONNRESET", "ETIMEDOUT", "E2BIG", "EMFILE the agent has 2 sessions already", "disconnected by system"}) {
        CAPTURE(reason);
        CHECK(is_reset_reason(reason));
    }
}

TEST_CASE("disconnect reason: anything else is an end in order")
{
    for (const std::string reason :
         {"", "E", "EOF", "END", "Error", "econnreset", "closed", "target closed", "remote disconnected already",
          "the ECONNRESET", "ECONNRESET: why", "disconnected by system now"}) {
        CAPTURE(reason);
        CHECK(!is_reset_reason(reason));
    }
    // The address of a session, as the documentation has it.
    CHECK(!is_reset_reason(std::string("\xc0\0\2\1\x13\x88", 6)));
}
