// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include <asio/awaitable.hpp>

#include <instancer/async/one_shot.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// What instancer-init says of a start: nothing when the program runs, else "ERRNO STEP".
class StartReport {
public:
    /// Waits until the program runs. `pipe` is what we read, instancer-init has the other end.
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
