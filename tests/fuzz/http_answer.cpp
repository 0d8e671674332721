// SPDX-License-Identifier: MIT
// Bytes of a web server: whatever they are, and in whatever pieces they come, they are one bounded answer or none.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "authentication/web/http_answer.hpp"
#include "require.hpp"

using instancer::daemon::HttpAnswer;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(bytes), size);
    HttpAnswer whole, pieces;
    whole.feed(text);
    for (const char& byte : text)
        pieces.feed({&byte, 1});
    REQUIRE(whole.wants_more() == pieces.wants_more());
    whole.end();
    pieces.end();
    REQUIRE(!whole.wants_more() && !pieces.wants_more());
    REQUIRE(whole.problem() == pieces.problem());
    REQUIRE(whole.body().size() <= HttpAnswer::max_body);
    if (!whole.problem().empty())
        return 0;
    REQUIRE(whole.status() >= 100 && whole.status() <= 599);
    REQUIRE(whole.status() == pieces.status() && whole.body() == pieces.body());
    return 0;
}
