// SPDX-License-Identifier: MIT
#include "docker_engine.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include <httplib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <instancer/unique_fd.hpp>

#include "docker_json.hpp"

namespace instancer::detail::inline docker {
namespace {

constexpr std::string_view unix_scheme = "unix://";

/// An API version, `major.minor`.
class ApiVersion {
public:
    ApiVersion(int major, int minor) : major_(major), minor_(minor) {}
    explicit ApiVersion(const std::string& text)
    {
        char* dot = nullptr;
        major_ = static_cast<int>(std::strtol(text.c_str(), &dot, 10));
        minor_ = *dot == '.' ? static_cast<int>(std::strtol(dot + 1, nullptr, 10)) : 0;
    }

    std::string text() const { return std::to_string(major_) + "." + std::to_string(minor_); }

    auto operator<=>(const ApiVersion&) const = default;

private:
    int major_;
    int minor_;
};

const ApiVersion oldest_usable(1, 40);
const ApiVersion newest_known(1, 41);

/// Why a connection to the socket fails, in the system's words; empty when it does not.
std::string connect_problem(const std::string& path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return "the path is too long";
    path.copy(address.sun_path, path.size());
    const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
        return {};
    const int error = errno;
    std::string text = std::strerror(error);
    if (error == ENOENT || error == ECONNREFUSED)
        text += "; is it installed, and started (systemctl start docker)?";
    else if (error == EACCES)
        text += "; that takes root or a member of the group docker";
    return text;
}

}  // namespace

nlohmann::json EngineReply::json() const { return nlohmann::json::parse(body_, nullptr, false); }

std::string EngineReply::message() const
{
    const auto text = text_at(json(), "message");
    return text.empty() ? "HTTP status " + std::to_string(status_) : text;
}

std::string percent_encoded(std::string_view text)
{
    static constexpr char digits[] = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || std::strchr("-._~", c)) {
            out += c;
            continue;
        }
        const auto byte = static_cast<unsigned char>(c);
        out += {'%', digits[byte >> 4], digits[byte & 15]};
    }
    return out;
}

/// One client, which `stop` can interrupt while it is in use.
class DockerEngine::Use {
public:
    Use(DockerEngine& engine, Clock::time_point begun, std::chrono::milliseconds limit)
        : engine_(engine), client_(engine.socket_path(), 80)
    {
        client_.set_address_family(AF_UNIX);
        client_.set_url_encode(false);
        client_.set_read_timeout(limit);
        client_.set_write_timeout(limit);
        const std::lock_guard lock(engine_.mutex_);
        refused_ = engine_.closed_;
        engine_.in_use_.emplace(&client_, begun);
    }

    ~Use()
    {
        const std::lock_guard lock(engine_.mutex_);
        engine_.in_use_.erase(&client_);
        engine_.changed_.notify_all();
    }

    bool refused() const noexcept { return refused_; }
    httplib::ClientImpl& client() noexcept { return client_; }

private:
    DockerEngine& engine_;
    httplib::ClientImpl client_;
    bool refused_;
};

std::string DockerEngine::socket_path() const
{
    return address_.starts_with(unix_scheme) ? address_.substr(unix_scheme.size()) : std::string();
}

Error DockerEngine::unreachable(std::string why) const
{
    return Error(Errc::backend_unavailable, "the Docker engine at " + address_ + " does not answer: " + std::move(why));
}

std::chrono::milliseconds DockerEngine::hurried(std::chrono::milliseconds limit) const
{
    const std::lock_guard lock(mutex_);
    return std::min(limit, hurry_.value_or(limit));
}

Error DockerEngine::failure(bool timed_out, std::chrono::milliseconds limit)
{
    {
        const std::lock_guard lock(mutex_);
        if (closed_)
            return Error(Errc::stopping);
        closed_ = timed_out && hurry_;
    }
    if (timed_out)
        return unreachable("it took a call and said nothing for " + std::to_string(limit.count()) + " ms");
    auto why = connect_problem(socket_path());
    return unreachable(why.empty() ? "broken connection" : std::move(why));
}

Result<EngineReply> DockerEngine::send(const std::string& method, const std::string& path, const std::string& body,
                                       std::chrono::milliseconds limit, std::function<void()> opened,
                                       std::function<void(std::string_view)> data)
{
    const auto begin = Clock::now();
    // What goes on for long is neither hurried nor old.
    if (!data)
        limit = hurried(limit);
    Use use(*this, data ? Clock::time_point::max() : begin, limit);
    if (use.refused())
        return fail(Errc::stopping);

    httplib::Request request;
    request.method = method;
    request.path = path;
    request.headers.emplace("Host", "localhost");
    if (!body.empty()) {
        request.headers.emplace("Content-Type", "application/json");
        request.body = body;
    }
    httplib::Response response;
    std::string refusal;
    bool ok = false;
    if (data) {
        request.response_handler = [&](const httplib::Response& head) {
            ok = head.status == 200;
            if (ok)
                opened();
            return true;
        };
        request.content_receiver = [&](const char* bytes, std::size_t size, std::uint64_t, std::uint64_t) {
            if (ok)
                data({bytes, size});
            else
                refusal.append(bytes, size);
            return true;
        };
    }
    auto error = httplib::Error::Success;
    if (!use.client().send(request, response, error))
        return fail(failure(!data && Clock::now() - begin >= limit, limit));
    return EngineReply(response.status, data ? std::move(refusal) : std::move(response.body));
}

Result<std::string> DockerEngine::version_prefix()
{
    {
        const std::lock_guard lock(mutex_);
        if (!version_prefix_.empty())
            return version_prefix_;
    }
    auto reply = send("GET", "/version", {}, short_work, {}, {});
    if (!reply)
        return fail(std::move(reply.error()));
    if (!reply->ok())
        return tl::unexpected<Error>(unreachable(reply->message()));
    const auto version = reply->json();
    const ApiVersion newest(text_at(version, "ApiVersion")), oldest(text_at(version, "MinAPIVersion"));
    if (newest < oldest_usable)
        return fail(Errc::bad_request, "the Docker engine at " + address_ + " speaks API " + newest.text() + " only; " +
                                           oldest_usable.text() + " or later is needed");
    const std::lock_guard lock(mutex_);
    version_prefix_ = "/v" + std::max(oldest, std::min(newest, newest_known)).text();
    return version_prefix_;
}

void DockerEngine::forget_version()
{
    const std::lock_guard lock(mutex_);
    version_prefix_.clear();
}

Result<EngineReply> DockerEngine::call(const std::string& method, const std::string& path, const std::string& body,
                                       std::chrono::milliseconds limit)
{
    const auto prefix = version_prefix();
    if (!prefix)
        return fail(prefix.error());
    return send(method, *prefix + path, body, limit, {}, {});
}

Result<EngineReply> DockerEngine::stream(const std::string& method, const std::string& path,
                                         std::function<void()> opened, std::function<void(std::string_view)> data)
{
    const auto prefix = version_prefix();
    if (!prefix)
        return fail(prefix.error());
    return send(method, *prefix + path, {}, std::chrono::hours(1), std::move(opened), std::move(data));
}

void DockerEngine::hurry(std::chrono::milliseconds limit)
{
    const std::lock_guard lock(mutex_);
    hurry_ = limit;
}

bool DockerEngine::interrupt(Clock::time_point begun)
{
    const std::lock_guard lock(mutex_);
    bool none = true;
    for (const auto& [client, since] : in_use_) {
        if (since > begun)
            continue;
        client->stop();
        none = false;
    }
    return none;
}

void DockerEngine::close()
{
    const std::lock_guard lock(mutex_);
    closed_ = true;
}

bool DockerEngine::closed() const
{
    const std::lock_guard lock(mutex_);
    return closed_;
}

void DockerEngine::stop()
{
    close();
    while (!interrupt()) {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, std::chrono::milliseconds(10));
    }
}

}  // namespace instancer::detail::inline docker
