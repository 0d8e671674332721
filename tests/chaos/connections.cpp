// SPDX-License-Identifier: MIT
// Connections through bad network on both sides of us, and clients that come and go by the thousand.
#include <chaos_gate.hpp>
#include <raw_client.hpp>
#include <scripted_end.hpp>
#include <service.hpp>

#include <algorithm>
#include <deque>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <sstream>
#include <vector>

using daemon_test::connect_to;
using daemon_test::Daemon;
using daemon_test::Listener;
using daemon_test::RawClient;
using service_test::eventually;
using namespace std::chrono_literals;
using namespace transparency;

namespace {

/// By which a server recognises whom it serves.
constexpr std::size_t name_size = 8;

/// Up to some hundred kilobytes, sent while as many are read.
std::size_t amount(std::uint64_t seed) { return name_size + std::mt19937(seed)() % 400'000; }

/// Takes everybody who comes in a thread of its own, and keeps what it saw, by the name that the client gave.
class Servers {
public:
    Servers() : accepting_([this] { accept_all(); }) {}
    ~Servers() { finish(); }

    const std::string& address() const { return listener_.address(); }

    /// Waits until all who came have gone.
    std::map<std::string, Observation> finish()
    {
        if (accepting_.joinable()) {
            over_ = true;
            connect_to(address());  // Wakes it.
            accepting_.join();
        }
        for (auto& thread : threads_)
            thread.join();
        threads_.clear();
        return std::move(seen_);
    }

private:
    void accept_all()
    {
        while (auto connection = listener_.accept()) {
            if (over_)
                return;
            threads_.emplace_back([this, socket = connection.release()] { serve(UniqueFd(socket)); });
        }
    }

    void serve(UniqueFd socket)
    {
        // Who it is decides what is sent.
        char name[name_size];
        const auto size = ::recv(socket.get(), name, sizeof name, MSG_PEEK | MSG_WAITALL);
        if (size != sizeof name)
            return;
        const std::string who(name, sizeof name);
        std::uint64_t seed = 1;
        while (noise(client_seed(seed), 0, name_size) != who && seed < 1000)
            ++seed;
        End end(Line(std::move(socket)), server_seed(seed));
        converse(end, amount(server_seed(seed)));
        const std::lock_guard lock(mutex_);
        seen_.emplace(who, end.seen());
    }

public:
    static void converse(End& end, std::size_t size)
    {
        end.exchange(size);
        end.half_close();
        end.read_to_end();
        end.close();
    }

private:
    Listener listener_{"127.0.0.1:0", 4096};
    std::atomic<bool> over_{false};
    std::deque<std::thread> threads_;
    std::mutex mutex_;
    std::map<std::string, Observation> seen_;
    std::thread accepting_;
};

std::size_t descriptors(const Daemon& daemon)
{
    const std::filesystem::directory_iterator all("/proc/" + std::to_string(daemon.pid()) + "/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

std::size_t sessions_ended(const Daemon& daemon)
{
    const auto log = daemon.log();
    std::size_t count = 0;
    for (auto at = log.find("session ended"); at != log.npos; at = log.find("session ended", at + 1))
        ++count;
    return count;
}

/// Connections that the system dropped so far because a queue of clients to be accepted was full. Such a client counts
/// as connected, and one that goes away again at once is never seen by the server.
std::size_t overflows()
{
    std::ifstream file("/proc/net/netstat");
    std::string line;
    std::vector<std::string> names;
    while (std::getline(file, line)) {
        std::istringstream words(line);
        const std::vector<std::string> fields{std::istream_iterator<std::string>(words), {}};
        const auto found = std::find(names.begin(), names.end(), "ListenOverflows");
        if (found != names.end() && !fields.empty() && fields.front() == names.front())
            return std::stoul(fields.at(static_cast<std::size_t>(found - names.begin())));
        names = fields;
    }
    FAIL("/proc/net/netstat has no ListenOverflows");
    return 0;
}

/// What the daemon opens once and keeps is open after the first few.
constexpr std::size_t first_few = 8;

void send_first_few(const Daemon& daemon)
{
    for (std::size_t i = 0; i < first_few; ++i) {
        RawClient client(daemon.port());
        client.half_close();
        client.receive_all();
    }
    REQUIRE(eventually([&] { return sessions_ended(daemon) == first_few; }));
}

constexpr std::uint64_t conversations = 200;

/// Conversations that all go on at once: client - gate - instancerd - gate - server.
void converse_through_gates(int cut_percent)
{
    Servers servers;
    const chaos::Gate behind(servers.address(), cut_percent, 1);
    Daemon daemon({"forward", "--listen", "127.0.0.1:0", "--to", behind.address()});
    const chaos::Gate before(daemon.address(), cut_percent, 2);
    send_first_few(daemon);
    const auto descriptors_before = descriptors(daemon);

    std::vector<Observation> clients(conversations + 1);
    std::vector<std::thread> threads;
    for (std::uint64_t seed = 1; seed <= conversations; ++seed)
        threads.emplace_back([&, seed] {
            End end(Line(connect_to(before.address())), client_seed(seed));
            Servers::converse(end, amount(client_seed(seed)));
            clients[seed] = std::move(end.seen());
        });
    for (auto& thread : threads)
        thread.join();
    REQUIRE(eventually([&] { return sessions_ended(daemon) == first_few + conversations; }));
    CHECK(eventually([&] { return descriptors(daemon) == descriptors_before; }));
    const auto all_servers = servers.finish();

    std::size_t whole = 0;
    for (std::uint64_t seed = 1; seed <= conversations; ++seed) {
        CAPTURE(seed);
        const auto found = all_servers.find(noise(client_seed(seed), 0, name_size));
        const auto server = found == all_servers.end() ? Observation() : found->second;
        const auto& client = clients[seed];
        CHECK(client.stuck == "");
        CHECK(server.stuck == "");
        // Not one byte is lost, doubled, moved or somebody else's.
        CHECK(bool(server.data == noise(client_seed(seed), 0, server.data.size())));
        CHECK(bool(client.data == noise(server_seed(seed), 0, client.data.size())));
        const bool all_came = server.data.size() == amount(client_seed(seed)) && server.ended == Ended::in_order &&
                              client.data.size() == amount(server_seed(seed)) && client.ended == Ended::in_order;
        whole += all_came;
        if (cut_percent == 0)
            CHECK(all_came);
    }
    if (cut_percent != 0) {
        CHECK(whole > 0);
        CHECK(before.cuts() > 0);
        CHECK(behind.cuts() > 0);
    }
    CHECK(daemon.terminate() == 0);
}

/// Takes clients in and ends them in every way, some at once and some later; the first few in order.
class Fickle {
public:
    ~Fickle() { finish(); }

    /// Ends all connections that are left.
    void finish()
    {
        if (!thread_.joinable())
            return;
        over_ = true;
        connect_to(address());  // Wakes it.
        thread_.join();
        listener_.close();
    }

    const std::string& address() const { return listener_.address(); }

private:
    void run()
    {
        for (std::size_t i = 0; i < first_few; ++i)
            listener_.accept();
        std::minstd_rand random(1);
        std::deque<End> kept;
        while (!over_) {
            kept.emplace_back(Line(listener_.accept()), random());
            auto& end = kept[random() % kept.size()];
            switch (random() % 6) {
            case 0: end.reset(); break;
            case 1: end.close(); break;
            case 2: end.half_close(); break;
            case 3: end.send(1000); break;
            default: break;
            }
            if (kept.size() > 50)
                kept.pop_front();
        }
    }

    Listener listener_{"127.0.0.1:0", 4096};
    std::atomic<bool> over_{false};
    std::thread thread_{[this] { run(); }};
};

void come_and_go(std::uint16_t port, int times, unsigned seed)
{
    std::minstd_rand random(seed);
    for (int i = 0; i < times; ++i) {
        RawClient client(port);
        CHECK(client.connected());
        if (random() % 2 == 0)
            client.send(std::string(random() % 2000, 'x'));
        switch (random() % 4) {
        case 0: client.reset(); break;
        case 1: client.half_close(); break;
        case 2: client.half_close(), client.reset(); break;
        default: break;
        }
    }
}

}  // namespace

TEST_CASE("connections: ten thousand that come, and break off at random, leave nothing behind")
{
    constexpr unsigned threads = 4, each = 2500;
    Fickle server;
    Daemon daemon({"forward", "--listen", "127.0.0.1:0", "--to", server.address()});
    send_first_few(daemon);
    const auto descriptors_before = descriptors(daemon);
    const auto overflows_before = overflows();
    std::vector<std::thread> clients;
    for (unsigned i = 0; i < threads; ++i)
        clients.emplace_back(come_and_go, daemon.port(), each, i + 1);
    for (auto& client : clients)
        client.join();
    server.finish();
    const auto all = first_few + threads * each;
    CHECK(eventually([&] { return sessions_ended(daemon) + overflows() - overflows_before >= all; }));
    CHECK(eventually([&] { return descriptors(daemon) == descriptors_before; }));
    CHECK(sessions_ended(daemon) <= all);
    daemon.signal(SIGUSR1);
    CHECK(daemon.wait_for_line("instance is running").find(" clients=0 ") != std::string::npos);
    CHECK(daemon.terminate() == 0);
}

TEST_CASE("connections: through stalls and slices on both sides every byte arrives, in order, at its own end")
{
    converse_through_gates(0);
}

TEST_CASE("connections: of those that are cut at random, each end has the beginning of what the other one sent")
{
    converse_through_gates(40);
}
