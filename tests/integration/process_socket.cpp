// SPDX-License-Identifier: MIT
#include <raw_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>

#include <instancer/authenticator/prompt.hpp>
#include <instancer/authenticator/token.hpp>

using namespace service_test;
using daemon_test::RawClient;
using daemon_test::TemporaryDirectory;

TEST_CASE("socket: the process has the client's own connection, and nobody else does")
{
    Service service(ServiceOptions::python("import os,socket,sys\n"
                                           "client = socket.socket(fileno=0)\n"
                                           "same = os.fstat(0) == os.fstat(1)\n"
                                           "print(client.getpeername()[1], os.get_blocking(0), same,\n"
                                           "      os.environ['INSTANCER_CLIENT_PORT'], flush=True)\n"
                                           "data = client.recv(100)\n"
                                           "client.sendall(data[::-1])\n"
                                           "os.close(0)\n"
                                           "os.close(1)\n"
                                           "import time\n"
                                           "time.sleep(1000)\n",
                                           ProcessIo::socket));
    RawClient client(service.port());
    const auto port = std::to_string(client.local_port());
    CHECK(client.receive_line() == port + " True True " + port);
    client.send("abc");
    // It goes on running: the end can be seen because it closed the last copy.
    CHECK(client.receive_all() == "cba");
    CHECK(client.ended_in_order());
    CHECK(service.events().record().instances.empty());
    CHECK(service.leftovers().processes().size() == 1);
}

TEST_CASE("socket: the client sees what the process says when it ends")
{
    Service service(ServiceOptions({"/bin/echo", "hello"}, ProcessIo::socket));
    for (int i = 0; i < 20; ++i) {
        RawClient client(service.port());
        CHECK(client.receive_all() == "hello\n");
        CHECK(client.ended_in_order());
    }
    REQUIRE(service.events().wait_for_sessions(20));
    CHECK(service.events().record().count(SessionEnd::instance_ended) == 20);
}

TEST_CASE("socket: time to live, and a kill by hand, end the connection")
{
    auto options = ServiceOptions({"/bin/cat"}, ProcessIo::socket);
    SUBCASE("time to live")
    {
        options.pool.ttl = 300ms;
        Service service(options);
        RawClient client(service.port());
        client.send("x");
        CHECK(client.receive_all() == "x");
        CHECK(service.events().session_end() == SessionEnd::expired);
    }
    SUBCASE("a kill")
    {
        Service service(options);
        RawClient client(service.port());
        client.send("x");
        REQUIRE(client.receive(1) == "x");
        REQUIRE(service.events().wait([](const auto& record) { return !record.started.empty(); }));
        ::kill(pid_of(service.events().record().started.front()), SIGKILL);
        CHECK(client.receive_all().empty());
        CHECK(service.events().session_end() == SessionEnd::instance_ended);
    }
    SUBCASE("stopping the service")
    {
        Service service(options);
        RawClient client(service.port());
        client.send("x");
        REQUIRE(client.receive(1) == "x");
        service.stop();
        CHECK(client.receive_all().empty());
        CHECK(service.events().session_end() == SessionEnd::stopped);
    }
}

TEST_CASE("socket: behind a token, what follows the greeting reaches the process")
{
    const Token token(std::string(128, 'T'));
    auto options = ServiceOptions({"/bin/cat"}, ProcessIo::socket);
    options.authenticator = [&] { return std::make_unique<TokenAuthenticator>(std::vector{token}); };
    Service service(options);
    RawClient client(service.port());
    client.send(std::string(128, 'T') + std::string("\0\1", 2) + std::string("first\0bytes", 11));
    client.half_close();
    CHECK(client.receive_all() == std::string("first\0bytes", 11));
    CHECK(client.ended_in_order());

    RawClient stranger(service.port());
    stranger.send(std::string(128, 'U') + std::string("\0\1", 2));
    CHECK(stranger.receive_all().empty());
    REQUIRE(service.events().wait_for_sessions(2));
    CHECK(service.events().record().count(SessionEnd::authentication_failed) == 1);
    CHECK(service.events().record().started.size() == 1);
}

TEST_CASE("socket: a client that is refused or whose process cannot start gets a reset")
{
    SUBCASE("refused")
    {
        auto options = ServiceOptions({"/bin/cat"}, ProcessIo::socket);
        options.pool.max_instances = 1;
        Service service(options);
        RawClient first(service.port());
        first.send("x");
        REQUIRE(first.receive(1) == "x");
        RawClient second(service.port());
        CHECK(second.receive_all().empty());
        CHECK(second.ended_by_reset());
        CHECK(service.events().session_end() == SessionEnd::limit_reached);
    }
    SUBCASE("cannot start")
    {
        const TemporaryDirectory directory;
        const auto program = directory.file("program", "\177ELF, but only at first sight", true);
        Service service(ServiceOptions({program}, ProcessIo::socket));
        RawClient client(service.port());
        CHECK(client.receive_all().empty());
        CHECK(client.ended_by_reset());
        CHECK(service.events().session_end() == SessionEnd::start_failed);
    }
}

TEST_CASE("socket: a client whose process cannot start, and that stays, holds up nobody")
{
    const TemporaryDirectory directory;
    auto options =
        ServiceOptions({directory.file("program", "\177ELF, but only at first sight", true)}, ProcessIo::socket);
    options.authenticator = [] { return std::make_unique<PromptAuthenticator>(std::vector<std::string>{"me"}); };
    options.threads = 1;
    Service service(options);
    RawClient first(service.port());
    first.send("me\n");
    CHECK(first.receive_line() == "token: the instance failed to start");
    RawClient second(service.port());
    CHECK(second.receive(7) == "token: ");
    REQUIRE(service.events().wait_for_sessions(1));
    CHECK(service.events().record().count(SessionEnd::start_failed) == 1);
}
