// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <asio/posix/stream_descriptor.hpp>

#include <instancer/async/as_result.hpp>
#include <instancer/async/one_shot.hpp>
#include <instancer/detail/process/spawn.hpp>
#include <instancer/detail/socket/socket_stream.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// What instancer-init says of a start: nothing when the program runs, else "ERRNO STEP".
class StartReport {
public:
    /// The end that we read, and the one that instancer-init gets.
    static Result<std::pair<UniqueFd, UniqueFd>> make_pipe();

    /// Waits until the program runs.
    ///
    /// Time: at most `patience`. No thread waits: whoever runs as the instance's user can stop who reports.
    /// Cancellation: none.
    /// Errors: the step that failed, as the system calls it; that nothing was executed in time.
    static asio::awaitable<Result<void>> wait(UniqueFd pipe, std::string program, std::chrono::milliseconds patience);

private:
    static asio::awaitable<void> read(UniqueFd pipe, std::string program, std::chrono::milliseconds patience,
                                      std::shared_ptr<OneShot<Result<void>>> done);

    static Result<void> result_of(std::string_view text, const std::string& program);
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/process/start_report.hpp>
#endif
