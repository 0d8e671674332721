// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <system_error>

#include <asio/error.hpp>

namespace instancer {

/// The error that the system numbers so, in Asio's category: it equals what Asio reports, and the names in
/// `asio::error`.
inline std::error_code system_error(int number) noexcept { return {number, asio::error::get_system_category()}; }

/// Why the last call to the system failed, from `errno`.
inline std::error_code last_error() noexcept { return system_error(errno); }

}  // namespace instancer
