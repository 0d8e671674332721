// SPDX-License-Identifier: MIT
// Urgent data that come at the worst moment: not a byte is lost, and the last one is marked.
#include <cstddef>
#include <functional>
#include <string>

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "bridged.hpp"

using namespace bridged;

namespace {

/// Called before each read of a socket.
thread_local std::function<void(int)> before_recv;

void keep_inline(Stream& reader)
{
    const int on = 1;
    REQUIRE(::setsockopt(reader.native_handle(), SOL_SOCKET, SO_OOBINLINE, &on, sizeof on) == 0);
}

void send_urgent(Stream& writer, char byte) { REQUIRE(::send(writer.native_handle(), &byte, 1, MSG_OOB) == 1); }

/// Both directions, on each path that knows urgent data.
template <class Test>
void each_way(const Test& test)
{
    for (const auto path : {Path::sockets, Path::hook, Path::slow_hook})
        for (const bool from_client : {false, true}) {
            CAPTURE(static_cast<int>(path));
            CAPTURE(from_client);
            Bridged bridged(tcp(), tcp(), path);
            auto& writer = from_client ? bridged.client : bridged.server;
            auto& reader = from_client ? bridged.server : bridged.client;
            const int near = (from_client ? bridged.link.client() : bridged.link.instance()).native_handle();
            keep_inline(reader);
            test(bridged, writer, reader, near);
        }
}

}  // namespace

/// In place of the system's, for this program.
extern "C" ssize_t recv(int fd, void* buffer, size_t size, int flags)
{
    static const auto next = reinterpret_cast<decltype(&::recv)>(::dlsym(RTLD_NEXT, "recv"));
    if (before_recv)
        before_recv(fd);
    return next(fd, buffer, size, flags);
}

TEST_CASE("bridge: urgent data that come between a look and the read after it")
{
    each_way([](Bridged& bridged, Stream& writer, Stream& reader, int near) {
        auto& loop = bridged.loop;
        std::string sent, got;
        int left = 0;
        before_recv = [&](int fd) {
            if (fd != near || left == 0)
                return;
            --left;
            send_urgent(writer, '!');
            sent += '!';
            pollfd arrived{near, POLLPRI, 0};
            REQUIRE(::poll(&arrived, 1, 1000) == 1);
        };
        for (int round = 0; round < 5; ++round) {
            left = 3;
            loop.run(writer.write_all(bytes_of("ab")));
            sent += "ab";
            while (got.size() < sent.size())
                got += loop.run(read_exactly(reader, 1));
            loop.settle();
            left = 0;
        }
        before_recv = nullptr;
        CHECK(loop.run(write_and_end(writer, "end")));
        got += loop.run(read_all(reader));
        CHECK(got == sent + "end");
        CHECK(sent.find('!') != sent.npos);
    });
}

TEST_CASE("bridge: two urgent bytes, one right after the other")
{
    each_way([](Bridged& bridged, Stream& writer, Stream& reader, int) {
        auto& loop = bridged.loop;
        loop.run(writer.write_all(bytes_of("ab")));
        CHECK(loop.run(read_exactly(reader, 2)) == "ab");
        loop.settle();
        send_urgent(writer, '!');
        send_urgent(writer, '?');
        REQUIRE(::send(writer.native_handle(), "cd", 2, 0) == 2);

        const auto is_there = [&] {
            int size = 0;
            return ::ioctl(reader.native_handle(), FIONREAD, &size) == 0 && size == 4;
        };
        REQUIRE(loop.until(is_there));
        // A read ends before the last one, which is the marked one.
        CHECK(try_read(reader) == "!");
        int at_mark = 0;
        REQUIRE(::ioctl(reader.native_handle(), SIOCATMARK, &at_mark) == 0);
        CHECK(at_mark != 0);
        CHECK(try_read(reader) == "?cd");
    });
}
