// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include "files/lines.hpp"
#include "temporary_directory.hpp"

using namespace instancer::daemon;

namespace {

/// Each line as `NUMBER:TEXT`.
std::vector<std::string> read(std::string_view text, Comments comments)
{
    std::vector<std::string> lines;
    for (const auto& line : lines_of(text, comments))
        lines.push_back(std::to_string(line.number) + ":" + std::string(line.text));
    return lines;
}

}  // namespace

TEST_CASE("lines: comments, blanks and either kind of line end do not count, numbers do")
{
    CHECK(read("a\n\n  b c\t# why\r\n# d\n \r\ne", Comments::anywhere) ==
          std::vector<std::string>{"1:a", "3:b c", "6:e"});
    CHECK(read("", Comments::anywhere).empty());
    CHECK(read("\n#", Comments::anywhere).empty());
}

TEST_CASE("lines whose every character counts have comments of their own only")
{
    CHECK(read("# why\n a # b \r\n\r\nc", Comments::whole_line) == std::vector<std::string>{"2: a # b ", "4:c"});
}

TEST_CASE("the first line that is wrong is named, with its file")
{
    const auto parse = [](std::string_view line, const std::vector<int>& before) -> Parsed<int> {
        const auto value = parse_count(line, 0, 9);
        if (value && !before.empty() && before.back() == static_cast<int>(*value))
            return wrong("again");
        return value ? Parsed<int>(static_cast<int>(*value)) : wrong(value.error());
    };
    CHECK(parse_lines<int>("1\n2 # two\n", "f", Comments::anywhere, parse) == std::vector{1, 2});
    CHECK(parse_lines<int>("1\n\n1\nx\n", "f", Comments::anywhere, parse).error() == "f:3: again");
}

TEST_CASE("a file may begin with a byte-order mark")
{
    const daemon_test::TemporaryDirectory directory;
    const auto text = read_file(directory.file("f", "\xef\xbb\xbf"
                                                    "a\r\n"));
    REQUIRE(text);
    CHECK(read(*text, Comments::whole_line) == std::vector<std::string>{"1:a"});
}
