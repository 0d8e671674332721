// SPDX-License-Identifier: MIT
#include <daemon.hpp>
#include <raw_client.hpp>

#include <chrono>
#include <string>

#include <instancer/hmac.hpp>

using daemon_test::Child;
using daemon_test::RawClient;

namespace {

/// An example that is running, on a port of its choice.
class Example {
public:
    explicit Example(const std::string& path, const std::vector<std::string>& environment = {})
        : child_({path}, environment)
    {
        const auto address = child_.wait_for_line("127.0.0.1:");
        REQUIRE(address != "");
        port_ = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
    }

    RawClient connect() const { return RawClient(port_); }
    const Child& child() const noexcept { return child_; }

private:
    Child child_;
    std::uint16_t port_ = 0;
};

std::string claim(std::chrono::system_clock::duration from_now)
{
    const auto until = std::chrono::system_clock::now() + from_now;
    return "alice " + std::to_string(std::chrono::system_clock::to_time_t(until));
}

}  // namespace

TEST_CASE("HMAC-SHA-256 is that of RFC 4231")
{
    using instancer::hmac_sha256;
    CHECK(hmac_sha256(std::string(20, '\x0b'), "Hi There") ==
          "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    CHECK(hmac_sha256("Jefe", "what do ya want for nothing?") ==
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    CHECK(hmac_sha256(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First") ==
          "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST_CASE("the example of a lobby speaks its own protocol before the game does")
{
    const Example lobby(EXAMPLE_LOBBY);
    auto first = lobby.connect();
    first.send("hello\nwho\nplay chess\nmy move\n");
    CHECK(first.receive_line() == "-who, or play NAME");
    CHECK(first.receive_line() == "0");
    CHECK(first.receive_line() == "+ok");
    CHECK(first.receive_line() == "my move");
    auto second = lobby.connect();
    second.send("who\nplay go\nstone\n");
    CHECK(second.receive_line() == "1");
    CHECK(second.receive_line() == "+ok");
    CHECK(second.receive_line() == "stone");
    auto third = lobby.connect();
    third.send("play poker\n");
    CHECK(third.receive_line() == "-no instance is free");
    CHECK(third.receive_all() == "");
}

TEST_CASE("the example of signed tokens lets in who shows one, until it expires")
{
    using namespace std::chrono_literals;
    const Example server(EXAMPLE_SIGNED_TOKEN, {"SIGNING_KEY=secret"});
    const auto answer = [&](const std::string& text) {
        auto client = server.connect();
        client.send(text + "\nhello\n");
        client.half_close();
        return client.receive_all();
    };
    const auto good = claim(1h), old = claim(-1s);
    CHECK(answer(good + " " + instancer::hmac_sha256("secret", good)) == "hello\n");
    CHECK(answer(good + " " + instancer::hmac_sha256("guess", good)) == "");
    CHECK(server.child().wait_for_line("a wrong signature") != "");
    CHECK(answer("bob" + good.substr(5) + " " + instancer::hmac_sha256("secret", good)) == "");
    CHECK(answer(old + " " + instancer::hmac_sha256("secret", old)) == "");
    CHECK(server.child().wait_for_line("an expired token") != "");
    CHECK(answer("") == "");
    CHECK(server.child().wait_for_line("not a token") != "");
}

TEST_CASE("the example of signed tokens does not start without a key")
{
    Child child({EXAMPLE_SIGNED_TOKEN}, {"SIGNING_KEY="});
    CHECK(child.wait() == 2);
}

TEST_CASE("the example of a backend keeps a counter for each address")
{
    const Example server(EXAMPLE_IN_PROCESS);
    auto first = server.connect();
    first.send("up\nup\n");
    CHECK(first.receive_line() == "1");
    CHECK(first.receive_line() == "2");
    auto second = server.connect();
    second.send("up\n");
    CHECK(second.receive_line() == "3");
}
