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
    {group, "archive", file<&ServiceSettings::oci, &OciSettings::archive>, Scope::oci, {},
     "an image to run in place of files: what docker save has written, or an OCI archive",
     {.conflict = {{"rootfs"}}}},
    {group, "store", directory<&ServiceSettings::oci, &OciSettings::store>, Scope::oci, {},
     "where images are unpacked, each once; no two daemons can use it at once",
     {.needs = {{{{"archive", {}, "FILE"}}}}}},
};
// clang-format on

}  // namespace

std::span<const Option> oci_options() { return table; }

}  // namespace instancer::daemon
