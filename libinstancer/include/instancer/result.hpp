// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <tl/expected.hpp>

namespace instancer {

/// The errors of this library, beside those that the system reports.
enum class Errc {
    rejected = 1,         ///< The client did not prove who it is.
    denied,               ///< The client's address is not let in.
    timeout,              ///< A deadline passed.
    full,                 ///< A cap is reached and the policy does not wait.
    culled,               ///< The instance made room for another one before it was ready.
    queue_timeout,        ///< Waited in the queue for too long.
    start_failed,         ///< The instance ended, or was refused, before it was ready.
    start_timeout,        ///< The instance did not become ready in time.
    backend_unavailable,  ///< The backend cannot be reached now; later may work.
    bad_request,          ///< The request can never work as it is.
    not_ready,            ///< The instance does not accept connections yet.
    instance_gone,        ///< The instance no longer exists.
    reset,                ///< The owner asked for all of its instances to go.
    stopping,             ///< The server is draining or stopping.
    cancelled,            ///< The caller gave up.
    not_supported,        ///< This backend or stream cannot do that.
    no_instance,          ///< There is none to join, and none was to be started.
    owner_full,           ///< The owner has as many instances as one may have.
};

/// Its words, as messages have them.
constexpr std::string_view to_string(Errc code) noexcept
{
    switch (code) {
    case Errc::rejected: return "the client was not admitted";
    case Errc::denied: return "the client's address is not let in";
    case Errc::timeout: return "timed out";
    case Errc::full:
    case Errc::owner_full: return "no instance is free";
    case Errc::culled: return "the instance made room for another one before it was ready";
    case Errc::queue_timeout: return "no instance became free in time";
    case Errc::start_failed: return "the instance failed to start";
    case Errc::start_timeout: return "the instance did not become ready in time";
    case Errc::backend_unavailable: return "the backend is unavailable";
    case Errc::bad_request: return "the request cannot be carried out";
    case Errc::not_ready: return "the instance does not accept connections yet";
    case Errc::instance_gone: return "the instance is gone";
    case Errc::reset: return "the owner reset its instances";
    case Errc::stopping: return "the server is stopping";
    case Errc::cancelled: return "cancelled";
    case Errc::not_supported: return "not supported";
    case Errc::no_instance: return "there is no instance to join";
    }
    return "unknown error";
}

namespace detail {

class ErrorCategory final : public std::error_category {
public:
    const char* name() const noexcept override { return "instancer"; }

    std::string message(int value) const override { return std::string(to_string(static_cast<Errc>(value))); }
};

}  // namespace detail

/// The category of `Errc`: one in each process, also where it is compiled into several shared libraries.
[[gnu::visibility("default")]] inline const std::error_category& error_category() noexcept
{
    static const detail::ErrorCategory category;
    return category;
}

/// What `Errc` converts to.
inline std::error_code make_error_code(Errc code) noexcept { return {static_cast<int>(code), error_category()}; }

/// A failure: a code to branch on, and a text for the operator.
///
/// The text never reaches a client and never holds a secret.
class Error {
public:
    /// A failure that the system, or another library, has a code for.
    Error(std::error_code code, std::string text = {}) : code_(code), text_(std::move(text)) {}
    /// A failure of this library.
    Error(Errc code, std::string text = {}) : Error(make_error_code(code), std::move(text)) {}

    /// To branch on.
    const std::error_code& code() const noexcept { return code_; }

    /// The text given at the place of failure; may be empty.
    const std::string& text() const noexcept { return text_; }

    /// In one line, for a log: the text, and what the system said.
    std::string message() const
    {
        if (text_.empty())
            return code_.message();
        return code_.category() == make_error_code(Errc()).category() ? text_ : text_ + ": " + code_.message();
    }

    /// The failed state of any `Result`, so that a function or a coroutine may return an error as it is.
    template <class T>
    operator tl::expected<T, Error>() const
    {
        return tl::unexpected<Error>(*this);
    }

    /// Whether the code is that one; the text does not count.
    friend bool operator==(const Error& error, Errc code) noexcept { return error.code_ == make_error_code(code); }
    /// Whether the code is that one; the text does not count.
    friend bool operator==(const Error& error, const std::error_code& code) noexcept { return error.code_ == code; }

private:
    std::error_code code_;
    std::string text_;
};

/// The value, or why there is none.
template <class T>
using Result = tl::expected<T, Error>;

/// Makes the failed state of any `Result`: another's error, handed on.
inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

/// Makes the failed state of any `Result`.
template <class Code>
tl::unexpected<Error> fail(Code code, std::string text = {})
{
    return tl::unexpected<Error>(Error(code, std::move(text)));
}

}  // namespace instancer

template <>
struct std::is_error_code_enum<instancer::Errc> : std::true_type {
};
