// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include <asio/any_io_executor.hpp>
#include <asio/ip/tcp.hpp>

#include <instancer/result.hpp>

namespace instancer {

class Acceptor;
class Authenticator;
class Bridge;
class Events;
class InstanceBackend;
class PoolOptions;
class ServerOptions;

/// A whole server in a few lines: owns the parts that a `Server` is made of, and runs them.
///
/// Each function below replaces a part or its options; the order of the calls does not matter, and nothing is made
/// before `run`. By default everybody is let in, bytes pass unchanged, and nobody hears what happens.
///
/// Threads: `stop` and `drain` on any, the rest on one.
class Service {
public:
    /// A span of time.
    using Duration = std::chrono::steady_clock::duration;
    /// Makes an acceptor on the control executor, such as one of `listen_unix`.
    using MakeAcceptor = std::function<Result<std::unique_ptr<Acceptor>>(const asio::any_io_executor& control)>;
    /// Makes the backend of the service of that name.
    using MakeBackend = std::function<std::unique_ptr<InstanceBackend>(const asio::any_io_executor& control,
                                                                       const std::string& service, Events& events)>;

    /// A service of that name, which is part of every identity.
    explicit Service(std::string name);
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;
    ~Service();

    /// Takes clients in at a TCP address; port 0 lets the system choose one, which `Events::listening` tells.
    Service& listen(const asio::ip::tcp::endpoint& address);

    /// Takes clients in by an acceptor of another kind.
    Service& acceptor(MakeAcceptor make);

    /// Makes a `Backend` of these arguments, between the executor and the name of the service before them and the
    /// events behind them, as the backends of this library are made.
    template <class Backend, class... Arguments>
    Service& backend(Arguments... arguments)
    {
        return backend(MakeBackend([arguments...](const asio::any_io_executor& control, const std::string& service,
                                                  Events& events) -> std::unique_ptr<InstanceBackend> {
            return std::make_unique<Backend>(control, service, arguments..., events);
        }));
    }

    /// Makes the backend by a function.
    Service& backend(MakeBackend make);

    /// Uses a backend that is made already.
    Service& backend(std::unique_ptr<InstanceBackend> made);

    /// Identifies clients; `OpenAuthenticator` by default.
    Service& authenticator(std::unique_ptr<Authenticator> authenticator);

    /// Moves the bytes; `PairBridge` by default.
    Service& bridge(std::unique_ptr<Bridge> bridge);

    /// Lets one more observer hear what happens.
    ///
    /// Lifetime: `observer` must outlive `run`.
    Service& observe(Events& observer);

    /// Sets how instances are shared out, and when they end.
    Service& pool_options(const PoolOptions& options);

    /// Sets the limits of sessions; the name of the service stays.
    Service& server_options(const ServerOptions& options);

    /// Sets the number of threads that serve; by default one for each processor.
    Service& workers(std::size_t count);

    /// Sets how long sessions may take to finish after `drain` or the first signal; 30 s by default, 0 means no limit.
    Service& drain_timeout(Duration limit);

    /// Sets whether `run` obeys SIGINT and SIGTERM, which it does by default: it drains at the first and stops at the
    /// second. It ignores SIGPIPE then, as servers do.
    Service& handle_signals(bool value);

    /// Serves on the calling thread until `stop`, the end of `drain`, or a signal. Every session and every instance is
    /// gone when it returns.
    ///
    /// Errors: the first thing that failed, and its remedy: Errc::bad_request without a listener or a backend, and when
    /// `run` was called before; what the system reports of an address; those of `InstanceBackend::prepare`.
    [[nodiscard]] Result<void> run();

    /// Stops accepting and lets the sessions finish; `run` returns then. Before `run` it lets that return at once.
    void drain();

    /// Ends every session and every instance now; `run` returns then. Before `run` it lets that return at once.
    void stop();

private:
    class Parts;

    std::unique_ptr<Parts> parts_;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/service.hpp>
#endif
