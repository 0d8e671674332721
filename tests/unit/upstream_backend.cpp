// SPDX-License-Identifier: MIT
// Lists of upstreams that change while the server runs.
#include <memory>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/backend/upstream_backend.hpp>

#include "async_test.hpp"
#include "event_log.hpp"
#include "no_descriptors.hpp"

using namespace async_test;
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
        CHECK(stream.error() == instancer::detail::system_error(EMFILE));
    }
    CHECK(state() == instancer::UpstreamState::up);
    CHECK(events.count_beginning("warning") == 0);
    CHECK_FALSE(loop.run(backend.open(*instance, {})));
    CHECK(state() == instancer::UpstreamState::resting);
    REQUIRE(loop.run(backend.stop(*instance)));
}
