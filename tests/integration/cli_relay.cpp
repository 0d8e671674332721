// SPDX-License-Identifier: MIT
// instancerd relay, with clients that know its protocol only from its description.
#include <algorithm>
#include <array>
#include <atomic>
#include <fstream>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <daemon.hpp>
#include <forward.hpp>
#include <raw_client.hpp>
#include <relay_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;
using service_test::eventually;

namespace {

Words relay(const Words& more = {})
{
    Words words = {"relay", "--listen", "127.0.0.1:0", "--auth-string", "hi"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

/// Bytes that repeat nowhere near, so that a lost or doubled piece shows.
std::string noise(std::size_t size, unsigned seed)
{
    std::mt19937 random(seed);
    std::string bytes(size, '\0');
    for (auto& byte : bytes)
        byte = static_cast<char>(random());
    return bytes;
}

/// What a client hears that says `words` in as many segments.
std::string answer(const Daemon& daemon, const Words& words)
{
    RelayClient client(daemon.port());
    for (const auto& word : words)
        client.send(word);
    auto heard = client.receive_all();
    CHECK(client.ended_in_order());
    return heard;
}

}  // namespace

TEST_CASE("relay: a pair meets in a channel, however the handshake comes")
{
    Daemon daemon(relay({"--digit-pause", "100ms"}));
    RelayClient waiting(daemon.port());
    CHECK(waiting.banner() == "4-BounceServer_1.0");
    CHECK(waiting.receives_nothing());
    waiting.send("h");
    waiting.send("i0");
    waiting.send("02a");
    CHECK(waiting.receive(5) == "READY");

    SUBCASE("in one segment, with data at once")
    {
        RelayClient other(daemon.port());
        other.send("hi002Adata");
        CHECK(other.receive(5) == "READY");
        CHECK(waiting.receive(4) == "data");
        waiting.send("back");
        CHECK(other.receive(4) == "back");
    }
    SUBCASE("fewer digits, which another byte ends")
    {
        RelayClient other(daemon.port());
        other.send("hi2A\nx");
        CHECK(other.receive(5) == "READY");
        CHECK(waiting.receive(2) == "\nx");
    }
    SUBCASE("fewer digits, which a pause ends")
    {
        RelayClient other(daemon.port());
        other.send("hi2a");
        CHECK(other.receive(5) == "READY");
        other.send("abc");
        CHECK(waiting.receive(3) == "abc");
    }
    SUBCASE("another channel is another one")
    {
        RelayClient other(daemon.port(), "hi", "002b"), third(daemon.port(), "hi", "002b");
        other.send("x");
        CHECK(third.receive(1) == "x");
        CHECK(waiting.receives_nothing());
    }
}

TEST_CASE("relay: who says something wrong is told so")
{
    Daemon daemon(relay({"--max-pairs", "4096", "--auth-timeout", "300ms"}));
    CHECK(answer(daemon, {"ho0001"}) == "Authentication failure");
    CHECK(answer(daemon, {"x", "y"}) == "Authentication failure");
    CHECK(answer(daemon, {"hi", "1001"}) == "Failed to negotiate channel number");
    CHECK(answer(daemon, {"hi."}) == "Failed to negotiate channel number");
    // Not in time, wherever they stop.
    CHECK(answer(daemon, {}) == "");
    CHECK(answer(daemon, {"h"}) == "");
    CHECK(answer(daemon, {"hi"}) == "");
    CHECK(daemon.wait_for_line("session ended: authentication timeout", 3) != "");
    RelayClient largest(daemon.port(), "hi", "1000");

    RelayClient a(daemon.port(), "hi", "0001"), b(daemon.port(), "hi", "0001");
    CHECK(answer(daemon, {"hi0001"}) == "Connection Group Full");
    CHECK(daemon.wait_for_line("refused: channel 1 is full: it has all 2 members that it may have") != "");
    b.close();
    REQUIRE(daemon.wait_for_line("left channel 1,") != "");
    CHECK(eventually([&] {
        RelayClient again(daemon.port());
        again.send("hi0001");
        return again.receive(5) == "READY";
    }));
    CHECK(daemon.log().find("hi0001") == std::string::npos);
}

TEST_CASE("relay: the dialect of the original's documentation")
{
    Daemon daemon(relay({"--dialect", "documentation", "--max-pairs", "65536"}));
    RawClient a(daemon.port()), b(daemon.port());
    CHECK(a.receive(18) == "5-BounceServer_1.0");
    CHECK(b.receive(18) == "5-BounceServer_1.0");
    a.send("hi00001");
    REQUIRE(daemon.wait_for_line("joined channel 1, members: 1") != "");
    b.send("hi00001text");
    CHECK(a.receive(4) == "text");
    a.send("answer");
    CHECK(b.receive(6) == "answer");
}

TEST_CASE("relay: many channels on several threads, all bytes to all others")
{
    constexpr std::size_t channels = 6, members = 4, size = 700'000;
    Daemon daemon(relay({"--threads", "3", "--max-connections", "4"}));
    std::atomic<int> right = 0;
    {
        std::vector<std::jthread> threads;
        for (std::size_t channel = 0; channel < channels; ++channel) {
            const auto number = "000" + std::to_string(channel);
            auto clients = std::make_shared<std::vector<std::unique_ptr<RelayClient>>>();
            for (std::size_t i = 0; i < members; ++i)
                clients->push_back(std::make_unique<RelayClient>(daemon.port(), "hi", number));
            const auto text = std::make_shared<std::string>(noise(size, static_cast<unsigned>(channel)));
            threads.emplace_back([=] { clients->front()->send(*text); });
            for (std::size_t i = 1; i < members; ++i)
                threads.emplace_back([=, &right] { right += (*clients)[i]->receive(size) == *text ? 1 : 0; });
        }
    }
    CHECK(right == channels * (members - 1));
}

TEST_CASE("relay: echo, and a common total limit")
{
    Daemon daemon(relay({"-e", "--max-total", "2"}));
    RelayClient a(daemon.port(), "hi", "0001");
    a.send("alone");
    CHECK(a.receive(5) == "alone");
    RelayClient b(daemon.port(), "hi", "0001");
    b.send("both");
    CHECK(a.receive(4) == "both");
    CHECK(b.receive(4) == "both");
    RawClient third(daemon.port());
    CHECK(third.receive_all() == "");
    CHECK(third.ended_by_reset());
}

TEST_CASE("relay: a member that does not read holds up the sender, and loses nothing")
{
    Daemon daemon(relay({"--max-connections", "3"}));
    RelayClient sender(daemon.port(), "hi", "0001"), reader(daemon.port(), "hi", "0001");
    auto slow = std::make_unique<RelayClient>(daemon.port(), "hi", "0001");
    const auto text = noise(40'000'000, 1);
    std::jthread sending([&] { sender.send(text); });
    SUBCASE("until it reads")
    {
        // The reader comes to a stop, because the sender is read no more.
        std::string seen = reader.receive(100'000);
        std::jthread reading([&] { seen += reader.receive(text.size() - seen.size()); });
        CHECK((slow->receive(text.size()) == text));
        reading.join();
        CHECK((seen == text));
    }
    SUBCASE("until it goes")
    {
        CHECK((slow->receive(1'000'000) == text.substr(0, 1'000'000)));
        slow->reset();
        CHECK((reader.receive(text.size()) == text));
    }
}

TEST_CASE("relay: a member that does not read is disconnected by the other policies, and the others get everything")
{
    Words policy;
    std::string why;
    SUBCASE("after a time")
    {
        policy = {"--slow", "disconnect", "--slow-timeout", "300ms"};
        why = "the others have waited for it for too long";
    }
    SUBCASE("by what is queued")
    {
        policy = {"--slow", "queue", "--slow-queue", "8m"};
        why = "too much is queued for it";
    }
    policy.insert(policy.end(), {"--max-connections", "3"});
    Daemon daemon(relay(policy));
    RelayClient sender(daemon.port(), "hi", "0001"), reader(daemon.port(), "hi", "0001"),
        slow(daemon.port(), "hi", "0001");
    const auto text = noise(40'000'000, 1);
    constexpr std::size_t piece = 250'000;
    bool right = true;
    for (std::size_t i = 0; i < text.size(); i += piece)
        right = right && sender.send(text.substr(i, piece)) && reader.receive(piece) == text.substr(i, piece);
    CHECK(right);
    CHECK(daemon.wait_for_line("is disconnected from channel 1: " + why) != "");
    const auto before = slow.receive_all();
    CHECK(slow.ended_by_reset());
    CHECK((text.starts_with(before)));
}

TEST_CASE("relay: what is sent alone is held for who joins, by option, after the sender has gone too")
{
    Daemon daemon(relay({"--alone", "hold", "--alone-limit", "100k"}));
    RelayClient sender(daemon.port(), "hi", "0001");
    const auto text = noise(50'000, 1);
    sender.send(text);
    sender.half_close();
    REQUIRE(daemon.wait_for_line("joined channel 1") != "");
    RelayClient receiver(daemon.port(), "hi", "0001");
    CHECK((receiver.receive(text.size()) == text));
    CHECK(sender.receive_all() == "");
    CHECK(sender.ended_in_order());
}

TEST_CASE("relay: the end of a member's sending: it leaves, or it stays and listens")
{
    bool stays = false;
    SUBCASE("leaves") {}
    SUBCASE("stays") { stays = true; }
    Daemon daemon(relay(stays ? Words{"--half-close", "stay"} : Words{}));
    RelayClient a(daemon.port(), "hi", "0001"), b(daemon.port(), "hi", "0001");
    a.send("last words");
    a.half_close();
    CHECK(b.receive(10) == "last words");
    if (!stays) {
        CHECK(a.receive_all() == "");
        CHECK(a.ended_in_order());
        RelayClient next(daemon.port(), "hi", "0001");
        b.send("go on");
        CHECK(next.receive(5) == "go on");
    } else {
        b.send("answer");
        CHECK(a.receive(6) == "answer");
        a.reset();
    }
}

TEST_CASE("relay: where ends pass, nc sends a file and gets its answer, and the channel is free for the next pair")
{
    Daemon daemon(relay({"--half-close", "pass", "--alone", "hold"}));
    const auto nc = [&](const std::string& input) {
        return Child({"/bin/bash", "-c",
                      "(printf hi0001; " + input + ") | timeout 20 nc -N 127.0.0.1 " + std::to_string(daemon.port())});
    };
    for (const auto* const word : {"first", "second"}) {
        const std::string text = word;
        auto sender = nc("printf 'question of the " + text + "'");
        REQUIRE(daemon.wait_for_line("joined channel 1", text == "first" ? 1 : 3) != "");
        auto receiver = nc("printf 'answer to the " + text + "'");
        CHECK(sender.wait() == 0);
        CHECK(receiver.wait() == 0);
        CHECK(sender.whole_log() == "4-BounceServer_1.0\nREADYanswer to the " + text);
        CHECK(receiver.whole_log() == "4-BounceServer_1.0\nREADYquestion of the " + text);
    }
}

TEST_CASE("relay: where ends pass, a member that has gone ends the other, by either path")
{
    Words words = {"--half-close", "pass"};
    SUBCASE("without a look at the bytes") {}
    SUBCASE("with one") { words.insert(words.end(), {"--traffic-log", "text"}); }
    Daemon daemon(relay(words));
    RelayClient a(daemon.port(), "hi", "0001"), b(daemon.port(), "hi", "0001");
    a.send("words");
    a.half_close();
    CHECK(b.receive_all() == "words");
    CHECK(b.ended_in_order());
    b.send("answer");
    CHECK(a.receive(6) == "answer");
    a.reset();
    CHECK(daemon.wait_for_line("instance reset") != "");
    RelayClient c(daemon.port(), "hi", "0001"), d(daemon.port(), "hi", "0001");
    c.send("new");
    CHECK(d.receive(3) == "new");
}

TEST_CASE("relay: members that vanish and come back under load")
{
    // The sender counts; whoever listens sees that nothing is missing, from wherever it came in.
    Daemon daemon(relay({"--threads", "2", "--max-connections", "4", "--slow", "disconnect", "--slow-timeout", "5s"}));
    RelayClient sender(daemon.port(), "hi", "0001"), steady(daemon.port(), "hi", "0001");
    std::atomic<bool> done = false;
    std::jthread sending([&] {
        std::vector<std::uint32_t> batch(5'000);
        for (std::uint32_t next = 0; !done;) {
            for (auto& number : batch)
                number = next++;
            sender.send({reinterpret_cast<const char*>(batch.data()), batch.size() * sizeof next});
        }
    });
    std::atomic<int> visits = 0, torn = 0;
    std::vector<std::jthread> visitors;
    for (unsigned seed = 1; seed <= 2; ++seed)
        visitors.emplace_back([&, seed] {
            std::mt19937 random(seed);
            while (!done) {
                RelayClient visitor(daemon.port());
                visitor.send("hi0001");
                if (visitor.receive(5) != "READY")
                    continue;  // The place of the last one is not free yet.
                const auto data = visitor.receive(std::size_t{4} << (10 + random() % 8));
                std::vector<std::uint32_t> seen(data.size() / 4);
                // Where it came in, it may be in the middle of a number.
                for (std::size_t shift = 0; shift < 4 && seen.size() > 2; ++shift) {
                    std::memcpy(seen.data(), data.data() + shift, (seen.size() - 1) * 4);
                    const auto break_at =
                        std::adjacent_find(seen.begin(), seen.end() - 1, [](auto a, auto b) { return b != a + 1; });
                    if (break_at == seen.end() - 1)
                        break;
                    torn += shift == 3 ? 1 : 0;
                }
                if (random() % 2 == 0)
                    visitor.reset();
                ++visits;
            }
        });
    std::uint32_t expected = 0;
    bool in_order = true;
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while ((visits < 20 || expected < 1'000'000) && std::chrono::steady_clock::now() < deadline) {
        const auto data = steady.receive(40'000);
        if (data.size() != 40'000)
            break;
        std::array<std::uint32_t, 10'000> seen;
        std::memcpy(seen.data(), data.data(), data.size());
        for (const auto number : seen)
            in_order = in_order && number == expected++;
    }
    done = true;
    steady.close();
    sending.join();
    sender.close();
    visitors.clear();
    CHECK(expected >= 1'000'000);
    CHECK(in_order);
    CHECK(torn == 0);
    CHECK(visits >= 20);
}

TEST_CASE("relay: what the log shows with -v to -vvvv, and the traffic log, which needs another path")
{
    Words more;
    bool sizes = false, bytes = false;
    SUBCASE("-v") { more = {"-v"}; }
    SUBCASE("-vvv")
    {
        more = {"-vvv"};
        sizes = true;
    }
    SUBCASE("-vvvv")
    {
        more = {"-vvvv"};
        sizes = bytes = true;
    }
    SUBCASE("traffic log") { more = {"--traffic-log", "text"}; }
    Daemon daemon(relay(more));
    RelayClient a(daemon.port(), "hi", "0001"), b(daemon.port(), "hi", "0001");
    const auto text = noise(1'000'000, 1);
    a.send("seen");
    CHECK(b.receive(4) == "seen");
    std::jthread sending([&] { b.send(text); });
    CHECK((a.receive(text.size()) == text));
    sending.join();
    a.half_close();
    CHECK(a.receive_all() == "");
    REQUIRE(daemon.wait_for_line("session ended: completed") != "");
    CHECK((daemon.count("> 4 bytes") == 1) == sizes);
    CHECK((daemon.count("73 65 65 6e") == 1) == bytes);
    CHECK((daemon.count("session started") == 2) == sizes);
    if (more.front() == "--traffic-log")
        CHECK(daemon.wait_for_line("> seen") != "");
}

TEST_CASE("relay: the authentication string in a file, read again on SIGHUP, never logged")
{
    const TemporaryDirectory directory;
    const auto file = directory.path("secret");
    std::ofstream(file) << "first secret\n";
    ::chmod(file.c_str(), 0644);
    Daemon daemon({"relay", "--listen", "127.0.0.1:0", "--auth-file", file, "-vv"});
    CHECK(daemon.wait_for_line("every user of this machine can read " + file) != "");
    RelayClient a(daemon.port(), "first secret", "0001");
    std::ofstream(file) << "second\n";
    daemon.signal(SIGHUP);
    REQUIRE(daemon.wait_for_line("read the authentication string from " + file) != "");
    RelayClient b(daemon.port(), "second", "0001");
    b.send("x");
    CHECK(a.receive(1) == "x");
    CHECK(answer(daemon, {"first secret0001"}) == "Authentication failure");
    std::ofstream(file) << "";
    daemon.signal(SIGHUP);
    CHECK(daemon.wait_for_line("is empty; write the authentication string into it; the authentication string stays") !=
          "");
    RelayClient c(daemon.port());
    CHECK(daemon.log().find("second") == std::string::npos);
    CHECK(daemon.log().find("first secret") == std::string::npos);
}

TEST_CASE("relay: in a configuration, with rules and limits")
{
    const TemporaryDirectory directory;
    const auto file = directory.path("c.json");
    std::ofstream(file) << R"({ "services": { "meet": {
        "mode": "relay", "listen": "127.0.0.1:0", "auth-string": "hi", "max-connections": 3, "deny": "127.0.0.2",
        "slow": "disconnect", "slow-timeout": "5s", "session-idle": "300ms" } } })";
    Daemon daemon({"run", "--config", file});
    RelayClient a(daemon.port(), "hi", "0001"), b(daemon.port(), "hi", "0001");
    a.send("x");
    CHECK(b.receive(1) == "x");
    RawClient denied(daemon.port(), "127.0.0.2");
    CHECK(denied.receive_all() == "");
    CHECK(denied.ended_by_reset());
    CHECK(a.receive_all() == "");
    CHECK(daemon.wait_for_line("session ended: idle") != "");
}
