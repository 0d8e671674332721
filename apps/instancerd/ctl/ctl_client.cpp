// SPDX-License-Identifier: MIT
#include "ctl/ctl_client.hpp"

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include <httplib.h>
#include <unistd.h>

#include "admin/admin_options.hpp"

namespace instancer::daemon {

namespace {

/// Longer than the daemon takes to say that it is too busy.
constexpr std::chrono::seconds patience{10};

/// Of events, several times what the daemon keeps silent.
constexpr std::chrono::seconds longest_silence{60};

std::unique_ptr<httplib::Client> connect(const CtlSettings& settings, const std::string& token)
{
    const bool is_unix = settings.server.kind() == Address::Kind::unix_socket;
    const auto& name = settings.server.name();
    auto client = is_unix
                      ? std::make_unique<httplib::Client>(name)
                      : std::make_unique<httplib::Client>(name.empty() ? "localhost" : name, settings.server.port());
    if (is_unix)
        client->set_address_family(AF_UNIX);
    client->set_connection_timeout(patience);
    client->set_read_timeout(patience);
    // The daemon asks for a name that it has; to a Unix socket there is no other.
    httplib::Headers headers = {{"Host", "localhost"}};
    if (!token.empty())
        headers.emplace("Authorization", "Bearer " + token);
    client->set_default_headers(headers);
    return client;
}

/// Why nobody answers, as far as it can be found out.
std::string why_silent(const CtlSettings& settings, httplib::Error error)
{
    if (error == httplib::Error::Read)
        return "it does not answer in time, or has hung up";
    if (settings.server.kind() != Address::Kind::unix_socket)
        return "nobody listens there, or the host is unknown; does the daemon run with --admin?";
    if (::access(settings.server.name().c_str(), W_OK) == 0)
        return "nobody listens there; does the daemon run?";
    return std::strerror(errno) + std::string(errno == EACCES
                                                  ? "; connect as the daemon's user, or as root"
                                                  : "; start the daemon with --admin, or name its address by -s");
}

CtlAnswer answer_of(const CtlSettings& settings, const httplib::Result& result)
{
    CtlAnswer answer;
    answer.status = result ? result->status : 0;
    answer.body = result ? result->body : why_silent(settings, result.error());
    return answer;
}

}  // namespace

Parsed<CtlClient> CtlClient::make(const CtlSettings& settings)
{
    CtlClient client(settings);
    if (settings.token_file.empty())
        return client;
    auto token = read_admin_token(settings.token_file);
    if (!token)
        return wrong(token.error());
    client.token_ = std::move(*token);
    return client;
}

CtlAnswer CtlClient::get(const std::string& path) const
{
    return answer_of(settings_, connect(settings_, token_)->Get(path));
}

CtlAnswer CtlClient::post(const std::string& path, const std::string& body) const
{
    return answer_of(settings_, connect(settings_, token_)->Post(path, body, "application/json"));
}

CtlAnswer CtlClient::follow(const std::string& path, const std::function<bool(const std::string&)>& line) const
{
    std::string pending;
    int status = 0;
    const auto client = connect(settings_, token_);
    client->set_read_timeout(longest_silence);
    const auto result = client->Get(
        path,
        [&status](const httplib::Response& response) {
            status = response.status;
            return true;
        },
        [&](const char* bytes, std::size_t count) {
            pending.append(bytes, count);
            if (status != 200)
                return true;
            for (auto end = pending.find('\n'); end != pending.npos; end = pending.find('\n')) {
                if (!line(pending.substr(0, end)))
                    return false;
                pending.erase(0, end + 1);
            }
            return true;
        });
    CtlAnswer answer;
    answer.status = status;
    answer.body = status == 0 ? why_silent(settings_, result.error()) : std::move(pending);
    return answer;
}

}  // namespace instancer::daemon
