// SPDX-License-Identifier: MIT
#include "modes/tunnel/tunnel_commands.hpp"

#include <optional>
#include <string_view>
#include <utility>

#include <asio/ip/address.hpp>

#include "config/text.hpp"
#include "modes/tunnel/call_on.hpp"

namespace instancer::daemon {

namespace {

/// As the original writes an address: `('192.0.2.1', 5000)`.
std::string in_tuple(const TunnelAddress& address)
{
    return "('" + address.endpoint().address().to_string() + "', " + std::to_string(address.port()) + ")";
}

bool is_address(const std::string& text)
{
    asio::error_code error;
    asio::ip::make_address(text, error);
    return !error;
}

/// As an address is looked up.
std::string plain(const std::string& address) { return asio::ip::make_address(address).to_string(); }

}  // namespace

TunnelCommands::TunnelCommands(std::string service, TunnelServer& tunnel, asio::any_io_executor home,
                               TunnelUsers& users, Log& log)
    : service_(std::move(service)), tunnel_(tunnel), home_(std::move(home)), users_(users), log_(log)
{
}

asio::awaitable<ControlReply> TunnelCommands::obey(std::string line)
{
    const auto words = words_of(line);
    const auto is = [&](std::size_t index, std::string_view word) {
        return index < words.size() && words[index] == word;
    };
    std::string answer;
    if (words.size() == 1 && is(0, "sessions")) {
        answer = co_await list_sessions();
    } else if (is(0, "set") && is(1, "userip")) {
        std::vector<std::string> arguments(words.begin() + 2, words.end());
        answer = co_await set_userip(std::move(arguments));
    } else if (is(0, "set") && is(1, "loglvl")) {
        answer = set_loglvl({words.begin() + 2, words.end()});
    } else if (words.size() == 2 && is(0, "disconnect")) {
        answer = co_await disconnect(words[1]);
    } else if (!words.empty()) {
        answer = "unknown command\n";
    }
    co_return ControlReply(std::move(answer));
}

asio::awaitable<std::string> TunnelCommands::disconnect(std::string address)
{
    auto call = [this, address] { return tunnel_.disconnect(address); };
    auto asked = call_on(home_, std::move(call));
    const bool found = co_await std::move(asked);
    if (!found)
        co_return "error: there is no session of " + in_quotes(address) + "\n";
    log_.notice(service_, "disconnect " + one_line(address));
    co_return "system disconnected: " + address + "\n";
}

asio::awaitable<std::string> TunnelCommands::list_sessions()
{
    auto look = [this] { return tunnel_.sessions(); };
    auto asked = call_on(home_, std::move(look));
    const auto sessions = co_await std::move(asked);
    std::string text = "tunnel_dict:\n";
    for (const auto& session : sessions) {
        text += in_tuple(session.user) + "->" + in_tuple(session.target) + ": opened ";
        // Whose address on the link is made up.
        if (session.user.to_string() != session.name)
            text += session.name;
        text += '\n';
    }
    co_return text + "\ntotal sessions: " + std::to_string(sessions.size()) + "\n";
}

asio::awaitable<std::string> TunnelCommands::set_userip(std::vector<std::string> arguments)
{
    if (!users_.has_database())
        co_return "error: there is no user database; start the server with one: -d FILE\n";
    if (arguments.empty() || arguments.size() > 2)
        co_return "error: write set userip NAME IP, or set userip NAME to clear it\n";
    const auto& name = arguments[0];
    const bool names_nobody = arguments.size() == 1 && is_address(name);
    std::optional<std::string> address;
    if (arguments.size() == 2)
        address = arguments[1];
    if (address && !is_address(*address))
        co_return "error: " + in_quotes(*address) + " is no IP address\n";
    if (address)
        address = plain(*address);
    auto change = names_nobody ? users_.set_only_address(plain(name)) : users_.set_address(name, address);
    const auto done = co_await std::move(change);
    if (!done)
        co_return "error: " + one_line(done.error()) + "\n";
    log_.notice(service_, "set userip " + name + " " + address.value_or(""));
    co_return "Done\n";
}

std::string TunnelCommands::set_loglvl(const std::vector<std::string>& arguments)
{
    const auto level = arguments.size() == 1 ? parse_verbosity(arguments.front()) : Parsed<Verbosity>(wrong(""));
    if (!level)
        return "levels: 10 DEBUG, 20 INFO, 30 WARNING, 40 ERROR, 50 CRITICAL; or 1 ERROR, 2 WARNING, 3 INFO, 4 DEBUG\n"
               "no change made\n";
    log_.set_level(level->level);
    return "set log level to " + std::string(level->name) + "\n";
}

}  // namespace instancer::daemon
