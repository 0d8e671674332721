// SPDX-License-Identifier: MIT
#include "modes/tunnel/tunnel_users.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/async/as_result.hpp>

#include "config/text.hpp"

namespace instancer::daemon {

namespace {

/// How long a user waits while another process has the database, and at first between two tries. A guess.
constexpr std::chrono::milliseconds database_patience{2000}, database_pause{20};

}  // namespace

TunnelUsers::TunnelUsers(std::string service, TunnelFiles files, std::unique_ptr<UserDatabase> database, Events& events)
    : service_(std::move(service)),
      events_(events),
      files_(std::make_shared<const TunnelFiles>(std::move(files))),
      database_(std::move(database))
{
}

std::shared_ptr<const TunnelFiles> TunnelUsers::files() const
{
    const std::lock_guard lock(files_mutex_);
    return files_;
}

void TunnelUsers::replace(TunnelFiles files)
{
    auto replaced = std::make_shared<const TunnelFiles>(std::move(files));
    const std::lock_guard lock(files_mutex_);
    files_ = std::move(replaced);
}

template <class Call>
asio::awaitable<std::invoke_result_t<Call&, UserDatabase&>> TunnelUsers::ask(Call call)
{
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    const auto executor = co_await asio::this_coro::executor;
    asio::steady_timer pause(executor);
    const auto deadline = std::chrono::steady_clock::now() + database_patience;
    for (auto wait = database_pause;; wait = std::min(2 * wait, 8 * database_pause)) {
        bool busy = false;
        auto attempt = [this, &busy, &call] {
            auto result = call(*database_);
            busy = database_->busy();
            return result;
        };
        auto asked = database_thread_.run(std::move(attempt));
        auto result = co_await std::move(asked);
        if (!busy || is_cancelled(cancellation) || std::chrono::steady_clock::now() >= deadline)
            co_return result;
        pause.expires_after(wait);
        co_await pause.async_wait(as_result);
    }
}

asio::awaitable<Result<bool>> TunnelUsers::knows(asio::ip::address address)
{
    if (files()->knows_user(address))
        co_return true;
    if (!database_)
        co_return false;
    const auto text = address.to_string();
    auto look_up = [text](UserDatabase& users) { return users.find(text); };
    auto asked = ask(std::move(look_up));
    const auto found = co_await std::move(asked);
    if (!found)
        co_return fail(Errc::backend_unavailable, found.error());
    if (!*found)
        co_return false;
    const auto name = **found;
    auto note = [name](UserDatabase& users) { return users.note_login(name); };
    auto noting = ask(std::move(note));
    const auto noted = co_await std::move(noting);
    if (!noted)
        events_.warning(service_, "the login of " + in_quotes(name) + " is not noted: " + noted.error());
    co_return true;
}

asio::awaitable<Parsed<void>> TunnelUsers::set_address(std::string name, std::optional<std::string> address)
{
    auto change = [name, address](UserDatabase& users) { return users.set_address(name, address); };
    auto asked = ask(std::move(change));
    co_return co_await std::move(asked);
}

asio::awaitable<Parsed<void>> TunnelUsers::set_only_address(std::string address)
{
    auto change = [address](UserDatabase& users) -> Parsed<void> {
        const auto names = users.names();
        if (!names)
            return wrong(names.error());
        if (names->size() != 1)
            return wrong("whose address? There are " + std::to_string(names->size()) +
                         " users; write set userip NAME " + address);
        return users.set_address(names->front(), address);
    };
    auto asked = ask(std::move(change));
    co_return co_await std::move(asked);
}

}  // namespace instancer::daemon
