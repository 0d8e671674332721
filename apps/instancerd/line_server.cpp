// SPDX-License-Identifier: MIT
#include "line_server.hpp"

#include <array>
#include <chrono>
#include <span>
#include <string_view>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/steady_timer.hpp>

#include <instancer/detail/asio_compat.hpp>

namespace instancer::daemon {

namespace {

constexpr std::size_t max_line = 4096, max_clients = 32;

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

}  // namespace

void LineServer::start()
{
    for (const auto& acceptor : acceptors_) {
        auto loop = accept_loop(shared_from_this(), *acceptor);
        asio::co_spawn(executor_, std::move(loop), asio::detached);
    }
}

void LineServer::stop()
{
    stopped_ = true;
    for (const auto& acceptor : acceptors_)
        acceptor->close();
    for (const auto& client : clients_)
        client->close();
}

asio::awaitable<void> LineServer::accept_loop(std::shared_ptr<LineServer> self, Acceptor& acceptor)
{
    while (!self->stopped_) {
        auto accepted = co_await acceptor.accept(self->executor_);
        if (!accepted) {
            asio::steady_timer pause(self->executor_, std::chrono::milliseconds(100));
            co_await pause.async_wait(instancer::detail::as_result);
            continue;
        }
        if (self->clients_.size() >= max_clients) {
            accepted->stream().abort();
            continue;
        }
        const auto client = std::make_shared<Stream>(std::move(accepted->stream()));
        self->clients_.insert(client);
        auto task = serve(self, client);
        asio::co_spawn(self->executor_, std::move(task), asio::detached);
    }
}

asio::awaitable<void> LineServer::serve(std::shared_ptr<LineServer> self, StreamPtr client)
{
    co_await converse(*self, *client);
    self->clients_.erase(client);
    client->close();
}

asio::awaitable<void> LineServer::converse(LineServer& self, Stream& client)
{
    std::string text;
    std::array<char, 1024> buffer;
    for (bool more = true; more && !self.stopped_;) {
        const auto count = co_await client.read_some(std::as_writable_bytes(std::span(buffer)));
        // The last line may lack its end.
        more = count.value_or(0) > 0;
        if (more)
            text.append(buffer.data(), *count);
        else if (count && !text.empty())
            text += '\n';
        for (auto end = text.find('\n'); end != text.npos && !self.stopped_; end = text.find('\n')) {
            auto line = text.substr(0, end);
            text.erase(0, end + 1);
            if (!line.empty() && line.back() == '\r')
                line.pop_back();
            const auto answer = co_await self.handler_(std::move(line));
            const auto sent = co_await client.write_all(bytes_of(answer));
            if (!sent)
                co_return;
        }
        if (text.size() > max_line) {
            static_cast<void>(client.try_write(bytes_of("a command has at most 4096 characters\n")));
            co_return;
        }
    }
}

}  // namespace instancer::daemon
