// SPDX-License-Identifier: MIT
// Ways to tell clients apart, as players and operators meet them.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/identity.hpp>

#include <daemon.hpp>
#include <raw_client.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;

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
    SUBCASE("in a list")
    {
        const auto list = output_of({"owners", "--config", config}, 0);
        CHECK(list.size() == 3 * 32 + std::string("\tshell\tRed Team\n\tshell\t\n\tweb\tZeroes\n").size());
        for (const auto& line : {red + "\tshell\tRed Team\n", blue + "\tshell\t\n", zeroes + "\tweb\tZeroes\n"})
            CHECK(list.find(line) != std::string::npos);
    }
}
