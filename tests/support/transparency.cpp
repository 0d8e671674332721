// SPDX-License-Identifier: MIT
#include <transparency.hpp>

#include <cstdlib>
#include <random>
#include <thread>

namespace transparency {

namespace {

/// More than a listener's window takes at first.
constexpr std::size_t much = 200'000;
/// More than all buffers on the way.
constexpr std::size_t most = std::size_t(96) << 20;

/// Every byte from `seed` on, and as many as `data` has.
bool is_noise(const std::string& data, std::uint64_t seed) { return data == noise(seed, 0, data.size()); }

void same_data(const Observation& expected, const Observation& seen)
{
    CHECK(seen.data.size() == expected.data.size());
    CHECK(bool(seen.data == expected.data));
}

void same(const Observation& expected, const Observation& seen)
{
    same_data(expected, seen);
    CHECK(seen.ended == expected.ended);
    CHECK(seen.refused == expected.refused);
    CHECK(bool(seen.marks == expected.marks));
    CHECK(seen.urgent == expected.urgent);
}

/// A script played directly and by a route.
class Comparison {
public:
    Comparison(Route& route, const Script& script, std::uint64_t seed = 1)
        : route_(route),
          direct(play(script, transparency::direct(route.compared_with())->connect(), seed)),
          via(play(script, route.connect(), seed))
    {
        for (const auto* outcome : {&direct, &via}) {
            INFO((outcome == &via ? route.name() : "direct"));
            CHECK(outcome->client.stuck == "");
            CHECK(outcome->server.stuck == "");
            comparable_ = comparable_ && outcome->client.stuck.empty() && outcome->server.stuck.empty();
        }
    }

    /// Both ends see exactly the same.
    void same() const
    {
        client(transparency::same);
        server(transparency::same);
    }

    /// A reset is seen as one where the way can carry it, else at least as an end.
    void same_end(const Observation& expected, const Observation& seen) const
    {
        if (route_.carries().resets)
            CHECK(seen.ended == expected.ended);
        else
            CHECK((seen.ended == Ended::not_seen) == (expected.ended == Ended::not_seen));
    }

    template <class Check>
    void client(const Check& check) const
    {
        INFO(route_.name() << ": what the client sees");
        if (comparable_)
            check(direct.client, via.client);
    }
    template <class Check>
    void server(const Check& check) const
    {
        INFO(route_.name() << ": what the server sees");
        if (comparable_)
            check(direct.server, via.server);
    }

private:
    Route& route_;
    bool comparable_ = true;

public:
    const Outcome direct, via;
};

/// One end takes leave, and the other one has got all that was sent before.
void check_leave(Route& route, const Script& script, bool client_leaves)
{
    const Comparison compared(route, script);
    const auto left = [&](const Observation& expected, const Observation& seen) {
        same_data(expected, seen);
        compared.same_end(expected, seen);
    };
    client_leaves ? compared.server(left) : compared.client(left);
    if (route.carries().resets)
        CHECK((client_leaves ? compared.direct.server : compared.direct.client).ended == Ended::by_reset);
}

void check_leave(Route& route, const std::function<void(End&)>& who_leaves, const std::function<void(End&)>& who_stays,
                 bool client_leaves)
{
    check_leave(route, client_leaves ? Script{who_leaves, who_stays} : Script{who_stays, who_leaves}, client_leaves);
}

void check_reset(Route& route, bool client_leaves)
{
    const auto leave = [](End& end) {
        end.send(1000);
        end.wait_until_taken();
        end.reset();
    };
    check_leave(
        route, leave, [](End& end) { end.read_to_end(); }, client_leaves);
}

void check_close_with_unread_data(Route& route, bool client_leaves)
{
    const auto leave = [](End& end) {
        end.send(1000);
        end.wait_until_taken();
        end.wait_readable();
        end.close();
    };
    const auto stay = [](End& end) {
        end.read(1000);
        end.send(6);
        end.read_to_end();
    };
    check_leave(route, leave, stay, client_leaves);
}

/// Nothing is left to be read then, so only the reset itself can be noticed.
void check_reset_after_half_close(Route& route, bool client_leaves)
{
    const auto leave = [](End& end) {
        end.send(1000);
        end.half_close();
        end.wait_until_end_seen();
        end.reset();
    };
    const auto stay = [&](End& end) {
        end.read_to_end();
        if (route.carries().resets && route.carries().unread_resets)
            end.wait_gone();
        if (!client_leaves || route.carries().refusals)
            end.send_until_refused();
    };
    const Comparison compared(route, client_leaves ? Script{leave, stay} : Script{stay, leave});
    compared.client(same);
    compared.server(same);
}

/// It may be a write of ours that comes upon the reset first.
void check_reset_while_other_sends(Route& route, bool client_leaves)
{
    const auto leave = [](End& end) {
        end.read(1000);
        end.reset();
    };
    const auto stay = [](End& end) {
        end.exchange(most);
        end.read_to_end();
    };
    for (int i = 0; i < (route.carries().resets ? 5 : 1); ++i)
        check_leave(route, leave, stay, client_leaves);
}

/// One end does not read: the other one comes to a halt, whatever we and the system have taken in, and nothing is lost.
void check_full(Route& route, bool client_reads)
{
    const bool can_half_close = !client_reads || route.carries().server_half_close;
    const auto write = [can_half_close](End& end) {
        end.send_until_blocked(most);
        end.signal();
        end.send(much);
        if (!can_half_close)
            return end.close();
        end.half_close();
        end.read_to_end();
    };
    const auto read = [](End& end) {
        end.wait_for_signal();
        end.read_to_end();
        end.close();
    };
    const auto outcome = play(client_reads ? Script{read, write} : Script{write, read}, route.connect());
    const auto& writer = client_reads ? outcome.server : outcome.client;
    const auto& reader = client_reads ? outcome.client : outcome.server;
    INFO(route.name());
    CHECK(writer.stuck == "");
    CHECK(reader.stuck == "");
    CHECK(writer.blocked_at < most);
    CHECK(reader.data.size() == writer.blocked_at + much);
    CHECK(is_noise(reader.data, client_reads ? server_seed(1) : client_seed(1)));
    CHECK(reader.ended == Ended::in_order);
    CHECK(writer.ended == (can_half_close ? Ended::in_order : Ended::not_seen));
}

Script half_close_and_answer(std::chrono::milliseconds delay)
{
    return {[](End& client) {
                client.send(3000);
                client.half_close();
                client.read_to_end();
            },
            [delay](End& server) {
                server.read_to_end();
                End::pause(delay);
                server.send(much);
                server.close();
            }};
}

// The events.

void client_half_closes(Route& route)
{
    const Comparison compared(route, half_close_and_answer(0ms));
    compared.same();
    CHECK(compared.direct.client.data.size() == much);
    CHECK(compared.direct.client.ended == Ended::in_order);
}

void server_half_closes(Route& route)
{
    if (!route.carries().server_half_close)
        return;
    const Script script{[](End& client) {
                            client.read_to_end();
                            client.send(much);
                            client.close();
                        },
                        [](End& server) {
                            server.send(1000);
                            server.half_close();
                            server.read_to_end();
                        }};
    const Comparison compared(route, script);
    compared.same();
    CHECK(compared.direct.server.data.size() == much);
}

void server_speaks_first(Route& route)
{
    const Script script{[](End& client) {
                            client.read(1000);
                            client.send(10);
                            client.half_close();
                            client.read_to_end();
                        },
                        [](End& server) {
                            server.send(1000);
                            server.read_to_end();
                            server.close();
                        }};
    Comparison(route, script).same();
}

void server_says_last_words(Route& route)
{
    const Script script{[](End& client) {
                            client.send(1000);
                            client.wait_until_taken();
                            client.wait_readable();
                            client.read_to_end();
                        },
                        [](End& server) {
                            server.read(1000);
                            server.send(much);
                            server.close();
                        }};
    Comparison(route, script).same();
}

void client_comes_and_goes(Route& route)
{
    const Script script{[](End& client) { client.close(); },
                        [](End& server) {
                            server.read_to_end();
                            server.close();
                        }};
    Comparison(route, script).same();
}

void server_closes_and_client_goes_on(Route& route)
{
    const Script script{[](End& client) {
                            client.read_to_end();
                            client.send_until_refused();
                        },
                        [](End& server) {
                            server.send(1000);
                            server.close();
                        }};
    const Comparison compared(route, script);
    compared.same();
    CHECK(compared.direct.client.refused);
}

void megabytes_both_ways(Route& route)
{
    const auto talk = [](End& end) {
        end.exchange(3'000'000);
        end.half_close();
        end.read_to_end();
    };
    // Where the server can only end, not half-close, it ends last.
    const auto answer = [](End& end) {
        end.exchange(2'000'000);
        end.read_to_end();
        end.close();
    };
    const Comparison compared(route, {talk, route.carries().server_half_close ? talk : answer});
    compared.same();
    CHECK(compared.direct.server.data.size() == 3'000'000);
}

void client_resets(Route& route) { check_reset(route, true); }
void server_resets(Route& route) { check_reset(route, false); }
void client_resets_while_server_sends(Route& route) { check_reset_while_other_sends(route, true); }
void server_resets_while_client_sends(Route& route) { check_reset_while_other_sends(route, false); }
void client_closes_with_unread_data(Route& route) { check_close_with_unread_data(route, true); }
void server_closes_with_unread_data(Route& route) { check_close_with_unread_data(route, false); }
void client_resets_after_half_close(Route& route) { check_reset_after_half_close(route, true); }
void server_resets_after_half_close(Route& route)
{
    if (route.carries().server_half_close)
        check_reset_after_half_close(route, false);
}

void client_resets_while_server_is_full(Route& route)
{
    if (!route.carries().resets || !route.carries().unread_resets)
        return;
    const Script script{[](End& client) {
                            client.send_until_blocked(most);
                            client.signal();
                            client.reset();
                        },
                        [](End& server) {
                            server.wait_for_signal();
                            server.wait_gone();
                            server.read_to_end();
                        }};
    const Comparison compared(route, script);
    compared.server([&](const Observation& expected, const Observation& seen) {
        compared.same_end(expected, seen);
        CHECK(is_noise(seen.data, client_seed(1)));
    });
}

/// What the client's system would have acknowledged to the server is the client's.
void server_sends_much_and_resets(Route& route)
{
    const Script script{[](End& client) {
                            client.send(1000);
                            client.wait_for_signal();
                            End::pause(50ms);  // Whoever thinks that all is said and done has the time to end it.
                            client.read_to_end();
                        },
                        [](End& server) {
                            server.read(1000);
                            server.send_until_blocked(much);
                            server.signal();
                            server.send(much - server.seen().sent);
                            server.wait_until_acknowledged();
                            server.reset();
                        }};
    const Comparison compared(route, script);
    compared.client([&](const Observation& expected, const Observation& seen) {
        compared.same_end(expected, seen);
        same_data(expected, seen);
    });
    CHECK(compared.direct.client.data.size() == much);
}

void urgent_data(Route& route)
{
    if (!route.carries().urgent)
        return;
    for (const bool from_client : {true, false}) {
        const auto write = [](End& end) {
            end.send(2);
            end.send_urgent();
            end.send(2);
            end.half_close();
            end.read_to_end();
        };
        const auto read = [](End& end) {
            end.read_to_end();
            end.send(much);
            end.close();
        };
        const Comparison compared(route, from_client ? Script{write, read} : Script{read, write});
        const auto in_band = [](const Observation& expected, const Observation& seen) {
            same_data(expected, seen);
            CHECK(seen.ended == expected.ended);
        };
        compared.client(in_band);
        compared.server(in_band);
    }
}

void urgent_data_in_place(Route& route)
{
    if (!route.carries().urgent_in_place)
        return;
    for (const bool from_client : {true, false}) {
        for (const bool in_line : {true, false}) {
            const auto write = [](End& end) {
                for (int i = 0; i < 3; ++i) {
                    end.send(2);
                    end.wait_until_taken();
                    end.send_urgent();
                    end.wait_until_taken();
                    end.send(2);
                    end.wait_until_taken();
                }
                end.half_close();
                end.read_to_end();
            };
            const auto read = [in_line](End& end) {
                if (in_line)
                    end.take_urgent_inline();
                end.read_to_end();
                end.close();
            };
            const Comparison compared(route, from_client ? Script{write, read} : Script{read, write});
            compared.same();
            CHECK((from_client ? compared.direct.server : compared.direct.client).marks.size() == 3);
        }
    }
}

void server_does_not_read(Route& route) { check_full(route, false); }
void client_does_not_read(Route& route) { check_full(route, true); }

struct Event {
    const char* name;
    void (*check)(Route&);
};

constexpr Event events[] = {
    {"client half-closes", client_half_closes},
    {"server half-closes", server_half_closes},
    {"server speaks first", server_speaks_first},
    {"server says last words", server_says_last_words},
    {"client comes and goes", client_comes_and_goes},
    {"server closes and client goes on", server_closes_and_client_goes_on},
    {"megabytes both ways", megabytes_both_ways},
    {"client resets", client_resets},
    {"server resets", server_resets},
    {"client resets while server sends", client_resets_while_server_sends},
    {"server resets while client sends", server_resets_while_client_sends},
    {"client closes with unread data", client_closes_with_unread_data},
    {"server closes with unread data", server_closes_with_unread_data},
    {"client resets after half-close", client_resets_after_half_close},
    {"server resets after half-close", server_resets_after_half_close},
    {"client resets while server is full", client_resets_while_server_is_full},
    {"server sends much and resets", server_sends_much_and_resets},
    {"urgent data", urgent_data},
    {"urgent data in place", urgent_data_in_place},
    {"server does not read", server_does_not_read},
    {"client does not read", client_does_not_read},
};

// Conversations at random.

/// Both ends talk at once, in any amounts; then one of them takes leave in one way or another.
void check_conversation(Route& route, std::uint64_t seed)
{
    std::mt19937_64 random(seed);
    enum Leave { both_half_close, asks_and_reads_answer, resets_when_all_is_read, resets, last_leave = resets };
    const auto amounts = [&random] {
        std::vector<std::size_t> all(1 + random() % 5);
        for (auto& amount : all)
            amount = random() % (std::size_t(1) << random() % 19);
        return all;
    };
    const auto said = amounts(), answered = amounts(), answered_later = amounts();
    auto leave = static_cast<Leave>(random() % (last_leave + 1));
    bool client_leaves = random() % 2 == 0;
    if (!route.carries().server_half_close && leave <= asks_and_reads_answer) {
        leave = asks_and_reads_answer;
        client_leaves = true;
    }
    const auto talk = [](End& end, const std::vector<std::size_t>& sizes) {
        for (const auto size : sizes)
            end.exchange(size);
    };
    const auto leaver = [=](End& end) {
        talk(end, said);
        if (leave == resets_when_all_is_read)
            end.wait_until_taken();
        if (leave >= resets_when_all_is_read)
            return end.reset();
        end.half_close();
        end.read_to_end();
    };
    const auto stayer = [=](End& end) {
        talk(end, answered);
        if (leave == both_half_close)
            end.half_close();
        end.read_to_end();
        if (leave == asks_and_reads_answer)
            talk(end, answered_later);
        end.close();
    };
    const Comparison compared(route, client_leaves ? Script{leaver, stayer} : Script{stayer, leaver}, seed);
    if (leave <= asks_and_reads_answer)
        return compared.same();
    const auto left = [&](const Observation& expected, const Observation& seen) {
        compared.same_end(expected, seen);
        if (leave == resets_when_all_is_read)
            same_data(expected, seen);
        else
            CHECK(is_noise(seen.data, client_leaves ? client_seed(seed) : server_seed(seed)));
    };
    client_leaves ? compared.server(left) : compared.client(left);
}

}  // namespace

void check_every_event(Route& route)
{
    for (const auto& event : events) {
        INFO(std::string(event.name));
        event.check(route);
    }
}

void check_late_answers(const std::vector<RoutePtr>& routes, std::chrono::milliseconds delay)
{
    std::vector<Outcome> outcomes(routes.size());
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < routes.size(); ++i) {
        auto lines = std::make_shared<std::pair<Line, Line>>(routes[i]->connect());
        threads.emplace_back([&outcome = outcomes[i], lines, delay] {
            outcome = play(half_close_and_answer(delay), std::move(*lines));
        });
    }
    for (auto& thread : threads)
        thread.join();
    for (std::size_t i = 0; i < routes.size(); ++i) {
        INFO(routes[i]->name());
        CHECK(bool(outcomes[i].client.data == noise(server_seed(1), 0, much)));
        CHECK(outcomes[i].client.ended == Ended::in_order);
    }
}

void check_random_conversations(Route& route, std::uint64_t count)
{
    if (const char* const wanted = std::getenv("INSTANCER_TEST_SEEDS"))
        count = std::strtoull(wanted, nullptr, 10);
    for (std::uint64_t seed = 1; seed <= count; ++seed) {
        CAPTURE(seed);
        check_conversation(route, seed);
    }
}

}  // namespace transparency
