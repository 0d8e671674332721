// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cerrno>

#include <instancer/detail/config.hpp>
#include <instancer/detail/socket/poller.hpp>
#include <instancer/system/last_error.hpp>

namespace instancer::detail {

INSTANCER_DECL Result<Poller*> Poller::of(const asio::any_io_executor& executor)
{
    auto& poller = asio::use_service<Poller>(asio::query(executor, asio::execution::context));
    if (!poller.epoll_)
        if (auto opened = poller.open(executor); !opened)
            return fail(opened.error());
    return &poller;
}

INSTANCER_DECL Result<void> Poller::add(int fd, Entry& entry)
{
    if (free_.empty()) {
        free_.push_back(static_cast<std::uint32_t>(slots_.size()));
        slots_.emplace_back();
    }
    const auto index = free_.back();
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
    event.data.u64 = key(index);
    if (::epoll_ctl(epoll_->native_handle(), EPOLL_CTL_ADD, fd, &event) != 0)
        return fail(last_error(), "watching a connection");
    free_.pop_back();
    slots_[index].entry = &entry;
    entry.slot_ = index;
    ++watched_;
    if (!armed_)
        wait();
    return {};
}

INSTANCER_DECL void Poller::remove(Entry& entry) noexcept
{
    const auto index = std::exchange(entry.slot_, Entry::none);
    if (index == Entry::none)
        return;
    slots_[index].entry = nullptr;
    ++slots_[index].generation;
    free_.push_back(index);
    entry.queued_ = false;
    if (--watched_ == 0 && epoll_)
        epoll_->cancel();
}

INSTANCER_DECL Result<void> Poller::open(const asio::any_io_executor& executor)
{
    UniqueFd fd(::epoll_create1(EPOLL_CLOEXEC));
    if (!fd)
        return fail(last_error(), "making an epoll");
    asio::posix::stream_descriptor descriptor(executor);
    asio::error_code error;
    descriptor.assign(fd.get(), error);
    if (error)
        return fail(error, "watching an epoll");
    fd.release();
    epoll_.emplace(std::move(descriptor));
    return {};
}

INSTANCER_DECL void Poller::wait()
{
    armed_ = true;
    epoll_->async_wait(asio::posix::stream_descriptor::wait_read, [this](const asio::error_code& error) {
        armed_ = false;
        if (!error)
            run();
        else if (epoll_ && watched_ > 0)
            wait();
    });
}

INSTANCER_DECL void Poller::run()
{
    running_ = true;
    const auto count = deal_with_events();
    bool more = false;
    if (busy_poll_ > busy_poll_.zero() && (count > 0 || more_))
        for (const auto end = Clock::now() + busy_poll_; watched_ > 0 && again_.empty() && Clock::now() < end;)
            more = deal_with_events() > 0 || more;
    more_ = more;
    deal_with_again();
    running_ = false;
    if (watched_ == 0)
        again_.clear();
    else if (count == batch_size || more || !again_.empty())
        come_back();
    else if (!armed_)
        wait();
}

INSTANCER_DECL std::size_t Poller::deal_with_events()
{
    const int count = ::epoll_wait(epoll_->native_handle(), batch_.data(), static_cast<int>(batch_.size()), 0);
    const auto reported = std::span(batch_).first(static_cast<std::size_t>(std::max(count, 0)));
    for (const auto& event : reported)
        if (auto* const entry = find(event.data.u64))
            entry->on_events(event.events);
    return reported.size();
}

INSTANCER_DECL void Poller::deal_with_again()
{
    std::swap(turn_, again_);
    for (const auto one : turn_)
        if (auto* const entry = find(one)) {
            entry->queued_ = false;
            entry->on_events(0);
        }
    turn_.clear();
}

INSTANCER_DECL void Poller::call_again()
{
    if (std::exchange(called_, true))
        return;
    asio::post(epoll_->get_executor(), [this] {
        called_ = false;
        running_ = true;
        deal_with_again();
        running_ = false;
        if (!again_.empty())
            call_again();
    });
}

}  // namespace instancer::detail
