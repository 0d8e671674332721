// SPDX-License-Identifier: MIT
#include "modes/relay/relay.hpp"

#include <utility>

#include "daemon/system.hpp"
#include "modes/relay/relay_service.hpp"

namespace instancer::daemon {

namespace {

std::vector<std::string> warn(const Settings&, const ServiceSettings& service)
{
    std::vector<std::string> warnings;
    if (!service.relay.auth_string.empty())
        warnings.push_back("every user of this machine can see an authentication string that is given so; better have "
                           "it read from a file by auth-file");
    return warnings;
}

std::vector<Listener> listeners(const ServiceSettings& service)
{
    std::vector<Listener> prompt;
    if (service.relay.control && service.reads("control"))
        prompt.emplace_back("control", *service.relay.control);
    return prompt;
}

Parsed<std::unique_ptr<RunningService>> prepare(const OwnedSettings& settings, ServiceContext& context)
{
    const auto& relay = settings.service().relay;
    auto parts = InstanceParts::prepare(settings.service(), context);
    if (!parts)
        return wrong(parts.error());
    auto authentication = load_authentication(relay);
    if (!authentication)
        return wrong(authentication.error());
    auto control = relay.control ? listen_on(context.workers.control(), *relay.control, 0600, context.inherited)
                                 : Parsed<Acceptors>();
    if (!control)
        return wrong(control.error());
    return std::make_unique<RelayService>(settings, context, std::move(*parts), std::move(*authentication),
                                          std::move(*control));
}

}  // namespace

constinit const ModeEntry relay_mode{
    .mode = Mode::relay,
    .name = "relay",
    .use = "to join them in channels",
    .command = {.words = "relay",
                .forms = {"[-e] [-d] [-p PORT] [-v...] --auth-file FILE | --auth-string TEXT [options]"},
                .purpose = "Whatever a member of a channel sends reaches all other members of it.",
                .examples = {"relay -p 1111 --auth-file secret.txt",
                             "relay -e -d -vv --auth-file secret.txt --max-connections 16 --slow disconnect"},
                .remarks = "       -e: --echo; -d: --control 127.0.0.1:32565; -p PORT: --listen :PORT, 1111 if not "
                           "given;\n       -v to -vvvv: --verbose 1 to 4\n",
                .stray = "write -p PORT --auth-file FILE",
                .scope = Scope::relay},
    .options = relay_options,
    .check = check_relay,
    .warn = warn,
    .listeners = listeners,
    .prepare = prepare,
    .connections_option = "max-total",
    .replaceable = false,
};

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
