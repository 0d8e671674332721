// SPDX-License-Identifier: MIT
#include <iostream>

#include <instancer/backend/process_backend.hpp>
#include <instancer/service.hpp>

int main()
{
    instancer::ProcessOptions program;
    program.command = {"/bin/cat"};
    instancer::Service echo("echo");
    echo.listen({asio::ip::address_v4::loopback(), 1337}).backend<instancer::ProcessBackend>(program);
    const auto served = echo.run();  // Until SIGINT or SIGTERM.
    if (!served)
        std::cerr << served.error().message() << std::endl;
    return served ? 0 : 1;
}
