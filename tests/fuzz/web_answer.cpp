// SPDX-License-Identifier: MIT
// What web servers answer about clients: whatever it is, it admits an owner, rejects, or is named as no answer.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "authentication/web/web_address.hpp"
#include "authentication/web/web_dialect.hpp"
#include "require.hpp"

using namespace instancer;
using namespace instancer::daemon;

namespace {

void check(const WebVerdict& verdict)
{
    REQUIRE(verdict.why().size() < 100);
    REQUIRE(verdict.is_down() + verdict.is_unusable() + verdict.admission().has_value() <= 1);
    REQUIRE(!verdict.admission() || !verdict.admission()->owner().empty());
}

void check_request(const std::optional<WebRequest>& request)
{
    if (!request)
        return;
    for (const auto& [name, value] : request->headers)
        REQUIRE(std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c < 0x7f; }));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(bytes), size);
    for (const auto* dialect : {&webhook_dialect, &ctfd_dialect, &rctf_dialect}) {
        for (const int status : {200, 302, 403, 500})
            check(dialect->judge(status, text, text));
        check_request(dialect->ask("/", "shell", ClientInfo(), text));
    }
    if (const auto address = parse_web_address(text))
        REQUIRE(address->origin + address->path == text);
    return 0;
}
