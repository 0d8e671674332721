// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <sys/types.h>

#include <instancer/async/async_event.hpp>
#include <instancer/detail/process/output_pipe.hpp>
#include <instancer/instance.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

#include "oci_host.hpp"

namespace instancer::detail::inline oci {

/// One container, and the processes by which it is known: its runtime, which is our child, and instancer-init in it.
class OciContainer final : public Instance::State {
public:
    OciContainer(const asio::any_io_executor& control, std::string container_id)
        : id(std::move(container_id)),
          runtime_end(control),
          supervisor(control),
          answered(control),
          ended(control),
          runtime_ended(control),
          output(control)
    {
    }

    /// Keeps the last lines of its output, for whoever asks why it does not work.
    void remember(std::string_view line)
    {
        last_lines_.emplace_back(line);
        last_bytes_ += line.size();
        while (last_lines_.size() > most_lines || (last_bytes_ > most_bytes && last_lines_.size() > 1)) {
            last_bytes_ -= last_lines_.front().size();
            last_lines_.pop_front();
        }
    }

    const std::deque<std::string>& lines() const noexcept { return last_lines_; }

    /// Each line after a newline.
    std::string last_lines() const
    {
        std::string text;
        for (const auto& line : last_lines_)
            text += "\n" + line;
        return text;
    }

    const std::string id;
    OciGroups groups;
    std::optional<uid_t> user;  ///< Where each container has one for itself.
    /// With a port: its network namespace, or without root where instancer-init is asked for sockets in it. Constant
    /// once it has started: any thread reads it.
    UniqueFd network;
    UniqueFd our_end;  ///< Of its standard input and output, or its terminal, until somebody opens it.

    /// Only on the control executor.
    pid_t runtime = -1;
    asio::posix::stream_descriptor runtime_end;  ///< A pidfd.
    asio::posix::stream_descriptor supervisor;   ///< What instancer-init says. It ends with this.
    UniqueFd supervisor_process;                 ///< A pidfd.
    pid_t supervisor_pid = 0;
    AsyncEvent answered;             ///< It is known whether the program runs.
    AsyncEvent ended;                ///< The program does not run any more, or never did.
    AsyncEvent runtime_ended;        ///< There is no container any more.
    std::optional<int> not_started;  ///< Why the program was not executed, as the system calls it.
    bool running = false;            ///< It was executed.
    bool stopping = false;           ///< By us.
    bool runtime_failed = false;     ///< It may have left something.
    std::string exit_text = "ended";
    OutputPipe output;  ///< Of the runtime until the program runs, and then of the program.

private:
    static constexpr std::size_t most_lines = 20, most_bytes = 2048;

    std::deque<std::string> last_lines_;
    std::size_t last_bytes_ = 0;  ///< In them.
};

}  // namespace instancer::detail::inline oci
