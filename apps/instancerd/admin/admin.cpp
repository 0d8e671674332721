// SPDX-License-Identifier: MIT
#include "admin/admin.hpp"

#include <chrono>
#include <string_view>
#include <utility>

#include <instancer/equal_secrets.hpp>

#include "admin/admin_options.hpp"
#include "http/http_fields.hpp"

namespace instancer::daemon {

namespace {

/// How long a worker may take to say what its sessions do, and the control executor for a whole answer.
constexpr std::chrono::milliseconds patience{1000}, deadline{3000};

HttpOptions http_options(Log& log)
{
    HttpOptions options;
    options.complain = [&log](const std::string& text) { log.warning({}, text); };
    return options;
}

}  // namespace

Admin::Admin(const Settings& settings, ServiceContext& context, ServiceList& services, EventRing& events,
             DaemonOrders& orders)
    : origin_(settings.admin.hosts),
      operations_(services, context.workers.control(), context.log, patience),
      api_(orders, operations_, events, *context.unadmitted, context.workers.control(), context.log, deadline),
      server_(http_options(context.log), [this](const HttpRequest& request) { return answer(request); })
{
}

Parsed<std::unique_ptr<Admin>> Admin::open(const Settings& settings, ServiceContext& context, ServiceList& services,
                                           EventRing& events, DaemonOrders& orders)
{
    std::unique_ptr<Admin> admin(new Admin(settings, context, services, events, orders));
    if (!settings.admin.token_file.empty()) {
        auto token = read_admin_token(settings.admin.token_file);
        if (!token)
            return wrong(token.error());
        admin->token_ = std::move(*token);
    }
    if (const auto listening = admin->server_.listen(*settings.admin.address, context.inherited); !listening)
        return wrong(listening.error());
    for (const auto& address : admin->server_.addresses())
        context.log.listening("admin", address);
    context.log.add_observer(events);
    return admin;
}

HttpResponse Admin::answer(const HttpRequest& request) const
{
    if (auto refusal = origin_.refusal(request))
        return std::move(*refusal);
    if (!shows_token(request)) {
        auto refusal = HttpResponse::error(401, "token-required", "send the token: Authorization: Bearer TOKEN");
        refusal.fields.emplace_back("WWW-Authenticate", "Bearer");
        return refusal;
    }
    return api_.answer(request);
}

bool Admin::shows_token(const HttpRequest& request) const
{
    constexpr std::string_view scheme = "Bearer ";
    if (token_.empty())
        return true;
    const auto shown = request.field("Authorization").value_or("");
    return same_word(shown.substr(0, scheme.size()), scheme) &&
           equal_secrets(without_blanks(shown.substr(scheme.size())), token_);
}

}  // namespace instancer::daemon
