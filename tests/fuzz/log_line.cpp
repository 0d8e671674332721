// SPDX-License-Identifier: MIT
// What clients and instances say ends up in the log: always as one line of valid UTF-8 that no terminal acts upon.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "config/text.hpp"
#include "require.hpp"

namespace {

/// The code points of `text`, which must be UTF-8 in its shortest form.
std::u32string decode(std::string_view text)
{
    std::u32string points;
    for (std::size_t i = 0; i < text.size();) {
        const auto first = static_cast<unsigned char>(text[i]);
        const std::size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
        REQUIRE(first < 0x80 || (first >= 0xc2 && first <= 0xf4));
        REQUIRE(i + length <= text.size());
        char32_t point = length == 1 ? first : first & (0x7fu >> length);
        for (std::size_t k = 1; k < length; ++k) {
            const auto next = static_cast<unsigned char>(text[i + k]);
            REQUIRE((next & 0xc0) == 0x80);
            point = point << 6 | (next & 0x3fu);
        }
        static constexpr char32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        REQUIRE(point >= least[length]);
        REQUIRE(point <= 0x10ffff);
        REQUIRE((point < 0xd800 || point > 0xdfff));
        points += point;
        i += length;
    }
    return points;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    const std::string_view data(reinterpret_cast<const char*>(bytes), size);
    for (const std::size_t limit : {std::size_t{2000}, std::size_t{10}, size}) {
        const auto line = instancer::daemon::one_line(data, limit);
        REQUIRE(line.size() <= 4 * limit + 40);
        for (const char32_t point : decode(line))
            REQUIRE((point >= 0x20 && (point < 0x7f || point > 0x9f)));
    }
    return 0;
}
