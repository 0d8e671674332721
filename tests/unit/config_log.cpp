// SPDX-License-Identifier: MIT
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "config/text.hpp"
#include "observe/log_event.hpp"
#include "paths.hpp"
#include "pcap_reader.hpp"

using instancer::daemon::log_event_table;
using instancer::daemon::one_line;

TEST_CASE("a log line stays one line, and no terminal acts upon it")
{
    CHECK(one_line("plain text, with \\ and \"quotes\"") == "plain text, with \\ and \"quotes\"");
    CHECK(one_line("a\nb\r\tc") == "a\\nb\\r\\tc");
    CHECK(one_line("\x1b[31m\x07\x7f") == "\\x1b[31m\\x07\\x7f");
    CHECK(one_line(std::string_view("a\0b", 3)) == "a\\x00b");
    CHECK(one_line("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80") == "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80");
    CHECK(one_line("\xc2\x9b") == "\\xc2\\x9b");           // a control character of Unicode
    CHECK(one_line("\xff\xc3") == "\\xff\\xc3");           // no UTF-8
    CHECK(one_line("\xc0\xaf") == "\\xc0\\xaf");           // not the shortest form
    CHECK(one_line("\xed\xa0\x80") == "\\xed\\xa0\\x80");  // half of a pair
}

TEST_CASE("a long line is cut, and says so")
{
    CHECK(one_line("abcdef", 4) == "abcd ... (2 bytes more)");
    CHECK(one_line("abcd", 4) == "abcd");
    CHECK(one_line(std::string(5000, 'x')).size() < 2100);
}

TEST_CASE("the page on operating has the events of the log as the program has them")
{
    INFO("operating.md should hold:\n" << log_event_table());
    const auto page = daemon_test::contents_of(test_paths::sources + "/apps/instancerd/doc/operating.md");
    CHECK(page.find("\n|---|---|\n" + log_event_table() + "\n") != std::string::npos);
}
