// SPDX-License-Identifier: MIT
// Any bytes that a client sends to the daemon's HTTP servers, in pieces that it chooses.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "http/http_codec.hpp"
#include "http/http_routes.hpp"
#include "http/origin_check.hpp"
#include "require.hpp"

using namespace instancer::daemon;

namespace {

HttpResponse echo(const HttpRequest& request)
{
    std::string text = request.method + std::string(request.argument("service"));
    for (const auto& [name, value] : request.query)
        text += name + value;
    return HttpResponse(200, "text/plain", text + request.body);
}

HttpResponse answer(const HttpRequest& request)
{
    static const OriginCheck origin({"ops.example"});
    static const HttpRoutes routes = [] {
        HttpRoutes all;
        all.add("GET", "/api/v1/services/{service}", echo);
        all.add("POST", "/api/v1/services/{service}/ban", echo);
        return all;
    }();
    auto refusal = origin.refusal(request);
    return refusal ? *refusal : routes.answer(request);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const HttpCodec codec;
    std::string_view bytes(reinterpret_cast<const char*>(data), size);
    RequestReader whole, pieces;
    whole.feed(bytes);
    const std::size_t piece = size == 0 ? 1 : 1 + data[0] % 16;
    for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size())))
        pieces.feed(bytes.substr(0, piece));
    REQUIRE(whole.state() == pieces.state());
    REQUIRE(whole.head() == pieces.head() || whole.state() == RequestReader::State::head_too_large);
    REQUIRE(whole.body() == pieces.body());
    REQUIRE(whole.body().size() <= RequestReader::max_body);
    const auto reply = codec.answer(whole, answer);
    REQUIRE(reply.bytes.empty() || reply.bytes.starts_with("HTTP/1.1 "));
    REQUIRE(reply.failure.empty());
    return 0;
}
