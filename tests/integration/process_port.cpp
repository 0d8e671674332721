// SPDX-License-Identifier: MIT
#include <raw_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>

#include <deque>
#include <set>

#include <arpa/inet.h>
#include <sys/socket.h>

#include <instancer/authenticator/source_address.hpp>
#include <instancer/authenticator/token.hpp>

using namespace service_test;
using daemon_test::RawClient;
using daemon_test::TemporaryDirectory;

namespace {

/// Listens on the port in its first argument, says its pid to everybody, and then sends back what it gets.
constexpr auto echo_server = R"(
import os, socket, sys, threading
def serve(client):
    try:
        client.sendall(b'%d\n' % os.getpid())
        while data := client.recv(65536):
            client.sendall(data)
    except OSError:
        pass
    client.close()
server = socket.create_server(('127.0.0.1', int(sys.argv[1])), backlog=100)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
)";

ServiceOptions server(std::string program = echo_server)
{
    return ServiceOptions::python(std::move(program), ProcessIo::port, {"{port}"});
}

std::unique_ptr<Authenticator> by_source() { return std::make_unique<SourceAddressAuthenticator>(); }

/// Accepts tokens that consist of one letter.
std::unique_ptr<Authenticator> by_token()
{
    std::vector<Token> tokens;
    for (char letter = 'A'; letter <= 'Z'; ++letter)
        tokens.emplace_back(std::string(128, letter));
    return std::make_unique<TokenAuthenticator>(std::move(tokens));
}

std::string greeting(char letter, char identifier)
{
    return std::string(128, letter) + std::string(1, '\0') + std::string(1, identifier);
}

class EchoClient : public RawClient {
public:
    explicit EchoClient(Service& service, const std::string& first = {}) : RawClient(service.port())
    {
        send(first);
        pid_ = receive_line();
    }

    /// Of its instance; empty when it got none.
    const std::string& pid() const noexcept { return pid_; }

    bool echoes()
    {
        send("ping");
        return receive(4) == "ping";
    }

private:
    std::string pid_;
};

/// The listening socket of a stranger.
UniqueFd listen_on(std::uint16_t port)
{
    UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(socket.get(), 10) != 0)
        socket.reset();
    return socket;
}

/// Ports of which none is taken now.
PortRange free_ports(std::uint16_t count)
{
    static std::uint16_t first = static_cast<std::uint16_t>(11000 + ::getpid() % 400 * 20);
    for (;; first = static_cast<std::uint16_t>(first + count)) {
        bool all = true;
        for (std::uint16_t i = 0; i < count; ++i)
            all = all && listen_on(static_cast<std::uint16_t>(first + i));
        if (all) {
            const auto begin = std::exchange(first, static_cast<std::uint16_t>(first + count));
            return PortRange(begin, static_cast<std::uint16_t>(first - 1));
        }
    }
}

}  // namespace

TEST_CASE("port: the process gets its port as an argument and as a variable")
{
    auto options = server("import os,socket,sys\n"
                          "server = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
                          "client = server.accept()[0]\n"
                          "client.sendall((sys.argv[1] + ' ' + os.environ['PORT']).encode())\n");
    options.process.ports = free_ports(1);
    Service service(options);
    RawClient client(service.port());
    const auto port = std::to_string(options.process.ports->first());
    CHECK(client.receive_all() == port + " " + port);
}

TEST_CASE("port: any bytes pass, and half-closes do")
{
    Service service(server());
    EchoClient client(service);
    std::string data(2'000'000, '\0');
    for (std::size_t i = 0; i < data.size(); ++i)
        data[i] = static_cast<char>(i * i >> 3);
    std::thread sender([&] {
        client.send(data);
        client.half_close();
    });
    CHECK((client.receive_all() == data));
    CHECK(client.ended_in_order());
    sender.join();
    CHECK(service.events().session_end() == SessionEnd::completed);
}

TEST_CASE("port: servers that are not quite ordinary")
{
    std::string program;
    std::uint16_t ports = 1;
    SUBCASE("accepts only once")
    {
        program = "import socket,sys\n"
                  "server = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
                  "client = server.accept()[0]\n"
                  "server.close()\n";
    }
    SUBCASE("listens on ::1 alone")
    {
        program = "import socket,sys\n"
                  "server = socket.create_server(('::1', int(sys.argv[1])), family=socket.AF_INET6)\n"
                  "client = server.accept()[0]\n";
    }
    SUBCASE("listens on every address")
    {
        program = "import socket,sys\n"
                  "server = socket.create_server(('', int(sys.argv[1])))\n"
                  "client = server.accept()[0]\n";
    }
    SUBCASE("sets no SO_REUSEADDR")
    {
        ports = 3;  // Each fades for a minute when the server closes first.
        program = "import socket,sys\n"
                  "server = socket.socket()\n"
                  "server.bind(('127.0.0.1', int(sys.argv[1])))\n"
                  "server.listen()\n"
                  "client = server.accept()[0]\n";
    }
    SUBCASE("takes its time")
    {
        program = "import socket,sys,time\n"
                  "time.sleep(0.3)\n"
                  "server = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
                  "client = server.accept()[0]\n";
    }
    SUBCASE("takes its time to listen on the port that it has")
    {
        program = "import socket,sys,time\n"
                  "server = socket.socket()\n"
                  "server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
                  "server.bind(('127.0.0.1', int(sys.argv[1])))\n"
                  "time.sleep(0.3)\n"
                  "server.listen()\n"
                  "client = server.accept()[0]\n";
    }
    auto options = server(program + "data = client.recv(100)\nclient.sendall(data[::-1])\n");
    options.process.ports = free_ports(ports);
    Service service(options);
    for (int i = 0; i < 3; ++i) {
        RawClient client(service.port());
        client.send("abc");
        CHECK(client.receive_all() == "cba");
        CHECK(client.ended_in_order());
        // With a single port, the next can come only when this one is gone altogether.
        REQUIRE(service.events().wait_for_instances(static_cast<std::size_t>(i) + 1));
    }
}

TEST_CASE("port: a range caps the instances, and the oldest makes room")
{
    auto options = server();
    options.process.ports = free_ports(10);
    options.pool.when_full = WhenFull::cull_oldest;
    options.authenticator = by_token;
    Service service(options);
    std::deque<EchoClient> clients;
    std::set<std::string> pids;
    for (char letter = 'A'; letter < 'A' + 10; ++letter)
        pids.insert(clients.emplace_back(service, greeting(letter, 1)).pid());
    CHECK(pids.size() == 10);
    CHECK(service.instances() == 10);

    EchoClient eleventh(service, greeting('Z', 1));
    CHECK(eleventh.echoes());
    CHECK(clients.front().receive_all().empty());
    CHECK(clients.front().ended_by_reset());
    for (std::size_t i = 1; i < clients.size(); ++i)
        CHECK(clients[i].echoes());
    REQUIRE(service.events().wait_for_instances(1));
    CHECK(service.events().record().instances.front().end == InstanceEnd::culled);
    CHECK(service.events().session_end() == SessionEnd::culled);
}

TEST_CASE("port: a port that a stranger has is left alone")
{
    auto options = server();
    options.process.ports = free_ports(3);
    const auto stranger = listen_on(options.process.ports->first());
    REQUIRE(stranger);
    options.authenticator = by_token;
    Service service(options);
    EchoClient first(service, greeting('A', 1)), second(service, greeting('B', 1));
    CHECK(first.echoes());
    CHECK(second.echoes());
    CHECK(first.pid() != second.pid());
    EchoClient third(service, greeting('C', 1));
    CHECK(third.pid().empty());
    CHECK(first.echoes());
}

namespace {

bool has_control_groups()
{
    const auto group = detail::ControlGroup::create("instancer-test-" + std::to_string(::getpid()));
    if (group)
        detail::remove_control_group(group->path());
    return group != nullptr;
}

/// An instance that never listens, while somebody else does so on its port.
void check_that_nobody_meets_a_stranger(ServiceOptions options)
{
    options.process.ports = free_ports(1);
    options.pool.start_timeout = 1s;
    Service service(options);
    RawClient client(service.port());
    REQUIRE(eventually([&] { return !service.leftovers().processes().empty(); }));
    const auto stranger = listen_on(options.process.ports->first());
    REQUIRE(stranger);
    CHECK(client.receive_all().empty());
    CHECK(client.ended_by_reset());
    REQUIRE(service.events().wait_for_instances(1));
    const auto instance = service.events().record().instances.front();
    CHECK(instance.end == InstanceEnd::start_timeout);
    CHECK(instance.detail.find(", where another process listens") != std::string::npos);
}

}  // namespace

TEST_CASE("port: nobody is led to another user's process that listens on the port of an instance first" *
          doctest::skip(::geteuid() != 0))
{
    auto options = server("import time; time.sleep(1000)");
    options.process.users = UserRange(70'000, 70'001);
    check_that_nobody_meets_a_stranger(options);
}

TEST_CASE("port: nobody is led to a process outside of its control group that listens first" *
          doctest::skip(::geteuid() != 0 || !has_control_groups()))
{
    check_that_nobody_meets_a_stranger(server("import time; time.sleep(1000)"));
}

TEST_CASE("port: services that start at the same time do not take each other's ports")
{
    auto options = ServiceOptions::python("import os,socket,sys,time\n"
                                          "time.sleep(0.1)\n"
                                          "server = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
                                          "while True:\n"
                                          "    client = server.accept()[0]\n"
                                          "    client.sendall(os.environ['INSTANCER_SERVICE'].encode())\n"
                                          "    client.close()\n",
                                          ProcessIo::port, {"{port}"});
    SUBCASE("any port") {}
    SUBCASE("the same range") { options.process.ports = free_ports(12); }
    std::deque<Service> services;
    for (int i = 0; i < 3; ++i)
        services.emplace_back(options);
    std::deque<RawClient> clients;
    for (int round = 0; round < 4; ++round)
        for (auto& service : services)
            clients.emplace_back(service.port());
    for (std::size_t i = 0; i < clients.size(); ++i)
        CHECK(clients[i].receive_all() == services[i % services.size()].name());
}

TEST_CASE("port: a server that is never ready, or ends before, costs its client nothing but time")
{
    SUBCASE("never ready")
    {
        auto options = server("import time; time.sleep(1000)");
        options.pool.start_timeout = 300ms;
        Service service(options);
        RawClient client(service.port());
        CHECK(client.receive_all().empty());
        CHECK(client.ended_by_reset());
        CHECK(service.events().session_end() == SessionEnd::start_failed);
        REQUIRE(service.events().wait_for_instances(1));
        const auto instance = service.events().record().instances.front();
        CHECK(instance.end == InstanceEnd::start_timeout);
        CHECK(instance.detail.find("the port that {port} in its arguments") != std::string::npos);
        CHECK(instance.detail.find("; it listens on no port") != std::string::npos);
        CHECK(service.leftovers().processes().empty());
    }
    SUBCASE("listens, and lets nobody in")
    {
        // As a backlog that is full, a filter drops whoever knocks, without an answer; but from the first one on.
        auto options =
            server("import ctypes,socket,struct,sys,time\n"
                   "server = socket.socket()\n"
                   "server.bind(('127.0.0.1', int(sys.argv[1])))\n"
                   "drop = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0))\n"
                   "attach = 26\n"
                   "server.setsockopt(socket.SOL_SOCKET, attach, struct.pack('HL', 1, ctypes.addressof(drop)))\n"
                   "server.listen()\n"
                   "time.sleep(1000)\n");
        options.pool.start_timeout = 300ms;
        Service service(options);
        const auto begin = std::chrono::steady_clock::now();
        RawClient client(service.port());
        CHECK(client.receive_all().empty());
        CHECK(client.ended_by_reset());
        REQUIRE(service.events().wait_for_instances(1));
        CHECK(std::chrono::steady_clock::now() - begin < 5s);
        CHECK(service.leftovers().processes().empty());
    }
    SUBCASE("ends")
    {
        Service service(server("import sys; print('no luck', file=sys.stderr); sys.exit(3)"));
        RawClient client(service.port());
        CHECK(client.receive_all().empty());
        CHECK(client.ended_by_reset());
        CHECK(service.events().session_end() == SessionEnd::start_failed);
        CHECK(service.events().record().sessions.front().detail.find("exit code 3") != std::string::npos);
        CHECK(service.events().wait_for_output("no luck"));
    }
}

TEST_CASE("port: a client that returns meets its own instance")
{
    auto options = server();
    SUBCASE("by source address")
    {
        options.authenticator = by_source;
        Service service(options);
        EchoClient first(service);
        first.close();
        REQUIRE(service.events().wait_for_sessions(1));
        EchoClient again(service);
        CHECK(again.pid() == first.pid());
        EchoClient beside(service);
        CHECK(beside.pid() == first.pid());
        CHECK(again.echoes());
        CHECK(beside.echoes());
    }
    SUBCASE("by token and identifier")
    {
        options.authenticator = by_token;
        Service service(options);
        EchoClient first(service, greeting('A', 1));
        first.close();
        REQUIRE(service.events().wait_for_sessions(1));
        CHECK(EchoClient(service, greeting('A', 1)).pid() == first.pid());
        CHECK(EchoClient(service, greeting('A', 2)).pid() != first.pid());
        CHECK(EchoClient(service, greeting('B', 1)).pid() != first.pid());
    }
    SUBCASE("not when it cannot be told apart")
    {
        Service service(options);
        EchoClient first(service), second(service);
        CHECK(first.pid() != second.pid());
    }
}

TEST_CASE("port: an instance lingers for as long as it is told to")
{
    auto options = server();
    options.authenticator = by_source;
    options.pool.linger = 200ms;
    Service service(options);
    EchoClient first(service);
    first.close();
    REQUIRE(service.events().wait_for_instances(1));
    CHECK(service.events().record().instances.front().end == InstanceEnd::unused);
    CHECK(EchoClient(service).pid() != first.pid());
}

TEST_CASE("port: silence ends an instance, bytes keep it alive, and time to live ends it all the same")
{
    auto options = server();
    options.pool.idle = 400ms;
    options.pool.ttl = 1500ms;
    Service service(options);
    EchoClient silent(service), lively(service);
    bool echoed = true;
    for (const auto end = std::chrono::steady_clock::now() + 1s; std::chrono::steady_clock::now() < end && echoed;) {
        echoed = lively.echoes();
        std::this_thread::sleep_for(20ms);
    }
    CHECK(echoed);
    CHECK(silent.receive_all().empty());
    CHECK(silent.ended_by_reset());
    CHECK(service.events().session_end() == SessionEnd::idle);
    while (lively.echoes()) {}
    REQUIRE(service.events().wait_for_sessions(2));
    CHECK(service.events().record().sessions.back().end == SessionEnd::expired);
}

TEST_CASE("port: the reset identifier ends every instance of its token and no other, and then serves")
{
    auto options = server();
    options.authenticator = by_token;
    Service service(options);
    EchoClient one(service, greeting('A', 1)), two(service, greeting('A', 2)), other(service, greeting('B', 1));
    EchoClient reset(service, greeting('A', 0));
    CHECK(one.receive_all().empty());
    CHECK(one.ended_by_reset());
    CHECK(two.receive_all().empty());
    CHECK(two.ended_by_reset());
    CHECK(other.echoes());
    CHECK(reset.echoes());
    CHECK(reset.pid() != one.pid());
    CHECK(reset.pid() != two.pid());
    REQUIRE(service.events().wait_for_sessions(2));
    CHECK(service.events().record().count(SessionEnd::reset) == 2);
    CHECK(!runs(std::atoi(one.pid().c_str())));

    EchoClient again(service, greeting('A', 0));
    CHECK(again.pid() != reset.pid());
    CHECK(reset.receive_all().empty());
}

TEST_CASE("port: many clients of one identity share one start")
{
    auto options = server(std::string("import time\ntime.sleep(0.2)\n") + echo_server);
    options.authenticator = by_source;
    Service service(options);
    std::deque<RawClient> clients;
    for (int i = 0; i < 30; ++i)
        clients.emplace_back(service.port());
    std::set<std::string> pids;
    for (auto& client : clients)
        pids.insert(client.receive_line());
    CHECK(pids.size() == 1);
    CHECK(!pids.begin()->empty());
    CHECK(service.events().record().started.size() == 1);
}

TEST_CASE("port: a warm instance serves the first byte, and another takes its place")
{
    auto options = server();
    options.pool.warm = 2;
    options.authenticator = by_source;
    Service service(options);
    REQUIRE(service.events().wait([](const auto& record) { return record.started.size() == 2; }));
    const auto started = service.events().record().started;
    EchoClient client(service);
    CHECK(std::find(started.begin(), started.end(), "pid " + client.pid()) != started.end());
    CHECK(client.echoes());
    CHECK(service.events().wait([](const auto& record) { return record.started.size() == 3; }));
    CHECK(service.events().record().claimed == std::vector{"pid " + client.pid()});
    EchoClient second(service);
    CHECK(second.pid() == client.pid());
}

TEST_CASE("port: a warm instance that died is replaced")
{
    auto options = server();
    options.pool.warm = 1;
    Service service(options);
    REQUIRE(service.events().wait([](const auto& record) { return record.started.size() == 1; }));
    ::kill(pid_of(service.events().record().started.front()), SIGKILL);
    REQUIRE(service.events().wait_for_instances(1));
    EchoClient client(service);
    CHECK(client.echoes());
}

TEST_CASE("port: an instance that is killed by hand ends its clients at once, and the next one gets a new one")
{
    auto options = server();
    options.authenticator = by_source;
    Service service(options);
    EchoClient first(service), second(service);
    const ProcessHandle process(std::atoi(first.pid().c_str()));
    process.kill();
    CHECK(first.receive_all().empty());
    CHECK(second.receive_all().empty());
    // Until it is gone altogether, it may still take connections; the pool need not know of its end yet.
    CHECK(process.wait_for_end());
    EchoClient next(service);
    CHECK(next.pid() != first.pid());
    CHECK(next.echoes());
    REQUIRE(service.events().wait_for_instances(1));
    CHECK(service.events().record().instances.front().end == InstanceEnd::exited);
    CHECK(service.events().record().instances.front().detail == "signal 9");
}

TEST_CASE("port: a client that leaves during the start")
{
    const TemporaryDirectory directory;
    auto options = server("import os,socket,sys,time\n"
                          "while not os.path.exists(sys.argv[2]):\n"
                          "    time.sleep(0.005)\n"
                          "server = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
                          "client = server.accept()[0]\n"
                          "client.sendall(client.recv(100))\n");
    options.process.command.push_back(directory.path("go"));
    options.authenticator = by_source;
    Service service(options);
    const auto started = [](const auto& record) { return record.started.size() == 1; };
    SUBCASE("with a reset leaves nothing behind")
    {
        RawClient client(service.port());
        REQUIRE(service.events().wait(started));
        client.reset();
        CHECK(service.events().session_end() == SessionEnd::client_left);
        REQUIRE(service.events().wait_for_instances(1));
        CHECK(service.events().record().instances.front().end == InstanceEnd::abandoned);
        CHECK(service.leftovers().processes().empty());
    }
    SUBCASE("does not take the start from another who waits for it")
    {
        RawClient client(service.port()), other(service.port());
        other.send("mine");
        REQUIRE(service.events().wait(started));
        client.reset();
        CHECK(service.events().session_end() == SessionEnd::client_left);
        directory.file("go", "");
        CHECK(other.receive_all() == "mine");
    }
    SUBCASE("in one direction has not left")
    {
        RawClient client(service.port());
        client.send("question");
        client.half_close();
        REQUIRE(service.events().wait(started));
        directory.file("go", "");
        CHECK(client.receive_all() == "question");
        CHECK(client.ended_in_order());
    }
}

TEST_CASE("port: stopping ends everything at once, draining lets the clients finish")
{
    auto options = server();
    options.authenticator = by_source;
    Service service(options);
    EchoClient client(service);
    SUBCASE("stop")
    {
        service.stop();
        CHECK(client.receive_all().empty());
        CHECK(client.ended_by_reset());
        CHECK(service.over());
        CHECK(service.events().session_end() == SessionEnd::stopped);
    }
    SUBCASE("drain")
    {
        service.drain(20s);
        CHECK(eventually([&] { return !RawClient(service.port()).connected(); }));
        CHECK(client.echoes());
        CHECK(!service.over(0s));
        client.close();
        CHECK(service.over());
    }
    SUBCASE("drain with a limit")
    {
        service.drain(200ms);
        CHECK(client.receive_all().empty());
        CHECK(client.ended_by_reset());
        CHECK(service.over());
    }
    REQUIRE(service.events().wait_for_instances(1));
    CHECK(service.events().record().instances.front().end == InstanceEnd::stopped);
}
