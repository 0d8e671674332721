// SPDX-License-Identifier: MIT
// What a bridge decides: every state that can be reached, and every event in it.
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/detail/bridge/bridge_state.hpp>

using instancer::BridgeEnd;
using instancer::detail::BridgeState;
using Event = BridgeState::Event;
using Half = BridgeState::Half;
using Way = BridgeState::Way;

namespace {

constexpr std::array events{Event::ended, Event::passed, Event::lost, Event::failed, Event::refused};

/// Both halves, upper first, as the first letters of their names, and whose reset is being drained: c(lient),
/// i(nstance) or nobody's. How the bridge has ended, if it has.
std::string name(const BridgeState& state)
{
    if (state.end() == BridgeEnd::completed)
        return "completed";
    if (state.end())
        return state.end() == BridgeEnd::client_reset ? "client" : "instance";
    static constexpr std::string_view letters = "oder";
    const auto letter = [&](Way way) { return letters[static_cast<std::size_t>(state.half(way))]; };
    const char lost = !state.lost() ? '-' : state.lost() == Way::up ? 'c' : 'i';
    return {letter(Way::up), letter(Way::down), lost};
}

/// What comes of an event: another state, and what to do: P(ass the end), D(rop), W(atch what drains).
std::string outcome(BridgeState& state, Way way, Event event)
{
    const auto before = name(state);
    const auto step = state.on(way, event);
    const auto actions = std::string(step.drop ? "D" : "") + (step.pass_end ? "P" : "") + (step.drain ? "W" : "");
    if (name(state) == before && actions.empty())
        return ".";
    return name(state) + (actions.empty() ? "" : " " + actions);
}

/// A state, and what comes of each event: first those of the upper half.
using Row = std::array<std::string, 11>;

Row row_of(const BridgeState& state, std::vector<BridgeState>& found)
{
    Row row{name(state)};
    std::size_t column = 0;
    for (const auto way : {Way::up, Way::down})
        for (const auto event : events) {
            auto next = state;
            row[++column] = outcome(next, way, event);
            found.push_back(next);
        }
    return row;
}

// clang-format off
const std::vector<Row> table{
    //      ended     passed       lost     failed   refused   ended    passed       lost        failed   refused
    {"oo-", "do- P", ".",         "drc W",    "rrc W", "ro- D",  "od- P", ".",         "rdi W",  "rri W", "drc DW"},
    {"do-", ".",     "eo-",       "rrc W",    ".",     "ro- D",  "dd- P", ".",         "rdi W",  "rri W", "rrc DW"},
    {"drc", "rrc",   ".",         ".",        "rrc",   "client", ".",     ".",         "client", ".",     "."},
    {"rrc", ".",     ".",         ".",        ".",     "client", ".",     ".",         "client", ".",     "."},
    {"ro-", ".",     ".",         "rrc W",    ".",     "ro- D",  "rd- P", ".",         "rdi W",  "rri W", "rrc DW"},
    {"od-", "dd- P", ".",         "drc W",    "rrc W", "rd- D",  ".",     "oe-",       "rri W",  ".",     "drc DW"},
    {"rdi", ".",     ".",         "instance", ".",     ".",      "rri",   ".",         ".",      "rri",   "instance"},
    {"rri", ".",     ".",         "instance", ".",     ".",      ".",     ".",         ".",      ".",     "instance"},
    {"eo-", ".",     ".",         "rrc W",    ".",     "ro- D",  "ed- P", ".",         "rdi W",  "rri W", "rrc DW"},
    {"dd-", ".",     "ed-",       "rrc W",    ".",     "rd- D",  ".",     "de-",       "rri W",  ".",     "rrc DW"},
    {"rd-", ".",     ".",         "rrc W",    ".",     "rd- D",  ".",     "rri W",     "rri W",  ".",     "rrc DW"},
    {"oe-", "de- P", ".",         "drc W",    "rrc W", "rri DW", ".",     ".",         "rri W",  ".",     "drc DW"},
    {"ed-", ".",     ".",         "rrc W",    ".",     "rd- D",  ".",     "completed", "rri W",  ".",     "rrc DW"},
    {"de-", ".",     "completed", "rrc W",    ".",     "rri DW", ".",     ".",         "rri W",  ".",     "rrc DW"},
};
// clang-format on

/// One of each state that can be reached, but for ends.
std::vector<BridgeState> all_states()
{
    std::vector<BridgeState> states(1), found;
    const auto is_new = [&](const BridgeState& state) {
        for (const auto& known : states)
            if (name(known) == name(state))
                return false;
        return !state.end();
    };
    for (std::size_t next = 0; next < states.size(); ++next) {
        found.clear();
        row_of(states[next], found);
        for (const auto& state : found)
            if (is_new(state))
                states.push_back(state);
    }
    return states;
}

}  // namespace

TEST_CASE("bridge state: every event in every state")
{
    const auto states = all_states();
    REQUIRE(states.size() == table.size());
    for (const auto& state : states) {
        CAPTURE(name(state));
        std::vector<BridgeState> found;
        const auto row = row_of(state, found);
        bool is_listed = false;
        for (const auto& expected : table) {
            if (expected.front() != row.front())
                continue;
            is_listed = true;
            for (std::size_t column = 1; column < row.size(); ++column) {
                CAPTURE(column);
                CHECK(row[column] == expected[column]);
            }
        }
        CHECK(is_listed);
    }
}

TEST_CASE("bridge state: a half is read while it is open, and after a reset until nothing more comes")
{
    for (const auto& state : all_states()) {
        CAPTURE(name(state));
        for (const auto way : {Way::up, Way::down})
            CHECK(state.reads(way) ==
                  (state.half(way) == Half::open || (state.half(way) == Half::draining && state.lost() == way)));
    }
}

TEST_CASE("bridge state: delivered, the end of the instance and ends from outside, in every state")
{
    for (const auto& before : all_states()) {
        CAPTURE(name(before));
        auto drained = before, ended = before, was_reset = before, cancelled = before;
        drained.drained();
        ended.instance_ended(false);
        was_reset.instance_ended(true);
        cancelled.finish(BridgeEnd::cancelled);
        CHECK(cancelled.end() == BridgeEnd::cancelled);
        if (before.lost()) {
            CHECK(name(drained) == (before.lost() == Way::up ? "client" : "instance"));
            CHECK(name(ended) == name(before));
            CHECK(name(was_reset) == name(before));
        } else {
            CHECK(name(drained) == name(before));
            CHECK(name(ended) == "completed");
            CHECK(name(was_reset) == "instance");
        }
    }
}

TEST_CASE("bridge state: the first end stays, and nothing follows from it")
{
    for (auto state : all_states()) {
        state.finish(BridgeEnd::ended_by_hook);
        state.finish(BridgeEnd::cancelled);
        state.instance_ended(true);
        state.drained();
        for (const auto way : {Way::up, Way::down}) {
            CHECK_FALSE(state.reads(way));
            for (const auto event : events)
                CHECK(state.on(way, event) == BridgeState::Step());
        }
        CHECK(state.end() == BridgeEnd::ended_by_hook);
    }
}

TEST_CASE("bridge state: both ends are closed after the second end, and only then")
{
    BridgeState state;
    CHECK_FALSE(state.closes_after(Way::up));
    CHECK(state.on(Way::up, Event::ended).pass_end);
    CHECK_FALSE(state.closes_after(Way::down));
    state.on(Way::up, Event::passed);
    CHECK(state.closes_after(Way::down));
}
