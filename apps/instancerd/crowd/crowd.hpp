// SPDX-License-Identifier: MIT
// What a service does about crowds: rates, bans, places, and what clients are told.
#pragma once

#include <instancer/acceptor/access_control.hpp>
#include <instancer/server_options.hpp>

#include "config/checker.hpp"
#include "options/option.hpp"

namespace instancer::daemon {

std::span<const Option> crowd_options();

void check_crowd(Checker& checker);

/// Adds what the settings say to how clients are let in.
void add_crowd(AccessControlOptions& options, const ServiceSettings& service);

/// Adds what the settings say to how they are admitted.
void add_crowd(ServerOptions& options, const ServiceSettings& service);

}  // namespace instancer::daemon
