// SPDX-License-Identifier: MIT
#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <instancer/identity.hpp>

#include "daemon/system.hpp"
#include "files/tokens.hpp"
#include "temporary_directory.hpp"

using namespace instancer;
using namespace instancer::daemon;

namespace {

const std::string token_a(128, 'a');
const std::string token_b = std::string(64, 'b') + " # is part of it" + std::string(48, 'b');

}  // namespace

TEST_CASE("tokens: text, hexadecimal, comments, either kind of line end")
{
    std::string digits;
    for (int i = 0; i < 128; ++i)
        digits += "0F";
    const auto tokens =
        parse_tokens("# two of them\n\n" + token_a + "\r\nhex:" + digits + "\n" + token_b, "t", Auth::token);
    REQUIRE(tokens);
    REQUIRE(tokens->size() == 3);
    CHECK((*tokens)[0].secret() == token_a);
    CHECK((*tokens)[1].secret() == std::string(128, '\x0f'));
    CHECK((*tokens)[2].secret() == token_b);
}

TEST_CASE("an error in a token file names file and line, and no part of a token")
{
    const auto error_of = [](const std::string& text) {
        const auto tokens = parse_tokens(text, "t.txt", Auth::token);
        REQUIRE_FALSE(tokens);
        CHECK(tokens.error().find("aaaa") == std::string::npos);
        return tokens.error();
    };
    CHECK(error_of(token_a + "\n" + token_a + "a\n").find("t.txt:2: has 129 characters; a token has 128") == 0);
    CHECK(error_of("#\n\naaaa\n").find("t.txt:3: has 4 characters") == 0);
    CHECK(error_of("hex:aaaa").find("t.txt:1: after hex: expected 256 hexadecimal digits, found 4") == 0);
    CHECK(error_of("hex:" + std::string(255, 'a') + "x").find("t.txt:1: after hex: expected 256") == 0);
    CHECK(error_of("").find("t.txt: holds no token") == 0);
    CHECK(error_of("# none\n").find("t.txt: holds no token") == 0);
}

TEST_CASE("a token file that cannot be read is named")
{
    const daemon_test::TemporaryDirectory directory;
    CHECK(load_tokens(directory.path("none"), Auth::token).error() ==
          "cannot read " + directory.path("none") + ": No such file or directory");
    CHECK(load_tokens(directory.path(), Auth::token).error() ==
          "cannot read " + directory.path() + ": it is a directory");
    // What never ends, and what fails after its beginning.
    CHECK(load_tokens("/dev/zero", Auth::token).error() ==
          "cannot read /dev/zero: it is larger than 64 MiB; name another one");
    CHECK(load_tokens("/proc/self/mem", Auth::token).error() == "cannot read /proc/self/mem: Input/output error");
    CHECK(load_tokens(directory.file("t", token_a + "\n"), Auth::token)->size() == 1);
}

TEST_CASE("a pipe is read once, and gives the same again; one that gives nothing is not waited for without end")
{
    const daemon_test::TemporaryDirectory directory;
    const auto path = directory.path("pipe");
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    CHECK(read_file(path, std::chrono::milliseconds(1)).error() ==
          "cannot read " + path + ": it is a pipe whose writer does not come to an end");
    CHECK_FALSE(was_read_once(path));
    std::thread writer([&] { std::ofstream(path) << token_a << "\n"; });
    const auto tokens = load_tokens(path, Auth::token);
    writer.join();
    CHECK(tokens == std::vector{ListedToken(token_a)});
    CHECK(was_read_once(path));
    CHECK(load_tokens(path, Auth::token) == std::vector{ListedToken(token_a)});
    CHECK_FALSE(was_read_once(directory.file("t", token_a)));
}

TEST_CASE("what is no text is named, and the mark before UTF-8 is none of it")
{
    const daemon_test::TemporaryDirectory directory;
    const auto binary = directory.file("b", "# first\n" + std::string("a\0b\0", 4));
    CHECK(load_tokens(binary, Auth::prompt).error() ==
          binary + ":2: holds a zero byte; write it as plain text, in UTF-8");
    CHECK(load_tokens(directory.file("m", "\xef\xbb\xbf" + token_a + "\n"), Auth::token) ==
          std::vector{ListedToken(token_a)});
}

TEST_CASE("blanks in a token are remarked upon")
{
    const daemon_test::TemporaryDirectory directory;
    const auto named = directory.file("n", "team-red-123 Red Team\n");
    CHECK(load_tokens(named, Auth::token).error() ==
          named + ":1: has 21 characters; a token has 128, or is written hex: and 256 digits; a remark belongs on a "
                  "line of its own, after #");
    const auto blank = directory.file("b", token_a + "\n" + token_b + "\n");
    const auto remark = remark_on_tokens(blank, Auth::token);
    CHECK(remark.find(blank + ":2: the token holds a blank") == 0);
    CHECK(remark.find("bbbb") == std::string::npos);
    CHECK(remark_on_tokens(directory.file("g", token_a), Auth::token) == "");
}

TEST_CASE("blanks in a token that is typed are remarked upon, unless a tab shows that they are meant")
{
    const daemon_test::TemporaryDirectory directory;
    const auto file = directory.file("t", "# some teams\n fox\tRed Team\r\nwhale-42 Blue Team\n");
    const auto remark = remark_on_tokens(file, Auth::prompt);
    CHECK(remark.find(file + ":3: the token holds a blank") == 0);
    CHECK(remark.find("write a tab between a token and its name") != std::string::npos);
    CHECK(remark.find("whale") == std::string::npos);
    const auto meant = directory.file("m", "blue whale\t\nred fox\tRed Team\n one \n \n");
    CHECK(remark_on_tokens(meant, Auth::prompt) == "");
    CHECK(load_tokens(meant, Auth::prompt) ==
          std::vector{ListedToken("blue whale"), ListedToken("red fox", "Red Team"), ListedToken("one")});
}

TEST_CASE("a token that comes twice is remarked upon, with both lines, and the first line names its owner")
{
    const daemon_test::TemporaryDirectory directory;
    const auto text = "# teams\nred\tFoxes\nblue\n red \tWolves\n";
    const auto file = directory.file("f", text);
    const auto remark = remark_on_tokens(file, Auth::prompt);
    CHECK(remark.find(file + ":4: the token of line 2 again") == 0);
    CHECK(remark.find("red") == remark.npos);
    const auto owners = owners_of("shell", *parse_tokens(text, "t", Auth::prompt));
    CHECK(owners.at(Identity("shell", "red", "").owner().hex()) == "Foxes");
    CHECK(remark_on_tokens(directory.file("g", token_a + "\n" + token_a + "\n"), Auth::token).find(":2: ") !=
          remark.npos);
}

TEST_CASE("tokens that are typed: any line that is no comment and not too long")
{
    const auto tokens =
        parse_tokens("# teams\nhex:zz\nblue whale \r\n" + std::string(256, 'x') + "\n", "t", Auth::prompt);
    REQUIRE(tokens);
    REQUIRE(tokens->size() == 3);
    CHECK((*tokens)[0].secret() == "hex:zz");
    CHECK((*tokens)[1].secret() == "blue whale");
    CHECK(parse_tokens("a\n" + std::string(257, 'x'), "t", Auth::prompt).error() ==
          "t:2: has 257 characters; a token has at most 256");
    CHECK(parse_tokens("#\n", "t", Auth::prompt).error() == "t: holds no token; write one a line");
    CHECK(parse_tokens(" \n\t\n \t \r\n", "t", Auth::prompt).error() == "t: holds no token; write one a line");
    CHECK(parse_tokens(" \nred\n\t", "t", Auth::prompt) == std::vector{ListedToken("red")});
}

TEST_CASE("tokens: what stands behind a tab is what the operator calls the owner")
{
    const std::string digits(256, '0');
    const auto tokens = parse_tokens("hex:" + digits + "\tRed Team\r\n" + token_a + "\t Blue \n" + token_b + "\n" +
                                         std::string(127, 'c') + "\t\n",
                                     "t", Auth::token);
    REQUIRE(tokens);
    CHECK(*tokens == std::vector{ListedToken(std::string(128, '\0'), "Red Team"), ListedToken(token_a, "Blue"),
                                 ListedToken(token_b), ListedToken(std::string(127, 'c') + "\t")});
    const auto typed = parse_tokens(" red fox \tFoxes\tof the wood\n\tblue\t\nhex:zz\t#1\n", "t", Auth::prompt);
    REQUIRE(typed);
    CHECK(*typed ==
          std::vector{ListedToken("red fox", "Foxes\tof the wood"), ListedToken("blue"), ListedToken("hex:zz", "#1")});
    const auto owners = owners_of("shell", *typed);
    CHECK(owners.size() == 3);
    CHECK(owners.at(Identity("shell", "red fox", "").owner().hex()) == "Foxes\tof the wood");
    CHECK(parse_tokens(token_a + "a\tRed", "t", Auth::token).error().find("t:1: has 133 characters") == 0);
    const daemon_test::TemporaryDirectory directory;
    CHECK(remark_on_tokens(directory.file("t", token_a + "\tRed Team\nhex:" + digits + "\tBlue Team\n"), Auth::token) ==
          "");
}
