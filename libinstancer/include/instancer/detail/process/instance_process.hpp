// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <sys/types.h>

#include <instancer/async/async_event.hpp>
#include <instancer/detail/process/output_pipe.hpp>
#include <instancer/detail/process/process_resources.hpp>
#include <instancer/instance.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// The process of an instance, with what it has for itself.
class InstanceProcess final : public Instance::State {
public:
    explicit InstanceProcess(const asio::any_io_executor& control) : pidfd(control), exited(control), errors(control) {}

    /// Waits for the end of `process`, says how it ended, and sets `exited`.
    static asio::awaitable<void> watch_exit(std::shared_ptr<InstanceProcess> process);

    pid_t pid = -1;
    asio::posix::stream_descriptor pidfd;
    AsyncEvent exited;
    std::string exit_text = "ended";
    std::optional<bool> was_out_of_memory;  ///< When we began to end it: its resources are a helper thread's since.
    ProcessResources resources;
    std::atomic<bool> listens = false;  ///< It was the one that listens on its port when that was last looked at.
    UniqueFd our_end;                   ///< Of its standard input and output, until somebody opens it.
    OutputPipe errors;                  ///< Reads its standard error.
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/process/instance_process.hpp>
#endif
