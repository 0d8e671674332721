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

/// `running, 12 s old, 2 clients`
std::string text_of(const InstanceInfo& instance)
{
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(instance.age).count();
    return instance.state + ", " + std::to_string(seconds) + " s old, " + counted(instance.clients, "client");
}

std::string text_of(const Extension& extension)
{
    const auto left = std::chrono::ceil<std::chrono::seconds>(extension.time - std::chrono::steady_clock::now());
    const auto seconds = std::to_string(left.count()) + " s";
    switch (extension.answer) {
    case Extension::Answer::granted: return "extended, ends in " + seconds + " at the latest";
    case Extension::Answer::no_instance: return "cannot be extended now";
    case Extension::Answer::not_offered: return "cannot be extended";
    case Extension::Answer::too_early: return "can be extended in " + seconds;
    case Extension::Answer::used_up: return "cannot be extended again, ends in " + seconds + " at the latest";
    }
    return {};
}

/// A line about each instance; `say` is asked for its text.
template <class Say>
std::string list(const std::vector<InstanceInfo>& instances, Say say)
{
    std::string text;
    for (std::size_t i = 0; i < instances.size(); ++i)
        text += "instance " + std::to_string(i + 1) + ": " + say(instances[i]) + "\n";
    return instances.empty() ? "no instance\n" : text;
}

}  // namespace

MenuStage::MenuStage(std::string service, asio::any_io_executor control, InstancePool& pool, bool extends)
    : AdmissionStage("menu"), service_(std::move(service)), control_(std::move(control)), pool_(pool), extends_(extends)
{
}

asio::awaitable<Result<void>> MenuStage::do_run(Stream& client, AdmissionContext& context)
{
    const auto owner = Identity(service_, context.admission()->owner(), {}).owner();
    const std::string question =
        std::string("!status, ") + (extends_ ? "!extend, " : "") + "!reset, or an empty line to go on: ";
    std::string text;
    for (int lines = 0; lines < max_lines; ++lines) {
        text += question;
        if (auto asked = co_await client.write_all(text); !asked)
            co_return fail(std::move(asked.error()));
        auto line = co_await read_typed_line(client, max_line);
        if (!line && line.error() == asio::error::make_error_code(asio::error::eof))
            co_return fail(Errc::cancelled, "the client left before it went on");
        // The client has proved who it is: what it types here is no failure that could ban it.
        if (!line && line.error() == Errc::rejected)
            co_return fail(Errc::cancelled, line.error().text());
        if (!line)
            co_return fail(std::move(line.error()));
        if (line->empty())
            co_return Result<void>();
        text = co_await answer(std::move(*line), owner);
    }
    co_return fail(Errc::cancelled, "more than " + std::to_string(max_lines) + " lines");
}

MenuStage::Command MenuStage::find_command(std::string_view name) const
{
    if (name == "!status")
        return &MenuStage::status;
    if (name == "!extend" && extends_)
        return &MenuStage::extend;
    return name == "!reset" ? &MenuStage::reset : nullptr;
}

asio::awaitable<std::string> MenuStage::answer(std::string line, Digest owner)
{
    const auto command = find_command(line);
    if (command == nullptr)
        co_return "unknown command\n";
    const auto executor = co_await asio::this_coro::executor;
    const auto done = std::make_shared<OneShot<std::string>>(executor);
    asio::post(control_, [this, done, owner, command] { done->complete((this->*command)(owner)); });
    co_return co_await done->wait_uncancelled();
}

std::string MenuStage::status(const Digest& owner)
{
    return list(instances_of(owner), [](const auto& instance) { return text_of(instance); });
}

std::string MenuStage::extend(const Digest& owner)
{
    return list(instances_of(owner), [&](const auto& instance) { return text_of(pool_.extend_ttl(instance.id)); });
}

std::string MenuStage::reset(const Digest& owner)
{
    const auto instances = instances_of(owner);
    const auto count = std::count_if(instances.begin(), instances.end(),
                                     [](const auto& instance) { return instance.state != "stopping"; });
    pool_.reset_owner(owner);
    return counted(static_cast<std::size_t>(count), "instance") + (count == 1 ? " ends\n" : " end\n");
}

std::vector<InstanceInfo> MenuStage::instances_of(const Digest& owner) const
{
    auto instances = pool_.snapshot();
    std::erase_if(instances, [&](const auto& instance) { return instance.owner != owner.hex(); });
    std::sort(instances.begin(), instances.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    return instances;
}

void check_menu(Checker& checker)
{
    const auto& service = checker.service;
    if (service.authentication.menu && service.prompt.empty())
        checker.refuse("menu", "is for clients who are asked for their token; remove it, or give " +
                                   checker.say("prompt") + " a text");
}

}  // namespace instancer::daemon
