// SPDX-License-Identifier: MIT
// Lists of upstreams that change while the server runs, and names that can be looked up or not.
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/backend/upstream_backend.hpp>

#include <listener.hpp>

#include "async_test.hpp"
#include "event_log.hpp"
#include "no_descriptors.hpp"

using namespace async_test;
using daemon_test::HangingListener;
using daemon_test::Listener;
using instancer::Errc;
using instancer::Upstream;
using instancer::UpstreamBackend;
using instancer::UpstreamOptions;

namespace {

class Lists {
public:
    Lists()
    {
        UpstreamOptions options;
        options.upstreams.push_back(Upstream::tcp("127.0.0.1", 1));
        backend = std::make_unique<UpstreamBackend>(loop.executor(), "web", std::move(options), events);
    }

    auto give(std::vector<Upstream> upstreams) { return loop.start(backend->set_upstreams(std::move(upstreams))); }

    Loop loop;
    EventLog events;
    std::unique_ptr<UpstreamBackend> backend;
};

using Endpoints = std::vector<asio::ip::tcp::endpoint>;

Endpoints addresses(const std::vector<std::string>& texts, std::uint16_t port)
{
    Endpoints endpoints;
    for (const auto& text : texts)
        endpoints.emplace_back(asio::ip::make_address(text), port);
    return endpoints;
}

std::uint16_t port_of(const Listener& listener) { return static_cast<std::uint16_t>(std::stoi(listener.port())); }

/// What the test has look-ups find: for a name that it has not set, nothing, or nothing yet.
class Names {
public:
    ~Names() { answer(); }

    void set(const std::string& name, std::vector<std::string> texts)
    {
        const std::lock_guard lock(state_->mutex);
        state_->known[name] = std::move(texts);
    }

    /// Look-ups of unknown names block until `answer`.
    void hang()
    {
        const std::lock_guard lock(state_->mutex);
        state_->hanging = true;
    }
    void answer()
    {
        const std::lock_guard lock(state_->mutex);
        state_->hanging = false;
        state_->changed.notify_all();
    }

    int asked() const
    {
        const std::lock_guard lock(state_->mutex);
        return state_->asked;
    }

    instancer::HostLookUp look_up() const
    {
        return [state = state_](const std::string& host, std::uint16_t port) -> instancer::Result<Endpoints> {
            std::unique_lock lock(state->mutex);
            ++state->asked;
            state->changed.wait(lock, [&] { return !state->hanging || state->known.contains(host); });
            if (const auto found = state->known.find(host); found != state->known.end())
                return addresses(found->second, port);
            return instancer::fail(Errc::backend_unavailable, "nobody knows it");
        };
    }

private:
    struct State {
        std::mutex mutex;
        std::condition_variable changed;
        std::map<std::string, std::vector<std::string>> known;
        bool hanging = false;
        int asked = 0;
    };
    std::shared_ptr<State> state_ = std::make_shared<State>();
};

/// A group whose names are `Names`.
class Group {
    const std::shared_ptr<Names> names_;

public:
    explicit Group(std::vector<Upstream> upstreams, std::shared_ptr<Names> known = std::make_shared<Names>())
        : names_(std::move(known)), names(*names_)
    {
        UpstreamOptions options;
        options.upstreams = std::move(upstreams);
        options.look_up = names.look_up();
        options.resolve_interval = 10ms;
        options.connect_timeout = 1h;
        backend = std::make_unique<UpstreamBackend>(loop.executor(), "web", std::move(options), events);
        backend->on_available([this](bool is_available) { available = is_available; });
    }

    auto open()
    {
        const auto instance = loop.run(backend->start(instancer::InstanceRequest("web")));
        REQUIRE(instance);
        return loop.start(backend->open(*instance, {}));
    }

    instancer::UpstreamState state(std::size_t index = 0) const { return backend->snapshot().at(index).state; }

    Names& names;
    Loop loop;
    EventLog events;
    std::unique_ptr<UpstreamBackend> backend;
    bool available = true;
};

/// It is looked up, which takes a while.
std::vector<Upstream> named(std::uint16_t port) { return {Upstream::tcp("localhost", port)}; }

}  // namespace

TEST_CASE("upstream backend: a list that is refused leaves the one before alone")
{
    Lists lists;
    auto good = lists.give(named(2));
    auto empty = lists.give({});
    REQUIRE(lists.loop.until([&] { return good.done() && empty.done(); }));
    INFO((good.value() ? std::string() : good.value().error().text()));
    CHECK(good.value());
    CHECK(empty.value().error() == Errc::bad_request);
    CHECK(lists.backend->snapshot().at(0).name == "localhost:2");
}

TEST_CASE("upstream backend: the later list stays, whichever is looked up first")
{
    Lists lists;
    auto slow = lists.give(named(2));
    auto quick = lists.give({Upstream::tcp("127.0.0.1", 3)});
    REQUIRE(lists.loop.until([&] { return slow.done() && quick.done(); }));
    INFO((quick.value() ? std::string() : quick.value().error().text()));
    CHECK(quick.value());
    REQUIRE_FALSE(slow.value());
    CHECK(slow.value().error() == Errc::cancelled);
    REQUIRE(lists.backend->snapshot().size() == 1);
    CHECK(lists.backend->snapshot().at(0).name == "127.0.0.1:3");
}

TEST_CASE("upstream backend: a stop ends a look-up as what it is")
{
    Lists lists;
    auto list = lists.give(named(2));
    lists.backend->interrupt();
    REQUIRE(lists.loop.until([&] { return list.done(); }));
    REQUIRE_FALSE(list.value());
    CHECK(list.value().error() == Errc::stopping);
}

TEST_CASE("upstream backend: a lack of descriptors here is no failure of an upstream")
{
    UpstreamOptions options;
    options.upstreams.push_back(Upstream::tcp("127.0.0.1", 1));
    options.max_fails = 1;
    Loop loop;
    EventLog events;
    UpstreamBackend backend(loop.executor(), "web", std::move(options), events);
    REQUIRE(loop.run(backend.prepare()));
    const auto instance = loop.run(backend.start(instancer::InstanceRequest("web")));
    REQUIRE(instance);
    const auto state = [&] { return backend.snapshot().at(0).state; };
    {
        const NoDescriptors lack;
        const auto stream = loop.run(backend.open(*instance, {}));
        REQUIRE_FALSE(stream);
        CHECK(stream.error() == instancer::system_error(EMFILE));
    }
    CHECK(state() == instancer::UpstreamState::up);
    CHECK(events.count_beginning("warning") == 0);
    CHECK_FALSE(loop.run(backend.open(*instance, {})));
    CHECK(state() == instancer::UpstreamState::resting);
    REQUIRE(loop.run(backend.stop(*instance)));
}

TEST_CASE("upstream backend: a name that cannot be looked up is down until it can")
{
    const Listener server;
    Group group({Upstream::tcp("a.test", port_of(server))});
    REQUIRE(group.loop.run(group.backend->prepare()));
    CHECK(group.state() == instancer::UpstreamState::down);
    REQUIRE(group.loop.until([&] { return !group.available; }));
    auto refused = group.open();
    REQUIRE(group.loop.until([&] { return refused.done(); }));
    CHECK(refused.value().error() == Errc::backend_unavailable);
    REQUIRE(group.loop.until([&] { return group.names.asked() > 2; }));
    const auto line = "warning: upstream a.test:" + server.port() +
                      " is down: looking up a.test: nobody knows it; that is tried again until it works";
    CHECK(group.events.lines() == std::vector{line});

    group.names.set("a.test", {"127.0.0.1"});
    REQUIRE(group.loop.until([&] { return group.available; }));
    auto stream = group.open();
    REQUIRE(group.loop.until([&] { return stream.done(); }));
    CHECK(stream.value());
    CHECK(group.state() == instancer::UpstreamState::up);
}

TEST_CASE("upstream backend: a list is taken whatever can be looked up")
{
    Group group({Upstream::tcp("127.0.0.1", 1)});
    REQUIRE(group.loop.run(group.backend->prepare()));
    REQUIRE(group.loop.run(group.backend->set_upstreams({Upstream::tcp("a.test", 2), Upstream::tcp("127.0.0.1", 1)})));
    CHECK(group.state(0) == instancer::UpstreamState::down);
    CHECK(group.state(1) == instancer::UpstreamState::up);
    group.names.set("a.test", {"127.0.0.1"});
    CHECK(group.loop.until([&] { return group.state(0) == instancer::UpstreamState::up; }));
}

TEST_CASE("upstream backend: a look-up that takes long delays no other, and not the end")
{
    const auto group_names = std::make_shared<Names>();
    {
        Group group({Upstream::tcp("a.test", 1), Upstream::tcp("b.test", 1)}, group_names);
        auto& names = *group_names;
        names.hang();
        auto prepared = group.loop.start(group.backend->prepare());
        REQUIRE(group.loop.until([&] { return names.asked() == 2; }));
        CHECK_FALSE(prepared.done());
        group.backend->interrupt();
        REQUIRE(group.loop.until([&] { return prepared.done(); }));
        CHECK(prepared.value().error() == Errc::stopping);
    }
    // Both go on although all of it has gone.
    CHECK(group_names->asked() == 2);
}

TEST_CASE("upstream backend: an address that is silent is tried last the next time")
{
    const Listener server("127.0.0.3:0");
    const HangingListener silent("127.0.0.2:" + server.port());
    Group group({Upstream::tcp("a.test", port_of(server))});
    group.names.set("a.test", {"127.0.0.2", "127.0.0.3"});
    REQUIRE(group.loop.run(group.backend->prepare()));
    auto first = group.open();
    group.loop.settle();
    CHECK_FALSE(first.done());
    REQUIRE(group.loop.until([&] { return first.done(); }));
    REQUIRE(first.value());
    auto second = group.open();
    group.loop.settle();
    REQUIRE(second.done());
    CHECK(second.value());
    CHECK(group.events.lines() ==
          std::vector{"warning: upstream a.test:" + server.port() + ": connecting to " + silent.address() +
                      " takes too long; its other addresses are tried first for a minute"});
}
