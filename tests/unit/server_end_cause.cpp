// SPDX-License-Identifier: MIT
// For which reason a session ends: each error, each end of a bridge and each end of an instance.
#include <system_error>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/detail/server/end_cause.hpp>

using namespace instancer;
using namespace instancer::detail;

namespace {

/// What the same error means before a client is admitted and after.
class ErrorCell {
public:
    Error error;
    SessionEnd admission;
    SessionEnd connecting;
};

const std::vector<ErrorCell> error_cells{
    {Errc::rejected, SessionEnd::authentication_failed, SessionEnd::failed},
    {Errc::denied, SessionEnd::access_denied, SessionEnd::failed},
    {Errc::timeout, SessionEnd::auth_timeout, SessionEnd::failed},
    {Errc::full, SessionEnd::limit_reached, SessionEnd::limit_reached},
    {Errc::culled, SessionEnd::failed, SessionEnd::culled},
    {Errc::queue_timeout, SessionEnd::failed, SessionEnd::queue_timeout},
    {Errc::start_failed, SessionEnd::failed, SessionEnd::start_failed},
    {Errc::start_timeout, SessionEnd::failed, SessionEnd::start_failed},
    {Errc::backend_unavailable, SessionEnd::unavailable, SessionEnd::unavailable},
    {Errc::bad_request, SessionEnd::failed, SessionEnd::failed},
    {Errc::not_ready, SessionEnd::failed, SessionEnd::start_failed},
    {Errc::instance_gone, SessionEnd::failed, SessionEnd::start_failed},
    {Errc::reset, SessionEnd::failed, SessionEnd::reset},
    {Errc::stopping, SessionEnd::stopped, SessionEnd::stopped},
    {Errc::cancelled, SessionEnd::authentication_failed, SessionEnd::client_left},
    {Errc::not_supported, SessionEnd::failed, SessionEnd::failed},
    {Errc::owner_full, SessionEnd::limit_reached, SessionEnd::limit_reached},
    {std::error_code(asio::error::operation_aborted), SessionEnd::stopped, SessionEnd::start_failed},
    {std::error_code(asio::error::connection_reset), SessionEnd::client_left, SessionEnd::start_failed},
    // A code of another category that has the number of `Errc::rejected` and `Errc::full`.
    {std::error_code(1, std::system_category()), SessionEnd::client_left, SessionEnd::start_failed},
    {std::error_code(4, std::system_category()), SessionEnd::client_left, SessionEnd::start_failed},
};

}  // namespace

TEST_CASE("session end: every error has its reason, before and after the client is admitted")
{
    for (const auto& cell : error_cells) {
        CAPTURE(cell.error.message());
        CHECK(end_of_admission(cell.error) == cell.admission);
        CHECK(end_of_connecting(cell.error) == cell.connecting);
    }
}

TEST_CASE("session end: every end of a bridge has its reason")
{
    for (const bool exited : {false, true}) {
        CAPTURE(exited);
        CHECK(end_of_bridge(BridgeEnd::completed, exited) == SessionEnd::completed);
        CHECK(end_of_bridge(BridgeEnd::client_reset, exited) == SessionEnd::client_reset);
        CHECK(end_of_bridge(BridgeEnd::ended_by_hook, exited) == SessionEnd::ended_by_hook);
        CHECK(end_of_bridge(BridgeEnd::hook_failed, exited) == SessionEnd::failed);
        CHECK(end_of_bridge(BridgeEnd::cancelled, exited) == SessionEnd::stopped);
    }
    CHECK(end_of_bridge(BridgeEnd::instance_reset, false) == SessionEnd::instance_reset);
    CHECK(end_of_bridge(BridgeEnd::instance_reset, true) == SessionEnd::instance_ended);
}

TEST_CASE("session end: every end of an instance has its reason")
{
    CHECK(end_of_instance(InstanceEnd::exited) == SessionEnd::instance_ended);
    CHECK(end_of_instance(InstanceEnd::start_failed) == SessionEnd::stopped);
    CHECK(end_of_instance(InstanceEnd::start_timeout) == SessionEnd::stopped);
    CHECK(end_of_instance(InstanceEnd::abandoned) == SessionEnd::stopped);
    CHECK(end_of_instance(InstanceEnd::culled) == SessionEnd::culled);
    CHECK(end_of_instance(InstanceEnd::expired) == SessionEnd::expired);
    CHECK(end_of_instance(InstanceEnd::idle) == SessionEnd::idle);
    CHECK(end_of_instance(InstanceEnd::unused) == SessionEnd::stopped);
    CHECK(end_of_instance(InstanceEnd::reset) == SessionEnd::reset);
    CHECK(end_of_instance(InstanceEnd::stopped) == SessionEnd::stopped);
}

TEST_CASE("session end: the first cause stays")
{
    EndCause cause;
    CHECK_FALSE(cause.is_set());
    CHECK(cause.set(SessionEnd::completed));
    CHECK(cause.is_set());
    CHECK_FALSE(cause.set(SessionEnd::stopped));
    CHECK(cause.get() == SessionEnd::completed);
}

TEST_CASE("session end: of two threads that end a session, one does")
{
    for (int round = 0; round < 200; ++round) {
        EndCause cause;
        bool killed = false, stopped = false;
        {
            std::jthread operator_thread([&] { killed = cause.set(SessionEnd::killed); });
            std::jthread server_thread([&] { stopped = cause.set(SessionEnd::stopped); });
        }
        REQUIRE(killed != stopped);
        REQUIRE(cause.get() == (killed ? SessionEnd::killed : SessionEnd::stopped));
    }
}
