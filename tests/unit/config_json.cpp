// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include "config/json.hpp"

using namespace instancer::daemon;

namespace {

/// `LINE PATH`
std::string at(const Place& place) { return std::to_string(place.line()) + " " + place.path(); }

Node parse(const std::string& text)
{
    Problems problems;
    auto root = parse_json(text, problems);
    REQUIRE(problems.empty());
    REQUIRE(root);
    return std::move(*root);
}

std::string first_problem(const std::string& text)
{
    Problems problems;
    parse_json(text, problems);
    REQUIRE_FALSE(problems.empty());
    return problems.front().format("c.json");
}

}  // namespace

TEST_CASE("every node knows its line and its path")
{
    const auto root = parse(R"({ // a comment
  "a": 1,
  /* several
     lines */
  "b": {
    "c d": [true, null,
      "x", 2.50
    ]
  },
  "e": 7
})");
    REQUIRE(root.members().size() == 3);
    CHECK(at(root.place()) == "1 $");
    const auto& a = root.members()[0];
    CHECK(at(a.place()) == "2 $.a");
    CHECK(at(a.value().place()) == "2 $.a");
    CHECK(a.value().text() == "1");
    const auto& b = root.members()[1];
    CHECK(at(b.place()) == "5 $.b");
    const auto& list = b.value().members()[0];
    CHECK(at(list.place()) == "6 $.b[\"c d\"]");
    const auto& items = list.value().items();
    REQUIRE(items.size() == 4);
    CHECK(at(items[0].place()) == "6 $.b[\"c d\"][0]");
    CHECK(at(items[2].place()) == "7 $.b[\"c d\"][2]");
    CHECK(items[3].kind() == Node::Kind::number);
    CHECK(items[3].text() == "2.50");
    CHECK(at(items[3].place()) == "7 $.b[\"c d\"][3]");
    CHECK(at(root.members()[2].value().place()) == "10 $.e");
}

TEST_CASE("a number directly before the end of its line counts to that line")
{
    const auto root = parse("[\n1,\n2\n,\n3\n]");
    CHECK(root.items()[0].place().line() == 2);
    CHECK(root.items()[1].place().line() == 3);
    CHECK(root.items()[2].place().line() == 5);
}

TEST_CASE("a duplicate key is named with both lines, and the first value stays")
{
    Problems problems;
    const auto root = parse_json("{\n\"a\": 1,\n\"b\": 2,\n\"a\": {\"a\": 3}\n}", problems);
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].format("c.json") == "c.json:4: $.a: is there twice, first on line 2; keep one of them");
    REQUIRE(root);
    CHECK(root->members().size() == 2);
    CHECK(root->members()[0].value().text() == "1");
}

TEST_CASE("what is no JSON is named by its line")
{
    CHECK(first_problem("").find("c.json:1: $: not JSON") == 0);
    CHECK(first_problem("{\n\n\"a\": x}").find("c.json:3: $: not JSON") == 0);
    CHECK(first_problem("{\n\"a\": {\n\"b\": 1\n\"c\": 2}}").find("c.json:4: $.a: not JSON") == 0);
    CHECK(first_problem("{\"a\": 1 \"b\": 2}").find("is a comma missing before it?") != std::string::npos);
    CHECK(first_problem("{} {}").find("not JSON") != std::string::npos);
    CHECK(first_problem("{\"a\": 1,\n}").find("remove the comma before it") != std::string::npos);
    CHECK(first_problem("[1,]").find("remove the comma before it") != std::string::npos);
    CHECK(first_problem("{\"a\": \"\xff\"}").find("not JSON") != std::string::npos);
    CHECK(first_problem("/* never closed").find("not JSON") != std::string::npos);
}

TEST_CASE("nesting has a limit")
{
    CHECK(first_problem(std::string(100'000, '[')).find("nested too deeply") != std::string::npos);
}
