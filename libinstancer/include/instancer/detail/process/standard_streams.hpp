// SPDX-License-Identifier: MIT
#pragma once

#include <instancer/backend/process_options.hpp>
#include <instancer/instance.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// The standard input, output and error of a process that is to be started: its ends and ours.
class StandardStreams {
public:
    UniqueFd ours;           ///< The other end of `theirs`; none for a client's socket, and with a port.
    UniqueFd theirs;         ///< Standard input and output.
    UniqueFd errors_reader;  ///< Ours, if standard error goes to the log.
    UniqueFd errors_writer;  ///< Standard error; none where that is standard output.
    bool terminal = false;   ///< `theirs` is one.

    /// Takes the client's socket out of `request` if the process gets that. What the process gets belongs to `user`
    /// unless that is null.
    ///
    /// Errors: what the system reports.
    static Result<StandardStreams> open(const ProcessOptions& options, InstanceRequest& request,
                                        const ProcessUser* user);

private:
    StandardStreams() = default;

    Result<void> open_input(const ProcessOptions& options, InstanceRequest& request, const ProcessUser* user);
    Result<void> open_errors(const ProcessOptions& options, const ProcessUser* user);
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/process/standard_streams.hpp>
#endif
