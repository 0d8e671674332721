// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include <instancer/detail/config.hpp>
#include <instancer/stream.hpp>

namespace instancer::detail {

/// Sends `line` and ends the connection so that the client can read it: bytes that come after a plain close would be
/// answered by a reset, which may overtake the line. So the connection stays, without a session, until the client has
/// closed it, or for two seconds. A client that does not take the line at once does not get it.
///
/// Threads: any, if nobody else uses the stream.
INSTANCER_DECL void say_farewell(Stream client, std::string line);

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/server/farewell.hpp>
#endif
