// SPDX-License-Identifier: MIT
// Processes of exec in a container whose files are those of this host: `exec --sandbox`.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <instancer/backend/oci_options.hpp>

#include "config/checker.hpp"
#include "config/settings.hpp"
#include "options/values.hpp"

namespace instancer::daemon {

class OwnedSettings;
class RunningService;
class ServiceContext;

/// Gives a service the defaults of containers.
void complete_sandbox(ServiceSettings& service);

/// What of its settings cannot work in a sandbox.
void check_sandbox(Checker& checker);

/// What a sandbox has: of the host no more than what its command needs, and what the settings name.
Parsed<OciOptions> sandbox_options(const Settings& settings, const ServiceSettings& service);

Parsed<std::unique_ptr<RunningService>> prepare_sandbox(const OwnedSettings& settings, ServiceContext& context);

}  // namespace instancer::daemon
