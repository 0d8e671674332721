// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <instancer/bridge.hpp>

#include "config/settings.hpp"
#include "observe/log.hpp"
#include "observe/reopened_files.hpp"

namespace instancer::daemon {

/// The first 16 bytes of `data`, in hex and as text, behind their place in the stream.
std::string hex_line(std::uint64_t place, std::string_view data);

/// The bridge of a service: one that shows what passes where the settings ask for it, else the plain one.
///
/// Lifetime: `log` must outlive the bridge.
std::unique_ptr<Bridge> make_bridge(const ServiceSettings& service, Log& log, ReopenedFiles& files);

}  // namespace instancer::daemon
