// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <asio/any_io_executor.hpp>

#include <instancer/admission/stage.hpp>
#include <instancer/identity.hpp>
#include <instancer/pool/instance_pool.hpp>

#include "config/checker.hpp"

namespace instancer::daemon {

/// Lets a client who is known look at its instances, extend or end them, before it goes on to one.
///
/// Lifetime: the pool must outlive it.
class MenuStage final : public AdmissionStage {
public:
    static constexpr std::size_t max_line = 64;  ///< Bytes of a line at most.
    static constexpr int max_lines = 20;         ///< Lines of one client, the one that goes on included.

    /// For the clients of `service`, whose pool belongs to `control`. `extends`: its instances can be extended.
    MenuStage(std::string service, asio::any_io_executor control, InstancePool& pool, bool extends);

private:
    asio::awaitable<Result<void>> do_run(Stream& client, AdmissionContext& context) override;

    /// Does what a client asks for, and says what came of it.
    using Command = std::string (MenuStage::*)(const Digest& owner);

    /// Null when there is none by that name.
    Command find_command(std::string_view name) const;

    /// What the client is told about that line.
    asio::awaitable<std::string> answer(std::string line, Digest owner);

    std::string status(const Digest& owner);
    std::string extend(const Digest& owner);
    std::string reset(const Digest& owner);

    std::vector<InstanceInfo> instances_of(const Digest& owner) const;

    const std::string service_;
    const asio::any_io_executor control_;
    InstancePool& pool_;
    const bool extends_;
};

/// Whether there is somebody to show a menu.
void check_menu(Checker& checker);

}  // namespace instancer::daemon
