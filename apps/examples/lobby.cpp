// SPDX-License-Identifier: MIT
// A server with a protocol of its own in front of the instances. A client says what it wants, a command a line:
//     who           how many games there are
//     play NAME     joins the game of that name, which begins when its first player comes
// The answer to `play` is `+ok`, and from then on it is the game that speaks; or `-` and why not.
#include <atomic>
#include <iostream>

#include <instancer/authenticator.hpp>
#include <instancer/backend/process_backend.hpp>
#include <instancer/events.hpp>
#include <instancer/pool/pool_options.hpp>
#include <instancer/read_line.hpp>
#include <instancer/service.hpp>

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
    ProcessOptions program;
    program.command = {"/bin/cat"};
    PoolOptions options;
    options.max_instances = 2;
    Service service("lobby");
    service.listen({asio::ip::address_v4::loopback(), 0}).backend<ProcessBackend>(program).pool_options(options);
    service.authenticator(std::make_unique<LobbyAuthenticator>(games)).observe(games);
    const auto served = service.run();
    if (!served)
        std::cerr << served.error().message() << std::endl;
    return served ? 0 : 1;
}
