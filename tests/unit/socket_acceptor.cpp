// SPDX-License-Identifier: MIT
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <instancer/acceptor/socket_acceptor.hpp>

#include "async_test.hpp"
#include "socket_pair.hpp"

using namespace async_test;
using instancer::Accepted;
using instancer::Acceptor;
using instancer::Result;
using instancer::UniqueFd;

namespace {

using AcceptorPtr = std::unique_ptr<Acceptor>;

asio::ip::tcp::endpoint endpoint(const char* address, std::uint16_t port = 0)
{
    return {asio::ip::make_address(address), port};
}

std::uint16_t port_of(const Acceptor& acceptor)
{
    const auto address = acceptor.address();
    return static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
}

/// A connected socket; the kernel takes it in before anybody accepts it.
UniqueFd connected(const asio::ip::tcp::endpoint& to)
{
    UniqueFd socket(::socket(to.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(socket.get(), to.data(), static_cast<socklen_t>(to.size())) == 0);
    return socket;
}

UniqueFd connected(const std::string& path)
{
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        socket.reset();
    return socket;
}

/// A directory of the test's own.
class Directory {
public:
    Directory()
    {
        std::string pattern = (std::filesystem::temp_directory_path() / "instancer-test.XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path_ = pattern;
    }
    ~Directory() { std::filesystem::remove_all(path_); }

    std::string file(const std::string& name) const { return (path_ / name).string(); }

private:
    std::filesystem::path path_;
};

/// From now on nothing can change permissions by path in this thread and its children.
void refuse_changes_by_path()
{
    std::vector<sock_filter> filter = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
    const auto refuse = [&](std::uint32_t call) {
        filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1));
        filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
    };
#ifdef SYS_chmod
    refuse(SYS_chmod);
#endif
    refuse(SYS_fchmodat);
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
    REQUIRE(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    REQUIRE(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

}  // namespace

TEST_CASE("socket acceptor: says who came, from where and to where")
{
    Loop loop;
    auto acceptor = instancer::listen_tcp(loop.executor(), endpoint("127.0.0.1"));
    REQUIRE(acceptor);
    const auto port = port_of(**acceptor);
    CHECK((*acceptor)->address() == "127.0.0.1:" + std::to_string(port));
    auto client = connected(endpoint("127.0.0.1", port));
    auto accepted = loop.run((*acceptor)->accept(loop.executor()));
    REQUIRE(accepted);
    CHECK(accepted->info().peer()->address().to_string() == "127.0.0.1");
    CHECK(accepted->info().local()->port() == port);
    REQUIRE(::send(client.get(), "hello", 5, 0) == 5);
    CHECK(loop.run(socket_pair::read_exactly(accepted->stream(), 5)) == "hello");
}

TEST_CASE("socket acceptor: a dual-stack listener takes IPv4 clients as what they are, another one takes none")
{
    Loop loop;
    auto dual = instancer::listen_tcp(loop.executor(), endpoint("::"), true);
    if (!dual)
        return;  // A machine without IPv6.
    auto v4 = connected(endpoint("127.0.0.1", port_of(**dual)));
    auto v6 = connected(endpoint("::1", port_of(**dual)));
    CHECK(loop.run((*dual)->accept(loop.executor()))->info().peer()->address().is_v4());
    CHECK(loop.run((*dual)->accept(loop.executor()))->info().peer()->address().is_v6());

    // Somebody else may have just the same port of IPv4, but not each time.
    bool is_free = false;
    for (int tries = 0; tries < 5 && !is_free; ++tries) {
        auto only = instancer::listen_tcp(loop.executor(), endpoint("::1"));
        REQUIRE(only);
        is_free = instancer::listen_tcp(loop.executor(), endpoint("127.0.0.1", port_of(**only))).has_value();
    }
    CHECK(is_free);
}

TEST_CASE("socket acceptor: an address that is taken is an error that names it")
{
    Loop loop;
    auto acceptor = instancer::listen_tcp(loop.executor(), endpoint("127.0.0.1"));
    const auto second = instancer::listen_tcp(loop.executor(), endpoint("127.0.0.1", port_of(**acceptor)));
    REQUIRE_FALSE(second);
    CHECK(second.error() == std::error_code(asio::error::address_in_use));
    CHECK(second.error().message().find((*acceptor)->address()) != std::string::npos);

    Directory directory;
    auto on_path = instancer::listen_unix(loop.executor(), directory.file("socket"));
    REQUIRE(on_path);
    const auto again = instancer::listen_unix(loop.executor(), directory.file("socket"));
    REQUIRE_FALSE(again);
    CHECK(again.error() == std::error_code(asio::error::address_in_use));
    const auto long_path = instancer::listen_unix(loop.executor(), directory.file(std::string(200, 'x')));
    CHECK(long_path.error() == std::error_code(asio::error::name_too_long));
}

TEST_CASE("socket acceptor: a Unix socket has the mode that was asked for, tells the user, and goes with its acceptor")
{
    Loop loop;
    Directory directory;
    const auto path = directory.file("socket");
    {
        auto acceptor = instancer::listen_unix(loop.executor(), path, 0600);
        REQUIRE(acceptor);
        CHECK((*acceptor)->address() == "unix:" + path);
        struct stat status {};
        REQUIRE(::stat(path.c_str(), &status) == 0);
        CHECK((status.st_mode & 0777) == 0600);
        auto client = connected(path);
        auto accepted = loop.run((*acceptor)->accept(loop.executor()));
        REQUIRE(accepted);
        CHECK(accepted->info().uid() == ::getuid());
        CHECK(accepted->info().path() == path);
        CHECK_FALSE(accepted->info().peer());
    }
    CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("socket acceptor: two that share a socket refuse nobody until both are closed")
{
    Loop loop;
    Directory directory;
    const auto path = directory.file("socket");
    for (const bool is_unix : {false, true}) {
        auto first = is_unix ? instancer::listen_unix(loop.executor(), path, 0600)
                             : instancer::listen_tcp(loop.executor(), endpoint("127.0.0.1"));
        REQUIRE(first);
        const auto connect = [&, port = is_unix ? std::uint16_t{0} : port_of(**first)] {
            return is_unix ? connected(path) : connected(endpoint("127.0.0.1", port));
        };
        const auto waiting = connect();
        auto second = (*first)->share();
        REQUIRE(second);
        CHECK((*second)->address() == (*first)->address());
        (*first)->close();
        CHECK_FALSE((*first)->share());
        CHECK(loop.run((*second)->accept(loop.executor())));
        const auto next = connect();
        CHECK(next);
        CHECK(loop.run((*second)->accept(loop.executor())));
        (*second)->close();
        CHECK(std::filesystem::exists(path) == false);
    }
}

TEST_CASE("socket acceptor: one that is paused listens again where it is shared")
{
    Loop loop;
    auto first = instancer::listen_tcp(loop.executor(), endpoint("127.0.0.1"));
    REQUIRE(first);
    const auto port = port_of(**first);
    REQUIRE((*first)->pause());
    auto second = (*first)->share();
    REQUIRE(second);
    (*first)->close();
    const auto client = connected(endpoint("127.0.0.1", port));
    CHECK(loop.run((*second)->accept(loop.executor())));
}

TEST_CASE("socket acceptor: the umask takes nothing from a Unix socket's mode, and nothing is changed by its path")
{
    Loop loop;
    Directory directory;
    const auto path = directory.file("socket");
    Result<AcceptorPtr> acceptor = instancer::fail(instancer::Errc::not_supported, "");
    const auto umask = ::umask(077);
    // The filter is the thread's own.
    std::thread([&] {
        refuse_changes_by_path();
        acceptor = instancer::listen_unix(loop.executor(), path, 0666);
    }).join();
    CHECK(::umask(umask) == 077);
    REQUIRE(acceptor);
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0666);
    CHECK(connected(path));
}

TEST_CASE("socket acceptor: a file that somebody has put in the place of its own stays when it closes")
{
    Loop loop;
    Directory directory;
    std::filesystem::create_directory(directory.file("a"));
    const auto path = directory.file("a/socket");
    auto acceptor = instancer::listen_unix(loop.executor(), path);
    REQUIRE(acceptor);
    SUBCASE("another file")
    {
        std::filesystem::remove(path);
        UniqueFd(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    }
    SUBCASE("another server's socket")
    {
        std::filesystem::remove(path);
        auto other = instancer::listen_unix(loop.executor(), path);
        REQUIRE(other);
        (*acceptor)->close();
        CHECK(connected(path));
        return;
    }
    SUBCASE("another directory")
    {
        std::filesystem::create_directory(directory.file("victim"));
        UniqueFd(::open(directory.file("victim/socket").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        std::filesystem::rename(directory.file("a"), directory.file("b"));
        std::filesystem::create_symlink("victim", directory.file("a"));
    }
    (*acceptor)->close();
    CHECK(std::filesystem::exists(path));
}

TEST_CASE("socket acceptor: the file of a server that is no more is replaced, any other file is not")
{
    Loop loop;
    Directory directory;
    const auto path = directory.file("socket");
    SUBCASE("left over")
    {
        auto acceptor = instancer::listen_unix(loop.executor(), path);
        std::filesystem::rename(path, path + ".kept");
        (*acceptor)->close();
        std::filesystem::rename(path + ".kept", path);
        CHECK(instancer::listen_unix(loop.executor(), path));
    }
    SUBCASE("a file")
    {
        UniqueFd(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        CHECK_FALSE(instancer::listen_unix(loop.executor(), path));
        CHECK(std::filesystem::exists(path));
    }
}

TEST_CASE("socket acceptor: a listening socket is taken over, nothing else is")
{
    Loop loop;
    UniqueFd listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::listen(listening.get(), 1) == 0);
    const UniqueFd shared(::fcntl(listening.get(), F_DUPFD_CLOEXEC, 3));
    auto acceptor = instancer::adopt_listener(loop.executor(), std::move(listening));
    REQUIRE(acceptor);
    auto client = connected(endpoint("127.0.0.1", port_of(**acceptor)));
    CHECK(loop.run((*acceptor)->accept(loop.executor())));

    // Whoever passed it would find it closed.
    const auto paused = (*acceptor)->pause();
    REQUIRE_FALSE(paused);
    CHECK(paused.error() == instancer::Errc::not_supported);
    auto another = connected(endpoint("127.0.0.1", port_of(**acceptor)));
    CHECK(loop.run((*acceptor)->accept(loop.executor())));

    // Nor may it have us block.
    ::fcntl(shared.get(), F_SETFL, ::fcntl(shared.get(), F_GETFL) & ~O_NONBLOCK);
    auto waiting = loop.start((*acceptor)->accept(loop.executor()));
    loop.settle();
    CHECK_FALSE(waiting.done());
    auto last = connected(endpoint("127.0.0.1", port_of(**acceptor)));
    REQUIRE(loop.until([&] { return waiting.done(); }));
    CHECK(waiting.value());

    auto pair = socket_pair::unix_domain();
    const auto connection = instancer::adopt_listener(loop.executor(), std::move(pair.first));
    REQUIRE_FALSE(connection);
    CHECK(connection.error() == std::error_code(asio::error::invalid_argument));
    CHECK_FALSE(instancer::adopt_listener(loop.executor(), UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC))));
}

TEST_CASE("socket acceptor: accepting ends when it is cancelled, was cancelled before, or the acceptor is closed")
{
    Loop loop;
    auto acceptor = instancer::listen_tcp(loop.executor(), endpoint("127.0.0.1"));
    const auto port = port_of(**acceptor);
    const auto is_over = [](Task<Result<Accepted>>& task) {
        return task.done() && !task.value() && task.value().error() == std::error_code(asio::error::operation_aborted);
    };
    auto cancelled = loop.start((*acceptor)->accept(loop.executor()));
    loop.settle();
    CHECK_FALSE(cancelled.done());
    cancelled.cancel();
    loop.settle();
    CHECK(is_over(cancelled));

    auto before = loop.start_cancelled((*acceptor)->accept(loop.executor()));
    CHECK(is_over(before));

    auto closed = loop.start((*acceptor)->accept(loop.executor()));
    loop.settle();
    (*acceptor)->close();
    loop.settle();
    CHECK(is_over(closed));
    auto after = loop.start((*acceptor)->accept(loop.executor()));
    loop.settle();
    CHECK(is_over(after));
    CHECK(instancer::listen_tcp(loop.executor(), endpoint("127.0.0.1", port)));
}

TEST_CASE("socket acceptor: a pause refuses clients, those that wait to be taken in too, until it is over")
{
    Loop loop;
    Directory directory;
    const auto path = directory.file("socket");
    auto tcp = instancer::listen_tcp(loop.executor(), endpoint("127.0.0.1"));
    auto local = instancer::listen_unix(loop.executor(), path, 0640);
    const auto port = port_of(**tcp);
    const auto refuses = [](int family, const void* address, socklen_t size) {
        const UniqueFd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
        return ::connect(socket.get(), static_cast<const sockaddr*>(address), size) != 0 && errno == ECONNREFUSED;
    };
    const auto tcp_refuses = [&] {
        const auto to = endpoint("127.0.0.1", port);
        return refuses(AF_INET, to.data(), static_cast<socklen_t>(to.size()));
    };
    for (auto* acceptor : {&*tcp, &*local}) {
        const bool is_tcp = acceptor == &*tcp;
        CAPTURE(is_tcp);
        const auto connect = [&] { return is_tcp ? connected(endpoint("127.0.0.1", port)) : connected(path); };
        auto backlog = connect();
        const auto address = (*acceptor)->address();
        for (int round = 0; round < 2; ++round) {
            REQUIRE((*acceptor)->pause());
            CHECK((*acceptor)->pause());
            char byte;
            if (round == 0)
                CHECK(::recv(backlog.get(), &byte, 1, 0) <= 0);
            CHECK((is_tcp ? tcp_refuses() : !connect()));
            auto waiting = loop.start((*acceptor)->accept(loop.executor()));
            loop.settle();
            CHECK_FALSE(waiting.done());
            REQUIRE((*acceptor)->resume());
            CHECK((*acceptor)->resume());
            CHECK((*acceptor)->address() == address);
            auto client = connect();
            REQUIRE(client);
            REQUIRE(loop.until([&] { return waiting.done(); }));
            CHECK(waiting.value());
        }
        // While somebody waits, and for the last time.
        auto waiting = loop.start((*acceptor)->accept(loop.executor()));
        loop.settle();
        REQUIRE((*acceptor)->pause());
        loop.settle();
        CHECK_FALSE(waiting.done());
        (*acceptor)->close();
        loop.settle();
        CHECK(waiting.done());
        CHECK((*acceptor)->resume());
        CHECK((is_tcp ? tcp_refuses() : !connect()));
    }
    CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("socket acceptor: who took its address during a pause keeps it")
{
    Loop loop;
    auto acceptor = instancer::listen_tcp(loop.executor(), endpoint("127.0.0.1"));
    const auto port = port_of(**acceptor);
    REQUIRE((*acceptor)->pause());
    {
        const auto thief = instancer::listen_tcp(loop.executor(), endpoint("127.0.0.1", port));
        REQUIRE(thief);
        const auto resumed = (*acceptor)->resume();
        REQUIRE_FALSE(resumed);
        CHECK(resumed.error() == std::error_code(asio::error::address_in_use));
    }
    CHECK((*acceptor)->resume());
    auto client = connected(endpoint("127.0.0.1", port));
    CHECK(loop.run((*acceptor)->accept(loop.executor())));
}

TEST_CASE("socket acceptor: who took its path during a pause keeps it when it closes")
{
    Loop loop;
    Directory directory;
    const auto path = directory.file("socket");
    auto acceptor = instancer::listen_unix(loop.executor(), path);
    REQUIRE((*acceptor)->pause());
    const auto thief = instancer::listen_unix(loop.executor(), path);
    REQUIRE(thief);
    CHECK_FALSE((*acceptor)->resume());
    (*acceptor)->close();
    CHECK(connected(path));
}

TEST_CASE("socket acceptor: an abstract Unix socket makes no file, has its name once, and listens again after a pause")
{
    Loop loop;
    const auto name = "@instancer-test-" + std::to_string(::getpid());
    auto acceptor = instancer::listen_unix(loop.executor(), name);
    REQUIRE(acceptor);
    CHECK((*acceptor)->address() == "unix:" + name);
    CHECK_FALSE(std::filesystem::exists(name));
    const auto again = instancer::listen_unix(loop.executor(), name);
    REQUIRE_FALSE(again);
    CHECK(again.error() == std::error_code(asio::error::address_in_use));
    const auto connect = [&] {
        UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path + 1, name.data() + 1, name.size() - 1);
        const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
        return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0;
    };
    REQUIRE(connect());
    CHECK(loop.run((*acceptor)->accept(loop.executor()))->info().path() == name);
    REQUIRE((*acceptor)->pause());
    CHECK_FALSE(connect());
    REQUIRE((*acceptor)->resume());
    CHECK(connect());
    acceptor->reset();
    CHECK_FALSE(connect());
}

TEST_CASE("socket acceptor: a Unix socket belongs to whom was asked for, in any directory, also after a pause" *
          doctest::skip(::geteuid() != 0))
{
    Loop loop;
    Directory directory;
    const auto path = directory.file("socket");
    const auto belongs_to = [&](uid_t owner, gid_t group) {
        struct stat status {};
        return ::stat(path.c_str(), &status) == 0 && status.st_uid == owner && status.st_gid == group &&
               (status.st_mode & 0777) == 0660;
    };
    auto acceptor = instancer::listen_unix(loop.executor(), path, {0660, 4711, 4712});
    REQUIRE(acceptor);
    CHECK(belongs_to(4711, 4712));
    REQUIRE((*acceptor)->pause());
    std::filesystem::remove(path);
    REQUIRE((*acceptor)->resume());
    CHECK(belongs_to(4711, 4712));
    CHECK(::geteuid() == 0);
}

TEST_CASE("socket acceptor: who may not give a Unix socket away is told so" * doctest::skip(::geteuid() != 0))
{
    Directory directory;
    std::filesystem::permissions(std::filesystem::path(directory.file("socket")).parent_path(),
                                 std::filesystem::perms(0777));
    Loop loop;
    const auto path = directory.file("socket");
    // Only the thread itself.
    std::thread([&] {
        ::syscall(SYS_setresuid, 4711, 4711, 4711);
        const auto acceptor = instancer::listen_unix(loop.executor(), path, {0660, 4712});
        REQUIRE_FALSE(acceptor);
        CHECK(acceptor.error().code().value() == EPERM);
        CHECK(instancer::listen_unix(loop.executor(), path, {0660, 4711}));
    }).join();
}
