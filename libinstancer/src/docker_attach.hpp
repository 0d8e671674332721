// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>

#include <instancer/backend/stderr_to.hpp>
#include <instancer/detail/process/output_lines.hpp>
#include <instancer/detail/process/read_allowance.hpp>
#include <instancer/detail/process/terminal_end.hpp>
#include <instancer/detail/socket/socket_stream.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>
#include <instancer/unique_fd.hpp>

#include "docker_frames.hpp"

namespace instancer::detail::inline docker {

/// Attaches to the standard streams of the container `id`: the result carries its input, and its output in frames if
/// it has no terminal. cpp-httplib cannot do that: the engine answers 101 and the connection changes its protocol.
///
/// Time: ten seconds at most.
asio::awaitable<Result<UniqueFd>> attach(std::string socket_path, std::string version_prefix, std::string id);

/// Whether the engine says anything at all.
///
/// Time: three seconds at most.
asio::awaitable<bool> engine_answers(std::string socket_path);

/// The standard streams of an attached container without terminal. Reading takes their frames apart in the reader's own
/// buffer. One that writes more standard error in a second than is read of it finds its connection full, and waits.
class AttachStream final : public SocketStream {
public:
    /// `report` gets the lines of standard error if that goes to the log.
    AttachStream(const asio::any_io_executor& executor, UniqueFd fd, StderrTo stderr_to, OutputLines::Report report)
        : SocketStream(executor, std::move(fd)), stderr_to_(stderr_to), lines_(std::move(report))
    {
    }

    ~AttachStream() override { lines_.finish(); }

    Result<std::size_t> try_read(std::span<std::byte> buffer) override;
    asio::awaitable<Result<void>> wait(Readiness what) override;
    void close() noexcept override;

    /// The descriptor does not carry the bytes unchanged.
    int native_handle() const noexcept override { return -1; }
    UniqueFd release() noexcept override { return {}; }

private:
    std::size_t unframe(std::span<std::byte> bytes);

    const StderrTo stderr_to_;
    OutputLines lines_;
    FrameDecoder frames_;
    ReadAllowance allowance_;                    ///< Of what is not for the client.
    std::optional<asio::steady_timer> renewal_;  ///< Of the allowance, once that was used up.
};

/// The standard streams of an attached container with a terminal: one stream both ways, no frames.
class TerminalStream final : public SocketStream {
public:
    using SocketStream::SocketStream;

    /// The connection stays open both ways: the engine would end the output together with the input.
    ///
    /// Errors: asio::error::would_block while the terminal is full.
    Result<void> shutdown_send() override
    {
        return end_.write([this](std::span<const std::byte> data) { return try_write(data); });
    }

    int native_handle() const noexcept override { return -1; }
    UniqueFd release() noexcept override { return {}; }

private:
    TerminalEnd end_;
};

}  // namespace instancer::detail::inline docker
