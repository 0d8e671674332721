// SPDX-License-Identifier: MIT
#pragma once

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

#include <asio/steady_timer.hpp>
#include <sys/socket.h>

#include <instancer/acceptor.hpp>
#include <instancer/acceptor/access_rules.hpp>
#include <instancer/acceptor/connection_counts.hpp>
#include <instancer/acceptor/proxy_protocol.hpp>
#include <instancer/acceptor/source.hpp>
#include <instancer/acceptor/unadmitted_limit.hpp>
#include <instancer/admission/bans.hpp>
#include <instancer/admission/source_rate.hpp>
#include <instancer/client.hpp>
#include <instancer/lingering_close.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer {

/// What happens to denied clients.
enum class WhenDenied {
    reset,  ///< The connection is reset.
    hold,   ///< It stays open in silence until the client leaves.
    close,  ///< It ends in order, without a byte.
};

/// Which clients an AccessControl lets in, how many at once, and what happens to the others.
class AccessControlOptions {
public:
    AccessRules rules;                                                      ///< Which clients may connect, and when.
    WhenDenied when_denied = WhenDenied::reset;                             ///< What happens to a denied client.
    std::chrono::steady_clock::duration hold_time = std::chrono::hours(1);  ///< Then a held client is reset.
    std::size_t max_held = 1000;                                            ///< Further denied clients are reset.
    std::size_t max_connections = 0;                                        ///< At once; 0 means no limit.
    std::string limit_name = "max-connections";  ///< What the operator calls `max_connections`.
    std::size_t max_per_source = 0;              ///< Of one address, or of one user of a Unix socket; 0 means no limit.
    Rate connect_rate;                           ///< Connections of each source, in time; more are denied.
    unsigned source_prefix = 64;                 ///< IPv6 clients that share so many bits count as one address.
    unsigned source_prefix4 = 32;                ///< IPv4 clients that share so many bits count as one address.
    std::shared_ptr<Bans> bans;                  ///< Sources that are denied for now; may be null.
    AccessRules proxies;  ///< Peers that match these rules must send a PROXY header first. Empty: none.
    std::shared_ptr<UnadmittedLimit> unadmitted;  ///< Where held clients take places; may be null.
    /// Counts the clients of all that share it; null: of this one alone.
    std::shared_ptr<ConnectionCounts> counts;

    AccessControlOptions() = default;
};

/// Lets clients of one service in, or not: by rules, bans, rate and number, and after hearing from a proxy who they
/// are.
///
/// All acceptors of the service share it; see `ControlledAcceptor`. With a PROXY header, all but the limit of
/// connections refers to the client that the header names; the proxy itself is never banned.
///
/// Lifetime: lives in a std::shared_ptr; every client that was let in holds one.
/// Threads: `receive` and `close` on the executor that it was made with; `set_rules` on any.
class AccessControl : public std::enable_shared_from_this<AccessControl> {
public:
    /// Its clocks and timers run on `executor`.
    AccessControl(const asio::any_io_executor& executor, AccessControlOptions options)
        : options_(std::move(options)),
          counts_(options_.counts ? options_.counts : std::make_shared<ConnectionCounts>()),
          connect_rate_(options_.connect_rate),
          rules_(std::make_shared<const AccessRules>(options_.rules)),
          sweep_(executor)
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
    void receive(Accepted& accepted);

    /// Lets go of the clients that it holds.
    void close();

private:
    /// How late a held client may be let go. A guess.
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
            : access_(std::move(access)), by_proxy_(by_proxy), is_proxy_(by_proxy)
        {
        }

        ~CountedSlot() override;

        Result<void> enter();

        Result<void> take_place(const ClientInfo& client);

    private:
        bool do_needs_introduction() const override { return by_proxy_; }

        asio::awaitable<Result<void>> do_introduce(Stream& client, ClientInfo& info) override;

        void do_note_rejection(const ClientInfo& info, const Error& error) override
        {
            if (access_->options_.bans && !is_proxy_)
                access_->options_.bans->note_failure(info, error.message());
        }

        std::shared_ptr<AccessControl> access_;
        std::optional<Source> source_;
        bool by_proxy_;  ///< And its header has yet to come.
        bool is_proxy_;  ///< As far as is known, the client is the proxy itself.
        bool entered_ = false;
    };

    static AccessRules::Time now() { return std::chrono::system_clock::now(); }

    Source source_of(const ClientInfo& client) const
    {
        return Source(client, options_.source_prefix, options_.source_prefix4);
    }

    /// By rules, bans and rate; `is_proxy` for a connection that a proxy makes for itself.
    Result<void> judge(const ClientInfo& client, bool is_proxy);

    Result<void> check_rules(const ClientInfo& client);

    Result<void> check_rate(const ClientInfo& client);

    /// The end of a client that is denied.
    void turn_away(Stream& client, const ClientInfo& info);

    // Clients that are held.

    void hold(UniqueFd socket, const ClientInfo& client);

    UnadmittedLimit::Place unadmitted_place(const ClientInfo& client, std::uint64_t number);

    /// For a client whose place another one has now.
    void let_go(std::uint64_t number)
    {
        const std::lock_guard lock(mutex_);
        if (auto held = held_.extract(number))
            reset(std::move(held.mapped().socket));
    }

    void sweep_later();

    /// Lets go of those that have left, or were held for long enough.
    void sweep();

    /// Unread bytes hide the end of a client, which comes after them.
    static void discard_input(int socket) noexcept;

    static void reset(UniqueFd socket)
    {
        const linger at_once{1, 0};
        ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }

    const AccessControlOptions options_;
    const std::shared_ptr<ConnectionCounts> counts_;
    SourceRate connect_rate_;
    std::mutex mutex_;  ///< Guards what follows, but for the timer.
    std::shared_ptr<const AccessRules> rules_;
    std::uint64_t last_held_ = 0;
    std::map<std::uint64_t, Held> held_;  ///< By number.
    bool sweeping_ = false;
    bool closed_ = false;
    asio::steady_timer sweep_;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/acceptor/access_control.hpp>
#endif
