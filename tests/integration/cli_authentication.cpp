// SPDX-License-Identifier: MIT
// Ways to tell clients apart, as players and operators meet them.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/identity.hpp>
#include <instancer/text/split.hpp>

#include <daemon.hpp>
#include <raw_client.hpp>
#include <signed_tokens.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;
using namespace signed_tokens;

namespace {

using Words = std::vector<std::string>;

/// An instancerd that tells clients apart as `options` say, and echoes.
Words serving(const Words& options)
{
    Words words = {"exec", "--listen", "127.0.0.1:0"};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {"--", "/bin/cat"});
    return words;
}

/// Tells each of its clients its process, and keeps it until it leaves.
const std::string teller = R"(
import os, socketserver, sys
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"%d\n" % os.getpid())
        self.rfile.read()
socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
)";

/// The same with instances that serve any number of connections.
Words serving_together(const Words& options)
{
    auto words = serving(options);
    words.resize(words.size() - 2);
    words.insert(words.end(), {"--io", "port", "--", "python3", "-I", "-c", teller, "{port}"});
    return words;
}

std::string token_for(const std::string& owner, const Sign& sign, const std::string& algorithm)
{
    return web_token(R"({"alg":")" + algorithm + "\"}", R"({"sub":")" + owner + R"(","aud":"exec","exp":1e10})", sign);
}

bool is_served(RawClient& client, const std::string& line)
{
    return client.send(line + "\necho") && client.receive(4) == "echo";
}

std::string hash_of(const std::string& service, const std::string& owner)
{
    return instancer::Identity(service, owner, "").owner().hex();
}

/// What instancerd says until it ends by itself.
std::string output_of(const Words& arguments, int code)
{
    Child child(instancerd(arguments));
    CHECK(child.wait() == code);
    return child.whole_log();
}

}  // namespace

TEST_CASE("auth signed: a token that the platform has signed, typed or sent first")
{
    const TemporaryDirectory directory;
    const auto key = directory.file("key.pem", std::string(public_pem));
    const auto red = token_for("red", by_ed25519, "EdDSA");
    SUBCASE("typed")
    {
        Daemon daemon(serving({"--auth", "signed", "--auth-key", key, "--prompt", "Please input your token: "}));
        for (const auto& token : {red, red + " second", signed_id("42")}) {
            RawClient client(daemon.port());
            CHECK(client.receive(25) == "Please input your token: ");
            CHECK(is_served(client, token));
        }
        RawClient client(daemon.port());
        client.receive(25);
        client.send(token_for("red", by_secret(std::string(public_pem)), "HS256") + "\n");
        CHECK(client.receive_all() == "unknown token\n");
        CHECK_FALSE(client.ended_by_reset());
        CHECK(daemon.wait_for_line("rejected: authentication: a token whose signature no key verifies") != "");
        CHECK(daemon.wait_for_line("instance started owner=" + hash_of("exec", "red")) != "");
        CHECK(daemon.log().find(red.substr(0, 20)) == std::string::npos);
    }
    SUBCASE("sent")
    {
        Daemon daemon(serving({"--auth", "signed", "--auth-key", key, "--prompt", ""}));
        RawClient client(daemon.port());
        CHECK(is_served(client, red));
        RawClient stranger(daemon.port());
        CHECK(stranger.send(red.substr(1) + "\n"));
        CHECK(stranger.receive_all().empty());
        CHECK_FALSE(stranger.ended_by_reset());
    }
}

TEST_CASE("auth signed: keys are read again, and a wrong one leaves them as they were")
{
    const TemporaryDirectory directory;
    const std::string old_secret(32, 'o'), new_secret(32, 'n');
    const auto first = directory.file("first", old_secret), second = directory.file("second", std::string(public_pem));
    Daemon daemon(serving({"--auth", "signed", "--auth-key", first, "--auth-key", second, "--prompt", ""}));
    const auto enters = [&](const std::string& token) {
        RawClient client(daemon.port());
        return is_served(client, token);
    };
    const auto by_old = token_for("red", by_secret(old_secret), "HS256"),
               by_new = token_for("red", by_secret(new_secret), "HS256");
    CHECK(enters(by_old));
    CHECK(enters(token_for("red", by_ed25519, "EdDSA")));
    CHECK_FALSE(enters(by_new));
    directory.file("first", "short");
    daemon.signal(SIGHUP);
    CHECK(daemon.wait_for_line(first + ": holds a shared secret of 5 bytes, which can be guessed; use 32 or more; the "
                                       "keys stay as they were") != "");
    CHECK(enters(by_old));
    directory.file("first", "hex:" + instancer::to_hex(new_secret) + "\n");
    daemon.signal(SIGHUP);
    CHECK(daemon.wait_for_line("read 2 keys that tokens are signed with") != "");
    CHECK(enters(by_new));
    CHECK_FALSE(enters(by_old));
}

TEST_CASE("auth signed: check names keys that are missing, wrong, or secret and readable by all")
{
    const TemporaryDirectory directory;
    const auto check = [&](const std::string& options, int code) {
        const auto config = directory.file(
            "c.json",
            R"({"services":{"s":{"mode":"exec","listen":"127.0.0.1:1","command":["/bin/cat"])" + options + "}}}");
        return output_of({"check", "--config", config}, code);
    };
    const auto says = [](const std::string& output, const std::string& part) {
        INFO(output);
        CHECK(output.find(part) != std::string::npos);
    };
    says(check(R"(,"auth":"signed")", 2), "needs a key that tokens are signed with; add \"auth-key\": \"FILE\"");
    says(check(R"(,"auth-key":"k")", 2), "needs \"auth\": \"signed\"");
    says(check(R"(,"auth":"signed","auth-key":"none")", 2), directory.path("none") + ": No such file or directory");
    const auto secret = directory.file("secret", std::string(32, 's')),
               open = directory.file("pem", std::string(public_pem));
    const auto both = R"(,"auth":"signed","auth-key":["secret","pem"])";
    std::filesystem::permissions(open, std::filesystem::perms(0644));
    std::filesystem::permissions(secret, std::filesystem::perms(0644));
    says(check(both, 0),
         "every user of this machine can read " + secret + ", and with that secret sign tokens; chmod o-r it");
    std::filesystem::permissions(secret, std::filesystem::perms(0600));
    CHECK(check(both, 0).find("every user of this machine") == std::string::npos);
}

TEST_CASE("auth shared: all clients meet one instance, which ends when nobody needs it")
{
    Daemon daemon(serving_together({"--auth", "shared", "--linger", "100ms"}));
    RawClient one(daemon.port()), other(daemon.port(), "127.0.0.2");
    const auto instance = one.receive_line();
    CHECK(instance != "");
    CHECK(other.receive_line() == instance);
    CHECK(daemon.count("instance started") == 1);
    one.close();
    other.close();
    CHECK(daemon.wait_for_line("instance ended: unused") != "");
    RawClient later(daemon.port());
    CHECK(later.receive_line() != "");
    CHECK(daemon.count("instance started") == 2);
}

TEST_CASE("auth shared: an instance for one connection cannot be everybody's")
{
    const auto said = output_of(serving({"--auth", "shared"}), 2);
    CHECK(said.find("shared cannot work: here an instance serves one connection and goes with it; use --io port") !=
          std::string::npos);
}

TEST_CASE("auth prompt: a token and an identifier name one of several instances of an owner")
{
    const TemporaryDirectory directory;
    const auto tokens = directory.file("tokens.txt", "red fox\n");
    Daemon daemon(serving_together({"--auth", "prompt", "--tokens", tokens, "--prompt", ""}));
    const auto instance = [&](const std::string& line) {
        RawClient client(daemon.port());
        client.send(line + "\n");
        return client.receive_line();
    };
    const auto plain = instance("red fox"), second = instance("red fox 2");
    CHECK(plain != "");
    CHECK(second != plain);
    CHECK(instance("red fox") == plain);
    CHECK(instance("red fox 2") == second);
    CHECK(daemon.count("instance started owner=" + hash_of("exec", "red fox")) == 2);
}

TEST_CASE("menu: a client who is known looks at its instances, ends them, and goes on")
{
    const TemporaryDirectory directory;
    const auto tokens = directory.file("tokens.txt", "red\nblue\n");
    const std::string question = "!status, !reset, or an empty line to go on: ";
    Daemon daemon(serving_together({"--auth", "prompt", "--tokens", tokens, "--menu"}));
    const auto at_menu = [&](const std::string& token) {
        RawClient client(daemon.port());
        client.receive(7);
        client.send(token + "\n");
        CHECK(client.receive(question.size()) == question);
        return client;
    };
    auto first = at_menu("red");
    first.send("!status\n");
    CHECK(first.receive_line() == "no instance");
    CHECK(first.receive(question.size()) == question);
    first.send("!stop\n");
    CHECK(first.receive_line() == "unknown command");
    CHECK(first.receive(question.size()) == question);
    CHECK(daemon.count("instance started") == 0);
    first.send("\n");
    const auto instance = first.receive_line();
    CHECK(instance != "");

    auto other = at_menu("blue");
    other.send("!status\n!reset\n");
    CHECK(other.receive_line() == "no instance");
    CHECK(other.receive_line() == question + "0 instances end");
    auto second = at_menu("red");
    second.send("!status\n");
    CHECK(second.receive_line().find("instance 1: running, ") == 0);
    CHECK(second.receive(question.size()) == question);
    second.send("!reset\n\n");
    CHECK(second.receive_line() == "1 instance ends");
    CHECK(second.receive(question.size()) == question);
    CHECK(first.receive_all() == "");
    const auto fresh = second.receive_line();
    CHECK(fresh != "");
    CHECK(fresh != instance);
}

TEST_CASE("menu: a client extends its instances as far as the options allow")
{
    const TemporaryDirectory directory;
    const auto tokens = directory.file("tokens.txt", "red\n");
    const std::string question = "!status, !extend, !reset, or an empty line to go on: ";
    Daemon daemon(serving_together(
        {"--auth", "prompt", "--tokens", tokens, "--menu", "--ttl", "1h", "--extend", "1h", "--extend-max", "100m"}));
    const auto at_menu = [&] {
        RawClient client(daemon.port());
        client.receive(7);
        client.send("red\n");
        CHECK(client.receive(question.size()) == question);
        return client;
    };
    auto first = at_menu();
    first.send("!extend\n\n");
    CHECK(first.receive_line() == "no instance");
    CHECK(first.receive(question.size()) == question);
    CHECK(first.receive_line() != "");

    auto second = at_menu();
    second.send("!extend\n!extend\n!extend\n");
    const auto answer = [&] {
        const auto line = second.receive_line();
        CHECK(second.receive(question.size()) == question);
        return line;
    };
    CHECK(answer().find("instance 1: extended, ends in 7") == 0);
    CHECK(answer().find("instance 1: extended, ends in 9") == 0);
    CHECK(answer().find("instance 1: cannot be extended again, ends in 9") == 0);
}

TEST_CASE("menu: it takes a client who is asked, and one that goes on some time")
{
    const TemporaryDirectory directory;
    const auto tokens = directory.file("tokens.txt", "red\n");
    CHECK(output_of(serving({"--auth", "prompt", "--tokens", tokens, "--menu", "--prompt", ""}), 2)
              .find("--menu: is for clients who are asked for their token; remove it, or give --prompt a text") !=
          std::string::npos);
    CHECK(
        output_of(serving({"--menu"}), 2)
            .find("--menu: needs clients that are known by what they type: prompt, signed, webhook, ctfd or rctf; add "
                  "--auth prompt or --auth signed") != std::string::npos);
    // What a known client types is no failure to say who it is, for which it could be banned.
    Daemon daemon(serving({"--auth", "prompt", "--tokens", tokens, "--menu", "--ban-after", "1/1h"}));
    std::string lines = "red\n";
    for (int i = 0; i < 20; ++i)
        lines += "x\n";
    for (int i = 1; i <= 3; ++i) {
        RawClient client(daemon.port());
        client.send(lines);
        CHECK(client.receive_all().find("unknown command\n") != std::string::npos);
        CHECK(daemon.wait_for_line("rejected: menu: more than 20 lines", i) != "");
    }
    RawClient client(daemon.port());
    client.send("red\n" + std::string(100, 'x') + "\n");
    client.receive_all();
    CHECK(daemon.wait_for_line("rejected: menu: a line of more than 64 bytes") != "");
    CHECK(daemon.log().find("banned") == std::string::npos);
}

TEST_CASE("owners: a name behind a token stands beside the hash in the log, and in a list")
{
    const TemporaryDirectory directory;
    directory.file("tokens.txt", "red\tRed Team\nblue\n");
    directory.file("greetings.txt", "hex:" + std::string(256, '0') + "\tZeroes\n");
    const auto service = [](const std::string& how) {
        return R"({"mode":"exec","listen":"127.0.0.1:0","command":["/bin/cat"])" + how + "}";
    };
    const auto config = directory.file(
        "c.json", R"({"services":{"shell":)" + service(R"(,"auth":"prompt","tokens":"tokens.txt","prompt":"")") +
                      R"(,"web":)" + service(R"(,"auth":"token","tokens":"greetings.txt")") + R"(,"open":)" +
                      service("") + "}}");
    const auto red = hash_of("shell", "red"), blue = hash_of("shell", "blue"),
               zeroes = hash_of("web", std::string(128, '\0'));
    SUBCASE("in the log")
    {
        Daemon daemon({"run", "--config", config}, 3);
        const auto listening = daemon.wait_for_line("shell: listening on ");
        const auto port = static_cast<std::uint16_t>(std::stoi(listening.substr(listening.rfind(':') + 1)));
        RawClient client(port);
        CHECK(is_served(client, "red"));
        CHECK(daemon.wait_for_line("instance started owner=" + red + " label=Red Team") != "");
        daemon.signal(SIGUSR1);
        CHECK(daemon.wait_for_line("session is open session=1 client=127.0.0.1:" + std::to_string(client.local_port()) +
                                   " owner=" + red + " label=Red Team") != "");
        CHECK(daemon.wait_for_line("instance is running owner=" + red + " label=Red Team") != "");
        RawClient other(port);
        CHECK(is_served(other, "blue"));
        const auto line = daemon.wait_for_line("instance started owner=" + blue);
        CHECK(line.ends_with(blue));
        directory.file("tokens.txt", "red\tRed Team\nblue\tBlue Team\n");
        daemon.signal(SIGHUP);
        CHECK(daemon.wait_for_line("read 2 tokens from") != "");
        other.close();
        CHECK(daemon.wait_for_line(" owner=" + blue + " label=Blue Team") != "");
    }
    SUBCASE("in the log, up to the last line of a team that was removed")
    {
        Daemon daemon({"run", "--config", config}, 3);
        const auto listening = daemon.wait_for_line("shell: listening on ");
        const auto port = static_cast<std::uint16_t>(std::stoi(listening.substr(listening.rfind(':') + 1)));
        RawClient client(port);
        CHECK(is_served(client, "red"));
        for (const auto& [others, read] : {std::pair("blue\n", "1 token"), std::pair("blue\ngreen\n", "2 tokens")}) {
            directory.file("tokens.txt", others);
            daemon.signal(SIGHUP);
            CHECK(daemon.wait_for_line("shell: read " + std::string(read) + " from ") != "");
        }
        client.close();
        CHECK(daemon.wait_for_line("session ended: completed session=1 client=127.0.0.1:") != "");
        CHECK(daemon.wait_for_line("instance ended: ") != "");
        const auto log = daemon.log();
        CHECK(log.find("owner=" + red) != std::string::npos);
        for (const auto& line : instancer::split(log, '\n'))
            if (line.find("owner=" + red) != std::string::npos)
                CHECK_MESSAGE(line.find("owner=" + red + " label=Red Team") != std::string::npos, line);
    }
    SUBCASE("in a list")
    {
        const auto list = output_of({"owners", "--config", config}, 0);
        CHECK(list.size() == 3 * 32 + std::string("\tshell\tRed Team\n\tshell\t\n\tweb\tZeroes\n").size());
        for (const auto& line : {red + "\tshell\tRed Team\n", blue + "\tshell\t\n", zeroes + "\tweb\tZeroes\n"})
            CHECK(list.find(line) != std::string::npos);
    }
}
