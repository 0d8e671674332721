// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include <instancer/acceptor/network.hpp>
#include <instancer/admission/rate_limiter.hpp>
#include <instancer/client_texts.hpp>

namespace instancer::daemon {

/// What a service does about clients that are too many or come too often, and what it tells them.
class CrowdSettings {
public:
    Rate connect_rate;
    Rate start_rate;
    std::size_t max_authenticating = 0;

    Rate ban_after;
    std::chrono::milliseconds ban_for{600'000};
    std::vector<std::optional<Network>> ban_exempt;
    std::string ban_file;

    bool tell = false;
    ClientTexts texts;
    std::string warning = "this session ends in {wait}";
    std::string idle_warning = "this session ends in {wait}, unless something passes before";

    CrowdSettings() = default;

    bool bans() const noexcept { return !ban_after.unlimited() || !ban_file.empty(); }
};

}  // namespace instancer::daemon
