// SPDX-License-Identifier: MIT
// The HTTP server over real sockets, and the parts that it bounds requests with.
#include <atomic>
#include <condition_variable>
#include <latch>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <http/http_codec.hpp>
#include <http/http_routes.hpp>
#include <http/http_server.hpp>
#include <http/origin_check.hpp>
#include <http/request_reader.hpp>

#include "raw_client.hpp"
#include "temporary_directory.hpp"

using namespace instancer::daemon;
using namespace std::chrono_literals;
using daemon_test::RawClient;
using daemon_test::TemporaryDirectory;

namespace {

using State = RequestReader::State;

std::string get(std::string_view target, std::string_view fields = "Host: localhost\r\n")
{
    return "GET " + std::string(target) + " HTTP/1.1\r\n" + std::string(fields) + "\r\n";
}

std::string echo(const HttpRequest& request)
{
    std::string text = request.method + " " + request.path;
    for (const auto& [name, value] : request.query)
        text += " " + name + "=" + value;
    return text + " [" + request.body + "]";
}

HttpResponse parrot(const HttpRequest& request)
{
    if (request.path == "/throw")
        throw std::runtime_error("the secret of /etc/shadow");
    return HttpResponse(200, "text/plain", echo(request));
}

std::string answer_to(const std::string& bytes, const HttpHandler& handle = parrot)
{
    static const HttpCodec codec;
    RequestReader reader;
    reader.feed(bytes);
    return codec.answer(reader, handle).bytes;
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

std::string receive_until(RawClient& client, std::string_view end)
{
    std::string text;
    while (!text.ends_with(end)) {
        const auto byte = client.receive(1);
        if (byte.empty())
            break;
        text += byte;
    }
    return text;
}

/// A server on a Unix socket.
class Served {
public:
    explicit Served(HttpOptions options = {}, HttpHandler handle = parrot)
        : server(std::move(options), std::move(handle))
    {
        InheritedSockets none;
        REQUIRE(server.listen(Address::unix_socket(path), none));
        server.start();
    }

    /// All that is answered to `bytes`.
    std::string ask(const std::string& bytes)
    {
        RawClient client(path);
        client.send(bytes);
        return client.receive_all();
    }

    TemporaryDirectory directory;
    const std::string path = directory.path("admin");
    HttpServer server;
};

/// Asks until there is room for a feed.
void wait_for_place(Served& served)
{
    std::string head;
    while (!contains(head, "HTTP/1.1 200")) {
        RawClient client(served.path);
        client.send(get("/"));
        head = receive_until(client, "\r\n\r\n");
    }
}

/// Says what it is told to.
class Feed final : public HttpFeed {
public:
    void on_more(std::function<void()> wake) override
    {
        const std::lock_guard lock(mutex_);
        wake_ = std::move(wake);
    }

    std::string take() override
    {
        const std::lock_guard lock(mutex_);
        return std::exchange(text_, {});
    }

    std::string heartbeat() const override { return ":\n"; }

    void say(const std::string& text)
    {
        const std::lock_guard lock(mutex_);
        text_ += text;
        if (wake_)
            wake_();
    }

private:
    std::mutex mutex_;
    std::function<void()> wake_;
    std::string text_;
};

}  // namespace

TEST_CASE("a request is found wherever it is cut")
{
    const std::string request = "POST /x HTTP/1.1\r\nHost: a\r\ncontent-length: 5\r\n\r\nhello";
    for (std::size_t cut = 0; cut < request.size(); ++cut) {
        RequestReader reader;
        CHECK(reader.feed(request.substr(0, cut)) == State::wants_more);
        CHECK(reader.feed(request.substr(cut) + "and more") == State::complete);
        CHECK(reader.body() == "hello");
        CHECK(reader.head() == request.substr(0, request.size() - 5));
    }
}

TEST_CASE("a request is bounded before it is there")
{
    const auto state_of = [](const std::string& bytes) {
        RequestReader reader;
        return reader.feed(bytes);
    };
    const std::string start = "POST / HTTP/1.1\r\n";
    CHECK(state_of(start + std::string(9000, 'x')) == State::head_too_large);
    CHECK(state_of(start + "a: " + std::string(9000, 'x') + "\r\n\r\n") == State::head_too_large);
    CHECK(state_of(start + "Content-Length: 8192\r\n\r\n") == State::wants_more);
    CHECK(state_of(start + "Content-Length: 8193\r\n\r\n") == State::body_too_large);
    CHECK(state_of(start + "Content-Length: 99999999999999999999999\r\n\r\n") == State::body_too_large);
    CHECK(state_of(start + "Content-Length: -1\r\n\r\n") == State::malformed);
    CHECK(state_of(start + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n") == State::malformed);
    CHECK(state_of(start + "Transfer-Encoding: chunked\r\n\r\n") == State::length_required);
}

TEST_CASE("a request is read and answered")
{
    CHECK(contains(answer_to(get("/a%20b?x=1&y=%2F")), "GET /a b x=1 y=/ []"));
    const auto posted = answer_to("POST /p HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi");
    CHECK(contains(posted, "HTTP/1.1 200 OK\r\n"));
    CHECK(contains(posted, "Connection: close\r\n"));
    CHECK(contains(posted, "Cache-Control: no-store\r\n"));
    CHECK(contains(posted, "POST /p [hi]"));
    CHECK(answer_to("HEAD /p HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n"));
}

TEST_CASE("a request that is none is answered in JSON")
{
    for (const std::string_view request :
         {"nonsense\r\n\r\n", "GET /\r\n\r\n", "BREW / HTTP/1.1\r\n\r\n", "\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"}) {
        CAPTURE(request);
        const auto answer = answer_to(std::string(request));
        CHECK((answer.empty() || (contains(answer, "HTTP/1.1 400") && contains(answer, "\"error\":\"malformed\""))));
    }
    CHECK(contains(answer_to("GET / HTTP/1.1\r\na: " + std::string(9000, 'x')), "HTTP/1.1 431"));
    CHECK(contains(answer_to("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), "HTTP/1.1 411"));
    CHECK(contains(answer_to("POST / HTTP/1.1\r\nContent-Length: 9000\r\n\r\n"), "HTTP/1.1 413"));
}

TEST_CASE("an answer tells of no exception")
{
    const HttpCodec codec;
    RequestReader reader;
    reader.feed(get("/throw"));
    const auto reply = codec.answer(reader, parrot);
    CHECK(contains(reply.bytes, "HTTP/1.1 500"));
    CHECK(contains(reply.bytes, "\"error\":\"internal\""));
    CHECK_FALSE(contains(reply.bytes, "shadow"));
    CHECK(contains(reply.failure, "shadow"));
}

TEST_CASE("a part of an answer cannot be asked for")
{
    std::string ranges = "Range: bytes=0-0";
    while (ranges.size() < 8000)
        ranges += ",0-0";
    const auto answer = answer_to(get("/", ranges + "\r\n"));
    CHECK(contains(answer, "HTTP/1.1 200"));
    CHECK(answer.ends_with("GET / []"));
}

TEST_CASE("a head is as large as it may be")
{
    const std::string longest(8000, 'x');
    CHECK(contains(answer_to(get("/" + longest)), longest));
    CHECK(contains(answer_to(get("/?a=" + longest)), "a=" + longest));
    CHECK(contains(answer_to(get("/", "Range: bytes=" + std::string(8000, '1') + "-\r\n")), "HTTP/1.1 "));
    CHECK(contains(answer_to(get("/", "Content-Type: " + longest + "\r\n")), "HTTP/1.1 200"));
}

TEST_CASE("a route finds its handler, and names the parts of its path")
{
    HttpRoutes routes;
    routes.add("GET", "/api/{service}/sessions/{id}", [](const HttpRequest& request) {
        return HttpResponse(200, "text/plain",
                            std::string(request.argument("service")) + "," + std::string(request.argument("id")));
    });
    routes.add("POST", "/api/{service}/sessions/{id}", parrot);
    const auto ask = [&](const std::string& method, const std::string& path) {
        HttpRequest request;
        request.method = method;
        request.path = path;
        return routes.answer(request);
    };
    CHECK(ask("GET", "/api/web/sessions/7").body == "web,7");
    CHECK(ask("POST", "/api/web/sessions/7").status == 200);
    CHECK(ask("GET", "/api/web/sessions").status == 404);
    CHECK(ask("GET", "/api/web/sessions/7/").status == 404);
    const auto wrong_method = ask("PUT", "/api/web/sessions/7");
    CHECK(wrong_method.status == 405);
    CHECK(wrong_method.fields == HttpRequest::Fields{{"Allow", "GET, POST"}});
}

TEST_CASE("a page of another origin, or by another name, is refused")
{
    const OriginCheck check({"admin.example"});
    const auto is_refused = [&](HttpRequest::Fields fields) {
        HttpRequest request;
        request.fields = std::move(fields);
        return check.refusal(request).has_value();
    };
    CHECK_FALSE(is_refused({{"Host", "localhost"}}));
    CHECK_FALSE(is_refused({{"host", "127.0.0.1:8080"}}));
    CHECK_FALSE(is_refused({{"Host", "[::1]:8080"}}));
    CHECK_FALSE(is_refused({{"Host", "ADMIN.example"}}));
    CHECK_FALSE(is_refused({{"Host", "localhost:8080"}, {"Origin", "http://localhost:8080"}}));
    CHECK(is_refused({}));
    CHECK(is_refused({{"Host", ""}}));
    CHECK(is_refused({{"Host", "evil.example"}}));
    CHECK(is_refused({{"Host", "localhost.evil.example"}}));
    CHECK(is_refused({{"Host", "localhost:8080"}, {"Origin", "http://localhost:3000"}}));
    CHECK(is_refused({{"Host", "localhost:8080"}, {"Origin", "http://evil.example"}}));
    CHECK(is_refused({{"Host", "localhost:8080"}, {"Origin", "null"}}));
}

TEST_CASE("the socket is for its user alone, and replaced when nobody listens on it")
{
    const TemporaryDirectory directory;
    const auto path = directory.path("admin");
    for (int i = 0; i < 2; ++i) {
        HttpServer server({}, parrot);
        InheritedSockets none;
        REQUIRE(server.listen(Address::unix_socket(path), none));
        struct stat status {};
        REQUIRE(::stat(path.c_str(), &status) == 0);
        CHECK((status.st_mode & 0777) == 0600);
        server.start();
        RawClient client(path);
        client.send(get("/"));
        CHECK(contains(client.receive_all(), "GET / []"));
    }
}

TEST_CASE("over TCP it is the same")
{
    HttpServer server({}, parrot);
    InheritedSockets none;
    REQUIRE(server.listen(Address::tcp("127.0.0.1", 0), none));
    server.start();
    const auto address = server.addresses().at(0);
    RawClient client(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    client.send(get("/"));
    CHECK(contains(client.receive_all(), "GET / []"));
}

TEST_CASE("a silent client makes room, and a slow one is told")
{
    HttpOptions options;
    options.max_connections = 4;
    Served served(std::move(options));
    std::vector<std::unique_ptr<RawClient>> silent;
    for (int i = 0; i < 20; ++i)
        silent.push_back(std::make_unique<RawClient>(served.path));
    CHECK(contains(served.ask(get("/")), "GET / []"));
    CHECK(silent.front()->receive_all().empty());

    HttpOptions impatient;
    impatient.read_time = 1ms;
    Served slow(std::move(impatient));
    CHECK(contains(slow.ask("GET / HTTP/1.1\r\n"), "HTTP/1.1 408"));
}

TEST_CASE("handlers that block hold up nobody beyond their number")
{
    std::latch both_in(2), go(1);
    HttpOptions options;
    options.threads = 2;
    options.max_connections = 2;
    Served served(std::move(options), [&](const HttpRequest& request) {
        if (request.path == "/slow") {
            both_in.count_down();
            go.wait();
        }
        return parrot(request);
    });
    RawClient one(served.path), two(served.path);
    one.send(get("/slow"));
    two.send(get("/slow"));
    both_in.wait();
    // No place is left: both have sent their request.
    CHECK(served.ask(get("/")).empty());
    go.count_down();
    CHECK(contains(one.receive_all(), "GET /slow"));
    CHECK(contains(two.receive_all(), "GET /slow"));
}

TEST_CASE("a feed goes on until its client leaves, and there are so many of them")
{
    HttpOptions options;
    options.max_feeds = 1;
    const auto feed = std::make_shared<Feed>();
    Served served(std::move(options),
                  [&](const HttpRequest&) { return HttpResponse::stream("text/event-stream", feed); });
    feed->say("one\n");
    {
        RawClient client(served.path);
        client.send(get("/"));
        const auto head = receive_until(client, "one\n");
        CHECK(contains(head, "text/event-stream"));
        CHECK_FALSE(contains(head, "Content-Length"));
        CHECK_FALSE(contains(head, "chunked"));
        feed->say("two\n");
        CHECK(receive_until(client, "two\n") == "two\n");
        CHECK(contains(served.ask(get("/")), "HTTP/1.1 503"));
    }
    wait_for_place(served);
}

TEST_CASE("a silent feed is heard from, and one that nobody reads ends")
{
    HttpOptions options;
    options.heartbeat = 1ms;
    options.write_time = 1ms;
    options.max_feeds = 1;
    const auto feed = std::make_shared<Feed>();
    Served served(std::move(options),
                  [&](const HttpRequest&) { return HttpResponse::stream("text/event-stream", feed); });
    RawClient client(served.path);
    client.send(get("/"));
    receive_until(client, ":\n:\n");
    feed->say(std::string(8 << 20, 'x'));
    wait_for_place(served);
    CHECK(client.receive_all().size() < (8 << 20));
}

TEST_CASE("a server ends with clients of every kind")
{
    const auto feed = std::make_shared<Feed>();
    Served served({}, [&](const HttpRequest& request) {
        return request.path == "/feed" ? HttpResponse::stream("text/event-stream", feed) : parrot(request);
    });
    RawClient silent(served.path), following(served.path);
    following.send(get("/feed"));
    receive_until(following, "\r\n\r\n");
    served.server.stop();
    CHECK(silent.receive_all().empty());
    CHECK(following.receive_all().empty());
}
