// SPDX-License-Identifier: MIT
// g++ 12 destroys a braced aggregate twice when it is made beside a co_await (see gcc12.query). Types that users hand
// to our coroutines, or get from them, must therefore not be aggregates.
#include <type_traits>

#include <instancer/acceptor.hpp>
#include <instancer/authenticator.hpp>
#include <instancer/bridge.hpp>
#include <instancer/client.hpp>
#include <instancer/events.hpp>
#include <instancer/identity.hpp>
#include <instancer/instance.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/pool/pool_options.hpp>
#include <instancer/result.hpp>
#include <instancer/session.hpp>
#include <instancer/stream.hpp>

namespace {

template <class... T>
constexpr bool none_is_an_aggregate = (!std::is_aggregate_v<T> && ...);

static_assert(none_is_an_aggregate<instancer::Accepted, instancer::Admission, instancer::BackendTraits,
    instancer::ClientInfo, instancer::Digest, instancer::Error, instancer::Identity, instancer::Instance,
    instancer::InstanceExit, instancer::InstanceRequest, instancer::InstanceSummary, instancer::Leftover,
    instancer::Link, instancer::OpenRequest, instancer::PoolOptions, instancer::Result<instancer::Instance>,
    instancer::SessionSummary, instancer::Stream>);

}  // namespace

int main() {}
