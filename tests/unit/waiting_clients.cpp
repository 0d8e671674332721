// SPDX-License-Identifier: MIT
// How clients that wait for a lease are found, and what they are told when they get none.
#include <memory>
#include <string>

#include <asio/io_context.hpp>
#include <doctest/doctest.h>

#include <instancer/detail/pool/waiting_clients.hpp>

#include "async_test.hpp"

using namespace async_test;
using namespace instancer;
using detail::WaitingClient;
using detail::WaitingClients;

namespace {

detail::WaitingClientPtr make_client(Loop& loop)
{
    return std::make_shared<WaitingClient>(loop.executor(),
                                           AcquireRequest(Identity("service", "ann", ""), ClientInfo()));
}

PoolAction refusal(WaiterId waiter, Errc error)
{
    PoolAction action(PoolAction::Kind::refuse);
    action.waiter = waiter;
    action.error = error;
    return action;
}

/// The error that a client gets for `action`.
Error answer(const PoolAction& action, const std::string& start_failure)
{
    Loop loop;
    WaitingClients clients;
    const auto client = make_client(loop);
    clients.add(action.waiter, client);
    clients.refuse(action, start_failure);
    loop.settle();
    REQUIRE(client->lease().ready());
    const auto lease = loop.run(client->lease().wait_uncancelled());
    REQUIRE(!lease);
    return lease.error();
}

}  // namespace

TEST_CASE("waiting clients: a client is found until it is taken, and knows what it is called")
{
    Loop loop;
    WaitingClients clients;
    const auto client = make_client(loop), other = make_client(loop);
    clients.add(7, client);
    clients.add(8, other);
    CHECK(client->waiter == 7);
    CHECK(clients.find(7) == client);
    CHECK(!clients.find(9));
    CHECK(clients.take(7) == client);
    CHECK(!clients.take(7));
    CHECK(!clients.find(7));
    CHECK(clients.find(8) == other);
}

TEST_CASE("waiting clients: a refused client is told once, and waits no more")
{
    Loop loop;
    WaitingClients clients;
    const auto client = make_client(loop);
    clients.add(7, client);
    clients.refuse(refusal(8, Errc::full), "");
    loop.settle();
    CHECK(!client->lease().ready());
    clients.refuse(refusal(7, Errc::full), "");
    loop.settle();
    CHECK(client->lease().ready());
    CHECK(!clients.find(7));
}

TEST_CASE("waiting clients: where a limit refuses a client, the error names it and what counts against it")
{
    auto action = refusal(7, Errc::full);
    CHECK(answer(action, "").text() == "");
    action.limit = "--max-instances";
    CHECK(answer(action, "").text() == "--max-instances");
    action.instances = 5;
    action.unused = 2;
    CHECK(answer(action, "").text() == "--max-instances: 5 in all, 2 of them unused");
    action.limit = "";
    CHECK(answer(action, "").text() == "5 in all, 2 of them unused");
    CHECK(answer(action, "").code() == Errc::full);
}

TEST_CASE("waiting clients: where a start failed, the error says why")
{
    for (const Errc error : {Errc::start_failed, Errc::backend_unavailable})
        CHECK(answer(refusal(7, error), "no such program").text() == "no such program");
    CHECK(answer(refusal(7, Errc::queue_timeout), "no such program").text() == "");
}
