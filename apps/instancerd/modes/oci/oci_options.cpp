// SPDX-License-Identifier: MIT
#include "modes/oci/oci.hpp"
#include "options/types.hpp"

namespace instancer::daemon {

namespace {

constexpr std::string_view group = "Containers without an engine (oci)";

// group, name, type, scope, default, help, traits
// clang-format off
constexpr Option table[] = {
    {group, "rootfs", directory<&ServiceSettings::oci, &OciSettings::root>, Scope::oci, {},
     "the files of the containers, which all share and none can change"},
};
// clang-format on

}  // namespace

std::span<const Option> oci_options() { return table; }

}  // namespace instancer::daemon
