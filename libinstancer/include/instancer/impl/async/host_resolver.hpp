// SPDX-License-Identifier: MIT
#pragma once

#include <instancer/async/host_resolver.hpp>
#include <instancer/detail/config.hpp>

namespace instancer {

INSTANCER_DECL Result<std::vector<asio::ip::tcp::endpoint>> look_up_host(const std::string& host, std::uint16_t port)
{
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;
    addrinfo* first = nullptr;
    const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &first);
    if (error == EAI_SYSTEM)
        return fail(last_error());
    if (error != 0)
        return fail(Errc::backend_unavailable, ::gai_strerror(error));
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(first, &::freeaddrinfo);
    std::vector<asio::ip::tcp::endpoint> found;
    for (const auto* entry = first; entry; entry = entry->ai_next) {
        auto& endpoint = found.emplace_back();
        std::memcpy(endpoint.data(), entry->ai_addr, entry->ai_addrlen);
        endpoint.resize(entry->ai_addrlen);
    }
    return found;
}

INSTANCER_DECL asio::awaitable<Result<HostResolver::Endpoints>> HostResolver::find(std::string host, std::uint16_t port)
{
    auto call = [look_up = look_up_, host, port] { return guarded(look_up, host, port); };
    auto answer = threads_.run(std::move(call));
    auto found = co_await std::move(answer);
    if (!found)
        co_return fail(found.error().code(), "looking up " + host + with_colon(found.error().text()));
    if (found->empty())
        co_return fail(Errc::backend_unavailable, "looking up " + host + ": it has no address");
    co_return found;
}

}  // namespace instancer
