// SPDX-License-Identifier: MIT
// A server on several threads, with clients that come and go at random: for ThreadSanitizer above all.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <instancer/acceptor/controlled_acceptor.hpp>
#include <instancer/acceptor/socket_acceptor.hpp>
#include <instancer/authenticator/token.hpp>
#include <instancer/bridge/pair_bridge.hpp>
#include <instancer/server.hpp>

#include "echo.hpp"
#include "event_log.hpp"
#include "socket_pair.hpp"

using namespace instancer;
using namespace std::chrono_literals;
using socket_pair::UniqueFd;

namespace {

/// Instances that answer with what they are told. Any thread may connect to them.
class EchoBackend final : public InstanceBackend {
public:
    explicit EchoBackend(const asio::any_io_executor& control) : control_(control) {}

    std::size_t running() const noexcept { return running_; }

private:
    struct Echo final : Instance::State {
        explicit Echo(const asio::any_io_executor& control) : ended(control) {}
        instancer::AsyncEvent ended;
    };

    asio::awaitable<Result<Instance>> do_start(InstanceRequest) override
    {
        ++running_;
        const auto state = std::make_shared<Echo>(control_);
        // Some live for a moment only.
        if (random_() % 8 == 0) {
            auto task = end_soon(state);
            asio::co_spawn(control_, std::move(task), asio::detached);
        }
        co_return Instance("echo " + std::to_string(++count_), state);
    }

    asio::awaitable<Result<Stream>> do_open(Instance, OpenRequest) override
    {
        const auto executor = co_await asio::this_coro::executor;
        int fds[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0)
            co_return fail(instancer::last_error());
        auto task = echo(make_socket_stream(control_, UniqueFd(fds[1])));
        asio::co_spawn(control_, std::move(task), asio::detached);
        co_return make_socket_stream(executor, UniqueFd(fds[0]));
    }

    asio::awaitable<InstanceExit> do_wait(Instance instance) override
    {
        const auto state = instance.shared_state<Echo>();
        co_await state->ended.wait();
        co_return InstanceExit("over");
    }

    asio::awaitable<Result<void>> do_stop(Instance instance) override
    {
        --running_;
        instance.state<Echo>().ended.set();
        co_return Result<void>();
    }

    static asio::awaitable<void> end_soon(std::shared_ptr<Echo> state)
    {
        const auto executor = co_await asio::this_coro::executor;
        asio::steady_timer timer(executor, 2ms);
        co_await timer.async_wait(instancer::as_result);
        state->ended.set();
    }

    asio::any_io_executor control_;
    std::mt19937 random_{1};
    std::size_t running_ = 0;
    std::size_t count_ = 0;
};

std::uint16_t port_of(const Acceptor& acceptor)
{
    const auto address = acceptor.address();
    return static_cast<std::uint16_t>(std::atoi(address.c_str() + address.rfind(':') + 1));
}

UniqueFd connect_to(std::uint16_t port)
{
    UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience{20, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        socket.reset();
    return socket;
}

void end_by_reset(UniqueFd& socket)
{
    const linger reset{1, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    socket.reset();
}

/// Nobody is let in from 192.0.2.4.
AccessRules some_rules()
{
    AccessRules rules;
    rules.add(false, Network(asio::ip::make_address("192.0.2.4")));
    return rules;
}

/// One visit, from one of four addresses. Whether what was said came back, if that was waited for.
enum class Visit { echoed, ended, wrong };

Visit visit(std::uint16_t port, std::mt19937& random)
{
    auto socket = connect_to(port);
    if (!socket)
        return Visit::ended;
    std::string greeting(Token::size, 'x');
    greeting += static_cast<char>('a' + random() % 3);
    greeting += random() % 6 == 0 ? '\0' : 'b';
    if (greeting.back() == '\0')
        greeting[Token::size] = '\0';  // A reset.
    const std::string text(1 + random() % 9000, static_cast<char>('a' + random() % 26));
    const auto from = random() % 4 + 1;
    const auto all = "PROXY TCP4 192.0.2." + std::to_string(from) + " 10.0.0.1 1 2\r\n" + greeting + text;
    const auto whim = random() % 5;
    if (whim == 0) {
        ::send(socket.get(), all.data(), random() % Token::size, MSG_NOSIGNAL);
        if (random() % 2 == 0)
            end_by_reset(socket);
        return Visit::ended;
    }
    if (::send(socket.get(), all.data(), all.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(all.size()))
        return Visit::ended;
    if (whim == 1 || from == 4) {
        end_by_reset(socket);
        return Visit::ended;
    }
    std::string answer(text.size(), '\0');
    const auto count = ::recv(socket.get(), answer.data(), answer.size(), MSG_WAITALL);
    answer.resize(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    if (!text.starts_with(answer))
        return Visit::wrong;
    return answer.size() == text.size() ? Visit::echoed : Visit::ended;
}

}  // namespace

TEST_CASE("server on several threads: clients come and go at random, and in the end nothing is left")
{
    Workers workers(3);
    EventLog events;
    EchoBackend backend(workers.control());
    PoolOptions options;
    options.max_instances = 3;
    options.max_starting = 2;
    options.when_full = WhenFull::queue;
    options.linger = 1ms;
    options.warm = 1;
    InstancePool pool(workers.control(), "echo", options, backend, events);
    PairBridge bridge;
    auto tokens = std::make_unique<TokenAuthenticator>(std::vector<Token>{Token(std::string(Token::size, 'x'))});
    auto& authenticator = *tokens;
    const asio::ip::tcp::endpoint any_port(asio::ip::address_v4::loopback(), 0);
    std::vector<std::unique_ptr<Acceptor>> acceptors;
    AccessControlOptions access_options;
    access_options.rules = some_rules();
    access_options.when_denied = WhenDenied::hold;
    access_options.max_held = 20;
    access_options.max_per_source = 3;
    access_options.proxies.add(true, std::nullopt);
    const auto access = std::make_shared<AccessControl>(workers.control(), std::move(access_options));
    acceptors.push_back(
        std::make_unique<ControlledAcceptor>(std::move(*listen_tcp(workers.control(), any_port)), access));
    const auto port = port_of(*acceptors.front());
    Server server(workers, ServerOptions("echo"), std::move(acceptors), std::move(tokens), pool, bridge, events);

    std::atomic<bool> over = false;
    asio::co_spawn(workers.control(), server.run(), [&](std::exception_ptr error, Result<void> result) {
        CHECK_FALSE(error);
        CHECK(result);
        over = true;
        workers.stop();
    });
    std::thread serving([&] { workers.run(); });

    std::atomic<int> echoed = 0, wrong = 0;
    constexpr int visits = 150;
    {
        std::vector<std::jthread> clients;
        for (unsigned seed = 1; seed <= 4; ++seed)
            clients.emplace_back([&, seed] {
                std::mt19937 random(seed);
                for (int i = 0; i < visits; ++i) {
                    const auto outcome = visit(port, random);
                    echoed += outcome == Visit::echoed ? 1 : 0;
                    wrong += outcome == Visit::wrong ? 1 : 0;
                    if (i % 32 == 0) {
                        authenticator.set_tokens({Token(std::string(Token::size, 'x'))});
                        access->set_rules(some_rules());
                    }
                }
            });
    }
    CHECK(echoed > visits);
    CHECK(wrong == 0);
    asio::post(workers.control(), [&] { server.drain(5s); });
    serving.join();
    CHECK(over);
    CHECK(backend.running() == 0);
    const auto sessions = events.sessions();
    CHECK(events.count_beginning("session ") == 2 * sessions.size());
    CHECK(std::any_of(sessions.begin(), sessions.end(), [](auto& s) { return s.end == SessionEnd::access_denied; }));
    CHECK(events.count_beginning("started ") == events.count_beginning("ended "));
}

TEST_CASE("workers that are stopped with sessions going on: what is destroyed after that touches nothing that is gone")
{
    EventLog events;
    Workers workers(3);
    EchoBackend backend(workers.control());
    PoolOptions options;
    options.max_instances = 2;
    options.when_full = WhenFull::queue;
    InstancePool pool(workers.control(), "echo", options, backend, events);
    PairBridge bridge;
    const asio::ip::tcp::endpoint any_port(asio::ip::address_v4::loopback(), 0);
    std::vector<std::unique_ptr<Acceptor>> acceptors;
    acceptors.push_back(std::move(*listen_tcp(workers.control(), any_port)));
    const auto port = port_of(*acceptors.front());
    auto tokens = std::make_unique<TokenAuthenticator>(std::vector<Token>{Token(std::string(Token::size, 'x')),
                                                                          Token(std::string(Token::size, 'y')),
                                                                          Token(std::string(Token::size, 'z'))});
    Server server(workers, ServerOptions("echo"), std::move(acceptors), std::move(tokens), pool, bridge, events);
    asio::co_spawn(workers.control(), server.run(), asio::detached);
    std::thread serving([&] { workers.run(); });

    std::vector<UniqueFd> clients;
    // More than there are instances, so one waits for its turn.
    for (const char letter : {'x', 'y', 'z'}) {
        clients.push_back(connect_to(port));
        std::string greeting(Token::size, letter);
        greeting += "abhello";
        ::send(clients.back().get(), greeting.data(), greeting.size(), MSG_NOSIGNAL);
    }
    std::vector<pollfd> answers;
    for (const auto& client : clients)
        answers.push_back({client.get(), POLLIN, 0});
    CHECK(::poll(answers.data(), answers.size(), 20'000) > 0);
    for (int i = 0; i < 6; ++i) {
        clients.push_back(connect_to(port));  // Says nothing: it is being authenticated.
        ::send(clients.back().get(), "x", 1, MSG_NOSIGNAL);
    }
    while (events.count_beginning("session ") < clients.size())
        std::this_thread::yield();
    workers.stop();
    serving.join();
    CHECK(server.sessions() > 6);
}
