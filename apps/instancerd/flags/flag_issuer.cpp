// SPDX-License-Identifier: MIT
#include "flags/flag_issuer.hpp"

#include <memory>
#include <stdexcept>
#include <string_view>

#include <instancer/hmac.hpp>
#include <instancer/text/hex.hpp>

#include "daemon/system.hpp"
#include "files/tokens.hpp"
#include "flags/flag_log.hpp"
#include "flags/flag_owner.hpp"
#include "flags/flags.hpp"

namespace instancer::daemon {

Parsed<std::string> load_flag_key(const std::string& file)
{
    constexpr std::size_t least = 32;
    const auto text = read_file(file);
    if (!text)
        return wrong(text.error());
    std::string_view line = *text;
    if (line.ends_with('\n'))
        line.remove_suffix(1);
    if (line.ends_with('\r'))
        line.remove_suffix(1);
    const auto remedy = "; write at least " + std::to_string(least) +
                        " characters on one line, as openssl rand -hex 32 makes them, or hex: and digits";
    const auto key = line.starts_with("hex:") ? from_hex(line.substr(4)) : std::string(line);
    if (!key)
        return wrong(file + ": what follows hex: are no pairs of hexadecimal digits" + remedy);
    if (key->size() < least)
        return wrong(file + ": holds a key of " + std::to_string(key->size()) + " bytes, which can be guessed" +
                     remedy);
    return *key;
}

FlagIssuer::FlagIssuer(const ServiceSettings& service, FlagTemplate flag_template, std::string key)
    : service_(service.name), settings_(service.flags), template_(std::move(flag_template)), key_(std::move(key))
{
    if (service.tokens.empty())
        return;
    if (const auto tokens = load_tokens(service.tokens, service.auth))
        listed_ = owners_of(service.name, *tokens);
}

std::string FlagIssuer::label_of(const InstanceRequest& request) const
{
    const auto listed = listed_.find(request.identity()->owner().hex());
    return request.label().empty() && listed != listed_.end() ? listed->second : request.label();
}

Parsed<FlagIssuer> FlagIssuer::load(const ServiceSettings& service)
{
    auto parsed = FlagTemplate::parse(service.flags.text);
    if (!parsed)
        return wrong(parsed.error().text());
    std::string key;
    if (parsed->needs_key()) {
        auto loaded = load_flag_key(service.flags.key_file);
        if (!loaded)
            return wrong(loaded.error());
        key = std::move(*loaded);
    }
    return FlagIssuer(service, std::move(*parsed), std::move(key));
}

Result<std::string> FlagIssuer::issue(const InstanceRequest& request) const
{
    const auto& identity = *request.identity();
    IssuedFlag issued;
    issued.service = service_;
    issued.owner = identity.owner().hex();
    issued.identity = identity.id().hex();
    issued.label = label_of(request);
    issued.flag = flag_of(identity);
    if (!settings_.log.empty())
        if (const auto logged = log_flag(settings_.log, issued); !logged)
            return fail(Errc::start_failed, logged.error());
    return std::move(issued.flag);
}

std::string FlagIssuer::version() const
{
    const auto scope = settings_.scope == FlagScope::owner ? "owner" : "instance";
    return hmac_sha256(key_, std::string("version\n") + scope + "\n" + settings_.text);
}

InstanceSecret make_flag_secret(const ServiceSettings& service)
{
    InstanceSecret secret;
    const auto& flags = service.flags;
    if (flags.text.empty())
        return secret;
    auto issuer = FlagIssuer::load(service);
    if (!issuer)
        throw std::runtime_error(service.name + ": " + issuer.error());
    secret.version = issuer->version();
    secret.make = [shared = std::make_shared<const FlagIssuer>(std::move(*issuer))](const InstanceRequest& request) {
        return shared->issue(request);
    };
    secret.file = flags.file;
    secret.mode = flags.mode;
    if (const auto owner = parse_file_owner(flags.owner))
        secret.owner = *owner;
    return secret;
}

}  // namespace instancer::daemon
