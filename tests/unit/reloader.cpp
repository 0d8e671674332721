// SPDX-License-Identifier: MIT
// A configuration that is put into force while services run.
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "config/command_line.hpp"
#include "daemon/preparation.hpp"
#include "reload/reloader.hpp"

#include "async_test.hpp"
#include "temporary_directory.hpp"

using namespace instancer;
using namespace instancer::daemon;
using async_test::Loop;

namespace {

using Action = ServiceChange::Action;
using State = ServiceList::State;

class Nobody final : public ServiceObserver {
public:
    void serving(const RunningService&) override {}
    void ended(const RunningService&) override {}
    void failed(const RunningService&, const std::string&) override {}
};

/// Services of a configuration on one worker, which the test runs.
class Fixture {
public:
    explicit Fixture(const std::string& services) : file(configure(services)), arguments{"run", "--config", file}
    {
        auto prepared = prepare_services(first, context);
        REQUIRE(prepared);
        for (auto& service : *prepared)
            list.add(std::move(service));
        REQUIRE(loop.until([&] { return list.none_starting(); }));
    }
    ~Fixture()
    {
        list.stop_all();
        loop.run(list.wait_empty());
    }

    std::string configure(const std::string& services)
    {
        return directory.file("c.json", "{\"services\": {" + services + "}}");
    }

    /// An exec service that listens on a socket of its name.
    std::string service(const std::string& name, const std::string& options = {}) const
    {
        return "\"" + name + R"(": {"mode": "exec", "listen": "unix:)" + directory.path(name) + "\", " + options +
               R"("command": ["/bin/cat"]})";
    }

    ReloadReport reload(bool dry_run = false)
    {
        auto report = loop.run(reloader.reload(dry_run));
        REQUIRE(loop.until([&] { return list.none_starting(); }));
        loop.settle();
        return report;
    }

    /// `NAME` for each service that takes clients in.
    std::vector<std::string> serving() const
    {
        std::vector<std::string> names;
        for (const auto& status : list.snapshot())
            if (status.state == State::serving)
                names.push_back(status.name);
        return names;
    }

    daemon_test::TemporaryDirectory directory;
    std::string file;
    std::vector<std::string> arguments;
    std::shared_ptr<const Settings> first =
        std::make_shared<const Settings>(std::move(parse_command_line(arguments).settings));
    Log log{LogLevel::error, LogFormat::text};
    Nobody observer;
    Workers workers{1};
    Loop loop{workers.context(0)};
    ServiceContext context{workers, *first, log};
    ServiceList list{workers, observer, log};
    HelperThreads reader{1};
    Reloader reloader{arguments, *first, context, list, reader};
};

using Names = std::vector<std::string>;

const std::string one_service = R"("a": {"mode": "exec", "listen": "unix:@instancer-test-a", "command": ["/bin/cat"]})";

}  // namespace

TEST_CASE("reloader: it says what would change, and changes nothing, until it is told to")
{
    Fixture f(one_service);
    const auto old = f.list.snapshot().front().id;
    f.configure(R"("a": {"mode": "exec", "listen": "unix:@instancer-test-a", "command": ["/bin/cat"], "ttl": "5m"}, )" +
                f.service("b"));
    const auto planned = f.reload(true);
    CHECK(planned.succeeded());
    CHECK(planned.dry_run);
    REQUIRE(planned.plan.services.size() == 2);
    CHECK(planned.plan.services[0].action == Action::change);
    CHECK(planned.plan.services[1].action == Action::add);
    CHECK(f.list.snapshot().size() == 1);
    CHECK(f.list.snapshot().front().id == old);

    const auto done = f.reload();
    CHECK(done.plan.services == planned.plan.services);
    CHECK(f.serving() == Names{"a", "b"});
    CHECK(f.loop.until([&] { return f.list.service(old) == nullptr; }));
    CHECK(f.reload().plan.services.empty());
}

TEST_CASE("reloader: what is wrong is told in whole, also where it was only asked")
{
    Fixture f(one_service);
    f.configure(R"("a": {"mode": "exec", "listen": "unix:@instancer-test-a", "ttl": 5, "colour": 1})");
    for (const bool dry_run : {true, false}) {
        const auto report = f.reload(dry_run);
        REQUIRE(report.errors.size() >= 2);
        CHECK(report.errors.front().starts_with(f.file + ":1: $.services.a.colour"));
        CHECK(f.serving() == Names{"a"});
    }
}

TEST_CASE("reloader: calls at once are answered one after the other, and none changes what is in force already")
{
    Fixture f(one_service);
    f.configure(f.service("b"));
    auto one = f.loop.start(f.reloader.reload(false)), other = f.loop.start(f.reloader.reload(false));
    REQUIRE(f.loop.until([&] { return other.done(); }));
    CHECK(one.value().plan.services.size() == 2);
    CHECK(other.value().plan.services.empty());
    REQUIRE(f.loop.until([&] { return f.serving() == Names{"b"}; }));
}

TEST_CASE("reloader: once the daemon ends nothing is put into force")
{
    Fixture f(one_service);
    f.configure(f.service("b"));
    f.reloader.close();
    CHECK(f.reload().errors == Names{"the daemon is ending"});
    CHECK(f.serving() == Names{"a"});
}
