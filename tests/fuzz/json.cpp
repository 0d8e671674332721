// SPDX-License-Identifier: MIT
// A configuration: whatever it holds, every value and every problem has its place in the text, and what is said about
// it is one short line.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "config/json.hpp"
#include "require.hpp"

using namespace instancer::daemon;

namespace {

/// In the order of the text, from `line` on. The last line that there was.
int check_places(const Node& node, int line, int last)
{
    const auto check = [&](const Place& place) {
        REQUIRE(place.line() >= line && place.line() <= last);
        line = place.line();
    };
    check(node.place());
    for (const auto& item : node.items())
        line = check_places(item, line, last);
    for (const auto& member : node.members()) {
        check(member.place());
        line = check_places(member.value(), line, last);
        const auto same = [&](const auto& other) { return other.name() == member.name(); };
        REQUIRE(std::count_if(node.members().begin(), node.members().end(), same) == 1);
    }
    REQUIRE(node.items().empty() || node.kind() == Node::Kind::array);
    REQUIRE(node.members().empty() || node.kind() == Node::Kind::object);
    return line;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(bytes), size);
    const int lines = 1 + static_cast<int>(std::count(text.begin(), text.end(), '\n'));
    Problems problems;
    const auto tree = parse_json(text, problems);
    REQUIRE(tree || !problems.empty());
    if (tree)
        check_places(*tree, 1, lines);
    for (const auto& problem : problems) {
        REQUIRE(problem.place().line() >= 1 && problem.place().line() <= lines);
        const auto line = problem.format("file");
        REQUIRE(line.find('\n') == line.npos);
        REQUIRE(line.size() < 20'000);
    }
    return 0;
}
