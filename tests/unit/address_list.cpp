// SPDX-License-Identifier: MIT
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/detail/socket/address_list.hpp>

using instancer::detail::AddressList;
using namespace std::chrono_literals;

namespace {

AddressList::Endpoint at(const std::string& address) { return {asio::ip::make_address(address), 80}; }

AddressList::Endpoints all_of(const std::vector<std::string>& addresses)
{
    AddressList::Endpoints endpoints;
    for (const auto& address : addresses)
        endpoints.push_back(at(address));
    return endpoints;
}

const AddressList::TimePoint start{1h};

}  // namespace

TEST_CASE("address list: families take turns, beginning with the system's choice")
{
    AddressList list;
    CHECK(list.empty());
    list.assign(all_of({"::1", "::2", "::3", "10.0.0.1", "10.0.0.2", "::1"}));
    CHECK(list.in_order(start) == all_of({"::1", "10.0.0.1", "::2", "10.0.0.2", "::3"}));
    list.assign(all_of({"10.0.0.1", "::1", "::2", "::3"}));
    CHECK(list.in_order(start) == all_of({"10.0.0.1", "::1", "::2", "::3"}));
}

TEST_CASE("address list: one that failed comes last for a minute, and is news again only when it has worked")
{
    AddressList list;
    list.assign(all_of({"10.0.0.1", "10.0.0.2", "10.0.0.3"}));
    CHECK(list.failed(at("10.0.0.1"), start));
    CHECK(list.in_order(start) == all_of({"10.0.0.2", "10.0.0.3", "10.0.0.1"}));
    CHECK(list.in_order(start + 59s) == all_of({"10.0.0.2", "10.0.0.3", "10.0.0.1"}));
    CHECK(list.in_order(start + 60s) == all_of({"10.0.0.1", "10.0.0.2", "10.0.0.3"}));
    CHECK_FALSE(list.failed(at("10.0.0.1"), start + 60s));
    CHECK(list.in_order(start + 61s).front() == at("10.0.0.2"));
    CHECK(list.worked(at("10.0.0.1")));
    CHECK_FALSE(list.worked(at("10.0.0.1")));
    CHECK(list.in_order(start + 61s).front() == at("10.0.0.1"));
    CHECK(list.failed(at("10.0.0.1"), start + 62s));
}

TEST_CASE("address list: another look-up keeps what is known of those that stay")
{
    AddressList list;
    list.assign(all_of({"10.0.0.1", "10.0.0.2"}));
    list.failed(at("10.0.0.1"), start);
    list.assign(all_of({"10.0.0.1", "10.0.0.3"}));
    CHECK(list.in_order(start) == all_of({"10.0.0.3", "10.0.0.1"}));
    CHECK_FALSE(list.failed(at("10.0.0.2"), start));
    // Where there is no other, nothing can be tried before it.
    list.assign(all_of({"10.0.0.4"}));
    CHECK_FALSE(list.failed(at("10.0.0.4"), start));
}
