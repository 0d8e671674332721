// SPDX-License-Identifier: MIT
#include "reload/listener_table.hpp"

#include <algorithm>

namespace instancer::daemon {

/// Is in the table until it is closed.
class ListenerTable::Listed final : public Acceptor {
public:
    Listed(std::unique_ptr<Acceptor> inner, std::shared_ptr<Entries> entries)
        : inner_(std::move(inner)), entries_(std::move(entries))
    {
    }
    ~Listed() override { unlist(); }

private:
    asio::awaitable<Result<Accepted>> do_accept(asio::any_io_executor session_executor) override
    {
        return inner_->accept(std::move(session_executor));
    }
    Result<void> do_pause() override { return inner_->pause(); }
    Result<void> do_resume() override { return inner_->resume(); }
    Result<std::unique_ptr<Acceptor>> do_share() override { return inner_->share(); }
    void do_close() override
    {
        unlist();
        inner_->close();
    }
    std::string do_address() const override { return inner_->address(); }

    void unlist()
    {
        std::erase_if(*entries_, [this](const Entry& entry) { return entry.acceptor == this; });
    }

    const std::unique_ptr<Acceptor> inner_;
    const std::shared_ptr<Entries> entries_;
};

std::string ListenerTable::key_of(const Address& address) const
{
    const bool is_chosen = address.kind() == Address::Kind::tcp && address.port() == 0;
    return address.text() + (is_chosen ? " of " + service_ : "");
}

std::optional<Parsed<Acceptors>> ListenerTable::share(const asio::any_io_executor& executor, const Address& address)
{
    const auto key = key_of(address);
    const auto last = std::find_if(entries_->rbegin(), entries_->rend(), [&](const Entry& entry) {
        return entry.address == key && entry.group <= newest_ && !shared_.contains(entry.group) &&
               !kept_.contains(entry.service);
    });
    if (!lists(executor) || last == entries_->rend())
        return std::nullopt;
    const auto group = last->group;
    shared_.insert(group);
    Acceptors shared;
    for (const auto& entry : *entries_) {
        if (entry.group != group)
            continue;
        auto acceptor = entry.acceptor->share();
        if (!acceptor)
            return wrong("cannot take over " + address.text() + ": " + acceptor.error().message());
        shared.push_back(std::move(*acceptor));
    }
    return shared;
}

Acceptors ListenerTable::add(const asio::any_io_executor& executor, const Address& address, Acceptors acceptors)
{
    if (!lists(executor))
        return acceptors;
    ++last_group_;
    for (auto& acceptor : acceptors) {
        acceptor = std::make_unique<Listed>(std::move(acceptor), entries_);
        entries_->emplace_back(service_, key_of(address), last_group_, *acceptor);
    }
    return acceptors;
}

}  // namespace instancer::daemon
