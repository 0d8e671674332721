// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>

#include <asio/any_io_executor.hpp>

#include <instancer/admission/stage.hpp>
#include <instancer/identity.hpp>
#include <instancer/pool/instance_pool.hpp>

#include "config/checker.hpp"

namespace instancer::daemon {

/// Lets a client who is known look at its instances, or end them, before it goes on to one.
///
/// Lifetime: the pool must outlive it.
class MenuStage final : public AdmissionStage {
public:
    static constexpr std::size_t max_line = 64;  ///< Bytes of a line at most.
    static constexpr int max_lines = 20;         ///< Lines of one client, the one that goes on included.

    /// For the clients of `service`, whose pool belongs to `control`.
    MenuStage(std::string service, asio::any_io_executor control, InstancePool& pool);

private:
    asio::awaitable<Result<void>> do_run(Stream& client, AdmissionContext& context) override;

    /// What the client is told about that line.
    asio::awaitable<std::string> answer(std::string line, Digest owner);

    std::string status(const Digest& owner) const;
    std::string reset(const Digest& owner);

    const std::string service_;
    const asio::any_io_executor control_;
    InstancePool& pool_;
};

/// Whether there is somebody to show a menu.
void check_menu(Checker& checker);

}  // namespace instancer::daemon
