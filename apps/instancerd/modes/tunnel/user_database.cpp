// SPDX-License-Identifier: MIT
#include "modes/tunnel/user_database.hpp"

#include <filesystem>
#include <string_view>
#include <utility>

#include <sqlite3.h>
#include <sys/stat.h>

namespace instancer::daemon {

namespace {

constexpr std::string_view schema =
    "CREATE TABLE user(id INTEGER PRIMARY KEY AUTOINCREMENT, username TEXT UNIQUE NOT NULL, password TEXT NOT NULL, "
    "ip VARCHAR UNIQUE, last_login TIMESTAMP)";

std::string remedy(const std::string& file)
{
    return "; make it by: sqlite3 " + file + " '" + std::string(schema) + "'";
}

}  // namespace

/// A statement with its parameters, from its beginning to its end.
class UserDatabase::Statement {
public:
    Statement(sqlite3* handle, std::string_view text)
    {
        ::sqlite3_prepare_v2(handle, text.data(), static_cast<int>(text.size()), &statement_, nullptr);
    }
    ~Statement() { ::sqlite3_finalize(statement_); }
    Statement(const Statement&) = delete;
    Statement& operator=(const Statement&) = delete;

    explicit operator bool() const noexcept { return statement_ != nullptr; }

    void bind(int number, const std::optional<std::string>& value)
    {
        if (value)
            ::sqlite3_bind_text(statement_, number, value->data(), static_cast<int>(value->size()), SQLITE_TRANSIENT);
    }

    /// SQLITE_ROW, SQLITE_DONE, or what went wrong.
    int step() { return statement_ ? ::sqlite3_step(statement_) : SQLITE_ERROR; }

    std::string text() const
    {
        const auto* value = ::sqlite3_column_text(statement_, 0);
        return value ? reinterpret_cast<const char*>(value) : "";
    }

private:
    sqlite3_stmt* statement_ = nullptr;
};

Parsed<std::unique_ptr<UserDatabase>> UserDatabase::open(const std::string& file)
{
    bool busy = false;
    return open(file, std::chrono::seconds(2), busy);
}

Parsed<std::unique_ptr<UserDatabase>> UserDatabase::open(const std::string& file, std::chrono::milliseconds patience,
                                                         bool& busy)
{
    std::error_code ignored;
    const auto identity = identity_of(file);
    if (std::filesystem::exists(file, ignored) && !std::filesystem::is_regular_file(file, ignored))
        return wrong(file + ": is no regular file, which a user database is; correct the path");
    if (!std::filesystem::exists(file, ignored))
        return wrong(file + ": there is no such user database" + remedy(file));
    sqlite3* handle = nullptr;
    const int opened = ::sqlite3_open_v2(file.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
    std::unique_ptr<UserDatabase> database(new UserDatabase(file, identity, handle));
    if (opened != SQLITE_OK)
        return database->failure();
    ::sqlite3_busy_timeout(handle, static_cast<int>(patience.count()));
    if (!Statement(handle, "SELECT id, username, password, ip, last_login FROM user")) {
        auto failed = database->failure();
        busy = database->busy();
        return busy ? failed : wrong(failed.value() + remedy(file));
    }
    ::sqlite3_busy_timeout(handle, 0);
    if (::sqlite3_db_readonly(handle, "main") == 1)
        return wrong(file + ": cannot be written, which noting logins takes; let this user write it and its directory");
    return database;
}

UserDatabase::~UserDatabase() { ::sqlite3_close_v2(handle_); }

tl::unexpected<std::string> UserDatabase::failure()
{
    busy_ = ::sqlite3_errcode(handle_) == SQLITE_BUSY;
    return wrong(file_ + ": " + ::sqlite3_errmsg(handle_));
}

UserDatabase::FileIdentity UserDatabase::identity_of(const std::string& file) noexcept
{
    struct stat status {};
    return ::stat(file.c_str(), &status) == 0 ? FileIdentity(status.st_dev, status.st_ino) : FileIdentity();
}

Parsed<void> UserDatabase::keep_up()
{
    busy_ = false;
    if (identity_of(file_) == identity_)
        return {};
    auto fresh = open(file_, std::chrono::milliseconds(0), busy_);
    if (!fresh)
        return wrong(fresh.error());
    std::swap(handle_, (*fresh)->handle_);
    identity_ = (*fresh)->identity_;
    return {};
}

Parsed<std::optional<std::string>> UserDatabase::find(const std::string& address)
{
    if (const auto current = keep_up(); !current)
        return wrong(current.error());
    Statement query(handle_, "SELECT username FROM user WHERE ip = ?1");
    query.bind(1, address);
    switch (query.step()) {
    case SQLITE_ROW: return query.text();
    case SQLITE_DONE: return std::optional<std::string>();
    default: return failure();
    }
}

Parsed<void> UserDatabase::note_login(const std::string& name)
{
    if (const auto current = keep_up(); !current)
        return current;
    Statement update(handle_, "UPDATE user SET last_login = CURRENT_TIMESTAMP WHERE username = ?1");
    update.bind(1, name);
    if (update.step() != SQLITE_DONE)
        return failure();
    return {};
}

Parsed<void> UserDatabase::set_address(const std::string& name, const std::optional<std::string>& address)
{
    if (const auto current = keep_up(); !current)
        return current;
    if (address) {
        const auto owner = find(*address);
        if (!owner)
            return wrong(owner.error());
        if (*owner && **owner != name)
            return wrong(*address + " is the address of " + **owner + "; clear that first: set userip " + **owner);
    }
    Statement update(handle_, "UPDATE user SET ip = ?2 WHERE username = ?1");
    update.bind(1, name);
    update.bind(2, address);
    if (update.step() != SQLITE_DONE)
        return failure();
    if (::sqlite3_changes(handle_) == 0)
        return wrong("there is no user " + in_quotes(name));
    return {};
}

Parsed<std::vector<std::string>> UserDatabase::names()
{
    if (const auto current = keep_up(); !current)
        return wrong(current.error());
    std::vector<std::string> all;
    Statement query(handle_, "SELECT username FROM user ORDER BY id");
    int state = query.step();
    for (; state == SQLITE_ROW; state = query.step())
        all.push_back(query.text());
    if (state != SQLITE_DONE)
        return failure();
    return all;
}

}  // namespace instancer::daemon
