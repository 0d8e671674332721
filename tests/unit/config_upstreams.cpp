// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include "files/upstreams.hpp"

using namespace instancer;
using namespace instancer::daemon;

TEST_CASE("upstreams: one a line, with weight, comments and room around")
{
    Settings settings;
    settings.base = "/etc/instancer";
    const auto list = parse_upstreams(settings,
                                      "# two\n\n  web.example:80=3 # with a weight\r\n[::1]:81\n"
                                      "\tunix:s=0\nunix:/a=b=2",
                                      "l");
    REQUIRE(list);
    REQUIRE(list->size() == 4);
    CHECK((*list)[0].text() == "web.example:80");
    CHECK((*list)[0].weight == 3);
    CHECK((*list)[1].text() == "[::1]:81");
    CHECK((*list)[1].weight == 1);
    CHECK((*list)[2].text() == "unix:/etc/instancer/s");
    CHECK((*list)[2].weight == 0);
    CHECK((*list)[3].text() == "unix:/a=b");
    CHECK((*list)[3].weight == 2);
}

TEST_CASE("an error in a file of upstreams names file, line and remedy")
{
    const auto error_of = [](const std::string& text) {
        const auto list = parse_upstreams(Settings(), text, "l.txt");
        REQUIRE_FALSE(list);
        return list.error();
    };
    CHECK(error_of("a:1\nb\n").find("l.txt:2: ") == 0);
    CHECK(error_of("a:1\n#\n:80\n").find("l.txt:3: ':80' names no server; write host:port") == 0);
    CHECK(error_of("a:0").find("l.txt:1: 'a:0' names no server") == 0);
    CHECK(error_of("fd:x").find("l.txt:1: 'fd:x' cannot be connected to; write host:port or unix:/path") == 0);
    CHECK(error_of("a:1=x").find("l.txt:1: the weight of a:1: 'x' does not fit; write a whole number from 0") == 0);
    CHECK(error_of("a:1\na:1=2").find("l.txt:2: a:1 is there twice; keep one of them") == 0);
    CHECK(error_of("# none\n") == "l.txt: holds no upstream; write one a line, as host:port or host:port=WEIGHT");
    CHECK(load_upstreams(Settings(), "/no/such/file").error() ==
          "cannot read /no/such/file: No such file or directory");
}
