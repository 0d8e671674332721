// SPDX-License-Identifier: MIT
// Sessions that live where their instance wants them, and what an operator does to sessions.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include <instancer/authenticator/shared.hpp>

#include "echo.hpp"
#include "raw_client.hpp"
#include "server_fixture.hpp"

using namespace server_fixture;
using socket_pair::UniqueFd;

namespace {

/// One room for all, on the last worker. What its sessions share is guarded by nothing: they are all there.
class RoomBackend final : public InstanceBackend {
public:
    explicit RoomBackend(Workers& workers)
        : control_(workers.control()), home_(workers.executor(workers.size() - 1)), ended_(control_)
    {
    }

    /// For when nobody is in it any more.
    std::size_t opened() const noexcept { return opened_; }
    bool always_at_home() const noexcept { return at_home_; }

private:
    struct Room final : Instance::State {};

    BackendTraits do_traits() const override { return BackendTraits().ready_at_start(true); }

    asio::awaitable<Result<Instance>> do_start(InstanceRequest) override
    {
        co_return Instance("room", std::make_shared<Room>());
    }

    asio::any_io_executor do_preferred_executor(const Instance&) const override { return home_; }

    asio::awaitable<Result<Stream>> do_open(Instance, OpenRequest request) override
    {
        const auto executor = co_await asio::this_coro::executor;
        if (opened_++ == 0)
            thread_ = std::this_thread::get_id();
        at_home_ = at_home_ && executor == home_ && thread_ == std::this_thread::get_id() && request.session() != 0 &&
                   request.stream()->get_executor() == home_;
        // Now and then the room is not there at the first try.
        if (opened_ % 7 == 0)
            co_return fail(Errc::not_ready);
        int fds[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0)
            co_return fail(instancer::last_error());
        auto task = echo(make_socket_stream(home_, UniqueFd(fds[1])));
        asio::co_spawn(home_, std::move(task), asio::detached);
        co_return make_socket_stream(home_, UniqueFd(fds[0]));
    }

    asio::awaitable<InstanceExit> do_wait(Instance) override
    {
        co_await ended_.wait();
        co_return InstanceExit();
    }

    asio::awaitable<Result<void>> do_stop(Instance) override
    {
        ended_.set();
        co_return Result<void>();
    }

    asio::any_io_executor control_, home_;
    instancer::AsyncEvent ended_;
    std::thread::id thread_;
    std::size_t opened_ = 0;
    bool at_home_ = true;
};

/// Whether what was said came back.
bool visit(std::uint16_t port, std::mt19937& random)
{
    UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience{20, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return false;
    if (random() % 4 == 0) {
        const linger reset{1, 0};
        ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        return false;
    }
    const std::string text(1 + random() % 9000, 'x');
    std::string answer(text.size(), '\0');
    return ::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()) &&
           ::recv(socket.get(), answer.data(), answer.size(), MSG_WAITALL) == static_cast<ssize_t>(answer.size()) &&
           answer == text;
}

}  // namespace

TEST_CASE("server on several threads: every session moves to the worker of its instance")
{
    Workers workers(3);
    EventLog events;
    RoomBackend backend(workers);
    PoolOptions options;
    options.linger = 1h;
    InstancePool pool(workers.control(), "room", options, backend, events);
    PairBridge bridge;
    const asio::ip::tcp::endpoint any_port(asio::ip::address_v4::loopback(), 0);
    std::vector<std::unique_ptr<Acceptor>> acceptors;
    acceptors.push_back(std::move(*listen_tcp(workers.control(), any_port)));
    const auto address = acceptors.front()->address();
    const auto port = static_cast<std::uint16_t>(std::atoi(address.c_str() + address.rfind(':') + 1));
    Server server(workers, ServerOptions("room"), std::move(acceptors), std::make_unique<SharedAuthenticator>(), pool,
                  bridge, events);
    asio::co_spawn(workers.control(), server.run(), [&](std::exception_ptr error, Result<void> result) {
        CHECK_FALSE(error);
        CHECK(result);
        workers.stop();
    });
    std::thread serving([&] { workers.run(); });

    std::atomic<int> echoed = 0;
    std::atomic<std::size_t> listed = 0;
    constexpr int visits = 100;
    {
        std::vector<std::jthread> clients;
        for (unsigned seed = 1; seed <= 4; ++seed)
            clients.emplace_back([&, seed] {
                std::mt19937 random(seed);
                for (int i = 0; i < visits; ++i) {
                    echoed += visit(port, random) ? 1 : 0;
                    if (i % 10 == 0)
                        asio::co_spawn(workers.control(), server.snapshot(),
                                       [&listed](std::exception_ptr, const std::vector<SessionStatus>& sessions) {
                                           listed += sessions.size();
                                       });
                    if (i % 25 == 0)
                        asio::post(workers.control(), [&server, id = random() % 400] { server.kill(id); });
                }
            });
    }
    // Clients are accepted in the order in which they came: once this one is served, all have been.
    std::mt19937 patient(1);
    bool served = false;
    for (int tries = 0; tries < 50 && !served; ++tries)
        served = visit(port, patient);
    CHECK(served);
    asio::post(workers.control(), [&] { server.drain(5s); });
    serving.join();
    CHECK(echoed > visits);
    CHECK(listed > 0);
    CHECK(backend.opened() > 3 * visits);
    CHECK(backend.always_at_home());
    const auto sessions = events.sessions();
    CHECK(sessions.size() > 4 * visits);
    CHECK(events.count_beginning("session ") == 2 * sessions.size());
}

TEST_CASE("server: an operator sees the sessions and ends one")
{
    ServerFixture fixture;
    fixture.start();
    auto first = fixture.joined();
    auto second = fixture.joined();
    fixture.send(second, "question");
    REQUIRE(fixture.arrives(fixture.last_connection(), "question"));

    const auto sessions = fixture.loop.run(fixture.server.snapshot());
    REQUIRE(sessions.size() == 2);
    CHECK(sessions[0].id == 1);
    CHECK(sessions[1].id == 2);
    CHECK(sessions[1].instance == "fake 2");
    CHECK(sessions[1].owner == fixture.instance(2).identity()->owner().hex());
    CHECK(sessions[1].client.to_string().starts_with("127.0.0.1:"));
    CHECK(sessions[1].joined);
    CHECK(sessions[1].bytes_up == 8);
    CHECK(sessions[1].bytes_down == 0);
    CHECK(sessions[1].age > 0s);

    CHECK_FALSE(fixture.server.kill(3));
    CHECK(fixture.server.kill(1));
    CHECK(fixture.rest(first) == " reset");
    CHECK(fixture.end() == SessionEnd::killed);
    CHECK(fixture.loop.run(fixture.server.snapshot()).size() == 1);
}

TEST_CASE("server: a session without an instance as yet is listed, and can be ended too")
{
    ServerFixture fixture;
    fixture.start();
    CHECK(fixture.loop.run(fixture.server.snapshot()).empty());
    fixture.backend.starts.hold();
    auto client = fixture.connect();
    REQUIRE(fixture.loop.until([&] { return fixture.backend.starts.waiting() == 1; }));
    const auto sessions = fixture.loop.run(fixture.server.snapshot());
    REQUIRE(sessions.size() == 1);
    CHECK_FALSE(sessions[0].joined);
    CHECK(sessions[0].instance.empty());
    CHECK(fixture.server.kill(1));
    CHECK(fixture.rest(client) == " reset");
    CHECK(fixture.end() == SessionEnd::killed);
}

TEST_CASE("a worker that does not answer holds up no list of sessions")
{
    Workers workers{2};
    Loop loop{workers.context(0)};
    EventLog events;
    FakeBackend backend(workers.control(), {});
    InstancePool pool(workers.control(), "service", {}, backend, events);
    PairBridge bridge;
    std::vector<std::unique_ptr<Acceptor>> acceptors;
    acceptors.push_back(std::move(*listen_tcp(workers.control(), {asio::ip::address_v4::loopback(), 0})));
    const auto address = acceptors.front()->address();
    Server server(workers, ServerOptions("service"), std::move(acceptors), std::make_unique<OpenAuthenticator>(), pool,
                  bridge, events);
    CHECK(server.addresses() == std::vector<std::string>{address});
    auto running = loop.start(server.run());
    loop.settle();
    const auto port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
    const daemon_test::RawClient one(port), other(port);
    REQUIRE(loop.until([&] { return server.sessions() == 2; }));

    // Nobody runs the second worker yet.
    const auto some = loop.run(server.snapshot(1ms));
    CHECK(some.size() == 1);
    std::jthread second([&] { workers.context(1).run(); });
    const auto all = loop.run(server.snapshot());
    CHECK(all.size() == 2);
    server.stop();
    CHECK(loop.until([&] { return running.done(); }));
    workers.stop();
}
