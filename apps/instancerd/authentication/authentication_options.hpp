// SPDX-License-Identifier: MIT
#pragma once

#include <span>

#include "options/option.hpp"

namespace instancer::daemon {

/// Ways in which a client types a line, or sends one first.
inline constexpr Needs with_line = {{{{"auth", "prompt"}, {"auth", "signed"}}},
                                    "clients that are known by what they type: prompt, signed, webhook, ctfd or rctf",
                                    {{{"auth", "webhook"}, {"auth", "ctfd"}, {"auth", "rctf"}}}};

/// Options of single ways to tell clients apart.
std::span<const Option> authentication_options();

}  // namespace instancer::daemon
