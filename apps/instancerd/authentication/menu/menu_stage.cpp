// SPDX-License-Identifier: MIT
#include "authentication/menu/menu_stage.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <asio/error.hpp>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>

#include <instancer/async/one_shot.hpp>
#include <instancer/read_typed_line.hpp>

#include "config/text.hpp"

namespace instancer::daemon {

namespace {

constexpr std::string_view question = "!status, !reset, or an empty line to go on: ";

/// `instance 1: running for 12 s, 2 clients`
std::string line_about(const InstanceInfo& instance, std::size_t number)
{
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(instance.age).count();
    return "instance " + std::to_string(number) + ": " + instance.state + ", " + std::to_string(seconds) + " s old, " +
           counted(instance.clients, "client") + "\n";
}

}  // namespace

MenuStage::MenuStage(std::string service, asio::any_io_executor control, InstancePool& pool)
    : AdmissionStage("menu"), service_(std::move(service)), control_(std::move(control)), pool_(pool)
{
}

asio::awaitable<Result<void>> MenuStage::do_run(Stream& client, AdmissionContext& context)
{
    const auto owner = Identity(service_, context.admission()->owner(), {}).owner();
    std::string text;
    for (int lines = 0; lines < max_lines; ++lines) {
        text += question;
        if (auto asked = co_await client.write_all(text); !asked)
            co_return fail(std::move(asked.error()));
        auto line = co_await read_typed_line(client, max_line);
        if (!line && line.error() == asio::error::make_error_code(asio::error::eof))
            co_return fail(Errc::rejected, "the client left before it went on");
        if (!line)
            co_return fail(std::move(line.error()));
        if (line->empty())
            co_return Result<void>();
        text = co_await answer(std::move(*line), owner);
    }
    co_return fail(Errc::rejected, "more than " + std::to_string(max_lines) + " lines");
}

asio::awaitable<std::string> MenuStage::answer(std::string line, Digest owner)
{
    if (line != "!status" && line != "!reset")
        co_return "unknown command\n";
    const auto executor = co_await asio::this_coro::executor;
    const auto done = std::make_shared<OneShot<std::string>>(executor);
    asio::post(control_,
               [this, done, owner, ends = line == "!reset"] { done->complete(ends ? reset(owner) : status(owner)); });
    co_return co_await done->wait_uncancelled();
}

std::string MenuStage::status(const Digest& owner) const
{
    std::string text;
    std::size_t count = 0;
    for (const auto& instance : pool_.snapshot())
        if (instance.owner == owner.hex())
            text += line_about(instance, ++count);
    return count == 0 ? "no instance\n" : text;
}

std::string MenuStage::reset(const Digest& owner)
{
    const auto instances = pool_.snapshot();
    const auto count = std::count_if(instances.begin(), instances.end(), [&](const auto& instance) {
        return instance.owner == owner.hex() && instance.state != "stopping";
    });
    pool_.reset_owner(owner);
    return counted(static_cast<std::size_t>(count), "instance") + (count == 1 ? " ends\n" : " end\n");
}

void check_menu(Checker& checker)
{
    const auto& service = checker.service;
    if (service.authentication.menu && service.prompt.empty())
        checker.refuse("menu", "is for clients who are asked for their token; remove it, or give " +
                                   checker.say("prompt") + " a text");
}

}  // namespace instancer::daemon
