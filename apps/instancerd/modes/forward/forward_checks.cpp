// SPDX-License-Identifier: MIT
#include "files/upstreams.hpp"
#include "modes/forward/forward.hpp"

namespace instancer::daemon {

namespace {

void check_when_down(Checker& checker)
{
    const auto& service = checker.service;
    const auto& upstream = service.upstream;
    const bool checks = upstream.check.interval > upstream.check.interval.zero();
    const bool never_rests = upstream.max_fails == 0 || upstream.fail_timeout == upstream.fail_timeout.zero();
    if (service.when_down == WhenDown::close_listener && !checks && never_rests)
        checker.refuse("when-down", "close-listener cannot work: without " + checker.say("check-interval") + ", " +
                                        checker.say("max-fails") + " and " + checker.say("fail-timeout") +
                                        " no server is ever down; add one of them or remove this");
}

/// Whether a connection to that server comes in at that address again, as far as can be said without resolving names.
bool leads_back(const Upstream& upstream, const Address& listen)
{
    if (upstream.is_unix() || listen.kind() == Address::Kind::unix_socket)
        return upstream.is_unix() && listen.kind() == Address::Kind::unix_socket && upstream.name() == listen.name();
    if (listen.kind() != Address::Kind::tcp || listen.port() != upstream.port())
        return false;
    const auto& host = upstream.name();
    const auto& at = listen.name();
    const bool is_v4_here = host == "localhost" || host.starts_with("127."), is_v6_here = host == "::1";
    return host == at || (at.empty() && (is_v4_here || is_v6_here)) || (at == "0.0.0.0" && is_v4_here) ||
           (at == "::" && is_v6_here);
}

void check_loops(Checker& checker)
{
    for (const auto& upstream : checker.service.upstream.upstreams)
        for (const auto& listen : checker.service.listen)
            if (leads_back(upstream, listen))
                checker.refuse("to", upstream.text() + " is this service itself, by " + listen.text() +
                                         "; each connection would be passed on without end: write another one");
}

}  // namespace

void check_forward(Checker& checker)
{
    const auto& service = checker.service;
    const auto& upstreams = service.upstream.upstreams;
    if (!service.upstreams_file.empty() && !checker.has("to")) {
        if (const auto list = load_upstreams(checker.settings, service.upstreams_file); !list)
            checker.refuse("to-file", list.error());
    } else if (upstreams.empty()) {
        checker.refuse("to", "has nowhere to pass connections on to; add " + checker.say("to", "host:port"));
    }
    if (!service.command.empty() || checker.has("command"))
        checker.refuse("command", "is not run: forward passes connections on to servers that run already; remove it");
    if (checker.has("max-instances"))
        checker.refuse("max-instances", "is for instances, and forward has none; remove it");
    for (std::size_t i = 0; i < upstreams.size(); ++i)
        for (std::size_t j = 0; j < i; ++j)
            if (upstreams[i].text() == upstreams[j].text())
                checker.refuse("to", upstreams[i].text() + " is there twice; give it a weight instead, as in " +
                                         upstreams[i].text() + "=2");
    check_loops(checker);
    check_when_down(checker);
}

}  // namespace instancer::daemon
