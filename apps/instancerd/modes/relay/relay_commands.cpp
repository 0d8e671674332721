// SPDX-License-Identifier: MIT
#include "modes/relay/relay_commands.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <utility>

#include <asio/post.hpp>
#include <asio/this_coro.hpp>

#include "config/text.hpp"

namespace instancer::daemon {

namespace {

constexpr auto help =
    "print connections    who is connected, and what has passed\n"
    "print channels       the channels and who is in them\n"
    "verbose N            log 0 warnings, 1 connections, 2 more about them, 3 sizes, 4 all bytes\n"
    "verbose channel N    show sizes and bytes of channel N only (hexadecimal; all: of every channel)\n"
    "echo on|off          whether members get what they send themselves\n"
    "kill ID|ADDRESS      disconnect one, or all from that address\n"
    "stop                 end the relay\n"
    "exit                 end this control connection\n"
    "help                 this list\n"
    "Words may be shortened, as in: p con\n";

std::string count_of(std::size_t number, const std::string& what) { return std::to_string(number) + " " + what; }

std::string line_of(const SessionStatus& session)
{
    const auto seconds = std::chrono::duration<double>(session.age).count();
    char age[32];
    std::snprintf(age, sizeof age, "%.1f s", seconds);
    auto text = "  " + std::to_string(session.id) + " " + session.client.to_string();
    text += session.joined ? ", " + session.instance : ", not in a channel yet";
    return text + ", for " + age + ", sent " + count_of(session.bytes_up, "bytes") + ", got " +
           count_of(session.bytes_down, "bytes") + "\n";
}

/// The address without its port.
std::string host_of(const ClientInfo& client)
{
    return client.peer() ? client.peer()->address().to_string() : client.to_string();
}

}  // namespace

Parsed<std::string_view> complete_word(std::string_view start, const std::vector<std::string_view>& words)
{
    std::vector<std::string_view> meant;
    for (const auto word : words) {
        if (word == start)
            return word;
        if (word.substr(0, start.size()) == start)
            meant.push_back(word);
    }
    if (meant.size() == 1)
        return meant.front();
    if (meant.empty())
        return wrong(in_quotes(start) + " is none of " + joined(words) + suggestion(start, words));
    return wrong(in_quotes(start) + " could be " + joined(meant) + "; write more of it");
}

asio::awaitable<ControlReply> RelayCommands::obey(std::string line)
{
    auto words = words_of(line);
    if (words.empty())
        co_return ControlReply({});
    const auto command = complete_word(words.front(), {"print", "verbose", "echo", "kill", "stop", "exit", "help"});
    if (!command)
        co_return ControlReply("unknown command: " + command.error() + "\n");
    words.erase(words.begin());
    std::string answer;
    if (*command == "print")
        answer = co_await print(std::move(words));
    else if (*command == "kill")
        answer = co_await kill(std::move(words));
    else if (*command == "verbose")
        answer = verbose(words);
    else if (*command == "echo")
        answer = echo(words);
    else if (!words.empty())
        answer = std::string(*command) + " stands alone";
    else if (*command == "help")
        co_return ControlReply(help);
    else if (*command == "exit")
        co_return ControlReply::last("bye\n");
    else {
        // The answer is written before.
        const auto executor = co_await asio::this_coro::executor;
        asio::post(executor, stop_);
        co_return ControlReply::last("the relay ends\n");
    }
    if (answer.back() != '\n')
        answer += '\n';
    co_return ControlReply(std::move(answer));
}

asio::awaitable<std::string> RelayCommands::print(Words words)
{
    if (words.size() != 1)
        co_return "print what? Write print connections, or print channels";
    const auto what = complete_word(words.front(), {"connections", "channels"});
    if (!what)
        co_return what.error();
    if (*what == "connections")
        co_return co_await print_connections();
    co_return co_await print_channels();
}

asio::awaitable<std::string> RelayCommands::print_connections()
{
    const auto sessions = co_await server_.snapshot();
    auto text = "connections: " + std::to_string(sessions.size()) + "\n";
    for (const auto& session : sessions)
        text += line_of(session);
    co_return text;
}

asio::awaitable<std::string> RelayCommands::print_channels()
{
    const auto channels = co_await relay_.snapshot();
    auto text = "channels: " + std::to_string(channels.size()) + "\n";
    for (const auto& channel : channels) {
        text += "  " + channel.name + ": " + count_of(channel.members.size(), "members");
        if (channel.held > 0)
            text += ", " + count_of(channel.held, "bytes wait for the next member");
        text += "\n";
        for (const auto& member : channel.members) {
            text += "    " + std::to_string(member.session) + " " + member.client;
            if (member.queued > 0)
                text += ", has yet to take " + count_of(member.queued, "bytes");
            text += std::string(member.waits ? ", waits for others" : "") +
                    (member.ended ? ", has ended its sending" : "") + "\n";
        }
    }
    co_return text;
}

asio::awaitable<std::string> RelayCommands::kill(Words words)
{
    if (words.size() != 1)
        co_return "kill whom? Write kill ID or kill ADDRESS, as print connections shows them";
    const auto& word = words.front();
    std::uint64_t id = 0;
    const auto end = word.data() + word.size();
    const auto read = std::from_chars(word.data(), end, id);
    if (read.ec == std::errc() && read.ptr == end)
        co_return server_.kill(id) ? "disconnected " + word
                                   : "there is no connection " + word + "; print connections shows those there are";
    std::size_t count = 0;
    const auto sessions = co_await server_.snapshot();
    for (const auto& session : sessions)
        if ((word == session.client.to_string() || word == host_of(session.client)) && server_.kill(session.id))
            ++count;
    if (count == 0)
        co_return "nobody is connected from " + in_quotes(word) + "; print connections shows who is";
    co_return "disconnected " + std::to_string(count);
}

std::string RelayCommands::verbose(const Words& words)
{
    if (words.empty())
        return "verbose is " + std::to_string(log_.verbosity());
    if (words.front().find_first_not_of("0123456789") != std::string::npos)
        return verbose_channel(words);
    const auto level = parse_count(words.front(), 0, 4);
    if (!level || words.size() != 1)
        return "write verbose and a number from 0 to 4, or verbose channel N";
    log_.set_verbosity(static_cast<unsigned>(*level));
    set_log_level_(log_.verbosity());
    return "verbose is " + std::to_string(*level);
}

std::string RelayCommands::verbose_channel(const Words& words)
{
    const auto what = complete_word(words.front(), {"channel"});
    if (!what)
        return what.error() + "; or write a number from 0 to 4";
    if (words.size() != 2)
        return "which channel? Write verbose channel N, in hexadecimal digits, or verbose channel all";
    if (words[1] == "all") {
        log_.show_only({});
        return "what is sent is shown of every channel";
    }
    std::uint32_t number = 0;
    const auto end = words[1].data() + words[1].size();
    const auto read = std::from_chars(words[1].data(), end, number, 16);
    if (read.ec != std::errc() || read.ptr != end)
        return in_quotes(words[1]) + " is no channel; write its number in hexadecimal digits, or all";
    char digits[16];
    std::snprintf(digits, sizeof digits, "%x", number);
    log_.show_only(std::string("channel ") + digits);
    return std::string("what is sent is shown of channel ") + digits + " only" +
           (log_.verbosity() < 3 ? ", once verbose is 3 or 4" : "");
}

std::string RelayCommands::echo(const Words& words)
{
    if (words.size() > 1)
        return "write echo on or echo off";
    if (!words.empty()) {
        const auto what = complete_word(words.front(), {"on", "off"});
        if (!what)
            return what.error();
        relay_.set_echo(*what == "on");
    }
    return std::string("echo is ") + (relay_.echo() ? "on" : "off");
}

}  // namespace instancer::daemon
