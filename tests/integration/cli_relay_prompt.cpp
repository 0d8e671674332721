// SPDX-License-Identifier: MIT
// The relay's control prompt, on a port and on a terminal.
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>

#include <daemon.hpp>
#include <raw_client.hpp>
#include <relay_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;
using service_test::eventually;

namespace {

/// A relay with its prompt on a free port.
class Prompted : public Daemon {
public:
    explicit Prompted(const std::vector<std::string>& more = {}) : Daemon(words(more)) {}

    std::uint16_t control_port() const
    {
        const auto line = wait_for_line("the control prompt is on ");
        return static_cast<std::uint16_t>(std::stoi(line.substr(line.rfind(':') + 1)));
    }

private:
    static std::vector<std::string> words(const std::vector<std::string>& more)
    {
        std::vector<std::string> all = {"relay", "--listen", "127.0.0.1:0", "--auth-string",
                                        "hi",    "-v",       "--control",   "127.0.0.1:0"};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }
};

/// An operator at the prompt.
class Operator : public RawClient {
public:
    explicit Operator(std::uint16_t port) : RawClient(port) { greeting = answer(); }

    /// What is answered, without the prompt that follows.
    std::string ask(const std::string& command)
    {
        send(command + "\n");
        return answer();
    }

    std::string greeting;

private:
    std::string answer()
    {
        std::string text;
        do {
            const auto byte = receive(1);
            if (byte.empty())
                return text;
            text += byte;
        } while (text != "> " && !text.ends_with("\n> "));
        return text.substr(0, text.size() - 2);
    }
};

/// instancerd on a terminal of its own, in the foreground.
class AtTerminal {
public:
    explicit AtTerminal(const std::vector<std::string>& arguments)
    {
        std::vector<char*> words;
        const auto command = instancerd(arguments);
        for (const auto& word : command)
            words.push_back(const_cast<char*>(word.c_str()));
        words.push_back(nullptr);
        int terminal = -1;
        pid_ = ::forkpty(&terminal, nullptr, nullptr, nullptr);
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            ::execv(words[0], words.data());
            ::_exit(127);
        }
        terminal_.reset(terminal);
    }
    ~AtTerminal()
    {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, nullptr, 0);
        }
    }

    void type(const std::string& text)
    {
        REQUIRE(::write(terminal_.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    }

    /// Waits until the screen shows `text` behind what was found before, and returns the rest of that line.
    std::string wait_for(const std::string& text)
    {
        for (;;) {
            const auto found = screen_.find(text, seen_);
            const auto end = found == std::string::npos ? found : screen_.find('\n', found);
            if (end != std::string::npos) {
                seen_ = end;
                return screen_.substr(found + text.size(), end - found - text.size());
            }
            pollfd ready{terminal_.get(), POLLIN, 0};
            char buffer[4096];
            const auto count = ::poll(&ready, 1, 20'000) == 1 ? ::read(terminal_.get(), buffer, sizeof buffer) : 0;
            if (count <= 0)
                return "(not shown)";
            screen_.append(buffer, static_cast<std::size_t>(count));
        }
    }

    void hang_up() { terminal_.reset(); }

    int exit_code()
    {
        int status = 0;
        REQUIRE(::waitpid(std::exchange(pid_, -1), &status, 0) > 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }

    pid_t pid() const noexcept { return pid_; }

private:
    pid_t pid_ = -1;
    instancer::UniqueFd terminal_;
    std::string screen_;
    std::size_t seen_ = 0;
};

}  // namespace

TEST_CASE("relay: the prompt hangs up on a browser, and obeys nothing of what a page has it send")
{
    Prompted relay;
    for (const std::string start : {"POST / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\n"}) {
        Operator browser(relay.control_port());
        browser.send(start + "stop\n");
        CHECK(browser.receive_all() == "");
        CHECK(browser.ended_in_order());
    }
    CHECK(Operator(relay.control_port()).ask("print channels") == "channels: 0\n");
}

TEST_CASE("relay prompt: all commands, and any beginning that can mean only one")
{
    Prompted daemon;
    Operator op(daemon.control_port());
    CHECK(op.greeting == "instancerd relay; help lists the commands\n");
    CHECK(op.ask("") == "");
    CHECK(op.ask("print connections") == "connections: 0\n");
    CHECK(op.ask("print channels") == "channels: 0\n");

    RelayClient a(daemon.port(), "hi", "002a"), b(daemon.port(), "hi", "002a");
    a.send("12345");
    REQUIRE(b.receive(5) == "12345");
    const auto from_a = "127.0.0.1:" + std::to_string(a.local_port());
    const auto list = op.ask("p con");
    CHECK(list.starts_with("connections: 2\n  1 " + from_a + ", channel 2a, for "));
    CHECK(list.find(" s, sent 5 bytes, got 0 bytes\n  2 ") != std::string::npos);
    CHECK(op.ask("pr \tch\r") == "channels: 1\n  channel 2a: 2 members\n    1 " + from_a +
                                     "\n    2 127.0.0.1:" + std::to_string(b.local_port()) + "\n");

    CHECK(op.ask("ec") == "echo is off\n");
    CHECK(op.ask("echo on") == "echo is on\n");
    a.send("!");
    CHECK(a.receive(1) == "!");
    CHECK(op.ask("echo of") == "echo is off\n");

    CHECK(op.ask("verbose") == "verbose is 1\n");
    CHECK(op.ask("verb 3") == "verbose is 3\n");
    a.send("shown");
    CHECK(daemon.wait_for_line("channel 2a: session 1 > 5 bytes") != "");
    CHECK(op.ask("v channel 2B") == "what is sent is shown of channel 2b only\n");
    a.send("not shown");
    REQUIRE(b.receive(1 + 5 + 9) == "!shownnot shown");
    CHECK(daemon.count("session 1 > 9 bytes") == 0);
    CHECK(op.ask("v c all") == "what is sent is shown of every channel\n");
    CHECK(op.ask("verbose 4") == "verbose is 4\n");
    a.send("again");
    CHECK(daemon.wait_for_line("61 67 61 69 6e") != "");

    CHECK(op.ask("kill 1") == "disconnected 1\n");
    CHECK(b.receive(5) == "again");
    a.receive_all();
    CHECK(a.ended_by_reset());
    CHECK(daemon.wait_for_line("session ended: killed by operator") != "");
    RelayClient c(daemon.port(), "hi", "0001"), d(daemon.port(), "hi", "0001");
    CHECK(op.ask("k 127.0.0.1:" + std::to_string(c.local_port())) == "disconnected 1\n");
    CHECK(eventually([&] { return op.ask("p con").starts_with("connections: 2\n"); }));
    CHECK(op.ask("k 127.0.0.1") == "disconnected 2\n");
    CHECK(eventually([&] { return op.ask("p con") == "connections: 0\n"; }));

    CHECK(op.ask("help").starts_with("print connections "));
    CHECK(op.ask("exit") == "bye\n");
    CHECK(op.ended_in_order());
    Operator again(daemon.control_port());
    CHECK(again.ask("stop") == "the relay ends\n");
    CHECK(again.ended_in_order());
    CHECK(daemon.wait() == 0);
}

TEST_CASE("relay prompt: what cannot be meant is answered with what could be")
{
    Prompted daemon;
    Operator op(daemon.control_port());
    CHECK(op.ask("e") == "unknown command: 'e' could be echo, exit; write more of it\n");
    CHECK(op.ask("prnt") ==
          "unknown command: 'prnt' is none of print, verbose, echo, kill, stop, exit, help; did you mean print?\n");
    CHECK(op.ask("print") == "print what? Write print connections, or print channels\n");
    CHECK(op.ask("print c") == "'c' could be connections, channels; write more of it\n");
    CHECK(op.ask("kill") == "kill whom? Write kill ID or kill ADDRESS, as print connections shows them\n");
    CHECK(op.ask("kill 99") == "there is no connection 99; print connections shows those there are\n");
    CHECK(op.ask("kill 99999999999999999999") ==
          "nobody is connected from '99999999999999999999'; print connections shows who is\n");
    CHECK(op.ask("kill 10.0.0.1") == "nobody is connected from '10.0.0.1'; print connections shows who is\n");
    CHECK(op.ask("verbose 5") == "write verbose and a number from 0 to 4, or verbose channel N\n");
    CHECK(op.ask("verbose channel") ==
          "which channel? Write verbose channel N, in hexadecimal digits, or verbose channel all\n");
    CHECK(op.ask("verbose channel xyz") == "'xyz' is no channel; write its number in hexadecimal digits, or all\n");
    CHECK(op.ask("echo maybe").starts_with("'maybe' is none of on, off"));
    CHECK(op.ask("stop it") == "stop stands alone\n");
    CHECK(op.ask(std::string("\x1b[2J\0\xff", 6)).starts_with(R"(unknown command: '\x1b[2J\x00\xff' is none of )"));
}

TEST_CASE("relay prompt: survives whatever is sent, and one connection at a time")
{
    Prompted daemon;
    {
        Operator op(daemon.control_port());
        RawClient second(daemon.control_port());
        CHECK(second.receive_all() == "another control connection is open; close that one first\n");
        CHECK(second.ended_in_order());
        CHECK(op.ask(std::string(1'000'000, 'x')) == "a command has at most 4096 bytes\n");
        std::mt19937 random(1);
        std::string garbage(300'000, '\0');
        for (auto& byte : garbage)
            byte = static_cast<char>(random());
        // Whoever sends that much and reads no answer is not waited for.
        op.send(garbage);
        op.reset();
    }
    RelayClient a(daemon.port(), "hi", "0001"), b(daemon.port(), "hi", "0001");
    a.send("served");
    CHECK(b.receive(6) == "served");
    CHECK(eventually([&] { return Operator(daemon.control_port()).ask("p con").starts_with("connections: 2\n"); }));
    RawClient hurried(daemon.control_port());
    REQUIRE(eventually([&] {
        if (hurried.receive(1) == "i")
            return true;
        hurried = RawClient(daemon.control_port());  // The place of the last one was not free yet.
        return false;
    }));
    hurried.send("echo on\necho");
    hurried.half_close();
    CHECK(hurried.receive_all().ends_with("> echo is on\n> echo is on\n> "));
    CHECK(hurried.ended_in_order());
}

TEST_CASE("relay prompt: on a Unix socket that is for the daemon's own user")
{
    const TemporaryDirectory directory;
    const auto path = directory.path("control");
    Daemon daemon({"relay", "--listen", "127.0.0.1:0", "--auth-string", "hi", "--control", "unix:" + path});
    RawClient op(path);
    op.send("stop\n");
    CHECK(op.receive_all().ends_with("the relay ends\n"));
    CHECK(daemon.wait() == 0);
}

TEST_CASE("relay prompt: on the terminal that it was started from")
{
    AtTerminal relay({"relay", "--listen", "127.0.0.1:0", "--auth-string", "hi"});
    const auto port = static_cast<std::uint16_t>(std::stoi(relay.wait_for("listening on 127.0.0.1:")));
    RelayClient a(port, "hi", "0001"), b(port, "hi", "0001");
    relay.type("p ch\n");
    CHECK(relay.wait_for("\n  channel 1: ").starts_with("2 members"));
    relay.type("nonsense\n");
    relay.wait_for("unknown command: 'nonsense'");
    SUBCASE("stop")
    {
        relay.type("stop\n");
        relay.wait_for("the relay ends");
        CHECK(relay.exit_code() == 0);
    }
    SUBCASE("the end of what is typed ends the prompt alone")
    {
        relay.type("\x04");
        a.send("x");
        CHECK(b.receive(1) == "x");
        ::kill(relay.pid(), SIGTERM);
        relay.wait_for("finishing the sessions");
        a.close();
        b.close();
        CHECK(relay.exit_code() == 0);
    }
    SUBCASE("exit ends it too")
    {
        relay.type("exit\n");
        relay.wait_for("bye");
        b.send("x");
        CHECK(a.receive(1) == "x");
    }
    SUBCASE("Ctrl-C")
    {
        relay.type("\x03");
        relay.wait_for("finishing the sessions");
        relay.type("\x03");
        CHECK(relay.exit_code() == 0);
    }
}
