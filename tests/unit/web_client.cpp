// SPDX-License-Identifier: MIT
// Requests to web servers, over real sockets.
#include <cstdlib>
#include <functional>
#include <string>

#include <asio/detached.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read_until.hpp>
#include <asio/write.hpp>
#include <doctest/doctest.h>

#include <listener.hpp>
#include <temporary_directory.hpp>
#include <web_server.hpp>

#include "async_test.hpp"
#include "authentication/web/web_client.hpp"

using namespace instancer;
using namespace instancer::daemon;
using namespace std::chrono_literals;

namespace {

using Socket = asio::ip::tcp::socket;

/// A server that talks to each client as a script says, on the loop of the test.
class ScriptedServer {
public:
    using Script = std::function<asio::awaitable<void>(Socket&)>;

    ScriptedServer(async_test::Loop& loop, Script script)
        : acceptor_(loop.executor(), {asio::ip::make_address("127.0.0.1"), 0}), script_(std::move(script))
    {
        asio::co_spawn(loop.executor(), serve(), asio::detached);
    }

    std::string url(const std::string& scheme = "http") const
    {
        return scheme + "://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port());
    }

private:
    asio::awaitable<void> serve()
    {
        auto [error, client] = co_await acceptor_.async_accept(as_result);
        if (!error)
            co_await script_(client);
    }

    asio::ip::tcp::acceptor acceptor_;
    const Script script_;
};

/// Reads the head of a request, and answers.
ScriptedServer::Script answering(std::string text, std::string* request = nullptr)
{
    return [text = std::move(text), request](Socket& client) -> asio::awaitable<void> {
        std::string head;
        co_await asio::async_read_until(client, asio::dynamic_buffer(head), "\r\n\r\n", as_result);
        if (request != nullptr)
            *request = head;
        co_await asio::async_write(client, asio::buffer(text), as_result);
    };
}

/// Says `begin` unasked, and then a byte every millisecond for as long as somebody takes them.
ScriptedServer::Script dripping(std::string begin)
{
    return [begin = std::move(begin)](Socket& client) -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        asio::steady_timer pause(executor);
        co_await asio::async_write(client, asio::buffer(begin), as_result);
        for (bool taken = true; taken;) {
            pause.expires_after(1ms);
            co_await pause.async_wait(as_result);
            const auto [error, size] = co_await asio::async_write(client, asio::buffer("x", 1), as_result);
            taken = !error;
        }
    };
}

/// Status and body, or why there is none.
std::string ask(async_test::Loop& loop, const std::string& url, std::chrono::milliseconds timeout = 10s)
{
    WebClient client(parse_web_address(url).value());
    const auto reply = loop.run(client.ask(WebRequest("GET", "/who?x=1"), timeout));
    REQUIRE(reply);
    return reply->status() == 0 ? reply->text() : std::to_string(reply->status()) + " " + reply->text();
}

std::string answered(const std::string& text)
{
    async_test::Loop loop;
    const ScriptedServer server(loop, answering(text));
    return ask(loop, server.url());
}

}  // namespace

TEST_CASE("web client: it sends what is asked, and has status and body of the answer")
{
    async_test::Loop loop;
    std::string seen;
    const ScriptedServer server(loop, answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", &seen));
    WebClient client(parse_web_address(server.url()).value());
    WebRequest request("POST", "/who?x=1");
    request.headers.emplace("Content-Type", "application/json");
    request.body = "{}";
    const auto reply = loop.run(client.ask(request, 10s));
    REQUIRE(reply);
    CHECK(reply->status() == 200);
    CHECK(reply->text() == "hello");
    CHECK(seen == "POST /who?x=1 HTTP/1.1\r\nHost: " + server.url().substr(7) +
                      "\r\nConnection: close\r\nUser-Agent: instancerd\r\nAccept: */*\r\n"
                      "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
}

TEST_CASE("web client: what is no answer is named")
{
    CHECK(answered("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell") == "its answer ends before it is complete");
    CHECK(answered("") == "its answer ends before it is complete");
    CHECK(answered("HTTP/1.1 000 OK\r\n\r\n") == "its answer has no valid status: they go from 100 to 599");
    CHECK(answered("HTTP/1.1 200 " + std::string(40'000, 'x')) ==
          "its answer has a head of more than 8 KiB, or a chunk with a line of more than 1 KiB");
    CHECK(answered("HTTP/1.1 200 OK\r\n\r\n" + std::string(70'000, 'x')) == "its answer is larger than 64 KiB");
    CHECK(answered("HTTP/1.1 307 Elsewhere\r\nLocation: /\r\nContent-Length: 0\r\n\r\n") == "307 ");
}

TEST_CASE("web client: the deadline is that of all steps together")
{
    async_test::Loop loop;
    const std::string late = "it did not answer in time";
    SUBCASE("it drips a head")
    {
        const ScriptedServer server(loop, dripping("HTTP/1.1 200 "));
        CHECK(ask(loop, server.url(), 100ms) == late);
    }
    SUBCASE("it drips into the TLS handshake")
    {
        const ScriptedServer server(loop, dripping("\x16\x03\x03\x3f\xff"));
        CHECK(ask(loop, server.url("https"), 100ms) == late);
    }
    SUBCASE("it says nothing")
    {
        const daemon_test::Listener silent;
        CHECK(ask(loop, "https://" + silent.address(), 100ms) == late);
    }
    SUBCASE("it takes no connection")
    {
        const daemon_test::HangingListener hanging;
        CHECK(ask(loop, "http://" + hanging.address(), 100ms) == late);
    }
}

TEST_CASE("web client: a call that is cancelled ends at once")
{
    async_test::Loop loop;
    const daemon_test::Listener silent;
    const auto cancelled = [&](const std::string& url) {
        WebClient client(parse_web_address(url).value());
        auto task = loop.start(client.ask(WebRequest("GET", "/"), 1h));
        loop.settle();
        CHECK_FALSE(task.done());
        task.cancel();
        REQUIRE(loop.until([&] { return task.done(); }));
        CHECK(task.value().error() == asio::error::make_error_code(asio::error::operation_aborted));
    };
    cancelled("http://" + silent.address());
    cancelled("https://" + silent.address());
}

TEST_CASE("web client: where nobody listens, or no TLS is spoken, the reason is said")
{
    async_test::Loop loop;
    daemon_test::Listener gone;
    const auto address = gone.address();
    gone.close();
    CHECK(ask(loop, "http://" + address) == "it cannot be reached: Connection refused");
    const ScriptedServer plain(loop, dripping("HTTP/1.1 400 No TLS\r\n\r\n"));
    CHECK(ask(loop, plain.url("https")).starts_with("it cannot be reached: no TLS: "));
}

TEST_CASE("web client: a certificate must be signed by an authority, and be that of the host")
{
    const daemon_test::TemporaryDirectory directory;
    daemon_test::WebServer server([](const auto&) { return daemon_test::WebAnswer(200, "hello"); },
                                  daemon_test::WebServer::Scheme::https);
    async_test::Loop loop;
    CHECK(ask(loop, server.url()).starts_with("it cannot be reached: its certificate is not trusted: self"));
    CHECK(server.asked() == 0);
    ::setenv("SSL_CERT_FILE", directory.file("ca.pem", server.certificate()).c_str(), 1);
    CHECK(ask(loop, server.url()) == "200 hello");
    const auto port = server.url().substr(server.url().rfind(':'));
    CHECK(ask(loop, "https://localhost" + port)
              .starts_with("it cannot be reached: its certificate is not trusted: host"));
    ::unsetenv("SSL_CERT_FILE");
    CHECK(server.asked() == 1);
}
