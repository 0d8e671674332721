// SPDX-License-Identifier: MIT
#include <string>

#include <doctest/doctest.h>

#include <instancer/authenticator/open.hpp>
#include <instancer/authenticator/prompt.hpp>
#include <instancer/authenticator/source_address.hpp>
#include <instancer/authenticator/token_list.hpp>
#include <instancer/test/fake_stream.hpp>

#include "async_test.hpp"

using namespace async_test;
using instancer::Admission;
using instancer::Authenticator;
using instancer::ClientInfo;
using instancer::OpenAuthenticator;
using instancer::PromptAuthenticator;
using instancer::Result;
using instancer::SourceAddressAuthenticator;
using instancer::Stream;
using instancer::TokenListVerifier;
using instancer::test::FakePeer;

namespace {

ClientInfo from(const char* address, std::uint16_t port = 5000)
{
    return ClientInfo({asio::ip::make_address(address), port}, {asio::ip::make_address("2001:db8::1"), 1337});
}

Result<Admission> admit(Authenticator& authenticator, const ClientInfo& info)
{
    Loop loop;
    FakePeer peer(loop.executor());
    peer.send("bytes for the instance");
    Stream stream = peer.take_stream();
    auto admission = loop.run(authenticator.authenticate(stream, info));
    CHECK(peer.unread() == 22);
    CHECK(peer.received().empty());
    return admission;
}

std::string owner_by(unsigned bits, const char* address, std::uint16_t port = 5000)
{
    SourceAddressAuthenticator authenticator(bits);
    return admit(authenticator, from(address, port))->owner();
}

}  // namespace

TEST_CASE("open authenticator: everybody is somebody else")
{
    OpenAuthenticator authenticator;
    const auto admission = admit(authenticator, from("192.0.2.1"));
    REQUIRE(admission);
    CHECK_FALSE(admission->returning());
    CHECK_FALSE(admission->reset());
}

TEST_CASE("source address authenticator: an IPv4 address, whatever the port")
{
    CHECK(owner_by(64, "192.0.2.1", 5000) == owner_by(64, "192.0.2.1", 6000));
    CHECK(owner_by(64, "192.0.2.1") != owner_by(64, "192.0.2.2"));
    CHECK(owner_by(0, "192.0.2.1") != owner_by(0, "192.0.2.2"));
}

TEST_CASE("source address authenticator: an IPv4 client of a dual-stack listener is an IPv4 client")
{
    CHECK(owner_by(64, "::ffff:192.0.2.1") == owner_by(64, "192.0.2.1"));
    CHECK(owner_by(64, "::ffff:192.0.2.1") != owner_by(64, "::ffff:192.0.2.2"));
    CHECK(owner_by(0, "::ffff:192.0.2.1") != owner_by(0, "::ffff:192.0.2.2"));
}

TEST_CASE("source address authenticator: as much of an IPv6 address as the prefix covers")
{
    const char* const one = "2001:db8:1:2300::1";
    CHECK(owner_by(64, one) == owner_by(64, "2001:db8:1:2300:ffff::"));
    CHECK(owner_by(64, one) != owner_by(64, "2001:db8:1:2301::1"));
    CHECK(owner_by(56, one) == owner_by(56, "2001:db8:1:23ff::1"));
    CHECK(owner_by(56, one) != owner_by(56, "2001:db8:1:2400::1"));
    CHECK(owner_by(128, one) == owner_by(128, one, 6000));
    CHECK(owner_by(128, one) != owner_by(128, "2001:db8:1:2300::2"));
    CHECK(owner_by(61, one) == owner_by(61, "2001:db8:1:2307::1"));
    CHECK(owner_by(61, one) != owner_by(61, "2001:db8:1:2308::1"));
    CHECK(owner_by(0, one) == owner_by(0, "fe80::1"));
    CHECK(owner_by(1000, one) == owner_by(128, one));
}

TEST_CASE("source address authenticator: a client comes back, and is never an IPv4 one with the same digits")
{
    SourceAddressAuthenticator authenticator;
    const auto admission = admit(authenticator, from("192.0.2.1"));
    CHECK(admission->returning());
    CHECK(admission->identifier().empty());
    CHECK_FALSE(admission->reset());
    CHECK(owner_by(128, "::c000:201") != owner_by(128, "192.0.2.1"));
}

TEST_CASE("source address authenticator: over a Unix socket it is the user")
{
    SourceAddressAuthenticator authenticator;
    const auto one = admit(authenticator, ClientInfo(1000, "/run/one"));
    const auto two = admit(authenticator, ClientInfo(1000, "/run/two"));
    const auto root = admit(authenticator, ClientInfo(0, "/run/one"));
    REQUIRE(one);
    REQUIRE(root);
    CHECK(one->owner() == two->owner());
    CHECK(one->owner() != root->owner());
}

TEST_CASE("source address authenticator: a client without an address is rejected")
{
    SourceAddressAuthenticator authenticator;
    CHECK(admit(authenticator, ClientInfo()).error() == instancer::Errc::rejected);
}

namespace {

/// What becomes of a client that types this and may then leave, and what is left for the instance.
Result<Admission> type(PromptAuthenticator& authenticator, std::string_view text, std::string_view answer,
                       std::size_t unread = 0)
{
    Loop loop;
    FakePeer peer(loop.executor());
    peer.send(text);
    peer.shutdown_send();
    Stream stream = peer.take_stream();
    auto admission = loop.run(authenticator.authenticate(stream, from("192.0.2.1")));
    CHECK(peer.received() == answer);
    CHECK(peer.unread() + stream.unread_size() == unread);
    return admission;
}

}  // namespace

TEST_CASE("prompt authenticator: asks, and admits who types a token of the list")
{
    PromptAuthenticator authenticator({"blue whale", "red fox"}, "who? ");
    const auto admission = type(authenticator, "blue whale\r\nls\n", "who? ", 3);
    REQUIRE(admission);
    CHECK(admission->returning());
    CHECK(admission->owner() == "blue whale");
    CHECK(admission->on_refusal(instancer::Error(instancer::Errc::full, "for the operator")) ==
          "no instance is free\n");
    CHECK(type(authenticator, "red fox\n", "who? ")->owner() == "red fox");
}

TEST_CASE("prompt authenticator: the list can be replaced")
{
    auto list = std::make_unique<TokenListVerifier>(std::vector<std::string>{"blue whale", "red fox"});
    auto& tokens = *list;
    PromptAuthenticator authenticator(std::move(list), "who? ", PromptAuthenticator::max_token);
    CHECK(type(authenticator, "blue whale\n", "who? "));
    tokens.set_tokens({"red fox"});
    CHECK(type(authenticator, "blue whale\n", "who? unknown token\n").error() == instancer::Errc::rejected);
    CHECK(type(authenticator, "red fox\n", "who? "));
}

TEST_CASE("prompt authenticator: a line is a token first, and else a token and an identifier")
{
    PromptAuthenticator authenticator({"blue", "blue whale", "red fox"});
    const auto typed = [&](const char* line) {
        const auto admission = type(authenticator, line, "token: ");
        REQUIRE(admission);
        return admission->owner() + "/" + admission->identifier();
    };
    CHECK(typed("blue\n") == "blue/");
    CHECK(typed("blue whale\n") == "blue whale/");
    CHECK(typed("blue whale 2\n") == "blue whale/2");
    CHECK(typed("blue \t 2 \n") == "blue/2");
    CHECK(typed("red fox cub\n") == "red fox/cub");
    for (const auto* wrong : {"red\n", "red fox two cubs\n", "2 blue\n"})
        CHECK(type(authenticator, wrong, "token: unknown token\n").error() == instancer::Errc::rejected);
}

TEST_CASE("prompt authenticator: without a prompt not a byte is said")
{
    PromptAuthenticator authenticator({"blue whale"}, "");
    const auto admission = type(authenticator, "blue whale\n", "");
    REQUIRE(admission);
    CHECK(admission->on_refusal(instancer::Error(instancer::Errc::full)).empty());
    CHECK(type(authenticator, "green\n", "").error() == instancer::Errc::rejected);
}

TEST_CASE("prompt authenticator: who types something else is told so, and who leaves is told nothing")
{
    PromptAuthenticator authenticator({"blue whale"});
    for (const auto* text : {"blue\n", "\n", " \n", "bluewhale\n", "Blue whale\nblue whale\n", "blue whale\rx\n"}) {
        CAPTURE(text);
        const std::string_view typed(text);
        const auto rest = typed.size() - typed.find('\n') - 1;
        const auto admission = type(authenticator, typed, "token: unknown token\n", rest);
        CHECK(admission.error() == instancer::Errc::rejected);
        CHECK(admission.error().message().find("blue") == std::string::npos);
    }
    CHECK(type(authenticator, "blue wha", "token: ").error() == instancer::Errc::cancelled);
    const std::string endless(1000, 'x');
    CHECK(type(authenticator, endless, "token: ", 1000 - 257).error() == instancer::Errc::rejected);
}

TEST_CASE("prompt authenticator: blanks around a token do not count, neither typed nor in the list")
{
    PromptAuthenticator authenticator({" red fox\t", "  ", "blue whale"});
    for (const auto* text : {"red fox\n", "\t red fox \r\n", "red fox \n"}) {
        const auto admission = type(authenticator, text, "token: ");
        REQUIRE(admission);
        CHECK(admission->owner() == "red fox");
    }
    CHECK(type(authenticator, "  \n", "token: unknown token\n").error() == instancer::Errc::rejected);
}

namespace {

using namespace std::string_view_literals;

constexpr auto iac_will_echo = "\xff\xfb\x01"sv, iac_dont_echo = "\xff\xfe\x01"sv, iac_do_size = "\xff\xfd\x1f"sv,
               iac_wont_size = "\xff\xfc\x1f"sv, iac_are_you_there = "\xff\xf6"sv,
               iac_terminal_type = "\xff\xfa\x18\x00xterm\n\xff\xff\xff\xf0"sv;

std::string joined(std::initializer_list<std::string_view> parts)
{
    std::string all;
    for (const auto part : parts)
        all += part;
    return all;
}

}  // namespace

TEST_CASE("prompt authenticator: who comes with telnet is let in, and negotiates nothing")
{
    PromptAuthenticator authenticator({"blue whale"});
    const auto admitted = [&](std::initializer_list<std::string_view> typed, std::string_view answer,
                              std::size_t unread) {
        const auto admission = type(authenticator, joined(typed), joined({"token: ", answer}), unread);
        REQUIRE(admission);
        CHECK(admission->owner() == "blue whale");
    };
    admitted({"blue whale\r\0"sv}, "", 0);
    admitted({"blue whale\r\0\0ls\r\0"sv}, "", 5);
    admitted({iac_will_echo, iac_do_size, "blue whale\r\n"}, joined({iac_dont_echo, iac_wont_size}), 0);
    admitted({"blue", iac_do_size, iac_are_you_there, " whale\r\0"sv}, iac_wont_size, 0);
    admitted({iac_terminal_type, "blue whale\n"}, "", 0);
    // Answers that nobody asked for are answered by nothing: two that did so would never stop.
    admitted({iac_dont_echo, iac_wont_size, "blue whale\n"}, "", 0);
    // From then on it is the instance's business.
    admitted({"blue whale\r\n", iac_do_size}, "", iac_do_size.size());
}

TEST_CASE("prompt authenticator: without a prompt telnet is told nothing either, not even a refusal")
{
    PromptAuthenticator authenticator({"blue whale"}, "");
    const auto admission = type(authenticator, joined({iac_will_echo, iac_do_size, "blue whale\r\n"}), "", 0);
    REQUIRE(admission);
    CHECK(admission->owner() == "blue whale");
}

TEST_CASE("prompt authenticator: negotiations do not go on for ever")
{
    PromptAuthenticator authenticator({"blue whale"});
    std::string endless;
    while (endless.size() < 10'000)
        endless += iac_dont_echo;
    const auto left = type(authenticator, endless, "token: ", endless.size() - PromptAuthenticator::max_token - 1025);
    CHECK(left.error() == instancer::Errc::rejected);
}
