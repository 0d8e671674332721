// SPDX-License-Identifier: MIT
#include <route.hpp>

#include <cstring>
#include <filesystem>
#include <thread>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/dispatch.hpp>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>
#include <sys/socket.h>

#include <instancer/acceptor/socket_acceptor.hpp>
#include <instancer/authenticator/shared.hpp>
#include <instancer/backend/upstream_backend.hpp>
#include <instancer/bridge/hooked_bridge.hpp>
#include <instancer/bridge/pair_bridge.hpp>
#include <instancer/server.hpp>

#include <paths.hpp>

namespace transparency {

using namespace instancer;
using daemon_test::connect_to;
using daemon_test::Daemon;
using daemon_test::Listener;
using daemon_test::TemporaryDirectory;

namespace {

std::string text(Family family)
{
    return family == Family::unix_socket ? "Unix" : family == Family::tcp_v4 ? "IPv4" : "IPv6";
}

/// A Unix socket says of a reset no more than that the connection is over.
Family weaker(Family one, Family other) { return one == Family::unix_socket ? one : other; }

Carries carried_between(Family client, Family server)
{
    Carries carries;
    carries.resets = carries.urgent = carries.urgent_in_place =
        client != Family::unix_socket && server != Family::unix_socket;
    return carries;
}

/// Connects to `address`, and takes what arrives at `listener`.
std::pair<Line, Line> join(const std::string& address, const Listener& listener)
{
    auto client = connect_to(address);
    REQUIRE(client);
    auto server = listener.accept();
    REQUIRE(server);
    return {Line(std::move(client)), Line(std::move(server))};
}

class DirectRoute final : public Route {
public:
    explicit DirectRoute(Family family)
        : Route("direct over " + text(family), family, carried_between(family, family)),
          listener_(any_address(family, directory_, "direct"))
    {
    }

    std::pair<Line, Line> connect() override { return join(listener_.address(), listener_); }

private:
    TemporaryDirectory directory_;
    Listener listener_;
};

class ForwardRoute final : public Route {
public:
    ForwardRoute(Family client, Family server)
        : Route("forward, " + text(client) + " to " + text(server), weaker(client, server),
                carried_between(client, server)),
          server_(any_address(server, directory_, "server")),
          daemon_({"forward", "--listen", any_address(client, directory_, "client"), "--to", server_.address()})
    {
    }

    std::pair<Line, Line> connect() override { return join(daemon_.address(), server_); }

private:
    TemporaryDirectory directory_;
    Listener server_;
    Daemon daemon_;
};

/// A socket that does not say that it is one.
class VeiledSocket final : public detail::SocketStream {
public:
    using SocketStream::SocketStream;

    int native_handle() const noexcept override { return -1; }
};

class VeilingAcceptor final : public Acceptor {
public:
    explicit VeilingAcceptor(std::unique_ptr<Acceptor> acceptor) : acceptor_(std::move(acceptor)) {}

private:
    asio::awaitable<Result<Accepted>> do_accept(asio::any_io_executor executor) override
    {
        auto accepted = co_await acceptor_->accept(executor);
        if (!accepted)
            co_return accepted;
        auto veiled = std::make_unique<VeiledSocket>(executor, accepted->stream().release());
        co_return Accepted(Stream(std::move(veiled)), std::move(accepted->info()));
    }
    void do_close() override { acceptor_->close(); }
    std::string do_address() const override { return acceptor_->address(); }

    std::unique_ptr<Acceptor> acceptor_;
};

UpstreamOptions options_for(const std::string& address)
{
    const auto colon = address.rfind(':');
    UpstreamOptions options;
    if (address.starts_with("unix:")) {
        options.upstreams.push_back(Upstream::unix_socket(address.substr(std::strlen("unix:"))));
    } else {
        const auto host = address.starts_with('[') ? address.substr(1, colon - 2) : address.substr(0, colon);
        const auto port = static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1)));
        options.upstreams.push_back(Upstream::tcp(host, port));
    }
    return options;
}

class PassingHook : public SessionHook {};

class SlowlyPassingHook final : public SessionHook {
    HookAnswer from_client(std::span<char> data) override { return later(data); }
    HookAnswer from_instance(std::span<char> data) override { return later(data); }

    static asio::awaitable<HookAnswer> later(std::span<char> data)
    {
        const auto executor = co_await asio::this_coro::executor;
        co_await asio::post(executor, asio::use_awaitable);
        co_return data;
    }
};

std::unique_ptr<Bridge> make_bridge(Within within, Events& events)
{
    if (within == Within::streams)
        return std::make_unique<PairBridge>();
    const auto make_hook = [within](const SessionInfo&) -> std::unique_ptr<SessionHook> {
        if (within == Within::hook)
            return std::make_unique<PassingHook>();
        return std::make_unique<SlowlyPassingHook>();
    };
    return std::make_unique<HookedBridge>(make_hook, events);
}

std::string text(Within within)
{
    return within == Within::streams ? "streams" : within == Within::hook ? "hook" : "coroutine hook";
}

/// A Server in this process, with a thread of its own.
class EmbeddedRoute final : public Route {
public:
    EmbeddedRoute(Within within, Family client, Family server)
        : Route(text(within) + ", " + text(client) + " to " + text(server), weaker(client, server),
                carries(within, client, server)),
          veiled_(within == Within::streams),
          listener_(any_address(server, directory_, "server")),
          bridge_(make_bridge(within, events_)),
          backend_(workers_.control(), "forward", options_for(listener_.address()), events_),
          pool_(workers_.control(), "forward", UpstreamBackend::default_pool_options(), backend_, events_),
          server_(workers_, ServerOptions("forward"), acceptors(client), std::make_unique<SharedAuthenticator>(), pool_,
                  *bridge_, events_)
    {
        auto run = server_.run();
        asio::co_spawn(workers_.control(), std::move(run),
                       [this](std::exception_ptr, const Result<void>&) { workers_.stop(); });
        thread_ = std::thread([this] { workers_.run(); });
    }
    ~EmbeddedRoute() override
    {
        asio::dispatch(workers_.control(), [this] { server_.stop(); });
        thread_.join();
    }

    std::pair<Line, Line> connect() override { return join(address_, listener_); }

private:
    static Carries carries(Within within, Family client, Family server)
    {
        auto carries = carried_between(client, server);
        carries.urgent_in_place = carries.urgent_in_place && within != Within::streams;
        return carries;
    }

    std::vector<std::unique_ptr<Acceptor>> acceptors(Family client)
    {
        const auto executor = workers_.control();
        const auto loopback = client == Family::tcp_v6 ? asio::ip::address(asio::ip::address_v6::loopback())
                                                       : asio::ip::address_v4::loopback();
        auto acceptor = client == Family::unix_socket ? listen_unix(executor, directory_.path("client"))
                                                      : listen_tcp(executor, {loopback, 0});
        REQUIRE(acceptor);
        address_ = (*acceptor)->address();
        std::vector<std::unique_ptr<Acceptor>> all;
        if (veiled_)
            all.push_back(std::make_unique<VeilingAcceptor>(std::move(*acceptor)));
        else
            all.push_back(std::move(*acceptor));
        return all;
    }

    const bool veiled_;
    TemporaryDirectory directory_;
    Listener listener_;
    std::string address_;
    Events events_;
    std::unique_ptr<Bridge> bridge_;
    Workers workers_{1};
    UpstreamBackend backend_;
    InstancePool pool_;
    Server server_;
    std::thread thread_;
};

/// What `hand_over` passes. The instance ends together with it.
Line receive_line(UniqueFd control)
{
    char byte = 0;
    iovec data{&byte, 1};
    int descriptors[2];
    alignas(cmsghdr) char ancillary[CMSG_SPACE(sizeof descriptors)];
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = ancillary;
    message.msg_controllen = sizeof ancillary;
    REQUIRE(::recvmsg(control.get(), &message, MSG_CMSG_CLOEXEC) == 1);
    const auto* const header = CMSG_FIRSTHDR(&message);
    REQUIRE((header && header->cmsg_len == CMSG_LEN(sizeof descriptors)));
    std::memcpy(descriptors, CMSG_DATA(header), sizeof descriptors);

    Line line{UniqueFd(descriptors[0])};
    line.output.reset(descriptors[1]);
    line.companion = std::move(control);
    int type = 0;
    socklen_t size = sizeof type;
    if (::getsockopt(line.input.get(), SOL_SOCKET, SO_TYPE, &type, &size) == 0)
        line.output.reset();
    return line;
}

}  // namespace

std::string any_address(Family family, const TemporaryDirectory& directory, const std::string& name)
{
    return family == Family::tcp_v4   ? "127.0.0.1:0"
           : family == Family::tcp_v6 ? "[::1]:0"
                                      : "unix:" + directory.path(name);
}

RoutePtr direct(Family family) { return std::make_unique<DirectRoute>(family); }
RoutePtr forwarded(Family client, Family server) { return std::make_unique<ForwardRoute>(client, server); }
RoutePtr embedded(Within within, Family client, Family server)
{
    return std::make_unique<EmbeddedRoute>(within, client, server);
}

InstanceRoute::InstanceRoute(std::string name, Carries carries, const Arguments& arguments)
    : Route(std::move(name), carries.resets ? Family::tcp_v4 : Family::unix_socket, carries),
      control_("unix:" + directory_.path("control"))
{
    // A container's user is another one.
    std::filesystem::permissions(directory_.path(), std::filesystem::perms(0755));
    std::filesystem::permissions(directory_.path("control"), std::filesystem::perms(0777));
    daemon_.emplace(arguments(directory_.path()));
}

std::pair<Line, Line> InstanceRoute::connect()
{
    auto client = connect_to(daemon_->address());
    REQUIRE(client);
    auto control = control_.accept();
    REQUIRE_MESSAGE(control, daemon_->log());
    return {Line(std::move(client)), receive_line(std::move(control))};
}

RoutePtr executed(const std::string& io, const std::string& host)
{
    Carries carries;
    carries.resets = carries.urgent = carries.urgent_in_place = io != "stdio";
    return std::make_unique<InstanceRoute>("exec --io " + io + " " + host, carries, [&](const std::string& directory) {
        std::vector<std::string> arguments{"exec", "--listen", "127.0.0.1:0",         "--io",
                                           io,     "--",       test_paths::hand_over, directory + "/control"};
        if (io == "port")
            arguments.insert(arguments.end(), {host, "{port}"});
        return arguments;
    });
}

}  // namespace transparency
