// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include <asio/post.hpp>
#include <poll.h>

#include <instancer/acceptor/access_control.hpp>
#include <instancer/client.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>

namespace instancer {

INSTANCER_DECL void AccessControl::receive(Accepted& accepted)
{
    const bool by_proxy = options_.proxies.size() > 0 && options_.proxies.check(accepted.info(), now());
    if (!by_proxy) {
        if (auto allowed = judge(accepted.info(), false); !allowed) {
            turn_away(accepted.stream(), accepted.info());
            return accepted.refuse(std::move(allowed.error()));
        }
        if (options_.max_connections == 0 && options_.max_per_source == 0 && !options_.bans)
            return;
    }
    auto slot = std::make_unique<CountedSlot>(shared_from_this(), by_proxy);
    auto entered = slot->enter();
    if (entered && !by_proxy)
        entered = slot->take_place(accepted.info());
    if (!entered)
        return accepted.refuse(std::move(entered.error()));
    accepted.slot() = std::move(slot);
}

INSTANCER_DECL void AccessControl::close()
{
    const std::lock_guard lock(mutex_);
    closed_ = true;
    sweep_.cancel();
    for (auto& [number, held] : held_)
        reset(std::move(held.socket));
    held_.clear();
}

INSTANCER_DECL AccessControl::CountedSlot::~CountedSlot()
{
    if (entered_)
        access_->counts_->leave();
    if (source_)
        access_->counts_->leave(*source_);
}

INSTANCER_DECL Result<void> AccessControl::CountedSlot::enter()
{
    const auto limit = access_->options_.max_connections;
    if (!access_->counts_->enter(limit))
        return fail(Errc::full, "as many connections as there may be: " + std::to_string(limit) + " (" +
                                    access_->options_.limit_name + ")");
    entered_ = true;
    return {};
}

INSTANCER_DECL Result<void> AccessControl::CountedSlot::take_place(const ClientInfo& client)
{
    const auto limit = access_->options_.max_per_source;
    if (limit == 0)
        return {};
    const Source source = access_->source_of(client);
    if (!access_->counts_->enter(source, limit))
        return fail(Errc::full, "as many connections of " + source.to_string() +
                                    " as there may be: " + std::to_string(limit) + " (max-per-source)");
    source_ = source;
    return {};
}

INSTANCER_DECL asio::awaitable<Result<void>> AccessControl::CountedSlot::do_introduce(Stream& client, ClientInfo& info)
{
    ProxyHeaderParser header;
    std::array<char, 256> buffer;
    std::size_t read = 0;
    while (header.state() == ProxyHeaderParser::State::incomplete) {
        const auto count = co_await client.peek_some(std::as_writable_bytes(std::span(buffer)));
        if (!count)
            co_return fail(count.error());
        if (*count == 0)
            co_return fail(Errc::rejected, "the PROXY header of " + info.to_string() + " ended after " +
                                               std::to_string(read) + " bytes");
        const auto taken = header.feed({buffer.data(), *count});
        client.consume(taken);
        read += taken;
    }
    if (header.state() == ProxyHeaderParser::State::malformed)
        co_return fail(Errc::rejected,
                       "the PROXY header of " + info.to_string() + " is malformed: " + std::string(header.error()));
    by_proxy_ = false;
    is_proxy_ = !header.client();
    if (header.client())
        info = *header.client();
    auto allowed = access_->judge(info, is_proxy_);
    if (!allowed)
        access_->turn_away(client, info);
    else
        allowed = take_place(info);
    co_return allowed;
}

INSTANCER_DECL Result<void> AccessControl::judge(const ClientInfo& client, bool is_proxy)
{
    if (auto allowed = check_rules(client); !allowed || is_proxy)
        return allowed;
    if (options_.bans)
        if (auto allowed = options_.bans->check(client); !allowed)
            return allowed;
    return check_rate(client);
}

INSTANCER_DECL Result<void> AccessControl::check_rules(const ClientInfo& client)
{
    std::shared_ptr<const AccessRules> rules;
    {
        const std::lock_guard lock(mutex_);
        rules = rules_;
    }
    return rules->check(client, now());
}

INSTANCER_DECL Result<void> AccessControl::check_rate(const ClientInfo& client)
{
    const auto& rate = connect_rate_.rate();
    if (rate.unlimited())
        return {};
    const auto source = source_of(client).to_string();
    if (connect_rate_.take(source) == Rate::Duration::zero())
        return {};
    return fail(Errc::denied,
                "more connections of " + source + " at once than " + std::to_string(rate.count()) + " (connect-rate)");
}

INSTANCER_DECL void AccessControl::turn_away(Stream& client, const ClientInfo& info)
{
    switch (options_.when_denied) {
    case WhenDenied::reset: return client.abort();
    case WhenDenied::close: return lingering_close(client);
    case WhenDenied::hold: break;
    }
    if (client.native_handle() < 0)
        return client.abort();
    hold(client.release(), info);
}

INSTANCER_DECL void AccessControl::hold(UniqueFd socket, const ClientInfo& client)
{
    const auto until = std::chrono::steady_clock::now() + options_.hold_time;
    const std::lock_guard lock(mutex_);
    if (closed_ || held_.size() >= options_.max_held)
        return reset(std::move(socket));
    const auto number = ++last_held_;
    held_.emplace(number, Held{std::move(socket), until, unadmitted_place(client, number)});
    if (!std::exchange(sweeping_, true))
        asio::post(sweep_.get_executor(), [self = shared_from_this()] { self->sweep_later(); });
}

INSTANCER_DECL UnadmittedLimit::Place AccessControl::unadmitted_place(const ClientInfo& client, std::uint64_t number)
{
    if (!options_.unadmitted)
        return {};
    auto displaced = [executor = sweep_.get_executor(), weak = weak_from_this(), number] {
        asio::post(executor, [weak, number] {
            if (const auto self = weak.lock())
                self->let_go(number);
        });
    };
    return options_.unadmitted->enter(source_of(client), std::move(displaced));
}

INSTANCER_DECL void AccessControl::sweep_later()
{
    sweep_.expires_after(std::min<std::chrono::steady_clock::duration>(sweep_interval, options_.hold_time));
    sweep_.async_wait([self = shared_from_this()](const asio::error_code& error) {
        if (!error)
            self->sweep();
    });
}

INSTANCER_DECL void AccessControl::sweep()
{
    const std::lock_guard lock(mutex_);
    std::vector<pollfd> states;
    for (const auto& [number, held] : held_)
        discard_input(held.socket.get());
    for (const auto& [number, held] : held_)
        states.push_back({held.socket.get(), POLLRDHUP, 0});
    ::poll(states.data(), states.size(), 0);
    const auto time = std::chrono::steady_clock::now();
    auto state = states.begin();
    for (auto held = held_.begin(); held != held_.end();) {
        const bool stays = state++->revents == 0 && held->second.until > time;
        if (!stays)
            reset(std::move(held->second.socket));
        held = stays ? std::next(held) : held_.erase(held);
    }
    sweeping_ = !held_.empty();
    if (sweeping_)
        sweep_later();
}

INSTANCER_DECL void AccessControl::discard_input(int socket) noexcept
{
    static thread_local std::array<std::byte, 64 * 1024> waste;
    for (int reads = 0; reads < 16; ++reads)
        if (::recv(socket, waste.data(), waste.size(), MSG_DONTWAIT | MSG_TRUNC) <= 0)
            return;
}

}  // namespace instancer
