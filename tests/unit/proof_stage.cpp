// SPDX-License-Identifier: MIT
// Clients of a server that asks for a proof of work before it starts an instance.
#include <future>
#include <memory>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <asio/ip/address.hpp>
#include <doctest/doctest.h>

#include <instancer/admission/proof_stage.hpp>

#include "server_fixture.hpp"

using namespace server_fixture;

namespace {

/// A proof that is found at once.
ProofOptions easy(ProofStyle style)
{
    ProofOptions options;
    options.style = style;
    options.price = [](const ClientInfo&) { return ProofOptions::Seconds(1e-6); };
    return options;
}

/// Everybody is the same owner, who has an instance for an hour.
Setup asking(ProofOptions options)
{
    Setup setup;
    setup.pool.linger = 1h;
    setup.authenticator = std::make_unique<ScriptedAuthenticator>(Admission("ann", ""));
    setup.server.start_stages = {std::make_shared<ProofStage>(std::move(options))};
    return setup;
}

/// Reads the question, and leaves nothing of it.
std::string question(ServerFixture& fixture, Stream& client, std::string_view end)
{
    std::string text;
    while (!text.ends_with(end))
        text += fixture.loop.run(socket_pair::read_exactly(client, 1));
    return text;
}

/// The challenge that a line is, or ends with.
ProofChallenge challenge_in(const std::string& text)
{
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        for (const auto& part : {line, line.substr(line.rfind(' ') + 1)})
            if (const auto challenge = parse_challenge(part))
                return *challenge;
    throw std::runtime_error("no challenge in: " + text);
}

/// A client that is asked in kCTF's words.
class Asked {
public:
    explicit Asked(ServerFixture& fixture)
        : client(fixture.connect()), solution(solve(challenge_in(question(fixture, client, "Solution? "))))
    {
    }

    Stream client;
    std::string solution;
};

Source from(const char* address)
{
    const asio::ip::tcp::endpoint peer(asio::ip::make_address(address), 1), local;
    return Source(ClientInfo(peer, local), 64);
}

/// Holds up the thread of a queue that is for its source.
class Busy {
public:
    Busy(Loop& loop, ProofQueue& queue, const Source& source = Source(ClientInfo(), 64))
        : task_(loop.start(queue.verify(source, [this] {
              begun_.set_value();
              return release_.get_future().get();
          })))
    {
        loop.settle();
        begun_.get_future().get();
    }

    void release() { release_.set_value(true); }
    bool done() const { return task_.done(); }

private:
    std::promise<void> begun_;
    std::promise<bool> release_;
    Task<Result<bool>> task_;
};

}  // namespace

TEST_CASE("proof stage: who solves the challenge gets an instance, and the bytes behind the solution are for that")
{
    auto style = ProofStyle::kctf;
    std::string end = "Solution? ", accepted;
    SUBCASE("kctf") { accepted = "Correct\n"; }
    SUBCASE("redpwn")
    {
        style = ProofStyle::redpwn;
        end = "solution: ";
    }
    SUBCASE("hxp")
    {
        style = ProofStyle::hxp;
        end = "\n";
    }
    SUBCASE("hashcash")
    {
        style = ProofStyle::hashcash;
        end = "hashcash token: ";
    }
    ServerFixture fixture(asking(easy(style)));
    fixture.start();
    auto client = fixture.connect();
    const auto solution = solve(challenge_in(question(fixture, client, end)));
    CHECK(fixture.backend.instances().empty());
    fixture.send(client, solution + "\nhello\n");
    REQUIRE(fixture.loop.until([&] { return fixture.backend.times_opened() == 1; }));
    fixture.loop.settle();
    auto& instance = fixture.last_connection();
    CHECK(fixture.arrives(instance, "hello\n"));
    instance.send("answer");
    instance.shutdown_send();
    CHECK(client.shutdown_send());
    CHECK(fixture.rest(client) == accepted + "answer");
    CHECK(fixture.end() == SessionEnd::completed);
}

TEST_CASE("proof stage: a wrong answer ends the client with the words of its style, and there is no second try")
{
    auto style = ProofStyle::kctf;
    std::string end = "Solution? ", refused;
    SUBCASE("kctf") { refused = "Proof-of-work fail\npow fail\n"; }
    SUBCASE("redpwn")
    {
        style = ProofStyle::redpwn;
        end = "solution: ";
        refused = "incorrect proof of work\n";
    }
    SUBCASE("hxp")
    {
        style = ProofStyle::hxp;
        end = "\n";
        refused = "nope\n";
    }
    SUBCASE("hashcash")
    {
        style = ProofStyle::hashcash;
        end = "hashcash token: ";
    }
    ServerFixture fixture(asking(easy(style)));
    fixture.start();
    auto client = fixture.connect();
    const auto solution = solve(challenge_in(question(fixture, client, end)));
    fixture.send(client, "s.AAAB\n" + solution + "\n");
    CHECK(fixture.rest(client) == refused);
    CHECK(fixture.end() == SessionEnd::authentication_failed);
    CHECK(fixture.summary().detail == "proof of work: a wrong answer");
    CHECK(fixture.summary().rejected);
    CHECK(fixture.backend.instances().empty());
}

TEST_CASE("proof stage: no answer")
{
    auto options = easy(ProofStyle::redpwn);
    options.timeout = 1h;
    std::string client_sees = "incorrect proof of work\n", detail;
    auto reason = SessionEnd::authentication_failed;
    std::string sent;
    SUBCASE("a line that is too long")
    {
        sent = std::string(ProofDialogue::max_line + 1, 'x');
        detail = "proof of work: a line of more than 1024 bytes";
    }
    SUBCASE("the end of the stream")
    {
        sent = "s.AAAB";
        client_sees = "";
        detail = "proof of work: the client left before it had answered";
    }
    SUBCASE("silence")
    {
        options.timeout = 30ms;
        client_sees = "";
        detail = "proof of work: the client took too long";
        reason = SessionEnd::auth_timeout;
    }
    ServerFixture fixture(asking(options));
    fixture.start();
    auto client = fixture.connect();
    question(fixture, client, "solution: ");
    fixture.send(client, sent);
    if (sent == "s.AAAB")
        CHECK(client.shutdown_send());
    CHECK(fixture.rest(client) == client_sees);
    CHECK(fixture.end() == reason);
    CHECK(fixture.summary().detail == detail);
    // To leave, or to be late, is no failure.
    CHECK(fixture.summary().rejected == (client_sees != ""));
}

TEST_CASE("proof stage: nothing is asked of a client that would be refused all the same")
{
    auto setup = asking(easy(ProofStyle::kctf));
    setup.authenticator = std::make_unique<OpenAuthenticator>();
    setup.pool.max_instances = 1;
    setup.pool.linger = 0s;
    ServerFixture fixture(std::move(setup));
    fixture.start();
    Asked first(fixture);
    fixture.send(first.client, first.solution + "\n");
    REQUIRE(fixture.loop.until([&] { return fixture.backend.times_opened() == 1; }));
    auto second = fixture.connect();
    CHECK(fixture.rest(second) == " reset");
    CHECK(fixture.end() == SessionEnd::limit_reached);
    CHECK(fixture.summary().detail ==
          "the service has as many as it may have (max-instances): 1 in all, 0 of them unused");
}

TEST_CASE("proof stage: kCTF's clients may send empty lines, and the question before the solution")
{
    ServerFixture fixture(asking(easy(ProofStyle::kctf)));
    fixture.start();
    Asked one(fixture);
    fixture.send(one.client, "\n  \r\nSolution? " + one.solution + "\r\n");
    CHECK(fixture.loop.run(socket_pair::read_exactly(one.client, 8)) == "Correct\n");
    CHECK(fixture.loop.until([&] { return fixture.backend.times_opened() == 1; }));
}

TEST_CASE("proof stage: a client that owes nothing is told so in kCTF's words, and in no others")
{
    auto style = ProofStyle::kctf;
    std::string told = "== proof-of-work: disabled ==\n";
    SUBCASE("kctf") {}
    SUBCASE("redpwn")
    {
        style = ProofStyle::redpwn;
        told = "";
    }
    SUBCASE("hxp")
    {
        style = ProofStyle::hxp;
        told = "";
    }
    SUBCASE("hashcash")
    {
        style = ProofStyle::hashcash;
        told = "";
    }
    bool calm = false;
    auto options = easy(style);
    options.price = [&calm](const ClientInfo&) { return ProofOptions::Seconds(calm ? 0 : 1e-6); };
    ServerFixture fixture(asking(options));
    fixture.start();
    const auto answered = [&](Stream& client) {
        auto& instance = fixture.last_connection();
        instance.send("answer");
        instance.shutdown_send();
        CHECK(client.shutdown_send());
        return fixture.rest(client);
    };
    // Because the price is nothing.
    calm = true;
    auto first = fixture.joined();
    CHECK(answered(first) == told + "answer");
    // Because its instance runs.
    calm = false;
    auto second = fixture.joined();
    CHECK(answered(second) == told + "answer");
}

TEST_CASE("proof stage: the price is that of the client")
{
    auto options = easy(ProofStyle::hxp);
    options.price = [](const ClientInfo& client) {
        const bool dear = client.peer()->address() == asio::ip::make_address("127.0.0.2");
        return ProofOptions::Seconds(dear ? 1 : 1e-6);
    };
    ServerFixture fixture(asking(options));
    fixture.start();
    auto cheap = fixture.connect("127.0.0.1"), dear = fixture.connect("127.0.0.2");
    CHECK(question(fixture, cheap, "\n").find("ends with 3 zero bits") != std::string::npos);
    CHECK(question(fixture, dear, "\n").find("ends with 23 zero bits") != std::string::npos);
}

TEST_CASE("proof stage: the bypass hears the challenge, and lets in who knows better")
{
    std::string heard;
    auto options = easy(ProofStyle::kctf);
    options.bypass = [&heard](std::string_view challenge, std::string_view answer) {
        heard = challenge;
        return answer == "open sesame";
    };
    ServerFixture fixture(asking(options));
    fixture.start();
    auto client = fixture.connect();
    const auto text = question(fixture, client, "Solution? ");
    SUBCASE("bypassed") { fixture.send(client, "open sesame\n"); }
    SUBCASE("solved") { fixture.send(client, solve(challenge_in(text)) + "\n"); }
    CHECK(fixture.loop.run(socket_pair::read_exactly(client, 8)) == "Correct\n");
    CHECK(text.find(" solve " + heard + "\n") != std::string::npos);
}

TEST_CASE("proof stage: answers wait until the queue has time")
{
    auto options = easy(ProofStyle::kctf);
    options.timeout = 1h;
    SUBCASE("and are verified then") {}
    SUBCASE("but not beyond the deadline") { options.timeout = 200ms; }
    ServerFixture fixture(asking(options));
    fixture.start();
    Busy busy(fixture.loop, *options.queue);
    Asked one(fixture);
    fixture.send(one.client, one.solution + "\n");
    if (options.timeout == 1h) {
        fixture.loop.settle();
        CHECK(fixture.backend.instances().empty());
        busy.release();
        CHECK(fixture.loop.run(socket_pair::read_exactly(one.client, 8)) == "Correct\n");
    } else {
        CHECK(fixture.rest(one.client) == "");
        CHECK(fixture.end() == SessionEnd::auth_timeout);
        busy.release();
    }
    CHECK(fixture.loop.until([&] { return busy.done(); }));
}

TEST_CASE("proof stage: stopped while an answer waits")
{
    auto options = easy(ProofStyle::kctf);
    ServerFixture fixture(asking(options));
    fixture.start();
    Busy busy(fixture.loop, *options.queue);
    Asked one(fixture);
    fixture.send(one.client, one.solution + "\n");
    fixture.loop.settle();
    fixture.server.stop();
    CHECK(fixture.rest(one.client) == " reset");
    CHECK(fixture.end() == SessionEnd::stopped);
    busy.release();
    CHECK(fixture.loop.until([&] { return busy.done(); }));
}

TEST_CASE("proof queue: sources take turns, and a check that nobody waits for is not made")
{
    Loop loop;
    ProofQueue queue(1);
    Busy busy(loop, queue);
    std::string order;
    const auto check = [&](const char* address, char name) {
        auto task = loop.start(queue.verify(from(address), [&order, name] {
            order += name;
            return name != 'b';
        }));
        loop.settle();
        return task;
    };
    auto a = check("192.0.2.1", 'a'), b = check("192.0.2.1", 'b'), c = check("192.0.2.1", 'c');
    auto d = check("192.0.2.2", 'd'), e = check("192.0.2.3", 'e');
    e.cancel();
    REQUIRE(loop.until([&] { return e.done(); }));
    CHECK_FALSE(e.value());
    busy.release();
    REQUIRE(loop.until([&] { return a.done() && b.done() && c.done() && d.done() && busy.done(); }));
    CHECK(order == "adbc");
    CHECK(a.value() == true);
    CHECK(b.value() == false);
}

TEST_CASE("proof queue: nobody waits for sources that gave a wrong answer")
{
    Loop loop;
    ProofQueue queue(1);
    CHECK(loop.run(queue.verify(from("192.0.2.1"), [] { return false; })) == false);
    Busy suspect(loop, queue, from("192.0.2.1"));
    CHECK(loop.run(queue.verify(from("192.0.2.2"), [] { return true; })) == true);
    CHECK_FALSE(suspect.done());
    suspect.release();
    CHECK(loop.until([&] { return suspect.done(); }));
}

TEST_CASE("proof queue: a source that gives one wrong answer after the other hears of it later each time")
{
    CHECK(ProofQueue::refusal_delay(0) == 0s);
    CHECK(ProofQueue::refusal_delay(1) == 0s);
    CHECK(ProofQueue::refusal_delay(2) == 500ms);
    CHECK(ProofQueue::refusal_delay(3) == 1s);
    CHECK(ProofQueue::refusal_delay(6) == 8s);
    CHECK(ProofQueue::refusal_delay(1'000) == 8s);

    Loop loop;
    ProofQueue queue(1);
    const auto answer = [&](bool right) { return queue.verify(from("192.0.2.1"), [right] { return right; }); };
    CHECK(loop.run(answer(false)) == false);
    const auto begin = std::chrono::steady_clock::now();
    auto second = loop.start(answer(false));
    SUBCASE("and not before")
    {
        REQUIRE(loop.until([&] { return second.done(); }));
        CHECK(std::chrono::steady_clock::now() - begin >= 500ms);
        CHECK(second.value() == false);
    }
    SUBCASE("unless it leaves")
    {
        loop.settle();
        second.cancel();
        REQUIRE(loop.until([&] { return second.done(); }));
        CHECK_FALSE(second.value());
    }
    CHECK(loop.run(answer(true)) == true);
}

TEST_CASE("proof queue: a check that throws has failed")
{
    Loop loop;
    ProofQueue queue(1);
    const auto verdict = loop.run(queue.verify(Source(ClientInfo(), 64), []() -> bool { throw std::bad_alloc(); }));
    CHECK(verdict == false);
}
