// SPDX-License-Identifier: MIT
#include <chaos_gate.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <random>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

namespace chaos {

using namespace std::chrono_literals;
using daemon_test::connect_to;
using daemon_test::Listener;
using instancer::UniqueFd;
using Clock = std::chrono::steady_clock;
using Random = std::minstd_rand;

namespace {

constexpr std::size_t largest_piece = 64 * 1024;

/// As often small as large.
std::size_t any_size(Random& random) { return 1 + random() % (std::size_t(1) << random() % 17); }

void end_with_reset(UniqueFd& socket)
{
    const linger at_once{1, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    socket.reset();
}

}  // namespace

/// One connection through the gate.
class Gate::Passage {
public:
    Passage(UniqueFd client, UniqueFd server, bool is_cut, unsigned seed)
        : client_(std::move(client)), server_(std::move(server)), random_(seed)
    {
        random_.discard(16);
        if (is_cut)
            left_ = 4 * any_size(random_);
        for (const int fd : {client_.get(), server_.get()}) {
            ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
            // A window smaller than a segment of the loopback would do nothing but wait for its timers.
            const int send_size = random_() % 2 == 0 ? 1 : 1 << 22;
            const int receive_size = random_() % 2 == 0 ? 1 << 16 : 1 << 22;
            ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_size, sizeof send_size);
            ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_size, sizeof receive_size);
        }
    }

    bool over() const noexcept { return !client_; }

    /// Does what can be done now; what to wait for is added to `wanted`.
    void go_on(Clock::time_point now, std::vector<pollfd>& wanted, Clock::time_point& wake)
    {
        if (now < stalled_until_) {
            wake = std::min(wake, stalled_until_);
            return;
        }
        if (random_() % 16 == 0) {
            stalled_until_ = now + std::chrono::microseconds(random_() % 3000);
            wake = std::min(wake, stalled_until_);
            return;
        }
        if (!pass(client_, server_, up_) || !pass(server_, client_, down_) || (up_.over && down_.over))
            return end();
        wanted.push_back({client_.get(), interest(up_, down_), 0});
        wanted.push_back({server_.get(), interest(down_, up_), 0});
    }

    /// It was cut rather than ended.
    bool cut() const noexcept { return cut_; }

private:
    struct Way {
        std::string piece;   ///< Read and not written yet.
        bool ended = false;  ///< Nothing more comes.
        bool over = false;   ///< And that has been passed on.
    };

    static short interest(const Way& from, const Way& to)
    {
        return static_cast<short>((from.piece.empty() && !from.ended ? POLLIN : 0) | (to.piece.empty() ? 0 : POLLOUT));
    }

    /// False when the connection has failed or is cut.
    bool pass(UniqueFd& from, UniqueFd& to, Way& way)
    {
        if (way.piece.empty() && !way.ended) {
            char buffer[largest_piece];
            const auto count = ::recv(from.get(), buffer, std::min(any_size(random_), largest_piece), 0);
            if (count < 0)
                return errno == EAGAIN || errno == EINTR;
            way.ended = count == 0;
            way.piece.assign(buffer, static_cast<std::size_t>(count));
        }
        if (!way.piece.empty()) {
            const auto size = std::min(any_size(random_), way.piece.size());
            const auto count = ::send(to.get(), way.piece.data(), size, MSG_NOSIGNAL);
            if (count < 0)
                return errno == EAGAIN || errno == EINTR;
            way.piece.erase(0, static_cast<std::size_t>(count));
            cut_ = left_ <= static_cast<std::size_t>(count);
            left_ -= cut_ ? 0 : static_cast<std::size_t>(count);
        }
        if (way.ended && way.piece.empty() && !way.over) {
            way.over = true;
            ::shutdown(to.get(), SHUT_WR);
        }
        return !cut_;
    }

    /// Each side learns of a failure, or of a cut, in one way or the other.
    void end()
    {
        const bool in_order = up_.over && down_.over;
        for (auto* socket : {&client_, &server_})
            if (in_order || (cut_ && random_() % 2 == 0))
                socket->reset();
            else
                end_with_reset(*socket);
    }

    UniqueFd client_, server_;
    Random random_;
    std::size_t left_ = std::string::npos;  ///< Bytes until it is cut.
    bool cut_ = false;
    Clock::time_point stalled_until_;
    Way up_, down_;
};

Gate::Gate(std::string target, int cut_percent, unsigned seed)
    : target_(std::move(target)),
      cut_percent_(cut_percent),
      seed_(seed),
      listener_("127.0.0.1:0", 4096),
      thread_([this] { run(); })
{
}

Gate::~Gate()
{
    over_ = true;
    connect_to(address());  // Wakes it.
    thread_.join();
}

void Gate::run()
{
    Random random(seed_);
    std::vector<std::unique_ptr<Passage>> passages;
    std::vector<pollfd> wanted;
    while (!over_) {
        auto wake = Clock::now() + 1s;
        wanted.assign(1, {listener_.fd(), POLLIN, 0});
        for (auto& passage : passages)
            passage->go_on(Clock::now(), wanted, wake);
        cuts_ += static_cast<std::size_t>(
            std::count_if(passages.begin(), passages.end(), [](const auto& one) { return one->over() && one->cut(); }));
        std::erase_if(passages, [](const auto& one) { return one->over(); });

        const auto time = std::chrono::ceil<std::chrono::milliseconds>(wake - Clock::now());
        ::poll(wanted.data(), wanted.size(), std::max(0, static_cast<int>(time.count())));
        if (!(wanted.front().revents & POLLIN))
            continue;
        UniqueFd client(::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
        auto server = connect_to(target_);
        const bool is_cut = random() % 100 < static_cast<unsigned>(cut_percent_);
        const auto seed = static_cast<unsigned>(random());
        if (client && server)
            passages.push_back(std::make_unique<Passage>(std::move(client), std::move(server), is_cut, seed));
        else if (client)
            end_with_reset(client);
    }
}

}  // namespace chaos
