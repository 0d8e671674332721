// SPDX-License-Identifier: MIT
#include "crowd/ban_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <span>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <instancer/text/utc_time.hpp>
#include <instancer/unique_fd.hpp>

#include "config/text.hpp"
#include "daemon/system.hpp"
#include "files/access.hpp"
#include "files/lines.hpp"
#include "observe/log.hpp"

namespace instancer::daemon {

namespace {

/// How often a network has been banned; the most is a guess, beyond which nothing changes.
constexpr std::uint64_t most_times = 1000;

/// `times N`, or nothing.
Parsed<unsigned> parse_times(std::span<const std::string> words)
{
    if (words.empty())
        return 0U;
    const auto count = parse_count(words[1], 1, most_times);
    return count ? Parsed<unsigned>(static_cast<unsigned>(*count)) : wrong("after times, " + count.error());
}

Parsed<Ban> parse_ban(std::string_view line)
{
    const auto mark = std::min(line.find('#'), line.size());
    const auto words = words_of(line.substr(0, mark));
    const bool has_times = words.size() == 6 && words[4] == "times";
    if ((words.size() != 4 && !has_times) || words[0] != "deny" || words[2] != "until")
        return wrong("is no ban; write deny NETWORK until TIME # reason, as in deny 192.0.2.1 until "
                     "2026-11-30T08:15:00Z # guesses; before # may stand how often, as in times 3");
    const auto network = parse_network(words[1]);
    if (!network)
        return wrong(network.error());
    if (!*network)
        return wrong("everybody would be banned; write a network, or deny all among the access rules");
    const auto until = from_utc(words[3]);
    if (!until)
        return wrong(in_quotes(words[3]) + " is no time; write it in UTC, as in 2026-11-30T08:15:00Z");
    const auto times = parse_times(std::span(words).subspan(4));
    if (!times)
        return wrong(times.error());
    const auto reason = line.substr(std::min(line.find_first_not_of("# \t", mark), line.size()));
    return Ban(**network, *until, reason.empty() ? "an operator banned it" : std::string(reason), *times);
}

/// Empty where there is no such file. Whoever opened a FIFO might wait for ever.
Parsed<std::string> read_if_there(const std::string& file)
{
    struct stat status {};
    if (::stat(file.c_str(), &status) != 0)
        return errno == ENOENT ? std::string() : read_file(file);
    return S_ISREG(status.st_mode) ? read_file(file)
                                   : wrong(file + " is no regular file; remove it, or name another one");
}

/// Where `file` leads, itself where it is no symbolic link.
std::string target_of(const std::string& file)
{
    std::error_code error;
    const auto target = std::filesystem::weakly_canonical(file, error);
    return error ? file : target.string();
}

/// Gives the new file the permissions of the old one, and its owner as far as this user may.
bool take_over(int fd, const struct stat& old)
{
    if (::fchown(fd, old.st_uid, old.st_gid) != 0)
        static_cast<void>(::fchown(fd, static_cast<uid_t>(-1), old.st_gid) == 0);
    return ::fchmod(fd, old.st_mode & 0777) == 0;
}

/// All of it or nothing. The file keeps its owner and permissions, and a symbolic link leads to it as before. Nobody
/// else may read a new one: addresses are personal data.
Parsed<void> replace_file(const std::string& file, const std::string& text)
{
    const auto target = target_of(file), fresh = target + ".new";
    const auto failed = [&] { return wrong(file + " cannot be written: " + std::strerror(errno)); };
    const UniqueFd fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd)
        return failed();
    struct stat old {};
    if (::stat(target.c_str(), &old) == 0 && !take_over(fd.get(), old))
        return failed();
    for (std::string_view left = text; !left.empty();) {
        const auto count = ::write(fd.get(), left.data(), left.size());
        if (count < 0)
            return failed();
        left.remove_prefix(static_cast<std::size_t>(count));
    }
    if (::fsync(fd.get()) != 0 || std::rename(fresh.c_str(), target.c_str()) != 0)
        return failed();
    return {};
}

AccessRules exempt_of(const ServiceSettings& service)
{
    AccessRules rules;
    for (const auto& network : service.crowd.ban_exempt)
        rules.add(true, network);
    return rules;
}

BanOptions options_of(const ServiceSettings& service)
{
    BanOptions options;
    options.after = service.crowd.ban_after;
    options.duration = std::chrono::ceil<std::chrono::seconds>(service.crowd.ban_for);
    options.source_prefix = service.source_prefix;
    options.source_prefix4 = service.source_prefix4;
    return options;
}

/// How long a ban that has just begun takes.
std::string duration_of(const Ban& ban)
{
    return print_duration(std::chrono::round<std::chrono::seconds>(ban.until - std::chrono::system_clock::now()));
}

}  // namespace

Parsed<std::vector<Ban>> parse_bans(std::string_view text, const std::string& file)
{
    return parse_lines<Ban>(text, file, Comments::whole_line,
                            [](std::string_view line, const auto&) { return parse_ban(line); });
}

std::string print_bans(const std::vector<Ban>& bans)
{
    std::string text;
    for (const auto& ban : bans)
        text += "deny " + ban.network.to_string() + " until " + to_utc(ban.until) +
                (ban.times > 1 ? " times " + std::to_string(ban.times) : "") + " # " + one_line(ban.reason) + "\n";
    return text;
}

Parsed<std::vector<Ban>> load_bans(const std::string& file)
{
    const auto text = read_if_there(file);
    return text ? parse_bans(*text, file) : wrong(text.error());
}

BanKeeper::BanKeeper(const ServiceSettings& service, Log& log)
    : service_(service),
      log_(log),
      bans_(std::make_shared<Bans>(options_of(service), exempt_of(service), [this](const Ban& ban) { note(ban); }))
{
    if (!service.crowd.ban_file.empty())
        adopt(read_if_there(service.crowd.ban_file), {}, false);
}

std::unique_ptr<BanKeeper> keep_bans(const ServiceSettings& service, Log& log)
{
    return service.crowd.bans() ? std::make_unique<BanKeeper>(service, log) : nullptr;
}

void BanKeeper::reload()
{
    if (!service_.crowd.ban_file.empty())
        thread_.post([this] { synchronize(true); });
}

void BanKeeper::note(const Ban& ban)
{
    log_.notice(service_.name, "banned " + ban.network.to_string() + " for " + duration_of(ban) + ": " + ban.reason);
    if (service_.crowd.ban_file.empty())
        return;
    {
        const std::lock_guard lock(mutex_);
        fresh_.push_back(ban);
    }
    thread_.post([this] { synchronize(false); });
}

void BanKeeper::ban(const Network& network, std::chrono::seconds duration, const std::string& reason)
{
    const Ban ban(network, std::chrono::system_clock::now() + duration, reason);
    bans_->add(ban);
    note(ban);
}

bool BanKeeper::unban(const Network& network)
{
    if (!bans_->remove(network))
        return false;
    log_.notice(service_.name, "the ban of " + network.to_string() + " was lifted");
    if (service_.crowd.ban_file.empty())
        return true;
    {
        const std::lock_guard lock(mutex_);
        std::erase_if(fresh_, [&](const Ban& ban) { return ban.network == network; });
        lifted_.push_back(network);
    }
    thread_.post([this] { synchronize(false); });
    return true;
}

void BanKeeper::synchronize(bool tell)
{
    const auto& file = service_.crowd.ban_file;
    std::vector<Ban> fresh;
    std::vector<Network> lifted;
    {
        const std::lock_guard lock(mutex_);
        fresh.swap(fresh_);
        lifted.swap(lifted_);
    }
    if (fresh.empty() && lifted.empty() && !tell)
        return;
    const auto text = read_if_there(file);
    const bool changed = !text || *text != written_;
    const auto keep_for_later = [&] {
        const std::lock_guard lock(mutex_);
        fresh_.insert(fresh_.begin(), fresh.begin(), fresh.end());
        lifted_.insert(lifted_.begin(), lifted.begin(), lifted.end());
    };
    if (!changed && !tell)
        // One that began while the file was adopted last was lost with that.
        for (const auto& ban : fresh)
            bans_->add(ban);
    else if (!adopt(text, fresh, tell))
        return keep_for_later();
    // The file that was adopted may hold them yet; one that was banned again since is among the fresh.
    for (const auto& network : lifted)
        if (std::none_of(fresh.begin(), fresh.end(), [&](const Ban& ban) { return ban.network == network; }))
            bans_->remove(network);
    auto now = print_bans(bans_->remembered());
    if (now == *text)
        return;
    if (const auto done = replace_file(file, now)) {
        written_ = std::move(now);
    } else {
        keep_for_later();
        log_.warning(service_.name, done.error() + "; bans hold until the daemon ends");
    }
}

bool BanKeeper::adopt(const Parsed<std::string>& text, const std::vector<Ban>& fresh, bool tell)
{
    const auto& file = service_.crowd.ban_file;
    auto bans = text ? parse_bans(*text, file) : wrong(text.error());
    if (!bans) {
        log_.warning(service_.name, bans.error() + "; the bans stay as they were, and are not written");
        return false;
    }
    const auto now = std::chrono::system_clock::now();
    const auto count = std::count_if(bans->begin(), bans->end(), [now](const Ban& ban) { return now < ban.until; });
    const auto is_shorter = [bans = *bans](const Ban& ban) {
        return std::any_of(bans.begin(), bans.end(),
                           [&](const Ban& other) { return other.network == ban.network && other.until >= ban.until; });
    };
    std::remove_copy_if(fresh.begin(), fresh.end(), std::back_inserter(*bans), is_shorter);
    bans_->replace(*bans);
    written_ = *text;
    if (tell)
        log_.notice(service_.name, "read " + counted(static_cast<std::size_t>(count), "ban") + " from " + file);
    return true;
}

}  // namespace instancer::daemon
