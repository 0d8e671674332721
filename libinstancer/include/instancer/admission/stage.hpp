// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include <asio/awaitable.hpp>

#include <instancer/admission/context.hpp>
#include <instancer/admission/place_budget.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>

namespace instancer {

/// One step on the way of a client into a server: it lets the client pass, having learned something, or refuses it.
///
/// To add one, derive, implement `do_run`, and put it into `ServerOptions::stages`, or into `identified_stages` or
/// `start_stages` there. The deadline and the places are the server's business: it cancels, and refuses.
///
/// Threads: called on the session's worker, on several at once.
class AdmissionStage {
public:
    /// A span of time.
    using Duration = std::chrono::steady_clock::duration;

    /// `name` is for the log, of refused clients. `deadline` is how long the stage may take for one client; with 0 it
    /// shares `ServerOptions::auth_timeout` with the other stages that have none. A client takes a place of `budget`,
    /// if there is one, while the stage works on it; a client that loses it to another one is reset.
    explicit AdmissionStage(std::string name, Duration deadline = Duration::zero(),
                            std::shared_ptr<PlaceBudget> budget = nullptr)
        : name_(std::move(name)), deadline_(deadline), budget_(std::move(budget))
    {
    }
    AdmissionStage(const AdmissionStage&) = delete;
    AdmissionStage& operator=(const AdmissionStage&) = delete;
    virtual ~AdmissionStage() = default;

    /// Its name in the log.
    const std::string& name() const noexcept { return name_; }
    /// How long it may take for one client; 0 when it has no deadline of its own.
    Duration deadline() const noexcept { return deadline_; }
    /// Where its clients take places; may be null.
    const std::shared_ptr<PlaceBudget>& budget() const noexcept { return budget_; }

    /// Whether it has anything to do with this client; otherwise the next stage is the client's.
    bool applies(const AdmissionContext& context) const { return do_applies(context); }

    /// Whether it waits for bytes of the client or anything else, so that a deadline is needed, and a place of
    /// `ServerOptions::unadmitted`.
    bool waits() const noexcept { return do_waits(); }

    /// For a stage before a start: bytes for a client that joins its instance and so need not pass it. None unless the
    /// protocol demands it.
    std::string unneeded() const { return do_unneeded(); }

    /// Lets the client pass, or refuses it. What it learns it writes into `context`; a stage that wraps the connection
    /// replaces `client`. A refused client keeps the stream that it has then, by which the server ends it.
    ///
    /// Concurrency: any number of calls may be outstanding.
    /// Cancellation: terminal.
    /// Errors: Errc::rejected, cancelled, timeout (the client gets the end of the stream, without a byte);
    /// Errc::denied, full and what the stream reports (the client is reset). Errc::rejected counts against the client's
    /// source, which may be banned; Errc::cancelled is for a client that gave up. The text never holds a secret.
    /// Lifetime: `client` and `context` must stay until completion.
    asio::awaitable<Result<void>> run(Stream& client, AdmissionContext& context) { return do_run(client, context); }

private:
    virtual bool do_applies(const AdmissionContext&) const { return true; }
    virtual bool do_waits() const noexcept { return true; }
    virtual std::string do_unneeded() const { return {}; }
    virtual asio::awaitable<Result<void>> do_run(Stream& client, AdmissionContext& context) = 0;

    const std::string name_;
    const Duration deadline_;
    const std::shared_ptr<PlaceBudget> budget_;
};

}  // namespace instancer
