// SPDX-License-Identifier: MIT
// Clients come and go as they like while instances die; afterwards it is as if nobody had been there.
#include <raw_client.hpp>
#include <service.hpp>

#include <random>

#include <malloc.h>

#include <instancer/authenticator/token.hpp>

using namespace service_test;
using daemon_test::RawClient;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

constexpr int clients_per_round = sanitized ? 200 : 500;
constexpr int rounds = sanitized ? 2 : 3;
constexpr int client_threads = 16;

using Random = std::mt19937;

int pick(Random& random, int choices) { return static_cast<int>(random() % static_cast<unsigned>(choices)); }

/// What a client says before anything else, right or wrong.
using Greeting = std::string (*)(Random&);

std::string no_greeting(Random&) { return {}; }

/// Of one of a few people, who now and then reset theirs; sometimes unknown, sometimes cut short.
std::string token_greeting(Random& random)
{
    const int kind = pick(random, 20);
    auto greeting = std::string(128, static_cast<char>('A' + pick(random, 8))) + std::string(1, '\0') +
                    std::string(1, static_cast<char>(kind == 0 ? 0 : 1 + pick(random, 3)));
    if (kind == 1)
        greeting[127] = '!';
    if (kind == 2)
        greeting.resize(greeting.size() / 2);
    return greeting;
}

/// One client, from its coming to its going. False when it got bytes that are not its own.
bool visit(std::uint16_t port, Greeting greeting, Random& random)
{
    RawClient client(port);
    client.send(greeting(random));
    const int kind = pick(random, 10);
    if (kind == 0)
        return client.close(), true;
    if (kind == 1)
        return client.reset(), true;
    if (kind == 2)
        return client.half_close(), client.receive_all().empty();
    if (kind == 3) {
        client.send(std::string(50'000, 'x'));
        if (pick(random, 2) == 0)
            client.reset();
        return true;  // Leaves with unread data.
    }
    const std::string mine = std::to_string(random());
    for (int i = 0, messages = 1 + pick(random, 20); i < messages; ++i) {
        client.send(mine);
        const auto echo = client.receive(mine.size());
        if (echo != mine)
            return mine.starts_with(echo);  // Its instance went away.
        if (kind == 4)
            std::this_thread::sleep_for(std::chrono::milliseconds(pick(random, 5)));
    }
    if (kind == 5)
        return client.reset(), true;
    if (kind == 6)
        return true;
    client.send(mine);
    client.half_close();
    return mine.starts_with(client.receive_all());
}

/// Kills the instance `name`, and nothing that has got its number since.
void kill_instance(const std::string& name, const Leftovers& leftovers)
{
    const ProcessHandle process(pid_of(name));
    const auto ours = leftovers.processes();
    if (process && std::find(ours.begin(), ours.end(), pid_of(name)) != ours.end())
        process.kill();
}

/// A round of clients, some at once and some one after the other. Returns how many got bytes of somebody else.
int play(Service& service, Greeting greeting, unsigned seed)
{
    std::atomic<int> left{clients_per_round}, strange{0};
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < client_threads; ++i)
        threads.emplace_back([&, i] {
            Random random(seed * 100 + i);
            while (left.fetch_sub(1) > 0)
                strange += visit(service.port(), greeting, random) ? 0 : 1;
        });
    Random random(seed);
    while (left > 0) {
        if (const auto running = service.events().running(); !running.empty())
            kill_instance(running[random() % running.size()], service.leftovers());
        std::this_thread::sleep_for(std::chrono::milliseconds(pick(random, 30)));
    }
    for (auto& thread : threads)
        thread.join();
    return strange;
}

std::size_t directories_below(const std::vector<std::string>& paths)
{
    std::size_t count = 0;
    for (const auto& path : paths)
        for (const auto& entry : std::filesystem::directory_iterator(path))
            count += entry.is_directory() ? 1 : 0;
    return count;
}

/// Directories of instances, those that are being removed included.
std::size_t private_directories(const std::vector<std::string>& roots)
{
    std::size_t count = 0;
    for (const auto& root : roots)
        for (const auto& entry : std::filesystem::recursive_directory_iterator(root))
            count += entry.is_directory() && entry.path().filename() != ".removing" ? 1 : 0;
    return count;
}

void churn(const ServiceOptions& options, Greeting greeting)
{
    const auto descriptors_before = open_descriptors();
    {
        Service service(options);
        std::size_t descriptors = 0, memory = 0;
        for (int round = 0; round < rounds; ++round) {
            CAPTURE(round);
            CHECK(play(service, greeting, static_cast<unsigned>(round) + 1) == 0);

            // Everybody has left.
            REQUIRE(eventually([&] { return service.sessions() == 0 && service.instances() == 0; }));
            const auto record = service.events().record();
            CHECK(record.sessions_started == clients_per_round);
            CHECK(record.sessions.size() == clients_per_round);
            CHECK(record.count(SessionEnd::failed) == 0);
            CHECK(record.count(SessionEnd::completed) > clients_per_round / 10);
            CHECK(record.instances.size() == record.started.size());
            CHECK(record.warnings.empty());
            CHECK(service.leftovers().processes().empty());
            CHECK(directories_below(service.leftovers().control_groups()) <= detail::ControlGroup::most_spares);
            CHECK(eventually([&] { return private_directories(service.leftovers().directories()) == 0; }));
            CHECK(zombies() == 0);

            // And the next ones find it as these did.
            service.events().forget();
            if (round > 0)
                CHECK(open_descriptors() == descriptors);
            if (round > 1)
                CHECK(::mallinfo2().uordblks < memory + 64 * 1024);
            descriptors = open_descriptors();
            memory = ::mallinfo2().uordblks;
        }
    }
    CHECK(open_descriptors() == descriptors_before);
}

ServiceOptions stdio_options(std::size_t threads)
{
    ServiceOptions options({"/bin/sh", "-c", "exec cat", "{dir}"});
    options.threads = threads;
    options.process.stop_grace = 500ms;
    options.pool.max_instances = 12;
    options.pool.when_full = WhenFull::queue;
    return options;
}

/// An echo server that starts fast, with a child per connection.
constexpr auto echo_server = R"(
use Socket;
socket(S, PF_INET, SOCK_STREAM, 0) or die;
setsockopt(S, SOL_SOCKET, SO_REUSEADDR, 1) or die;
bind(S, sockaddr_in($ENV{PORT}, INADDR_LOOPBACK)) or die "port $ENV{PORT}: $!";
listen(S, 100) or die;
$SIG{CHLD} = $SIG{PIPE} = 'IGNORE';
while (1) {
    accept(C, S) or next;
    if (fork == 0) {
        close S;
        while (sysread(C, $data, 65536)) {
            for ($sent = 0; $sent < length $data; $sent += $count) {
                $count = syswrite(C, $data, length($data) - $sent, $sent) or exit;
            }
        }
        exit;
    }
    close C;
}
)";

ServiceOptions port_options(std::size_t threads)
{
    ServiceOptions options({"/usr/bin/perl", "-e", echo_server}, ProcessIo::port);
    options.threads = threads;
    options.process.stop_grace = 500ms;
    options.pool.max_instances = 12;
    options.pool.max_per_owner = 2;
    options.pool.when_full = WhenFull::cull_oldest;
    options.pool.linger = 50ms;
    options.authenticator = [] {
        std::vector<Token> tokens;
        for (char letter = 'A'; letter < 'A' + 8; ++letter)
            tokens.emplace_back(std::string(128, letter));
        return std::make_unique<TokenAuthenticator>(std::move(tokens));
    };
    return options;
}

}  // namespace

TEST_CASE("churn: stdio, one thread") { churn(stdio_options(1), no_greeting); }
TEST_CASE("churn: stdio, two threads") { churn(stdio_options(2), no_greeting); }
TEST_CASE("churn: port, one thread") { churn(port_options(1), token_greeting); }
TEST_CASE("churn: port, two threads") { churn(port_options(2), token_greeting); }

TEST_CASE("churn: stopping in the middle of it")
{
    for (unsigned seed = 1; seed <= (sanitized ? 4 : 8); ++seed) {
        CAPTURE(seed);
        const bool port = seed % 2 == 0;
        auto options = port ? port_options(2) : stdio_options(2);
        if (seed % 3 == 0)
            options.pool.warm = 3;
        Service service(options);
        const auto greeting = port ? token_greeting : no_greeting;
        std::atomic<bool> over{false};
        std::vector<std::thread> threads;
        for (unsigned i = 0; i < client_threads; ++i)
            threads.emplace_back([&, i] {
                Random random(seed * 100 + i);
                while (!over)
                    visit(service.port(), greeting, random);
            });
        const auto some = 5 + seed * 3;
        CHECK(service.events().wait([some](const auto& record) { return record.sessions.size() >= some; }));
        if (seed % 4 == 3)
            service.drain(100ms);
        else
            service.stop();
        CHECK(service.over());
        over = true;
        for (auto& thread : threads)
            thread.join();
    }
}
