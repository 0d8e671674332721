// SPDX-License-Identifier: MIT
// Templates of flags: whatever is taken makes a flag that depends on nothing but key, service and owner, unless it is
// random; what is refused is said in one short line.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <instancer/flag_template.hpp>

#include "require.hpp"

using namespace instancer;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto parsed = FlagTemplate::parse(text);
    if (!parsed) {
        REQUIRE(parsed.error() == Errc::bad_request);
        REQUIRE(parsed.error().message().find("give it a number of digits") != std::string::npos);
        return 0;
    }
    const Identity red("service", "red", "1"), blue("service", "blue", "1");
    const auto flag = [&](const Identity& of) { return parsed->flag("key", "service", of, FlagScope::owner); };
    const auto first = flag(red);
    REQUIRE(parsed->is_random() || flag(red) == first);
    if (parsed->is_constant()) {
        REQUIRE(first == text);
        REQUIRE(flag(blue) == text);
    }
    REQUIRE(flag(blue).size() == first.size());
    return 0;
}
