// SPDX-License-Identifier: MIT
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/detail/text/line_splitter.hpp>

namespace {

using Lines = std::vector<std::string>;

/// The lines of `text`, fed in pieces of `size`.
Lines split(std::string_view text, std::size_t size, std::size_t limit = 4096)
{
    Lines lines;
    const auto keep = [&](std::string_view line) { lines.emplace_back(line); };
    instancer::detail::LineSplitter splitter(limit);
    for (; !text.empty(); text.remove_prefix(std::min(size, text.size())))
        splitter.feed(text.substr(0, size), keep);
    splitter.finish(keep);
    return lines;
}

}  // namespace

TEST_CASE("line splitter: lines come out whole, in whatever pieces they went in")
{
    for (std::size_t size = 1; size <= 20; ++size) {
        CHECK(split("one\ntwo\n\nfour\n", size) == Lines{"one", "two", "", "four"});
        CHECK(split("one\nno end", size) == Lines{"one", "no end"});
        CHECK(split("\n", size) == Lines{""});
    }
    CHECK(split("", 1).empty());
    CHECK(split(std::string_view("a\0b\n", 4), 1) == Lines{std::string("a\0b", 3)});
}

TEST_CASE("line splitter: a line that is too long is cut, and one that just fits is not")
{
    for (std::size_t size = 1; size <= 12; ++size) {
        CHECK(split("abcdefghij\nk\n", size, 4) == Lines{"abcd", "efgh", "ij", "k"});
        CHECK(split("abcd\nefgh", size, 4) == Lines{"abcd", "efgh"});
        CHECK(split("abcdefgh\n", size, 4) == Lines{"abcd", "efgh"});
    }
}
