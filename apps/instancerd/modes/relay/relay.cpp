// SPDX-License-Identifier: MIT
#include "modes/relay/relay.hpp"

#include "daemon/system.hpp"

namespace instancer::daemon {

std::vector<std::string> spell_out_relay(const std::vector<std::string>& words)
{
    std::vector<std::string> spelled;
    for (auto word = words.begin(); word != words.end(); ++word) {
        const auto count = word->size() - 1;
        if (*word == "-e") {
            spelled.emplace_back("--echo");
        } else if (*word == "-d") {
            spelled.insert(spelled.end(), {"--control", std::string(RelaySettings::control_address)});
        } else if (*word == "-p" && word + 1 != words.end()) {
            spelled.insert(spelled.end(), {"--listen", ":" + *++word});
        } else if (word->substr(0, 2) == "-v" && word->find_first_not_of('v', 1) == word->npos) {
            spelled.insert(spelled.end(), {"--verbose", std::to_string(count)});
        } else {
            spelled.push_back(*word);
        }
    }
    return spelled;
}

Parsed<std::string> load_authentication(const RelaySettings& relay)
{
    if (relay.auth_file.empty())
        return relay.auth_string;
    auto text = read_file(relay.auth_file);
    if (!text)
        return wrong(text.error());
    if (!text->empty() && text->back() == '\n')
        text->pop_back();
    if (!text->empty() && text->back() == '\r')
        text->pop_back();
    if (text->empty())
        return wrong(relay.auth_file + ": is empty; write the authentication string into it");
    return text;
}

LogLevel log_level_of(unsigned verbosity)
{
    return verbosity == 0 ? LogLevel::warning : verbosity == 1 ? LogLevel::info : LogLevel::debug;
}

}  // namespace instancer::daemon
