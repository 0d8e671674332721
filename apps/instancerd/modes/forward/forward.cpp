// SPDX-License-Identifier: MIT
#include "modes/forward/forward.hpp"

namespace instancer::daemon {

constinit const ModeEntry forward_mode{
    .mode = Mode::forward,
    .name = "forward",
    .use = "to pass connections on",
    .command = {.words = "forward",
                .forms = {"--listen ADDR --to ADDR[=WEIGHT],... [options]", "LOCAL_IP:PORT FORWARD_IP:PORT",
                          "LOCAL_IP LOCAL_PORT FORWARD_IP FORWARD_PORT"},
                .purpose = "Each connection is passed on to one of the servers of a list.",
                .examples = {"forward --listen :80 --to 10.0.0.1:8080=2,10.0.0.2:8080 --balance least-connections",
                             "forward 127.0.0.1 8080 10.0.0.1 80"},
                .stray = "write --listen ADDR --to ADDR",
                .scope = Scope::forward},
    .options = forward_options,
    .check = check_forward,
};

}  // namespace instancer::daemon
