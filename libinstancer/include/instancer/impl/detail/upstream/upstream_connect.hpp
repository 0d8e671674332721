// SPDX-License-Identifier: MIT
#pragma once

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/backend/balancer.hpp>
#include <instancer/client.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/socket/passed_descriptors.hpp>
#include <instancer/detail/socket/unix_address.hpp>
#include <instancer/detail/upstream/upstream_connect.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

INSTANCER_DECL asio::awaitable<Result<Stream>> connect_unix(std::string path, std::shared_ptr<const std::string> peer)
{
    if (!UnixAddress::fits(path))
        co_return fail(Errc::bad_request, "unix:" + path + ": the path is too long");
    const UnixAddress address(path);
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    take_descriptors(socket.get(), false);
    // Over a Unix socket a connection is there at once, or not at all.
    if (!socket || ::connect(socket.get(), address.data(), address.size()) != 0)
        co_return fail(last_error(), "connecting to unix:" + path);
    co_return make_socket_stream(co_await asio::this_coro::executor, std::move(socket), std::move(peer));
}

INSTANCER_DECL asio::awaitable<Result<Stream>> connect_upstream(UpstreamGroupPtr group, Balancer::MemberPtr member,
                                                                std::chrono::milliseconds limit,
                                                                std::shared_ptr<const std::string> peer, Stream* client)
{
    if (member->upstream.is_unix())
        co_return co_await connect_unix(member->upstream.name(), std::move(peer));
    const auto executor = co_await asio::this_coro::executor;
    auto addresses = group->addresses_of(*member);
    const bool has_others = addresses.size() > 1;
    ConnectRace race(executor, std::move(addresses), limit, std::move(peer));
    if (has_others)
        race.on_answer([&group, &member](const auto& endpoint, const auto& answer) {
            group->note_answer(*member, endpoint, answer);
        });
    co_return co_await race.run(client);
}

INSTANCER_DECL asio::awaitable<Result<Stream>> introduced(UpstreamGroupPtr group, Stream stream, ClientInfo client)
{
    const auto header = encode_proxy_header(*group->options.send_proxy, client);
    if (auto sent = co_await stream.write_all(header); !sent)
        co_return fail(std::move(sent.error()));
    co_return stream;
}

INSTANCER_DECL asio::awaitable<Result<void>> read_expected(Stream& stream, const std::string& expected)
{
    std::string answer(expected.empty() ? 0 : 4096, '\0');
    std::size_t size = 0;
    bool ended = false;
    while (std::string_view(answer).substr(0, size).find(expected) == std::string_view::npos) {
        if (ended || size == answer.size())
            co_return fail(Errc::not_ready, "its answer is not the one that is expected");
        const auto rest = std::as_writable_bytes(std::span(answer)).subspan(size);
        const auto count = co_await stream.read_some(rest);
        if (!count)
            co_return fail(count.error());
        size += *count;
        ended = *count == 0;
    }
    co_return Result<void>();
}

INSTANCER_DECL asio::awaitable<Result<void>> probe_upstream(UpstreamGroupPtr group, Balancer::MemberPtr member)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto& options = group->options.check;
    auto stream = co_await connect_upstream(group, member, options.timeout, nullptr);
    if (stream && group->options.send_proxy)
        stream = co_await introduced(group, std::move(*stream), ClientInfo());
    if (!stream)
        co_return fail(stream.error());
    if (auto sent = co_await stream->write_all(options.send); !sent)
        co_return sent;
    co_return co_await read_expected(*stream, options.expect);
}

INSTANCER_DECL asio::awaitable<Result<void>> check_upstream(UpstreamGroupPtr group, Balancer::MemberPtr member)
{
    using namespace asio::experimental::awaitable_operators;
    asio::steady_timer deadline(group->control, group->options.check.timeout);
    auto first = co_await (probe_upstream(group, member) || deadline.async_wait(as_result));
    if (first.index() == 0)
        co_return std::move(std::get<0>(first));
    co_return fail(Errc::timeout, "its answer takes too long");
}

}  // namespace instancer::detail
