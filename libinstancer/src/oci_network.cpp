// SPDX-License-Identifier: MIT
#include "oci_network.hpp"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <instancer/system/last_error.hpp>

#include "network_namespace.hpp"

namespace instancer::detail::inline oci {

namespace {

bool bring_loopback_up()
{
    const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq loopback{.ifr_ifrn = {"lo"}, .ifr_ifru = {}};
    loopback.ifr_flags = IFF_UP | IFF_RUNNING;
    return socket && ::ioctl(socket.get(), SIOCSIFFLAGS, &loopback) == 0;
}

}  // namespace

Result<UniqueFd> make_network_namespace()
{
    const auto home = own_network_namespace();
    if (!home || ::unshare(CLONE_NEWNET) != 0)
        return fail(last_error(), "making a network namespace");
    auto made = own_network_namespace();
    const bool is_up = made && bring_loopback_up();
    const auto error = last_error();
    ::setns(home.get(), CLONE_NEWNET);
    if (!is_up)
        return fail(error, "bringing up the loopback of a network namespace");
    return made;
}

}  // namespace instancer::detail::inline oci
