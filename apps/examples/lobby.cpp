// SPDX-License-Identifier: MIT
// A server with a protocol of its own in front of the instances. A client says what it wants, a command a line:
//     who           how many games there are
//     play NAME     joins the game of that name, which begins when its first player comes
// The answer to `play` is `+ok`, and from then on it is the game that speaks; or `-` and why not.
#include <atomic>
#include <iostream>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <instancer/acceptor/socket_acceptor.hpp>
#include <instancer/backend/process_backend.hpp>
#include <instancer/bridge/pair_bridge.hpp>
#include <instancer/read_line.hpp>
#include <instancer/server.hpp>

using namespace instancer;

class Games final : public Events {
public:
    int count() const noexcept { return count_; }

private:
    void listening(std::string_view, std::string_view address) override { std::cout << address << std::endl; }
    void instance_started(std::string_view, std::string_view, std::string_view) override { ++count_; }
    void instance_ended(const InstanceSummary&) override { --count_; }

    std::atomic<int> count_ = 0;  // Events come from several threads.
};

class LobbyAuthenticator final : public Authenticator {
public:
    explicit LobbyAuthenticator(const Games& games) : games_(games) {}

private:
    asio::awaitable<Result<Admission>> do_authenticate(Stream& client, const ClientInfo&) override
    {
        for (;;) {
            const auto line = co_await read_line(client, 80);
            if (!line)
                co_return fail(line.error());
            if (line->starts_with("play ")) {
                Admission admission(line->substr(5), "");
                admission.banner("+ok\n");
                admission.on_refusal([](const Error& reason) { return "-" + reason.code().message() + "\n"; });
                co_return admission;
            }
            const auto answer = *line == "who" ? std::to_string(games_.count()) + "\n" : "-who, or play NAME\n";
            const auto written = co_await client.write_all(answer);
            if (!written)
                co_return fail(written.error());
        }
    }

    const Games& games_;
};

int main()
{
    Games games;
    Workers workers(2);
    ProcessOptions program;
    program.command = {"/bin/cat"};
    ProcessBackend backend(workers.control(), "lobby", program, games);
    PoolOptions options;
    options.max_instances = 2;
    InstancePool pool(workers.control(), "lobby", options, backend, games);
    PairBridge bridge;
    std::vector<std::unique_ptr<Acceptor>> acceptors;
    acceptors.push_back(listen_tcp(workers.control(), {asio::ip::address_v4::loopback(), 0}).value());
    Server server(workers, ServerOptions("lobby"), std::move(acceptors), std::make_unique<LobbyAuthenticator>(games),
                  pool, bridge, games);
    asio::co_spawn(workers.control(), server.run(), asio::detached);
    workers.run();
}
