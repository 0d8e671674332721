// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <asio/awaitable.hpp>

#include <instancer/relay/relay_backend.hpp>
#include <instancer/server.hpp>

#include "control/control_port.hpp"
#include "modes/relay/relay_log.hpp"
#include "options/values.hpp"

namespace instancer::daemon {

/// The one of `words` that `start` is the beginning of. The error says what there is, or what it could be.
Parsed<std::string_view> complete_word(std::string_view start, const std::vector<std::string_view>& words);

/// The commands of the relay's control prompt. Words may be shortened as long as one only can be meant.
///
/// Threads: the control executor.
class RelayCommands final : public ControlCommands {
public:
    /// `set_log_level` hears of another verbosity; `stop` ends the relay, and is called after the answer.
    ///
    /// Lifetime: all that is passed by reference must outlive this.
    RelayCommands(Server& server, RelayBackend& relay, RelayLog& log, std::function<void(unsigned)> set_log_level,
                  std::function<void()> stop)
        : server_(server), relay_(relay), log_(log), set_log_level_(std::move(set_log_level)), stop_(std::move(stop))
    {
    }

    asio::awaitable<ControlReply> obey(std::string line) override;
    std::string greeting() const override { return "instancerd relay; help lists the commands\n"; }
    std::string prompt() const override { return "> "; }
    std::string too_many() const override { return "another control connection is open; close that one first\n"; }

private:
    using Words = std::vector<std::string>;

    asio::awaitable<std::string> print(Words words);
    asio::awaitable<std::string> print_connections();
    asio::awaitable<std::string> print_channels();
    asio::awaitable<std::string> kill(Words words);
    std::string verbose(const Words& words);
    std::string verbose_channel(const Words& words);
    std::string echo(const Words& words);

    Server& server_;
    RelayBackend& relay_;
    RelayLog& log_;
    std::function<void(unsigned)> set_log_level_;
    std::function<void()> stop_;
};

}  // namespace instancer::daemon
