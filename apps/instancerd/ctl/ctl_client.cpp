// SPDX-License-Identifier: MIT
#include "ctl/ctl_client.hpp"

#include <memory>
#include <utility>

#include <httplib.h>

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

CtlAnswer answer_of(const httplib::Result& result)
{
    CtlAnswer answer;
    if (result) {
        answer.status = result->status;
        answer.body = result->body;
    }
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

CtlAnswer CtlClient::get(const std::string& path) const { return answer_of(connect(settings_, token_)->Get(path)); }

CtlAnswer CtlClient::post(const std::string& path, const std::string& body) const
{
    return answer_of(connect(settings_, token_)->Post(path, body, "application/json"));
}

CtlAnswer CtlClient::follow(const std::string& path, const std::function<bool(const std::string&)>& line) const
{
    std::string pending;
    int status = 0;
    const auto client = connect(settings_, token_);
    client->set_read_timeout(longest_silence);
    client->Get(
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
    answer.body = std::move(pending);
    return answer;
}

}  // namespace instancer::daemon
