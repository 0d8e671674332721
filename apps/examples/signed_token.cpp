// SPDX-License-Identifier: MIT
// An Authenticator of one's own. A client's first line is `NAME EXPIRY SIGNATURE`: until when, in seconds since 1970,
// and the HMAC-SHA-256 of both in hex, as of: printf 'alice 2000000000' | openssl dgst -sha256 -hmac "$SIGNING_KEY"
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <iostream>

#include <instancer/authenticator.hpp>
#include <instancer/backend/process_backend.hpp>
#include <instancer/equal_secrets.hpp>
#include <instancer/events.hpp>
#include <instancer/hmac.hpp>
#include <instancer/read_line.hpp>
#include <instancer/service.hpp>

using namespace instancer;

class SignedTokenAuthenticator final : public Authenticator {
public:
    explicit SignedTokenAuthenticator(std::string key) : key_(std::move(key)) {}

private:
    asio::awaitable<Result<Admission>> do_authenticate(Stream& client, const ClientInfo&) override
    {
        const auto line = co_await read_line(client, 200);
        if (!line)
            co_return fail(line.error());
        const std::string_view text = *line;
        const auto before_signature = text.rfind(' ');
        if (before_signature == text.npos)
            co_return fail(Errc::rejected, "not a token");
        const auto claim = text.substr(0, before_signature);
        if (!equal_secrets(text.substr(before_signature + 1), hmac_sha256(key_, claim)))
            co_return fail(Errc::rejected, "a wrong signature");
        // From here on it is what the holder of the key wrote.
        const auto before_expiry = claim.rfind(' ');
        if (before_expiry == claim.npos || expired(claim.substr(before_expiry + 1)))
            co_return fail(Errc::rejected, "an expired token");
        Admission admission(std::string(claim.substr(0, before_expiry)), "");
        co_return admission;
    }

    static bool expired(std::string_view seconds)
    {
        const auto now = std::chrono::system_clock::now().time_since_epoch();
        long long until = 0;
        const auto parsed = std::from_chars(seconds.data(), seconds.data() + seconds.size(), until);
        return parsed.ec != std::errc() || until <= std::chrono::duration_cast<std::chrono::seconds>(now).count();
    }

    std::string key_;
};

class Printer final : public Events {
    void listening(std::string_view, std::string_view address) override { std::cout << address << std::endl; }
    void session_ended(const SessionSummary& session) override { std::cout << session.detail << std::endl; }
};

int main()
{
    const char* key = std::getenv("SIGNING_KEY");
    if (key == nullptr || *key == '\0')
        return std::cerr << "SIGNING_KEY is not set\n", 2;
    Printer events;
    ProcessOptions program;
    program.command = {"/bin/cat"};
    Service service("signed");
    service.listen({asio::ip::address_v4::loopback(), 0}).backend<ProcessBackend>(program).observe(events);
    service.authenticator(std::make_unique<SignedTokenAuthenticator>(key));
    const auto served = service.run();
    if (!served)
        std::cerr << served.error().message() << std::endl;
    return served ? 0 : 1;
}
