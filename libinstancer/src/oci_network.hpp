// SPDX-License-Identifier: MIT
#pragma once

#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail::inline oci {

/// Makes a network namespace with nothing but a loopback that is up. It lasts as long as the descriptor.
///
/// Threads: one that does nothing else, because it enters the namespace for that time.
Result<UniqueFd> make_network_namespace();

}  // namespace instancer::detail::inline oci
