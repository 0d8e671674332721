// SPDX-License-Identifier: MIT
// instancerd asks for proofs of work, which `instancerd pow solve` gives.
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/text/hex.hpp>

#include <daemon.hpp>
#include <pcap_reader.hpp>
#include <raw_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;
using service_test::eventually;

namespace {

using Words = std::vector<std::string>;

const std::string disabled = "== proof-of-work: disabled ==\n";

/// An instancerd with these options, whose instances echo.
Words echoing(const Words& options)
{
    Words words = {"exec", "--listen", "127.0.0.1:0"};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {"--", "/bin/cat"});
    return words;
}

/// The same with one instance for all connections of an owner.
Words sharing(const Words& options)
{
    const std::string program = "import socketserver, sys\n"
                                "class Echo(socketserver.BaseRequestHandler):\n"
                                "    def handle(self):\n"
                                "        while data := self.request.recv(4096):\n"
                                "            self.request.sendall(data)\n"
                                "address = ('127.0.0.1', int(sys.argv[1]))\n"
                                "socketserver.ThreadingTCPServer(address, Echo).serve_forever()\n";
    Words words = {"exec", "--listen", "127.0.0.1:0", "--io", "port"};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {"--", "python3", "-c", program, "{port}"});
    return words;
}

/// What `instancerd pow` prints, and its exit code.
std::pair<std::string, int> pow(const Words& words)
{
    Words all = {"pow"};
    all.insert(all.end(), words.begin(), words.end());
    Child child(instancerd(all));
    const auto code = child.wait();
    REQUIRE(code);
    auto text = child.whole_log();
    if (!text.empty() && text.back() == '\n')
        text.pop_back();
    return {text, *code};
}

/// Reads kCTF's question; the challenge.
std::string challenge_for(RawClient& client)
{
    std::string text;
    while (text.find("Solution? ") == text.npos) {
        const auto byte = client.receive(1);
        REQUIRE_MESSAGE(byte.size() == 1, "no question: " << text);
        text += byte;
    }
    const auto begin = text.rfind(" solve ") + 7;
    return text.substr(begin, text.find('\n', begin) - begin);
}

bool prove(RawClient& client)
{
    client.send(pow({"solve", challenge_for(client)}).first + "\n");
    return client.receive(8) == "Correct\n";
}

bool echoes(RawClient& client)
{
    client.send("ping");
    return client.receive(4) == "ping";
}

/// A key pair for health checks.
class HealthCheck {
public:
    HealthCheck(const TemporaryDirectory& directory, const std::string& name)
        : directory_(directory), key_(directory.path(name + "-key.pem")), public_key_(directory.path(name + ".pem"))
    {
        openssl("ecparam -name prime256v1 -genkey -noout -out " + key_);
        openssl("pkey -in " + key_ + " -pubout -out " + public_key_);
    }

    const std::string& public_key() const { return public_key_; }

    std::string answer_to(const std::string& challenge) const
    {
        const auto signature = directory_.path("signature");
        openssl("dgst -sha256 -sign " + key_ + " -out " + signature + " " + directory_.file("challenge", challenge));
        return "b." + instancer::to_hex(contents_of(signature));
    }

    /// What a client gets that signs instead of solving.
    std::string signs(const Daemon& daemon) const
    {
        RawClient client(daemon.port());
        client.send(answer_to(challenge_for(client)) + "\n");
        return client.receive(8);
    }

private:
    static void openssl(const std::string& arguments)
    {
        REQUIRE(std::system(("openssl " + arguments + " 2>/dev/null").c_str()) == 0);
    }

    const TemporaryDirectory& directory_;
    std::string key_, public_key_;
};

/// A client that is asked for nothing and told nothing.
bool is_turned_away(RawClient& client) { return client.receive_all().empty() && client.ended_by_reset(); }

}  // namespace

TEST_CASE("proof of work: asked before a start, and not of a client that comes back to its instance")
{
    Daemon daemon(sharing({"--auth", "source", "--pow", "20ms"}));
    RawClient first(daemon.port());
    CHECK(prove(first));
    CHECK(echoes(first));
    RawClient second(daemon.port());
    CHECK(second.receive(disabled.size()) == disabled);
    CHECK(echoes(second));
    first.close();
    second.half_close();
    CHECK(second.receive_all().empty());
    RawClient third(daemon.port());
    CHECK(third.receive(disabled.size()) == disabled);
    CHECK(echoes(third));
    CHECK(daemon.count("instance started") == 1);
    // Somebody else has none.
    RawClient other(daemon.port(), "127.0.0.2");
    CHECK(prove(other));
    CHECK(echoes(other));
}

TEST_CASE("proof of work: for a warm instance too")
{
    Daemon daemon(echoing({"--pow", "20ms", "--warm", "1"}));
    REQUIRE(daemon.wait_for_line("instance started") != "");
    RawClient client(daemon.port());
    CHECK(prove(client));
    CHECK(echoes(client));
}

TEST_CASE("proof of work: the socket is handed over without the proof, and with all that follows it")
{
    Daemon daemon(echoing({"--io", "socket", "--pow", "20ms"}));
    RawClient client(daemon.port());
    const auto solution = pow({"solve", challenge_for(client)}).first;
    client.send(solution + "\nping");
    CHECK(client.receive(12) == "Correct\nping");
}

TEST_CASE("proof of work: asked of every connection before anything else")
{
    const TemporaryDirectory directory;
    const auto tokens = directory.file("tokens.txt", "secret\n");
    Daemon daemon(sharing({"--auth", "prompt", "--tokens", tokens, "--pow", "20ms", "--pow-for", "connect"}));
    for (int i = 0; i < 2; ++i) {
        RawClient client(daemon.port());
        CHECK(prove(client));
        CHECK(client.receive(7) == "token: ");
        client.send("secret\n");
        CHECK(echoes(client));
    }
    CHECK(daemon.count("instance started") == 1);
}

TEST_CASE("proof of work: asked of the clients of upstreams")
{
    Daemon upstream(echoing({}));
    Daemon daemon({"forward", "--listen", "127.0.0.1:0", "--to", upstream.address(), "--pow", "20ms"});
    RawClient client(daemon.port());
    CHECK(prove(client));
    CHECK(echoes(client));
}

TEST_CASE("proof of work: a wrong answer starts nothing and is not in the log")
{
    Daemon daemon(echoing({"--pow", "20ms", "--log-level", "debug"}));
    RawClient client(daemon.port());
    challenge_for(client);
    client.send("s.c2VjcmV0\n");
    CHECK(client.receive_all() == "Proof-of-work fail\npow fail\n");
    CHECK(client.ended_in_order());
    CHECK(daemon.wait_for_line("session ended: rejected") != "");
    CHECK(daemon.wait_for_line("proof of work: a wrong answer") != "");
    CHECK(daemon.terminate() == 0);
    CHECK(daemon.count("instance started") == 0);
    CHECK(daemon.whole_log().find("c2VjcmV0") == std::string::npos);
}

TEST_CASE("proof of work: a client that takes too long")
{
    Daemon daemon(echoing({"--pow", "10s", "--pow-timeout", "100ms"}));
    RawClient client(daemon.port());
    challenge_for(client);
    CHECK(client.receive_all().empty());
    CHECK(client.ended_in_order());
    CHECK(daemon.wait_for_line("proof of work: the client took too long") != "");
}

TEST_CASE("proof of work: health checks sign the challenge")
{
    const TemporaryDirectory directory;
    const HealthCheck check(directory, "check");
    Daemon daemon(echoing({"--pow", "1h", "--pow-bypass", check.public_key()}));
    RawClient client(daemon.port());
    const auto challenge = challenge_for(client);
    client.send(check.answer_to(challenge) + "\n");
    CHECK(client.receive(8) == "Correct\n");
    CHECK(echoes(client));
    // Of another challenge.
    RawClient other(daemon.port());
    challenge_for(other);
    other.send(check.answer_to(challenge) + "\n");
    CHECK(other.receive_all() == "Proof-of-work fail\npow fail\n");
}

TEST_CASE("proof of work: the key for health checks is read again on SIGHUP, unless it is wrong")
{
    const TemporaryDirectory directory;
    const HealthCheck before(directory, "before"), after(directory, "after");
    const auto file = directory.file("public.pem", contents_of(before.public_key()));
    Daemon daemon(echoing({"--pow", "100ms", "--pow-bypass", file}));
    CHECK(before.signs(daemon) == "Correct\n");
    directory.file("public.pem", "no key");
    daemon.signal(SIGHUP);
    CHECK(daemon.wait_for_line("the key of health checks stays as it was").find(file) != std::string::npos);
    CHECK(before.signs(daemon) == "Correct\n");
    directory.file("public.pem", contents_of(after.public_key()));
    daemon.signal(SIGHUP);
    CHECK(daemon.wait_for_line("read the key of health checks from " + file) != "");
    CHECK(after.signs(daemon) == "Correct\n");
    CHECK(before.signs(daemon) == "Proof-of");
}

TEST_CASE("proof of work: a client that would be refused all the same is refused at once")
{
    SUBCASE("all instances are in use")
    {
        Daemon daemon(echoing({"--pow", "20ms", "--max-instances", "1"}));
        RawClient first(daemon.port());
        CHECK(prove(first));
        CHECK(echoes(first));
        RawClient second(daemon.port());
        CHECK(is_turned_away(second));
        CHECK(daemon.wait_for_line("refused: the service has as many as it may have (max-instances)") != "");
    }
    SUBCASE("its owner starts too many in a time")
    {
        Daemon daemon(echoing({"--pow", "20ms", "--start-rate", "1/1h"}));
        RawClient first(daemon.port());
        CHECK(prove(first));
        RawClient second(daemon.port());
        CHECK(is_turned_away(second));
        CHECK(daemon.wait_for_line("refused: start rate: ") != "");
        RawClient other(daemon.port(), "127.0.0.2");
        CHECK(prove(other));
    }
}

TEST_CASE("proof of work: a client that waits in the queue has proved its work before")
{
    Daemon daemon(echoing({"--pow", "20ms", "--max-instances", "1", "--when-full", "queue"}));
    RawClient first(daemon.port()), second(daemon.port());
    CHECK(prove(first));
    CHECK(echoes(first));
    CHECK(prove(second));
    first.close();
    CHECK(echoes(second));
}

TEST_CASE("proof of work: one client too many that owes it resets the oldest of the source that has most")
{
    Daemon daemon(echoing({"--pow", "20ms", "--max-proving", "2"}));
    RawClient other(daemon.port(), "127.0.0.2");
    const auto challenge = challenge_for(other);
    RawClient first(daemon.port());
    challenge_for(first);
    RawClient second(daemon.port());
    const auto second_challenge = challenge_for(second);
    CHECK(is_turned_away(first));
    other.send(pow({"solve", challenge}).first + "\n");
    CHECK(other.receive(8) == "Correct\n");
    second.send(pow({"solve", second_challenge}).first + "\n");
    CHECK(second.receive(8) == "Correct\n");
}

TEST_CASE("proof of work: nothing is asked while it is calm; the price rises with what is short, and the log says why")
{
    Daemon daemon(echoing({"--pow-max", "20ms", "--max-instances", "2"}));
    std::vector<RawClient> clients;
    for (int i = 0; i < 2; ++i) {
        auto& client = clients.emplace_back(daemon.port());
        CHECK(client.receive(disabled.size()) == disabled);
        CHECK(echoes(client));
    }
    CHECK(daemon.wait_for_line("a proof of work now takes 20ms of a solver's time: 2 of 2 instances are in use") != "");
    clients.pop_back();
    // Until then a client would be refused before it is asked.
    REQUIRE(daemon.wait_for_line("instance ended") != "");
    RawClient client(daemon.port());
    CHECK(prove(client));
    CHECK(echoes(client));
}

TEST_CASE("proof of work: a source that fails pays, and others do not")
{
    Daemon daemon(echoing({"--pow-max", "40ms", "--pow", "1ms"}));
    const auto difficulty = [&](const char* from) {
        RawClient client(daemon.port(), from);
        const auto challenge = challenge_for(client);
        client.send("s.AAAB\n");
        CHECK(client.receive_all() == "Proof-of-work fail\npow fail\n");
        return challenge.substr(0, challenge.rfind('.'));
    };
    {
        // To leave is no failure.
        RawClient leaving(daemon.port());
        challenge_for(leaving);
    }
    REQUIRE(daemon.wait_for_line("the client left before it had answered") != "");
    const auto first = difficulty("127.0.0.1");
    REQUIRE(daemon.wait_for_line("proof of work: a wrong answer") != "");
    CHECK(difficulty("127.0.0.1") != first);
    CHECK(difficulty("127.0.0.2") == first);
}

TEST_CASE("pow: solves and checks the challenge of every style")
{
    const std::string hxp =
        "please give S such that sha256(unhex(\"541ca361107f4a2a\" + S)) ends with 5 zero bits (see "
        "pow-solver.cpp).";
    for (const auto& challenge :
         {std::string("s.AAAB.AQIDBAUGBwgJCgsMDQ4P"), std::string("s.AAAAAQ==.AQIDBAUGBwgJCgsMDQ4P"), hxp,
          std::string("hashcash -mb10 0123456789abcdef")}) {
        CAPTURE(challenge);
        const auto [answer, code] = pow({"solve", challenge});
        CHECK(code == 0);
        CHECK(pow({"check", challenge, answer}) == std::pair(std::string("right"), 0));
        CHECK(pow({"check", challenge, "x"}) == std::pair(std::string("wrong"), 1));
    }
    CHECK(pow({"solve", "hashcash", "-mb10", "foo"}).second == 0);
    for (const std::string question :
         {"python3 <(curl -sSL https://goo.gle/kctf-pow) solve ", "curl -sSfL https://pwn.red/pow | sh -s "}) {
        const auto line = question + "s.AAAB.AQIDBAUGBwgJCgsMDQ4P";
        const auto [answer, code] = pow({"solve", line});
        CHECK(code == 0);
        CHECK(pow({"check", line, answer}) == std::pair(std::string("right"), 0));
    }
    CHECK(pow({"solve", "foo"}) ==
          std::pair(std::string("instancerd: 'foo' is no challenge; instancerd pow --help shows the forms"), 2));
    CHECK(pow({"solve"}).second == 2);
    CHECK(pow({"check", "s.AAAB.AQIDBAUGBwgJCgsMDQ4P"}).second == 2);
    CHECK(pow({}).second == 2);
    const auto help = pow({"--help"}).first;
    CHECK(help.starts_with("Usage: instancerd pow solve CHALLENGE"));
    CHECK(help.ends_with("\n  instancerd pow solve s.AAAB.AQIDBAUGBwgJCgsMDQ4P\n"
                         "  instancerd pow solve hashcash -mb20 2f9c1ab0"));
}
