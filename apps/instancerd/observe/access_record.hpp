// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include <instancer/session.hpp>

namespace instancer::daemon {

/// Who brought a session to its end: `both`, `client`, `instance`, `rules`, `limits`, `times`, `backend`, `operator` or
/// `failure`.
std::string_view ended_by(SessionEnd end) noexcept;

/// The line of the access log about a session that ended at `now`, with its newline. Every line has the same fields in
/// the same order; those that say nothing about it are null. `label` is the name of its owner.
std::string access_record(const SessionSummary& summary, const std::string& label,
                          std::chrono::system_clock::time_point now);

}  // namespace instancer::daemon
