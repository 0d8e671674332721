// SPDX-License-Identifier: MIT
// A server whose answers are shouted, and that ends a session at the word "quit".
#include <algorithm>
#include <cctype>
#include <iostream>

#include <instancer/backend/process_backend.hpp>
#include <instancer/bridge/hooked_bridge.hpp>
#include <instancer/events.hpp>
#include <instancer/service.hpp>

using namespace instancer;

class Filter final : public SessionHook {
    HookAnswer from_client(std::span<char> data) override
    {
        seen_.append(data.begin(), data.end());
        if (seen_.find("quit") != seen_.npos)
            return HookAnswer::end();
        // A word may come in several pieces.
        seen_.erase(0, seen_.size() - std::min<std::size_t>(seen_.size(), 3));
        return data;
    }

    HookAnswer from_instance(std::span<char> data) override
    {
        std::transform(data.begin(), data.end(), data.begin(), [](unsigned char c) { return std::toupper(c); });
        return data;
    }

    HookAnswer instance_ended() override { return "BYE\n"; }

    std::string seen_;
};

class Printer final : public Events {
    void listening(std::string_view, std::string_view address) override { std::cout << address << std::endl; }
    void warning(std::string_view, std::string_view text) override { std::cerr << text << std::endl; }
};

int main()
{
    Printer events;
    ProcessOptions program;
    program.command = {"/bin/cat"};
    Service service("filter");
    service.listen({asio::ip::address_v4::loopback(), 0}).backend<ProcessBackend>(program).observe(events);
    service.bridge(
        std::make_unique<HookedBridge>([](const SessionInfo&) { return std::make_unique<Filter>(); }, events));
    const auto served = service.run();
    if (!served)
        std::cerr << served.error().message() << std::endl;
    return served ? 0 : 1;
}
