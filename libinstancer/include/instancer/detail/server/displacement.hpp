// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>

#include <instancer/session_end.hpp>

namespace instancer::detail {

/// Ends `one`, a session or a client on its way to a server, when others need its place. It may outlive `one`.
template <class One>
std::function<void()> displacement(const std::shared_ptr<One>& one)
{
    return [weak = std::weak_ptr(one)] {
        if (const auto self = weak.lock())
            self->end(SessionEnd::displaced);
    };
}

}  // namespace instancer::detail
