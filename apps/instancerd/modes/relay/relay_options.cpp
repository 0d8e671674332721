// SPDX-License-Identifier: MIT
#include "modes/relay/relay.hpp"
#include "options/types.hpp"

namespace instancer::daemon {

namespace {

using S = ServiceSettings;
using R = RelaySettings;
using O = RelayOptions;
using G = RelayGreeting;

constexpr Choice<bool> dialects[] = {{"code", true}, {"documentation", false}};
constexpr Choice<SlowMember> slow_members[] = {
    {"wait", SlowMember::wait}, {"disconnect", SlowMember::disconnect}, {"queue", SlowMember::queue}};
constexpr Choice<SentAlone> sent_alone[] = {{"discard", SentAlone::discard}, {"hold", SentAlone::hold}};
constexpr Choice<MemberEnd> member_ends[] = {
    {"leave", MemberEnd::leave}, {"stay", MemberEnd::stay}, {"pass", MemberEnd::pass}};

Parsed<void> set_dialect(Target to, const std::string& text)
{
    auto& greeting = to.service->relay.greeting;
    const auto done = choice<dialects, &S::relay, &R::greeting, &G::newline>.parse(to, text);
    greeting.ready = greeting.newline;
    return done;
}

constexpr std::string_view group = "Channels (relay)";

// group, name, type, scope, default, help, traits
// clang-format off
constexpr Option table[] = {
    {group, "auth-string", text<&S::relay, &R::auth_string>, Scope::relay, {},
     "the text that every client must send first. Other users of this machine can see it in the list of processes: "
     "better use auth-file",
     {.secret = true}},
    {group, "auth-file", file<&S::relay, &R::auth_file>, Scope::relay, {},
     "a file that holds the text that every client must send first, without the end of its last line",
     {.conflict = {{"auth-string"}, "they are two of one kind"}, .reload = true}},
    {group, "max-pairs", count_in<0, 0xffffffff, &S::relay, &R::greeting, &G::max_channel>, Scope::relay, {},
     "the largest number of a channel, the first one being 0; clients write it with as many hexadecimal digits as this has"},
    {group, "digit-pause", some_duration<&S::relay, &R::greeting, &G::digit_pause>, Scope::relay, {},
     "a channel number with fewer digits is complete after this long without another one"},
    {group, "dialect", custom<Shape::text, set_dialect, choice<dialects, &S::relay, &R::greeting, &G::newline>.print>.offering(names_of<dialects>), Scope::relay, {},
     "how clients are greeted: as the original's code does, with a newline after the banner and READY on joining, or as "
     "its documentation says, with neither"},
    {group, "echo", flag<&S::relay, &R::channels, &O::echo>, Scope::relay, {},
     "members get what they send themselves, too (-e)"},
    {group, "slow", choice<slow_members, &S::relay, &R::channels, &O::slow>, Scope::relay, {},
     "treatment of a member that reads too slowly: the others wait; they wait for slow-timeout, and then it is "
     "disconnected; nobody waits, and it is disconnected when more than slow-queue is queued for it"},
    {group, "slow-timeout", some_duration<&S::relay, &R::channels, &O::slow_timeout>, Scope::relay, {},
     "how long a member may hold up the others",
     {.needs = {{{{"slow", "disconnect"}}}}}},
    {group, "slow-queue", size<&S::relay, &R::channels, &O::slow_queue>, Scope::relay, {},
     "how much may be queued for one member",
     {.needs = {{{{"slow", "queue"}}}}}},
    {group, "alone", choice<sent_alone, &S::relay, &R::channels, &O::alone>, Scope::relay, {},
     "treatment of bytes that are sent while nobody else is in the channel: nobody gets them; or the next member gets "
     "them, and the sender waits when there are more than alone-limit"},
    {group, "alone-limit", size<&S::relay, &R::channels, &O::alone_limit>, Scope::relay, {},
     "how much is held for the next member",
     {.needs = {{{{"alone", "hold"}}}}}},
    {group, "half-close", choice<member_ends, &S::relay, &R::channels, &O::end>, Scope::relay, {},
     "meaning of the end of a member's sending: it leaves, after it has got all earlier bytes; or it stays and "
     "listens, until its connection ends or half-close-timeout is over; or, between two members, it is the end of the "
     "other's input as well, and a member that has gone without an end has the other one reset"},
    {group, "control", address<&S::relay, &R::control>, Scope::relay, {},
     "where the control prompt listens, for one connection at a time (-d: 127.0.0.1:32565); everybody who can connect "
     "to it may use all of it. Without it a relay that is started from a terminal has the prompt there"},
    {group, "verbose", count_in<0, 4, &S::relay, &R::verbosity>.called("0-4"), Scope::relay, {},
     "what is logged (-v to -vvvv): 0 warnings; 1 connections and channels; 2 also what happens before a client joins; 3 "
     "also the size of all that is sent; 4 also the bytes, which may hold passwords. In a configuration log-level says "
     "how much of the rest"},
};
// clang-format on

}  // namespace

std::span<const Option> relay_options() { return table; }

}  // namespace instancer::daemon
