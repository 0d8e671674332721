// SPDX-License-Identifier: MIT
// Warm instances that get something of their owner's before the first client comes.
#include <doctest/doctest.h>

#include "pool_fixture.hpp"

using namespace pool_fixture;

namespace {

/// A pool with one warm instance that is personalized when it is claimed.
class Personalizing : public PoolFixture {
public:
    Personalizing() : PoolFixture(one_warm(), BackendTraits().personalizes(true))
    {
        REQUIRE(start());
        loop.settle();
    }

private:
    static PoolOptions one_warm()
    {
        auto options = timeless();
        options.warm = 1;
        return options;
    }
};

}  // namespace

TEST_CASE("instance pool: clients of a warm instance wait until it is personalized")
{
    Personalizing fixture;
    fixture.backend.personalizations.hold();
    auto ann = fixture.ask("ann"), again = fixture.ask("ann");
    CHECK_FALSE(ann.answered());
    CHECK_FALSE(again.answered());
    fixture.backend.personalizations.release();
    fixture.loop.settle();
    REQUIRE(ann.served());
    CHECK(again.served());
    CHECK(ann.lease().instance().name() == "fake 1");
    CHECK(fixture.instance(1).personalized()->id() == identity("ann").id());
    CHECK(fixture.instance(1).assigned()->id() == identity("ann").id());
}

TEST_CASE("instance pool: an instance that cannot be personalized serves nobody")
{
    Personalizing fixture;
    fixture.backend.personalize_error = Error(Errc::start_failed, "no room for the flag");
    auto ann = fixture.ask("ann");
    REQUIRE(ann.refused(Errc::start_failed));
    CHECK(ann.why().find("no room for the flag") != std::string::npos);
    fixture.loop.settle();
    CHECK(fixture.instance(1).stopped());
    CHECK_FALSE(fixture.instance(1).assigned());
    CHECK(fixture.events.count_beginning("ended fake 1") == 1);
    fixture.backend.personalize_error.reset();
    CHECK(fixture.ask("ann").served());
}

TEST_CASE("instance pool: an instance that ends while it is personalized is stopped afterwards")
{
    Personalizing fixture;
    fixture.backend.personalizations.hold();
    auto ann = fixture.ask("ann");
    fixture.instance(1).exit();
    fixture.loop.settle();
    CHECK_FALSE(fixture.instance(1).stopped());
    fixture.backend.personalizations.release();
    fixture.loop.settle();
    CHECK(fixture.instance(1).stopped());
    CHECK(ann.ends() == std::vector<InstanceEnd>{InstanceEnd::exited});
}

TEST_CASE("instance pool: a client that leaves a warm instance before it is personalized frees it")
{
    Personalizing fixture;
    fixture.backend.personalizations.hold();
    auto ann = fixture.ask("ann");
    ann.cancel();
    fixture.loop.settle();
    fixture.backend.personalizations.release();
    fixture.loop.settle();
    REQUIRE(fixture.pool.snapshot().size() == 2);
    for (const auto& info : fixture.pool.snapshot())
        CHECK(info.clients == 0);
    CHECK(fixture.ask("ann").lease().instance().name() == "fake 1");
}

TEST_CASE("instance pool: instances that start for somebody are not personalized")
{
    PoolFixture fixture(timeless(), BackendTraits().personalizes(true));
    CHECK(fixture.ask("ann").served());
    CHECK_FALSE(fixture.instance(1).personalized());
}
