// SPDX-License-Identifier: MIT
#include "authentication/web/web_client.hpp"

#include <array>
#include <string_view>

#include <asio/connect.hpp>
#include <asio/error.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/ip/address.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/ssl/context.hpp>
#include <asio/ssl/stream.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/write.hpp>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <instancer/async/as_result.hpp>

#include "authentication/web/http_answer.hpp"

namespace instancer::daemon {

namespace {

using Socket = asio::ip::tcp::socket;
using SecureStream = asio::ssl::stream<Socket>;

/// Trusts the authorities of the system, or those of SSL_CERT_FILE.
std::unique_ptr<asio::ssl::context> make_tls()
{
    auto tls = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_client);
    tls->set_default_verify_paths();
    tls->set_verify_mode(asio::ssl::verify_peer);
    SSL_CTX_set_min_proto_version(tls->native_handle(), TLS1_2_VERSION);
    return tls;
}

WebReply unreachable(const std::string& why) { return WebReply::none("it cannot be reached: " + why); }

/// The certificate must be that of `host`, a name or an address.
bool expect_host(SSL* session, const std::string& host)
{
    asio::error_code no_address;
    asio::ip::make_address(host, no_address);
    if (!no_address)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host.c_str()) == 1;
    return SSL_set1_host(session, host.c_str()) == 1 && SSL_set_tlsext_host_name(session, host.c_str()) == 1;
}

WebReply not_secure(SSL* session, const asio::error_code& error)
{
    const auto verdict = SSL_get_verify_result(session);
    if (verdict == X509_V_OK)
        return unreachable("no TLS: " + error.message());
    return unreachable(std::string("its certificate is not trusted: ") + X509_verify_cert_error_string(verdict) +
                       "; correct it, or add who signed it to the system's authorities or SSL_CERT_FILE");
}

/// Sends `request` and reads the answer to its end.
template <class Connection>
asio::awaitable<WebReply> converse(Connection& connection, const std::string& request)
{
    const auto [unsent, sent] = co_await asio::async_write(connection, asio::buffer(request), as_result);
    if (unsent)
        co_return WebReply::none("it does not take the request: " + unsent.message());
    HttpAnswer answer;
    std::array<char, 4096> piece;
    while (answer.wants_more()) {
        const auto [broken, size] = co_await connection.async_read_some(asio::buffer(piece), as_result);
        answer.feed({piece.data(), size});
        if (broken == asio::error::eof)
            answer.end();
        else if (broken && answer.wants_more())
            co_return WebReply::none("its answer breaks off: " + broken.message());
    }
    if (!answer.problem().empty())
        co_return WebReply::none(answer.problem());
    co_return WebReply::answer(answer.status(), answer.body());
}

}  // namespace

WebClient::WebClient(WebAddress address) : address_(std::move(address)), tls_(address_.secure ? make_tls() : nullptr) {}

WebClient::~WebClient() = default;

asio::awaitable<Result<WebReply>> WebClient::ask(WebRequest request, std::chrono::milliseconds timeout)
{
    using namespace asio::experimental::awaitable_operators;
    const auto executor = co_await asio::this_coro::executor;
    auto text = text_of(request);
    asio::steady_timer deadline(executor, timeout);
    auto first = co_await (exchange(std::move(text)) || deadline.async_wait(as_result));
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (is_cancelled(cancellation))
        co_return fail(asio::error::make_error_code(asio::error::operation_aborted));
    if (first.index() == 1)
        co_return WebReply::none("it did not answer in time");
    co_return std::move(std::get<0>(first));
}

asio::awaitable<WebReply> WebClient::exchange(std::string request)
{
    const auto endpoints = co_await resolver_.find(address_.host, address_.port);
    if (!endpoints)
        co_return unreachable(endpoints.error().message());
    Socket socket(co_await asio::this_coro::executor);
    const auto [refused, endpoint] = co_await asio::async_connect(socket, *endpoints, as_result);
    if (refused)
        co_return unreachable(refused.message());
    if (!tls_)
        co_return co_await converse(socket, request);
    SecureStream stream(std::move(socket), *tls_);
    if (!expect_host(stream.native_handle(), address_.host))
        co_return unreachable("no certificate can be verified for its host");
    const auto [insecure] = co_await stream.async_handshake(SecureStream::client, as_result);
    if (insecure)
        co_return not_secure(stream.native_handle(), insecure);
    co_return co_await converse(stream, request);
}

std::string WebClient::text_of(const WebRequest& request) const
{
    const auto host = address_.origin.substr(address_.origin.find("//") + 2);
    auto text = request.method + " " + request.path + " HTTP/1.1\r\nHost: " + host +
                "\r\nConnection: close\r\nUser-Agent: instancerd\r\nAccept: */*\r\n";
    for (const auto& [name, value] : request.headers)
        text += name + ": " + value + "\r\n";
    if (!request.body.empty())
        text += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
    return text + "\r\n" + request.body;
}

}  // namespace instancer::daemon
