// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <poll.h>
#include <sys/socket.h>

#include <instancer/acceptor.hpp>
#include <instancer/acceptor/access_rules.hpp>
#include <instancer/acceptor/proxy_protocol.hpp>
#include <instancer/acceptor/source.hpp>
#include <instancer/acceptor/unadmitted_limit.hpp>
#include <instancer/detail/socket/lingering_close.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer {

/// What becomes of clients that the rules deny.
enum class WhenDenied {
    reset,  ///< The connection is reset.
    hold,   ///< It stays open in silence until the client leaves.
    close,  ///< It ends in order, without a byte.
};

/// Whom an AccessControl lets in, how many at once, and what becomes of the others.
class AccessControlOptions {
public:
    AccessRules rules;                                                      ///< Who may connect, and when.
    WhenDenied when_denied = WhenDenied::reset;                             ///< What a client meets that may not.
    std::chrono::steady_clock::duration hold_time = std::chrono::hours(1);  ///< Then a held client is reset.
    std::size_t max_held = 1000;                                            ///< What is denied beyond is reset.
    std::size_t max_connections = 0;                                        ///< At once; 0 means no limit.
    std::size_t max_per_source = 0;  ///< Of one address, or of one user of a Unix socket; 0 means no limit.
    unsigned source_prefix = 64;     ///< IPv6 clients that share so many bits count as one address.
    AccessRules proxies;  ///< Who is allowed by these must begin with a PROXY header. Nobody while there are none.
    std::shared_ptr<UnadmittedLimit> unadmitted;  ///< Where held clients take places; may be null.

    AccessControlOptions() = default;
};

/// Lets clients of one service in, or not: by rules, by number, and after hearing from a proxy who they are.
///
/// All acceptors of the service share it; see `ControlledAcceptor`. With a PROXY header, rules and the limit per source
/// refer to the client that the header names, the limit of connections to the connection itself.
///
/// Lifetime: lives in a std::shared_ptr; every client that was let in holds one.
/// Threads: `receive` and `close` on the executor that it was made with; `set_rules` on any.
class AccessControl : public std::enable_shared_from_this<AccessControl> {
public:
    /// Its clocks and timers run on `executor`.
    AccessControl(const asio::any_io_executor& executor, AccessControlOptions options)
        : options_(std::move(options)), rules_(std::make_shared<const AccessRules>(options_.rules)), sweep_(executor)
    {
    }

    /// Replaces the rules; clients that were let in already stay.
    void set_rules(AccessRules rules)
    {
        auto fresh = std::make_shared<const AccessRules>(std::move(rules));
        const std::lock_guard lock(mutex_);
        rules_.swap(fresh);
    }

    /// Judges a client that was just accepted, or has it introduce itself first.
    void receive(Accepted& accepted)
    {
        const bool by_proxy = options_.proxies.size() > 0 && options_.proxies.check(accepted.info(), now());
        if (!by_proxy) {
            if (auto allowed = check_rules(accepted.info()); !allowed) {
                turn_away(accepted.stream(), accepted.info());
                return accepted.refuse(std::move(allowed.error()));
            }
            if (options_.max_connections == 0 && options_.max_per_source == 0)
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

    /// Lets go of the clients that it holds.
    void close()
    {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        sweep_.cancel();
        for (auto& [number, held] : held_)
            reset(std::move(held.socket));
        held_.clear();
    }

private:
    static constexpr std::chrono::seconds sweep_interval{1};

    struct Held {
        UniqueFd socket;
        std::chrono::steady_clock::time_point until;
        UnadmittedLimit::Place place;
    };

    /// A client that has its place in the counts.
    class CountedSlot final : public ConnectionSlot {
    public:
        CountedSlot(std::shared_ptr<AccessControl> access, bool by_proxy)
            : access_(std::move(access)), by_proxy_(by_proxy)
        {
        }

        ~CountedSlot() override
        {
            const std::lock_guard lock(access_->mutex_);
            access_->connections_ -= entered_ ? 1u : 0u;
            if (!source_)
                return;
            const auto place = access_->sources_.find(*source_);
            if (--place->second == 0)
                access_->sources_.erase(place);
        }

        Result<void> enter()
        {
            const auto limit = access_->options_.max_connections;
            const std::lock_guard lock(access_->mutex_);
            if (limit != 0 && access_->connections_ >= limit)
                return fail(Errc::full, "as many connections as there may be: " + std::to_string(limit));
            ++access_->connections_;
            entered_ = true;
            return {};
        }

        Result<void> take_place(const ClientInfo& client)
        {
            const auto limit = access_->options_.max_per_source;
            if (limit == 0)
                return {};
            const Source source(client, access_->options_.source_prefix);
            const std::lock_guard lock(access_->mutex_);
            auto& count = access_->sources_[source];
            if (count >= limit)
                return fail(Errc::full, "as many connections of " + source.to_string() +
                                            " as there may be: " + std::to_string(limit));
            ++count;
            source_ = source;
            return {};
        }

    private:
        bool do_needs_introduction() const override { return by_proxy_; }

        asio::awaitable<Result<void>> do_introduce(Stream& client, ClientInfo& info) override
        {
            ProxyHeaderParser header;
            std::array<char, 256> buffer;
            std::size_t read = 0;
            while (header.state() == ProxyHeaderParser::State::incomplete) {
                const auto part = std::span(buffer).first(std::min(header.wanted(), buffer.size()));
                const auto count = co_await client.read_some(std::as_writable_bytes(part));
                if (!count)
                    co_return fail(count.error());
                if (*count == 0)
                    co_return fail(Errc::rejected, "the PROXY header of " + info.to_string() + " ended after " +
                                                       std::to_string(read) + " bytes");
                read += header.feed({buffer.data(), *count});
            }
            if (header.state() == ProxyHeaderParser::State::malformed)
                co_return fail(Errc::rejected, "the PROXY header of " + info.to_string() +
                                                   " is malformed: " + std::string(header.error()));
            if (header.client())
                info = *header.client();
            auto allowed = access_->check_rules(info);
            if (!allowed)
                access_->turn_away(client, info);
            else
                allowed = take_place(info);
            co_return allowed;
        }

        std::shared_ptr<AccessControl> access_;
        std::optional<Source> source_;
        bool by_proxy_;
        bool entered_ = false;
    };

    static AccessRules::Time now() { return std::chrono::system_clock::now(); }

    Result<void> check_rules(const ClientInfo& client)
    {
        std::shared_ptr<const AccessRules> rules;
        {
            const std::lock_guard lock(mutex_);
            rules = rules_;
        }
        return rules->check(client, now());
    }

    /// The end of a client that is denied.
    void turn_away(Stream& client, const ClientInfo& info)
    {
        switch (options_.when_denied) {
        case WhenDenied::reset: return client.abort();
        case WhenDenied::close: return detail::lingering_close(client);
        case WhenDenied::hold: break;
        }
        if (client.native_handle() < 0)
            return client.abort();
        hold(client.release(), info);
    }

    // Clients that are held.

    void hold(UniqueFd socket, const ClientInfo& client)
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

    UnadmittedLimit::Place unadmitted_place(const ClientInfo& client, std::uint64_t number)
    {
        if (!options_.unadmitted)
            return {};
        auto displaced = [executor = sweep_.get_executor(), weak = weak_from_this(), number] {
            asio::post(executor, [weak, number] {
                if (const auto self = weak.lock())
                    self->let_go(number);
            });
        };
        return options_.unadmitted->enter(Source(client, options_.source_prefix), std::move(displaced));
    }

    /// Of a client whose place another one has now.
    void let_go(std::uint64_t number)
    {
        const std::lock_guard lock(mutex_);
        if (auto held = held_.extract(number))
            reset(std::move(held.mapped().socket));
    }

    void sweep_later()
    {
        sweep_.expires_after(std::min<std::chrono::steady_clock::duration>(sweep_interval, options_.hold_time));
        sweep_.async_wait([self = shared_from_this()](const asio::error_code& error) {
            if (!error)
                self->sweep();
        });
    }

    /// Lets go of those that have left, or were held for long enough.
    void sweep()
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

    /// What is not read keeps the end of a client from being seen, which comes after it.
    static void discard_input(int socket) noexcept
    {
        static thread_local std::array<std::byte, 64 * 1024> waste;
        for (int reads = 0; reads < 16; ++reads)
            if (::recv(socket, waste.data(), waste.size(), MSG_DONTWAIT | MSG_TRUNC) <= 0)
                return;
    }

    static void reset(UniqueFd socket)
    {
        const linger at_once{1, 0};
        ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }

    const AccessControlOptions options_;
    std::mutex mutex_;  ///< Guards what follows, but for the timer.
    std::shared_ptr<const AccessRules> rules_;
    std::size_t connections_ = 0;
    std::map<Source, std::size_t> sources_;
    std::uint64_t last_held_ = 0;
    std::map<std::uint64_t, Held> held_;  ///< By number.
    bool sweeping_ = false;
    bool closed_ = false;
    asio::steady_timer sweep_;
};

}  // namespace instancer
