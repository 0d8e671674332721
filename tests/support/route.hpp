// SPDX-License-Identifier: MIT
// The ways that lead from a client to a server: none of ours between them, or all that there are through us.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <daemon.hpp>
#include <listener.hpp>
#include <scripted_end.hpp>
#include <temporary_directory.hpp>

namespace transparency {

/// What carries a connection.
enum class Family { tcp_v4, tcp_v6, unix_socket };

/// What a way can carry at all.
class Carries {
public:
    bool resets = true;  ///< Both hops are TCP.
    bool urgent = true;
    bool urgent_in_place = true;    ///< As urgent data, and where it was sent.
    bool server_half_close = true;  ///< Before the server ends.
    bool unread_resets = true;      ///< Those that nobody comes upon by reading.
    bool refusals = true;           ///< The server's end closes with its connection.
};

/// A way from clients to servers; any number of connections, one after the other or at once.
class Route {
public:
    Route(std::string name, Family compared_with, Carries carries)
        : name_(std::move(name)), compared_with_(compared_with), carries_(carries)
    {
    }
    Route(const Route&) = delete;
    Route& operator=(const Route&) = delete;
    virtual ~Route() = default;

    const std::string& name() const noexcept { return name_; }
    const Carries& carries() const noexcept { return carries_; }

    /// What a connection without us would be made of.
    Family compared_with() const noexcept { return compared_with_; }

    /// A new connection: the client's end and the server's.
    virtual std::pair<Line, Line> connect() = 0;

private:
    std::string name_;
    Family compared_with_;
    Carries carries_;
};

using RoutePtr = std::unique_ptr<Route>;

/// An address to listen on; a Unix socket is made in `directory`.
std::string any_address(Family family, const daemon_test::TemporaryDirectory& directory, const std::string& name);

/// Nothing of ours.
RoutePtr direct(Family family);

/// Through `instancerd forward`.
RoutePtr forwarded(Family client, Family server);

/// What makes a bridge copy between streams of any kind.
enum class Within {
    streams,         ///< Its client does not say that a socket carries it.
    hook,            ///< A hook that passes everything on.
    coroutine_hook,  ///< The same, in coroutines that take their time.
};

/// Through a Server in this process.
RoutePtr embedded(Within within, Family client, Family server);

/// To an instance of instancerd, which is `hand_over`.
class InstanceRoute final : public Route {
public:
    /// `arguments` are instancerd's, given the directory in which the Unix socket `control` is.
    using Arguments = std::function<std::vector<std::string>(const std::string& directory)>;

    InstanceRoute(std::string name, Carries carries, const Arguments& arguments);

    std::pair<Line, Line> connect() override;

    const daemon_test::Daemon& daemon() const noexcept { return *daemon_; }

private:
    daemon_test::TemporaryDirectory directory_;
    daemon_test::Listener control_;
    std::optional<daemon_test::Daemon> daemon_;
};

/// Through `instancerd exec --io IO`; with `port` the process listens on `host`.
RoutePtr executed(const std::string& io, const std::string& host = "127.0.0.1");

}  // namespace transparency
