// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include <doctest/doctest.h>

namespace test_text {

/// Checks that `part` stands in `text`, and shows both where it does not.
inline bool holds(const std::string& text, const std::string& part)
{
    CAPTURE(text);
    CAPTURE(part);
    const bool found = text.find(part) != std::string::npos;
    CHECK(found);
    return found;
}

}  // namespace test_text
