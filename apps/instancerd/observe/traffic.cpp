// SPDX-License-Identifier: MIT
#include "observe/traffic.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <instancer/bridge/hooked_bridge.hpp>
#include <instancer/bridge/pair_bridge.hpp>

#include "observe/recorder.hpp"

namespace instancer::daemon {

namespace {

/// Shows one direction of a session in the log.
class LoggedDirection {
public:
    LoggedDirection(const SessionInfo& session, bool from_client, const TrafficLogSettings& settings, Log& log)
        : session_(session), from_client_(from_client), settings_(settings), log_(log)
    {
    }

    void show(std::string_view data)
    {
        if (full_ || settings_.format == TrafficLogFormat::off)
            return;
        auto rest = data;
        if (settings_.limit != 0)
            rest = data.substr(0, settings_.limit - shown_);
        const bool all = rest.size() == data.size();
        while (!rest.empty()) {
            const auto piece = settings_.format == TrafficLogFormat::hex ? hex(rest) : line(rest);
            shown_ += piece;
            rest.remove_prefix(piece);
        }
        full_ = !all;
        if (full_)
            log_.traffic(session_, from_client_, "(more is not shown: --traffic-log-limit is reached)");
    }

private:
    /// Up to the end of a line. How much it was.
    std::size_t line(std::string_view data)
    {
        constexpr std::size_t longest = 1000;
        const auto end = data.find('\n');
        const auto piece = data.substr(0, std::min(end == data.npos ? end : end + 1, longest));
        log_.traffic(session_, from_client_, piece);
        return piece.size();
    }

    /// Sixteen bytes with their place in the stream, in hex and as text. How much it was.
    std::size_t hex(std::string_view data)
    {
        log_.traffic(session_, from_client_, hex_line(shown_, data));
        return std::min<std::size_t>(16, data.size());
    }

    const SessionInfo& session_;
    const bool from_client_;
    const TrafficLogSettings settings_;
    Log& log_;
    std::uint64_t shown_ = 0;
    bool full_ = false;
};

/// Looks on, and changes nothing.
class Observer final : public SessionHook {
public:
    Observer(const SessionInfo& session, const TrafficLogSettings& settings, Log& log,
             std::shared_ptr<Recorder> recorder)
        : up_(session, true, settings, log),
          down_(session, false, settings, log),
          recorder_(std::move(recorder)),
          recording_(recorder_ ? recorder_->begin(session) : nullptr)
    {
    }

    HookAnswer from_client(std::span<char> data) override
    {
        up_.show(std::string_view(data.data(), data.size()));
        if (recording_)
            recording_->data(From::client, data);
        return data;
    }

    HookAnswer from_instance(std::span<char> data) override
    {
        down_.show(std::string_view(data.data(), data.size()));
        if (recording_)
            recording_->data(From::server, data);
        return data;
    }

    HookAnswer client_ended() override
    {
        if (recording_)
            recording_->finished(From::client);
        return {};
    }

    HookAnswer instance_ended() override
    {
        if (recording_)
            recording_->finished(From::server);
        return {};
    }

    void session_ended(BridgeEnd end) override
    {
        if (recording_)
            recording_->ended(end);
    }

private:
    using From = PcapStream::From;

    LoggedDirection up_, down_;
    std::shared_ptr<Recorder> recorder_;
    std::unique_ptr<Recorder::Recording> recording_;
};

}  // namespace

std::string hex_line(std::uint64_t place, std::string_view data)
{
    const auto piece = data.substr(0, 16);
    char number[24];
    std::snprintf(number, sizeof number, "%08llx ", static_cast<unsigned long long>(place));
    std::string text = number, plain;
    for (const char c : piece) {
        std::snprintf(number, sizeof number, " %02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
        text += number;
        plain += c >= ' ' && c <= '~' ? c : '.';
    }
    text.append(3 * (16 - piece.size()) + 2, ' ');
    return text + plain;
}

std::unique_ptr<Bridge> make_bridge(const ServiceSettings& service, Log& log, ReopenedFiles& files)
{
    std::shared_ptr<Recorder> recorder;
    if (!service.record.directory.empty()) {
        recorder = std::make_shared<Recorder>(service.name, service.record, log);
        files.add(recorder);
    }
    if (!recorder && service.traffic_log.format == TrafficLogFormat::off)
        return std::make_unique<PairBridge>();
    return std::make_unique<HookedBridge>(
        [settings = service.traffic_log, recorder, &log](const SessionInfo& session) {
            return std::make_unique<Observer>(session, settings, log, recorder);
        },
        log);
}

}  // namespace instancer::daemon
