// SPDX-License-Identifier: MIT
#include "admin/endpoints.hpp"

#include "admin/admin_api.hpp"

namespace instancer::daemon {

namespace {

using A = AdminApi;

// clang-format off
constexpr Endpoint table[] = {
    {"GET", "/status", "status", "The daemon: version, counts, options in force", &A::status, "Status"},
    {"GET", "/services", "services", "The services, with options in force and places in use", &A::services, "Services",
     {"limit", "after"}},
    {"GET", "/services/{service}", "service", "One service", &A::service, "Service"},
    {"GET", "/instances", "instances", "The instances that exist", &A::instances, "Instances",
     {"limit", "after", "service", "owner"}},
    {"GET", "/sessions", "sessions", "The sessions that are going on", &A::sessions, "Sessions",
     {"limit", "after", "service", "owner", "stage"}},
    {"GET", "/queue", "queue", "The sessions that wait for their instance", &A::queue, "Queue",
     {"limit", "after", "service", "owner"}},
    {"GET", "/bans", "bans", "The bans in force", &A::bans, "Bans", {"limit", "after", "service"}},
    {"GET", "/upstreams", "upstreams", "The servers to which connections are passed on", &A::upstreams, "Upstreams",
     {"limit", "after", "service"}},
    {"GET", "/events", "events", "What happened after the event `since`, or last", &A::events, "Events",
     {"limit", "since"}},
    {"GET", "/events/stream", "follow_events", "Events as they come, as server-sent events", &A::follow_events, "",
     {"since"}},
    {"POST", "/services/{service}/pause", "pause",
     "Have clients refused, as where nobody listens, until the service is resumed; sessions go on", &A::pause, "Done"},
    {"POST", "/services/{service}/resume", "resume", "Take clients in again", &A::resume, "Done"},
    {"POST", "/services/{service}/instances/{number}/stop", "stop_instance",
     "Stop an instance; its sessions end", &A::stop_instance, "Done"},
    {"POST", "/services/{service}/instances/{number}/extend", "extend_instance",
     "Keep time limits from ending an instance before that long from now", &A::extend_instance, "Done", {}, "Extension"},
    {"POST", "/services/{service}/owners/{owner}/reset", "reset_owner",
     "Stop all instances of an owner", &A::reset_owner, "Done"},
    {"POST", "/services/{service}/sessions/{number}/end", "end_session", "End a session", &A::end_session, "Done"},
    {"POST", "/services/{service}/drain", "drain_upstream",
     "Give an upstream no more connections; those that it has go on", &A::drain_upstream, "Done", {}, "UpstreamName"},
    {"POST", "/services/{service}/fill", "fill_upstream",
     "Give an upstream connections again", &A::fill_upstream, "Done", {}, "UpstreamName"},
    {"POST", "/services/{service}/ban", "ban", "Ban an address or a network", &A::ban, "Done", {}, "NewBan"},
    {"POST", "/services/{service}/unban", "unban", "End the ban of exactly that network", &A::unban, "Done", {},
     "BannedNetwork"},
    {"POST", "/reload", "reload", "Put the configuration into force as it is now; with `dry_run`, say what that would change",
     &A::reload, "Reload", {"dry_run"}},
    {"POST", "/reopen", "reopen", "Open the log, the access log and the recordings anew", &A::reopen, "Done"},
    {"GET", "/openapi.json", "document", "This document", &A::document, "Document"},
};
// clang-format on

}  // namespace

std::span<const Endpoint> endpoints() { return table; }

}  // namespace instancer::daemon
