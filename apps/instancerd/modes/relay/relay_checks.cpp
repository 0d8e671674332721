// SPDX-License-Identifier: MIT
#include "modes/relay/relay.hpp"

namespace instancer::daemon {

void check_relay(Checker& checker)
{
    const auto& service = checker.service;
    const auto& relay = service.relay;
    if (!checker.has("auth-file") && !checker.has("auth-string"))
        checker.refuse("auth-file", "has no authentication string; add " + checker.say("auth-file", "FILE") + " or " +
                                        checker.say("auth-string", "TEXT") + " (the original's is hi)");
    else if (!relay.auth_file.empty() && !checker.has("auth-string"))
        if (const auto text = load_authentication(relay); !text)
            checker.refuse("auth-file", text.error());
    if (!service.command.empty() || checker.has("command"))
        checker.refuse("command", "is not run: the relay joins its clients with each other; remove it");
    if (checker.has("max-instances"))
        checker.refuse("max-instances", "is for instances; the relay has channels: use " + checker.say("max-pairs") +
                                            " and " + checker.say("max-total"));
    if (checker.has("max-connections") && relay.channels.max_members == 1)
        checker.refuse("max-connections",
                       "has nobody to talk to in a channel of 1; write 2 or more, or 0 for no limit");
    if (relay.channels.end == MemberEnd::pass) {
        if (relay.channels.max_members != 2)
            checker.refuse("max-connections",
                           "must be 2 with " + checker.say("half-close", "pass") + ", which is for two members");
        if (relay.channels.echo)
            checker.refuse("echo", "cannot work together with " + checker.say("half-close", "pass") +
                                       ": a member's input would go on after its end; remove one of them");
    }
    if (relay.channels.alone == SentAlone::hold && relay.channels.alone_limit == 0)
        checker.refuse("alone-limit", "of 0 holds nothing; raise it or use " + checker.say("alone", "discard"));
}

}  // namespace instancer::daemon
