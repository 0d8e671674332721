// SPDX-License-Identifier: MIT
// g++ 12 destroys a braced aggregate twice when it is made beside a co_await (see gcc12.query). Types that users hand
// to our coroutines, or get from them, must therefore not be aggregates.
#include <type_traits>

#include <instancer/acceptor.hpp>
#include <instancer/acceptor/access_control.hpp>
#include <instancer/admission/stage.hpp>
#include <instancer/authenticator.hpp>
#include <instancer/authenticator/token.hpp>
#include <instancer/backend/docker_options.hpp>
#include <instancer/backend/process_options.hpp>
#include <instancer/backend/upstream_options.hpp>
#include <instancer/backend/upstream_status.hpp>
#include <instancer/bridge.hpp>
#include <instancer/bridge/hooks.hpp>
#include <instancer/client.hpp>
#include <instancer/events.hpp>
#include <instancer/identity.hpp>
#include <instancer/instance.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/lease.hpp>
#include <instancer/pool/acquire_request.hpp>
#include <instancer/pool/instance_pool.hpp>
#include <instancer/pool/pool_options.hpp>
#include <instancer/pool/pool_state.hpp>
#include <instancer/relay/relay_greeting.hpp>
#include <instancer/relay/relay_handshake.hpp>
#include <instancer/relay/relay_observer.hpp>
#include <instancer/relay/relay_options.hpp>
#include <instancer/relay/relay_status.hpp>
#include <instancer/result.hpp>
#include <instancer/server.hpp>
#include <instancer/session.hpp>
#include <instancer/stream.hpp>
#include <instancer/tunnel/tunnel_agent.hpp>
#include <instancer/tunnel/tunnel_server.hpp>

#ifdef ASIO_HAS_STD_ALIGNED_ALLOC
#error "Asio would take memory from aligned_alloc here, and from operator new where <asio.hpp> comes first"
#endif

namespace {

template <class... T>
constexpr bool none_is_an_aggregate = (!std::is_aggregate_v<T> && ...);

namespace i = instancer;

static_assert(none_is_an_aggregate<
              i::Accepted, i::AccessRules, i::AcquireRequest, i::Admission, i::BackendTraits, i::ClientInfo, i::Digest,
              i::DockerLimits, i::DockerMount, i::DockerOptions, i::DockerTmpfs, i::Error, i::AccessControlOptions,
              i::HookAnswer, i::Identity, i::Instance, i::InstanceExit, i::InstanceInfo, i::InstanceRequest,
              i::InstanceSummary, i::Lease, i::OrphanInstance, i::Link, i::Network, i::OpenRequest, i::PoolAction,
              i::PoolOptions, i::PortRange, i::ProcessOptions, i::ProcessUser, i::ProxyHeaderParser,
              i::RelayChannelStatus, i::RelayGreeting, i::RelayHandshake, i::RelayMemberInfo, i::RelayMemberStatus,
              i::RelayOptions, i::Result<i::Instance>, i::ServerOptions, i::SessionInfo, i::SessionStatus,
              i::SessionSummary, i::Stream, i::Token, i::TokenGreeting, i::TunnelAddress, i::TunnelAgentOptions,
              i::TunnelMessage, i::TunnelOptions, i::TunnelServerOptions, i::TunnelSession, i::TunnelSessionStatus,
              i::Upstream, i::UpstreamCheck, i::UpstreamOptions, i::UpstreamStatus>);
static_assert(none_is_an_aggregate<i::AdmissionContext, i::UnadmittedLimit::Place>);

}  // namespace

int main() {}
