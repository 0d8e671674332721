// SPDX-License-Identifier: MIT
// What can be wrong with proofs of work.
#include <string>

#include <doctest/doctest.h>

#include <temporary_directory.hpp>

#include "config/command_line.hpp"
#include "config_problems.hpp"

using namespace instancer::daemon;
using test_text::holds;

namespace {

/// All that is wrong with `instancerd exec`, on a port, with these options.
std::string complaint(const std::string& options, const std::string& listen = "127.0.0.1:1")
{
    return config_test::complaint(split("exec --listen " + listen + " " + options + " -- /bin/cat", ' '));
}

std::string warning(const std::string& options)
{
    const auto command = parse_command_line(split("exec --listen 127.0.0.1:1 " + options + " -- /bin/cat", ' '));
    std::string text;
    for (const auto& one : warnings_of(command.settings, command.settings.services.front()))
        text += one + "\n";
    return text;
}

}  // namespace

TEST_CASE("proof options: right ones")
{
    for (const auto* options :
         {"--pow 10s", "--pow 0", "--pow-max 1m", "--pow 5s --pow-max 1m --pow-style redpwn --pow-timeout 1m",
          "--pow 10s --pow-for connect", "--pow 10s --max-proving 100", "--max-proving 0", "--pow 5s --pow-max 0",
          "--pow 1h --pow-max 1h"})
        CHECK_MESSAGE(complaint(options).empty(), options << ": " << complaint(options));
}

TEST_CASE("proof options: wrong ones, and what to write instead")
{
    holds(complaint("--pow 2h"), "'2h' is longer than 1h");
    holds(complaint("--pow 10s --pow-max 5s"), "--pow-max: is less than --pow 10s; raise it or lower that");
    holds(complaint("--pow-style redpwn"),
          "--pow-style: needs --pow 10s or --pow-max 1m; add one of them or remove this");
    holds(complaint("--pow 10s --pow-timeout 0"), "must be longer than 0; write 5m");
    holds(complaint("--pow 10s --pow-style foo"), "'foo' is none of kctf, redpwn, hxp, hashcash");
}

TEST_CASE("proof options: users of this machine, who come by a Unix socket, are not asked")
{
    holds(complaint("--pow 10s", "unix:/tmp/s"), "--pow: cannot work together with --listen unix:/tmp/s");
    holds(complaint("--pow-max 10s", "unix:/tmp/s"), "--pow-max: cannot work together with --listen unix:/tmp/s");
    CHECK(complaint("--pow 10s --accept-proxy all", "unix:/tmp/s").empty());
    CHECK(complaint("--pow 0", "unix:/tmp/s").empty());
}

TEST_CASE("proof options: the key for health checks")
{
    const daemon_test::TemporaryDirectory directory;
    const auto key = directory.file("key.pem", "-----BEGIN PUBLIC KEY-----\n"
                                               "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYdU6l+1IF2qaDoF/XcxpbLoJqWpA\n"
                                               "+PU6P1odzDsQsb5mau4wIVUKEwj0EphHsw9tOcPb/5Kw+s9yBvYFs5sPWw==\n"
                                               "-----END PUBLIC KEY-----\n");
    CHECK(complaint("--pow 10s --pow-bypass " + key).empty());
    holds(complaint("--pow 10s --pow-style hxp --pow-bypass " + key),
          "--pow-bypass: works only with --pow-style kctf; remove it or use that");
    // An option that cannot be read hides complaints that name it, and no others.
    holds(complaint("--pow soon --pow-max 10s --pow-style hxp --pow-bypass " + key),
          "--pow-bypass: works only with --pow-style kctf; remove it or use that");
    const auto other = directory.file("other.pem", "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n");
    holds(complaint("--pow 10s --pow-bypass " + other),
          other + ": no public key of ECDSA with P-256; openssl pkey -pubout makes one of a private key");
    const auto secp256k1 = directory.file("k1.pem", "-----BEGIN PUBLIC KEY-----\n"
                                                    "MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEgpjQgMO3fyOQmte8Jcsvv2OTLIwRLlXe\n"
                                                    "3DU+SNU6WPG/SsS6U30ruloLW6IFJ2GN+nB87fiRqFjqd82cMVSZ8Q==\n"
                                                    "-----END PUBLIC KEY-----\n");
    holds(complaint("--pow 10s --pow-bypass " + secp256k1), secp256k1 + ": no public key of ECDSA with P-256");
    holds(complaint("--pow 10s --pow-bypass " + directory.path("none.pem")), "none.pem");
}

TEST_CASE("proof options: clients of the token greeting cannot answer unless they are changed")
{
    CHECK(warning("--auth source --pow 10s").find("question") == std::string::npos);
    holds(warning("--auth token --tokens /dev/null --pow 10s"), "clients of the token greeting expect no question");
    CHECK(warning("--auth token --tokens /dev/null").find("question") == std::string::npos);
}

TEST_CASE("proof options: less time than the proof takes is warned of")
{
    holds(warning("--pow 10s --pow-timeout 5s"),
          "a client that takes 10s for its proof, as pow says, comes too late; raise pow-timeout or lower that");
    holds(warning("--pow 1s --pow-max 1m --pow-timeout 30s"), "takes 1m for its proof, as pow-max says");
    for (const auto* enough : {"--pow 10s", "--pow 10s --pow-timeout 10s", "--pow-timeout 5s"})
        CHECK(warning(enough).find("too late") == std::string::npos);
}
