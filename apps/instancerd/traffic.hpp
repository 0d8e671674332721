// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include <instancer/bridge.hpp>

#include "log.hpp"
#include "settings.hpp"

namespace instancer::daemon {

/// The bridge of a service: one that shows what passes where the settings ask for it, else the plain one.
///
/// Lifetime: `log` must outlive the bridge.
std::unique_ptr<Bridge> make_bridge(const ServiceSettings& service, Log& log);

}  // namespace instancer::daemon
