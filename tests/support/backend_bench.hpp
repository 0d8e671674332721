// SPDX-License-Identifier: MIT
// A backend that a test drives directly, and what it reports.
#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <asio.hpp>
#include <asio/co_spawn.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <doctest/doctest.h>

#include <instancer/async/as_result.hpp>
#include <instancer/events.hpp>
#include <instancer/instance_backend.hpp>

namespace backend_test {

using namespace std::chrono_literals;
using instancer::Errc;
using instancer::Result;

/// Remembers what is reported.
class Recorder final : public instancer::Events {
public:
    void output(std::string_view, std::string_view, std::string_view line) override { add("output", line); }
    void warning(std::string_view, std::string_view text) override { add("warning", text); }
    void notice(std::string_view, std::string_view text) override { add("notice", text); }

    std::vector<std::string> all(const std::string& kind) const
    {
        const std::lock_guard lock(mutex_);
        const auto found = events_.find(kind);
        return found == events_.end() ? std::vector<std::string>() : found->second;
    }

private:
    void add(const std::string& kind, std::string_view text)
    {
        const std::lock_guard lock(mutex_);
        events_[kind].emplace_back(text);
    }

    mutable std::mutex mutex_;
    std::map<std::string, std::vector<std::string>> events_;
};

/// A backend, the thread that it lives on, and what the pool would do with it.
template <class Backend>
class Bench {
public:
    static constexpr auto patience = 30s;

    ~Bench()
    {
        for (auto& instance : started_)
            (void)await(backend_->stop(instance));
    }

    Backend& backend() { return *backend_; }

    template <class T>
    T await(asio::awaitable<T> operation)
    {
        std::optional<T> out;
        std::exception_ptr error;
        asio::co_spawn(io_, std::move(operation), [&](std::exception_ptr thrown, T value) {
            error = thrown;
            out.emplace(std::move(value));
        });
        until([&] { return out.has_value(); });
        if (error)
            std::rethrow_exception(error);
        return std::move(*out);
    }

    /// Does not wait; the outcome appears in `out`.
    template <class T>
    void spawn(asio::awaitable<T> operation, std::optional<T>& out)
    {
        asio::co_spawn(io_, std::move(operation), [&out](std::exception_ptr thrown, T value) {
            REQUIRE(!thrown);
            out.emplace(std::move(value));
        });
    }

    /// Lets everything run until `condition` holds.
    void until(const std::function<bool()>& condition)
    {
        const auto deadline = std::chrono::steady_clock::now() + patience;
        while (!condition()) {
            REQUIRE_MESSAGE(std::chrono::steady_clock::now() < deadline, "this takes too long");
            io_.restart();
            io_.run_one_for(20ms);
        }
    }

    static instancer::Identity identity(const std::string& owner, const std::string& id = "")
    {
        return instancer::Identity("svc", owner, id);
    }

    Result<instancer::Instance> try_start(instancer::InstanceRequest request)
    {
        auto instance = await(backend_->start(std::move(request)));
        if (instance)
            started_.push_back(*instance);
        return instance;
    }

    instancer::Instance start(const std::string& owner = "someone")
    {
        const asio::ip::tcp::endpoint peer(asio::ip::make_address("192.0.2.7"), 4711);
        auto instance = try_start({service_, identity(owner), instancer::ClientInfo(peer, {})});
        REQUIRE_MESSAGE(instance, instance.error().message());
        return *instance;
    }

    /// Does not wait; the instance appears in `started` when it has started.
    void begin_start(const instancer::Identity& identity, std::vector<instancer::Instance>& started)
    {
        auto keep = [this, &started](std::exception_ptr, Result<instancer::Instance> instance) {
            REQUIRE_MESSAGE(instance, instance.error().message());
            started_.push_back(*instance);
            started.push_back(*instance);
        };
        asio::co_spawn(io_, backend_->start({service_, identity, {}}), std::move(keep));
    }

    void stop(const instancer::Instance& instance)
    {
        const auto stopped = await(backend_->stop(instance));
        CHECK_MESSAGE(stopped, stopped.error().message());
        forget(instance);
    }

    /// How it ended, and what explains that, as the pool reports it.
    std::string end_of(const instancer::Instance& instance)
    {
        const auto exit = await(backend_->wait(instance));
        return exit.text() + "\n" + await(backend_->diagnose(instance));
    }

    /// Somebody else has stopped it.
    void forget(const instancer::Instance& instance)
    {
        std::erase_if(started_, [&](const auto& other) { return other.name() == instance.name(); });
    }

    /// Forgets the instances as a crash would.
    void crash()
    {
        started_.clear();
        backend_.reset();
    }

    /// Connects as soon as the instance lets us.
    instancer::Stream open(const instancer::Instance& instance)
    {
        auto stream = await(ready(instance));
        REQUIRE_MESSAGE(stream, stream.error().message());
        return std::move(*stream);
    }

    /// Sends `input` and its end, and returns all that comes back.
    std::string talk(instancer::Stream& stream, std::string input) { return await(exchange(stream, std::move(input))); }

    /// Runs a script inside an instance of the shell image.
    std::string inside(const instancer::Instance& instance, const std::string& script)
    {
        auto stream = open(instance);
        return talk(stream, script + "\n");
    }

    /// Whether a script inside can connect to that address.
    bool reaches(const instancer::Instance& instance, const std::string& address, std::uint16_t port)
    {
        const auto answer = inside(instance, "nc -w 1 " + address + " " + std::to_string(port) +
                                                 " </dev/null >/dev/null 2>&1 && echo yes || echo no");
        REQUIRE((answer == "yes\n" || answer == "no\n"));
        return answer == "yes\n";
    }

    /// Reads until `end` has come, or the end of the stream.
    std::string read_until(instancer::Stream& stream, std::string end)
    {
        return await(reading(stream, std::move(end)));
    }

    static asio::awaitable<std::string> exchange(instancer::Stream& stream, std::string input)
    {
        using namespace asio::experimental::awaitable_operators;
        co_return co_await (reading(stream, {}) && send(stream, std::move(input)));
    }

    Recorder events;

protected:
    template <class Options>
    Bench(std::string service, const Options& options)
        : service_(std::move(service)),
          backend_(std::make_unique<Backend>(io_.get_executor(), service_, options, events))
    {
    }

private:
    asio::awaitable<Result<instancer::Stream>> ready(instancer::Instance instance)
    {
        const auto deadline = std::chrono::steady_clock::now() + patience;
        for (;;) {
            const instancer::OpenRequest request;
            auto stream = co_await backend_->open(instance, request);
            if (stream || stream.error() != Errc::not_ready || std::chrono::steady_clock::now() > deadline)
                co_return stream;
            asio::steady_timer pause(io_, 5ms);
            co_await pause.async_wait(instancer::as_result);
        }
    }

    static asio::awaitable<std::string> reading(instancer::Stream& stream, std::string end)
    {
        std::string out;
        std::vector<std::byte> buffer(64 * 1024);
        while (end.empty() || !out.ends_with(end)) {
            const auto count = co_await stream.read_some(buffer);
            if (!count || *count == 0)
                break;
            out.append(reinterpret_cast<const char*>(buffer.data()), *count);
        }
        co_return out;
    }

    static asio::awaitable<void> send(instancer::Stream& stream, std::string input)
    {
        (void)co_await stream.write_all(input);
        (void)stream.shutdown_send();
    }

    asio::io_context io_{1};
    std::string service_;
    std::unique_ptr<Backend> backend_;
    std::vector<instancer::Instance> started_;
};

}  // namespace backend_test
