// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <string>

namespace instancer {

/// What an exception says, by default the one that is being handled.
inline std::string exception_text(const std::exception_ptr& failure = std::current_exception())
{
    try {
        std::rethrow_exception(failure);
    } catch (const std::exception& error) {
        return error.what();
    } catch (...) {
        return "an exception of no known kind";
    }
}

}  // namespace instancer
