// SPDX-License-Identifier: MIT
#pragma once

namespace instancer {

/// Where the standard error of an instance goes whose standard output goes to the client.
enum class StderrTo {
    log,     ///< To `Events::output`, line by line.
    client,  ///< To the client, between the rest.
    null,    ///< Nowhere.
};

}  // namespace instancer
