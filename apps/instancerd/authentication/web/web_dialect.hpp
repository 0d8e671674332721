// SPDX-License-Identifier: MIT
// What platforms are asked, and what their answers mean; without I/O.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <instancer/authenticator.hpp>
#include <instancer/client.hpp>

namespace instancer::daemon {

/// A request, as HTTP has it.
class WebRequest {
public:
    WebRequest(std::string how, std::string where) : method(std::move(how)), path(std::move(where)) {}

    std::string method;
    std::string path;
    std::map<std::string, std::string> headers;
    std::string body;
};

/// What an answer says of a client.
class WebVerdict {
public:
    static WebVerdict admitted(Admission admission) { return WebVerdict(Kind::admitted, std::move(admission), {}); }
    static WebVerdict rejected() { return WebVerdict(Kind::rejected, std::nullopt, {}); }
    /// Admitted in a way that cannot be followed. The server works, and others may be luckier.
    static WebVerdict unusable(std::string why) { return WebVerdict(Kind::unusable, std::nullopt, std::move(why)); }
    /// No answer about this request. The server works, and others may be luckier.
    static WebVerdict undecided(std::string why) { return WebVerdict(Kind::undecided, std::nullopt, std::move(why)); }
    /// Nothing that can be relied on.
    static WebVerdict down(std::string why) { return WebVerdict(Kind::down, std::nullopt, std::move(why)); }

    /// None where the client is not admitted.
    const std::optional<Admission>& admission() const noexcept { return admission_; }
    bool is_unusable() const noexcept { return kind_ == Kind::unusable; }
    bool is_undecided() const noexcept { return kind_ == Kind::undecided; }
    bool is_down() const noexcept { return kind_ == Kind::down; }
    const std::string& why() const noexcept { return why_; }

private:
    enum class Kind { admitted, rejected, unusable, undecided, down };

    WebVerdict(Kind kind, std::optional<Admission> admission, std::string why)
        : kind_(kind), admission_(std::move(admission)), why_(std::move(why))
    {
    }

    Kind kind_;
    std::optional<Admission> admission_;
    std::string why_;
};

/// How a kind of platform is spoken to.
class WebDialect {
public:
    std::string_view default_path;  ///< Where it is asked if the address has no path.

    /// What to ask about `line`; none where no token looks like that.
    std::optional<WebRequest> (*ask)(std::string path, std::string_view service, const ClientInfo& client,
                                     std::string_view line);

    /// What its answer to that line means.
    WebVerdict (*judge)(int status, std::string_view body, std::string_view line);

    bool sees_address = false;  ///< Whether its answers may depend on where the client comes from.
};

extern const WebDialect webhook_dialect, ctfd_dialect, rctf_dialect;

}  // namespace instancer::daemon
