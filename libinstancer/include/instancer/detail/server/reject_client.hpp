// SPDX-License-Identifier: MIT
#pragma once

#include <instancer/detail/server/end_cause.hpp>
#include <instancer/lingering_close.hpp>
#include <instancer/result.hpp>
#include <instancer/session_end.hpp>
#include <instancer/stream.hpp>

namespace instancer::detail {

/// A greeting that is wrong, or that nobody can judge now, ends in order, without a byte. The caller aborts the stream
/// of a client that is turned away for another reason.
inline SessionEnd reject_client(Stream& client, const Error& error)
{
    const auto end = end_of_admission(error);
    if (end == SessionEnd::auth_timeout || end == SessionEnd::authentication_failed || end == SessionEnd::unavailable)
        lingering_close(client);
    return end;
}

}  // namespace instancer::detail
