// SPDX-License-Identifier: MIT
#include <algorithm>
#include <utility>

#include "proof/proof.hpp"
#include "proof/proof_gate.hpp"

namespace instancer::daemon {

namespace {

/// The option that asks for proofs.
std::string_view asking_option(const ProofSettings& proof)
{
    return proof.price > proof.price.zero() ? "pow" : "pow-max";
}

/// Who connects to a Unix socket is on this machine already, or a proxy that has asked itself.
void check_listeners(Checker& checker)
{
    const auto& listen = checker.service.listen;
    const auto socket = std::find_if(listen.begin(), listen.end(),
                                     [](const auto& address) { return address.kind() == Address::Kind::unix_socket; });
    if (socket != listen.end() && checker.service.accept_proxy.empty())
        checker.refuse(asking_option(checker.service.proof),
                       "cannot work together with " + checker.say("listen", socket->text()) +
                           ": its clients are users of this machine, who would work here; listen on ports only, or "
                           "remove this");
}

/// Empty where a client has time enough to solve what it is asked.
std::string problem_with_time(const ProofSettings& proof)
{
    const auto price = std::max(proof.price, proof.most);
    if (proof.timeout >= price)
        return {};
    return "a client that takes " + print_duration(price) + " for its proof, as " +
           (proof.is_adaptive() ? "pow-max" : "pow") + " says, comes too late; raise pow-timeout or lower that";
}

}  // namespace

void check_proof(Checker& checker)
{
    const auto& proof = checker.service.proof;
    if (!proof.is_asked())
        return;
    check_listeners(checker);
    if (proof.most != proof.most.zero() && proof.most < proof.price)
        checker.refuse("pow-max",
                       "is less than " + checker.say("pow", print_duration(proof.price)) + "; raise it or lower that");
    if (proof.bypass.empty())
        return;
    if (proof.style != ProofStyle::kctf)
        checker.refuse("pow-bypass", "works only with " + checker.say("pow-style", "kctf") + "; remove it or use that");
    else if (const auto bypass = load_bypass(proof.bypass); !bypass)
        checker.refuse("pow-bypass", bypass.error());
}

std::vector<std::string> warnings_of_proof(const ServiceSettings& service)
{
    std::vector<std::string> warnings;
    if (!service.proof.is_asked())
        return warnings;
    if (auto problem = problem_with_time(service.proof); !problem.empty())
        warnings.push_back(std::move(problem));
    if (service.auth == Auth::token)
        warnings.push_back("clients of the token greeting expect no question: those that have not been changed cannot "
                           "answer for their proof of work; use auth prompt, or change the clients");
    return warnings;
}

}  // namespace instancer::daemon
