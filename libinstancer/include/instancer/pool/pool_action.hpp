// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include <instancer/coming_end.hpp>
#include <instancer/events.hpp>
#include <instancer/identity.hpp>
#include <instancer/pool/instance_table.hpp>
#include <instancer/pool/waiter_table.hpp>
#include <instancer/result.hpp>

namespace instancer {

/// An order of PoolState.
class PoolAction {
public:
    /// What is to be done.
    enum class Kind {
        start,   ///< Start an instance in `slot`; for `waiter`, or warm when that is 0. Answer: ready, start_failed.
        assign,  ///< The instance in `slot` now belongs to `identity`, because of `waiter`.
        grant,   ///< `waiter` gets a session on `slot`. Answer, later: release.
        refuse,  ///< `waiter` gets `error`.
        revoke,  ///< End every session on `slot`, because of `end`.
        stop,    ///< Stop the instance in `slot`, because of `end`. Answer: stopped.
        warn,    ///< Tell the sessions on `slot` of its `coming` end.
        check_activity,  ///< Answer: active, with the time of the last byte on `slot`.
    };

    /// An action of that kind.
    explicit PoolAction(Kind what) : kind(what) {}

    Kind kind;                              ///< What is to be done.
    SlotId slot;                            ///< With which instance.
    WaiterId waiter = 0;                    ///< With which client that waits.
    Identity identity;                      ///< For whom.
    Errc error = Errc::full;                ///< Why a client is refused.
    const char* limit = "";                 ///< Which limit that comes from, for the operator.
    std::size_t instances = 0;              ///< Instances that count against that limit, and
    std::size_t unused = 0;                 ///< Of these, those without a client.
    InstanceEnd end = InstanceEnd::exited;  ///< Why an instance is stopped.
    ComingEnd coming;                       ///< When the time of an instance is over.
};

}  // namespace instancer
