// SPDX-License-Identifier: MIT
// The 130-byte greeting, by script: in whatever segments it comes.
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/authenticator/token.hpp>
#include <instancer/test/fake_stream.hpp>

#include "async_test.hpp"

using namespace async_test;
using instancer::Admission;
using instancer::ClientInfo;
using instancer::Errc;
using instancer::Result;
using instancer::Stream;
using instancer::Token;
using instancer::TokenAuthenticator;
using instancer::test::FakePeer;

namespace {

/// Every byte value occurs in one of these, zero bytes first.
std::string token_bytes(unsigned number)
{
    std::string bytes;
    for (unsigned i = 0; i < Token::size; ++i)
        bytes += static_cast<char>(i + 128 * number);
    return bytes;
}

const std::string token = token_bytes(0);
const std::string id("\x01\x02", 2);
const std::string early = "first bytes of the application";

/// One client and its greeting.
class Greeting {
public:
    explicit Greeting(TokenAuthenticator& authenticator) : peer(loop.executor()), stream(peer.take_stream())
    {
        task.emplace(loop.start(authenticator.authenticate(stream, info)));
        loop.settle();
    }

    /// Each part is a segment of its own and is read before the next one is sent.
    Result<Admission>& send(const std::vector<std::string>& segments)
    {
        for (const auto& segment : segments) {
            peer.send(segment);
            loop.settle();
        }
        return task->value();
    }

    /// What is left in the stream, for the instance.
    std::string rest()
    {
        std::string all;
        while (peer.unread() + stream.unread_size() != 0)
            all += try_read(stream, 7);
        return all;
    }

    Loop loop;
    FakePeer peer;
    Stream stream;
    ClientInfo info;
    std::optional<Task<Result<Admission>>> task;
};

std::vector<Token> accepted() { return {Token(token_bytes(0)), Token(token_bytes(1))}; }

/// Admitted as (token, id), and what follows the greeting is left for the instance, whole.
void check_segments(const std::vector<std::string>& segments, const std::string& following)
{
    TokenAuthenticator authenticator(accepted());
    Greeting greeting(authenticator);
    auto& admission = greeting.send(segments);
    REQUIRE(admission);
    REQUIRE(admission->owner() == token);
    REQUIRE(admission->identifier() == id);
    REQUIRE_FALSE(admission->reset());
    REQUIRE(greeting.rest() == following);
    REQUIRE(greeting.peer.received().empty());
    REQUIRE(admission->banner().empty());
    REQUIRE(admission->on_refusal(instancer::Error(Errc::full)).empty());
}

}  // namespace

TEST_CASE("token authenticator: every split into two segments")
{
    const auto all = token + id + early;
    for (std::size_t cut = 1; cut <= all.size(); ++cut)
        check_segments({all.substr(0, cut), all.substr(cut)}, early);
}

TEST_CASE("token authenticator: one segment, with and without what follows")
{
    check_segments({token + id}, "");
    check_segments({token + id + early}, early);
}

TEST_CASE("token authenticator: a segment for each byte")
{
    std::vector<std::string> segments;
    for (const char byte : token + id + early)
        segments.emplace_back(1, byte);
    check_segments(segments, early);
}

TEST_CASE("token authenticator: segments of random sizes")
{
    std::mt19937 random(1);
    for (int round = 0; round < 300; ++round) {
        auto rest = token + id + early;
        std::vector<std::string> segments;
        while (!rest.empty()) {
            segments.push_back(rest.substr(0, 1 + random() % (1u << random() % 7)));
            rest.erase(0, segments.back().size());
        }
        check_segments(segments, early);
    }
}

TEST_CASE("token authenticator: an identifier of any two bytes but the reset identifier")
{
    TokenAuthenticator authenticator(accepted());
    for (int byte = 0; byte < 256; ++byte)
        for (const bool first : {false, true}) {
            std::string identifier("\0\0", 2);
            identifier[first ? 0 : 1] = static_cast<char>(byte);
            Greeting greeting(authenticator);
            auto& admission = greeting.send({token_bytes(1) + identifier});
            REQUIRE(admission);
            REQUIRE(admission->owner() == token_bytes(1));
            REQUIRE(admission->identifier() == identifier);
            REQUIRE(admission->reset() == (byte == 0));
            REQUIRE(admission->returning());
        }
}

TEST_CASE("token authenticator: another reset identifier")
{
    TokenAuthenticator authenticator(accepted(), {1, 2});
    Greeting reset(authenticator), plain(authenticator);
    CHECK(reset.send({token + id})->reset());
    CHECK_FALSE(plain.send({token + std::string("\0\0", 2)})->reset());
}

TEST_CASE("token authenticator: an unknown token is rejected, wherever it differs, and hears nothing")
{
    TokenAuthenticator authenticator(accepted());
    for (std::size_t at = 0; at < Token::size; ++at) {
        auto wrong = token;
        wrong[at] = static_cast<char>(wrong[at] ^ 1);
        Greeting greeting(authenticator);
        auto& admission = greeting.send({wrong + id});
        REQUIRE_FALSE(admission);
        REQUIRE(admission.error() == Errc::rejected);
        REQUIRE(admission.error().message().find(wrong.substr(40, 20)) == std::string::npos);
        REQUIRE(greeting.peer.received().empty());
    }
    TokenAuthenticator nobody(std::vector<Token>{});
    Greeting greeting(nobody);
    CHECK(greeting.send({token + id}).error() == Errc::rejected);
}

TEST_CASE(
    "token authenticator: a client that leaves before the end of its greeting is not admitted, however much of it came")
{
    TokenAuthenticator authenticator(accepted());
    for (std::size_t size = 0; size < Token::size + 2; ++size) {
        Greeting greeting(authenticator);
        greeting.peer.send((token + id).substr(0, size));
        greeting.loop.settle();
        REQUIRE_FALSE(greeting.task->done());
        greeting.peer.shutdown_send();
        greeting.loop.settle();
        REQUIRE(greeting.task->value().error() == Errc::cancelled);
        REQUIRE(greeting.peer.received().empty());
    }
}

TEST_CASE("token authenticator: a half-close after the greeting is none of its business")
{
    TokenAuthenticator authenticator(accepted());
    Greeting greeting(authenticator);
    greeting.peer.send(token + id + "x");
    greeting.peer.shutdown_send();
    greeting.loop.settle();
    CHECK(greeting.task->value());
    CHECK(greeting.rest() == "x");
    CHECK(try_read(greeting.stream) == "eof");
}

TEST_CASE("token authenticator: a reset is reported as what it is")
{
    TokenAuthenticator authenticator(accepted());
    Greeting greeting(authenticator);
    greeting.peer.send("abc");
    greeting.loop.settle();
    greeting.peer.reset();
    greeting.loop.settle();
    CHECK(greeting.task->value().error() == std::error_code(asio::error::connection_reset));
}

TEST_CASE("token authenticator: whoever has no patience cancels")
{
    TokenAuthenticator authenticator(accepted());
    Greeting greeting(authenticator);
    greeting.peer.send(token);
    greeting.loop.settle();
    SUBCASE("from outside")
    {
        greeting.task->cancel();
        greeting.loop.settle();
        CHECK(greeting.task->value().error() == std::error_code(asio::error::operation_aborted));
    }
    SUBCASE("already cancelled")
    {
        auto task = greeting.loop.start_cancelled(authenticator.authenticate(greeting.stream, greeting.info));
        greeting.loop.settle();
        CHECK(task.value().error() == std::error_code(asio::error::operation_aborted));
    }
}

TEST_CASE("token authenticator: tokens are replaced while it works")
{
    TokenAuthenticator authenticator(accepted());
    Greeting begun(authenticator);
    begun.peer.send(token);
    begun.loop.settle();
    authenticator.set_tokens({Token(token_bytes(1))});
    CHECK(begun.send({id}).error() == Errc::rejected);
    Greeting later(authenticator);
    CHECK(later.send({token_bytes(1) + id}));
}
